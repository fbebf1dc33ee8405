"""Curry 7 (`.dap`, `.dat`, `.rs3`) and Curry 8 and 9 (`.cdt`, `.cdt.dpa`), by mapping the samples.

MNE asks the package curryreader, which holds the whole recording in memory; it is the reference in the tests.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import parse_labels
from eeg_ingest.readers.companions import curry_companions, read_text
from eeg_ingest.readers.mapped import MappedRecording, map_samples, scale_channels
from eeg_ingest.recording import ChannelType, Event, IngestError, Segment
from eeg_ingest.units import voltage_unit

_COMPRESSED = "{2912E8D8-F5C8-4E25-A8E7-A1385967DA09}"
_EVENT_CELLS = 11
_EPOCH_CELLS = 7
_LINES_AT_ONCE = 4096
_ROUNDED = 1e-4  # a sample's time in µs is rounded: 977 for 1024 Hz


@dataclass(frozen=True)
class _Texts:
    """The texts of a recording: `header` (parameters), `labels` (the same file from Curry 8 on), `events` or None."""

    header: str
    labels: str
    events: str | None
    name: str

    def value(self, key: str, default: str | None = None) -> str:
        """The value of a key of the header. Raises IngestError if it is missing and has no default."""
        match = re.search(rf"^\s*{key}[ \t]*=[ \t]*(.*?)\s*$", self.header, re.MULTILINE)
        if match is None and default is None:
            raise IngestError(f"{key} in {self.name}: expected a value, found none. Fetch the file again.")
        return match.group(1) if match else str(default)

    def number(self, key: str, default: str | None = None) -> float:
        """The same as a finite number. Raises IngestError for any other value."""
        text = self.value(key, default)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise IngestError(f"{key} in {self.name}: expected a number, found {text!r}. Fetch the file again.")
        return number


@dataclass(frozen=True)
class _Column:
    """A channel in the data file: its label, its unit as written, and whether its group is one of electrodes."""

    label: str
    unit: str
    is_electrode: bool


def open_curry(path: Path, unit: str | None = None, *, overrule: bool = False) -> MappedRecording:
    """Open a recording by its `.dap` (Curry 7) or `.cdt` (8 and 9). Raises IngestError if it is damaged or averaged."""
    files = [file for file in curry_companions(path) if file.is_file()]
    texts = _read_texts(path, files)
    if texts.value("DataGuid", "") == _COMPRESSED:
        raise IngestError(f"{path.name} is compressed: expected raw float. Export it as raw float in Curry.")
    n_channels, n_trials = int(texts.number("NumChannels")), int(texts.number("NumTrials", "1"))
    n_samples, sfreq_hz = int(texts.number("NumSamples")), _rate_hz(texts)
    if n_channels < 1 or n_trials < 1 or n_samples < 1 or texts.number("FrequencyDomain", "0"):
        raise IngestError(
            f"{texts.name} declares {n_trials} trials of {n_samples} samples of {n_channels} channels, in "
            f"{'frequency' if texts.number('FrequencyDomain', '0') else 'time'}. Export a recording over time."
        )
    _refuse_averages(texts)
    data = path if path.suffix.lower() == ".cdt" else next((f for f in files if f.suffix.lower() == ".dat"), None)
    if data is None:
        raise IngestError(f"The samples of {path.name}, {path.stem}.dat, are missing. Fetch them and put them beside.")
    columns = _columns(texts, n_channels)
    labels = [column.label for column in columns]
    declared = [voltage_unit(column.unit) or ("other" if column.unit else None) for column in columns]
    channels, factors = scale_channels(labels, _types(columns), declared, sfreq_hz, unit, overrule=overrule)
    return MappedRecording(
        [_map(data, texts, n_samples * n_trials, n_channels)],
        format="curry",
        channels=channels,
        uv_per_value=factors,
        segments=tuple(Segment(i * n_samples, n_samples, i * n_samples / sfreq_hz) for i in range(n_trials)),
        events=list(_events(texts, sfreq_hz)),
        files=[path, *files],
    )


def _read_texts(path: Path, files: Sequence[Path]) -> _Texts:
    by_suffix = {file.suffix.lower(): file for file in files}
    if path.suffix.lower() == ".cdt":
        header = labels = next((by_suffix[suffix] for suffix in (".dpa", ".dpo") if suffix in by_suffix), None)
    else:
        header, labels = path, by_suffix.get(".rs3")
    if header is None or labels is None:
        missing = f"{path.name}.dpa" if header is None else f"{path.stem}.rs3 with the labels"
        raise IngestError(f"The file {missing} of {path.name} is missing. Fetch it and put it beside.")
    events = next((by_suffix[suffix] for suffix in (".cef", ".ceo") if suffix in by_suffix), None)
    return _Texts(read_text(header), read_text(labels), read_text(events) if events else None, header.name)


def _rate_hz(texts: _Texts) -> float:
    """The declared rate; that of the time between samples where they disagree by more than rounding."""
    rate_hz, step_us = texts.number("SampleFreqHz", "0"), texts.number("SampleTimeUsec", "0")
    if step_us > 0 and not math.isclose(1e6 / step_us, rate_hz, rel_tol=_ROUNDED):
        return 1e6 / step_us
    if rate_hz <= 0:
        raise IngestError(f"{texts.name} declares {rate_hz:g} Hz. Fetch the file again.")
    return rate_hz


def _refuse_averages(texts: _Texts) -> None:
    cells = _list(texts.header, "EPOCH_INFORMATION")
    averages = [row for row in cells if len(row.split()) == _EPOCH_CELLS and row.split()[0] != "1"]
    if averages:
        raise IngestError(f"{texts.name} declares averages over epochs. Export the recording itself.")


def _list(text: str, name: str) -> list[str]:
    """The lines of a list, stripped; [] if there is none."""
    match = re.search(rf"^{name} START_LIST.*?$(.*?)^{name} END_LIST", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in match.group(1).splitlines() if line.strip()] if match else []


def _columns(texts: _Texts, n_channels: int) -> list[_Column]:
    """The channels in the order of the data file.

    Labels are listed by group. CHAN_IN_FILE gives each its column, 0 for one that is not in the file (the reference).
    """
    columns: dict[int, _Column] = {}
    listed = 0
    for group in re.findall(r"^DEVICE_PARAMETERS(\w*)\s+START\s*$", texts.header, re.MULTILINE):
        match = re.search(
            rf"^DEVICE_PARAMETERS{group}\s+START\s*$.*?DataUnit\s*=[ \t]*(\S*).*?^DEVICE_PARAMETERS{group}\s+END",
            texts.header,
            re.MULTILINE | re.DOTALL,
        )
        labels = _list(texts.labels, f"LABELS{group}")
        places = _list(texts.header, f"CHAN_IN_FILE{group}")
        if not places:
            places = [str(listed + place + 1) for place in range(len(labels))]
        listed += len(labels)
        if len(places) != len(labels) or not all(place.isdigit() for place in places):
            raise IngestError(
                f"{texts.name}: expected a place in the file for each of the {len(labels)} labels of LABELS{group}, "
                f"found {len(places)}. Fetch the file again."
            )
        for label, place in zip(labels, map(int, places), strict=True):
            if place:
                columns[place] = _Column(label, match.group(1) if match else "", group == "")
    if sorted(columns) != list(range(1, n_channels + 1)):
        raise IngestError(
            f"{texts.name}: expected labels of {n_channels} channels, found {len(columns)}. Fetch it again."
        )
    return [columns[place] for place in sorted(columns)]


def _types(columns: Sequence[_Column]) -> list[ChannelType]:
    """An electrode is EEG unless its label says otherwise; of the other groups nothing is."""
    types: list[ChannelType] = []
    for column, label in zip(columns, parse_labels([column.label for column in columns]), strict=True):
        if column.is_electrode:
            types.append(label.type or "eeg")
        else:
            types.append("misc" if label.type in ("eeg", None) else label.type)
    return types


def _map(data: Path, texts: _Texts, n_samples: int, n_channels: int) -> npt.NDArray[Any]:
    """The samples (S, C), float32 as Curry writes them."""
    byte_order = ">" if texts.value("DataByteOrder", "INTEL") not in ("INTEL", "ASCII") else "<"
    by_channel = texts.value("DataSampOrder", "SAMP") == "CHAN"
    shape = (n_channels, n_samples) if by_channel else (n_samples, n_channels)
    if texts.value("DataFormat", "FLOAT") == "ASCII":
        values = _map_text(data, shape)
    else:
        values = map_samples(data, f"{byte_order}f4", 0, shape)
    return values.T if by_channel else values


def _map_text(data: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Samples that are written as text, as float32 in a temporary file that vanishes with the mapping."""
    with tempfile.TemporaryFile(prefix="eeg-ingest-") as spool, data.open(encoding="latin-1") as lines:
        count = 0
        while block := [line for line, _ in zip(lines, range(_LINES_AT_ONCE), strict=False)]:
            try:
                values = np.array(" ".join(block).split(), dtype="<f4")
            except ValueError as error:
                raise IngestError(f"{data.name}: expected numbers, found: {error}. Fetch it again.") from error
            count += len(values)
            spool.write(values.tobytes())
        if count != math.prod(shape):
            raise IngestError(f"{data.name} holds {count} of {math.prod(shape)} numbers. Fetch it again.")
        spool.flush()
        return np.memmap(spool, dtype="<f4", mode="r", shape=shape)


def _events(texts: _Texts, sfreq_hz: float) -> Iterator[Event]:
    """Events of a `.cef` or `.ceo` file: sample, type, first and last sample, and a remark that may be empty."""
    if texts.events is None:
        return
    rows = _list(texts.events, "NUMBER_LIST")
    match = re.search(r"^REMARK_LIST START_LIST.*?$\r?\n?(.*?)^REMARK_LIST END_LIST", texts.events, re.M | re.S)
    remarks = match.group(1).splitlines() if match else []
    for index, row in enumerate(rows):
        cells = row.split()
        if len(cells) < _EVENT_CELLS or not all(re.fullmatch(r"-?\d+", cells[i]) for i in (0, 2, 4, 5)):
            raise IngestError(
                f"The events of {texts.name}: expected {_EVENT_CELLS} numbers, found {row!r}. Fetch again."
            )
        sample, kind, first, last = (int(cells[i]) for i in (0, 2, 4, 5))
        remark = remarks[index].strip() if index < len(remarks) else ""
        yield Event(sample / sfreq_hz, max(0, last - first) / sfreq_hz, remark or str(kind))

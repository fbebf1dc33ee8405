"""Persyst: a `.lay` text that lays out the samples of a `.dat` file, by mapping them.

Source: Persyst, "Layout file format". `[Patient]` is never looked at.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from eeg_ingest.channel_types import type_labels
from eeg_ingest.readers.companions import persyst_data, read_text
from eeg_ingest.readers.mapped import MappedRecording, map_samples, scale_channels
from eeg_ingest.recording import Event, IngestError, Segment

_NUMBERS = {"0": "<i2", "7": "<i4"}
_DAY_S = 86_400
_CLOCK_S = 0.01  # how exactly a layout writes the time of a sample
Lines = list[tuple[str, str]]


def open_persyst(path: Path, unit: str | None = None, *, overrule: bool = False) -> MappedRecording:
    """Open a Persyst layout with its data. Raises IngestError if either is missing, damaged or of another kind."""
    sections = _read_layout(path)
    info = {key.lower(): value for key, value in sections["fileinfo"]}
    data = persyst_data(path)
    if data is None or not data.is_file():
        found = "which is missing" if data else "none"
        raise IngestError(f"{path.name} names the data file {data.name if data else ''}: {found}. Put it beside.")
    kind = info.get("filetype", "Interleaved")
    if kind.lower() != "interleaved" or info.get("datatype") not in _NUMBERS:
        raise IngestError(
            f"The samples of {path.name}: expected FileType=Interleaved and DataType=0 or 7, found {kind} and "
            f"{info.get('datatype')}. Export the recording as Persyst or EDF."
        )
    labels = _channels(path, sections["channelmap"], int(_number(path, info, "waveformcount")))
    sfreq_hz = _number(path, info, "samplingrate")
    gain, header_bytes = _number(path, info, "calibration"), int(_number(path, info, "headerlength", 0))
    if sfreq_hz <= 0 or gain <= 0 or header_bytes < 0:
        raise IngestError(f"{path.name} declares {sfreq_hz:g} Hz and the calibration {gain:g}. Fetch it again.")
    width = np.dtype(_NUMBERS[info["datatype"]]).itemsize * len(labels)
    n_samples, rest = divmod(data.stat().st_size - header_bytes, width)
    if rest or n_samples < 1:
        raise IngestError(f"{data.name} ends inside a sample: the copy is incomplete. Fetch it again.")
    channels, factors = scale_channels(
        labels, type_labels(labels), ["uV"] * len(labels), sfreq_hz, unit, overrule=overrule
    )
    return MappedRecording(
        [map_samples(data, _NUMBERS[info["datatype"]], header_bytes, (n_samples, len(labels)))],
        format="persyst",
        channels=channels,
        uv_per_value=gain * factors,
        segments=_segments(path, sections["sampletimes"], n_samples, sfreq_hz),
        events=list(_comments(path, sections["comments"])),
        files=[path, data],
    )


def _read_layout(path: Path) -> Mapping[str, Lines]:
    """The lines of each section as key and value; those of `[Comments]` whole, as a key without a value."""
    sections: defaultdict[str, Lines] = defaultdict(list)
    section = ""
    for line in map(str.strip, read_text(path).splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].lower()
        elif line and section == "comments":
            sections[section].append((line, ""))
        elif line:
            key, _, value = line.rpartition("=") if section == "channelmap" else line.partition("=")
            sections[section].append((key.strip(), value.strip()))
    return sections


def _number(path: Path, info: Mapping[str, str], key: str, default: float | None = None) -> float:
    text = info.get(key, "" if default is None else str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise IngestError(f"{key} in {path.name}: expected a number, found {text!r}. Fetch the file again.")
    return value


def _channels(path: Path, lines: Lines, n_channels: int) -> list[str]:
    """Labels in the order of the samples: the layout numbers them from 1."""
    places = {value: key for key, value in lines}
    labels = [places[str(number)] for number in range(1, n_channels + 1) if str(number) in places]
    if not labels or len(labels) != n_channels or len(lines) != n_channels:
        raise IngestError(
            f"[ChannelMap] of {path.name}: expected {n_channels} channels, numbered from 1, found {len(lines)}. "
            "Fetch the file again."
        )
    return labels


def _segments(path: Path, lines: Lines, n_samples: int, sfreq_hz: float) -> tuple[Segment, ...]:
    """Unbroken stretches: `sample=seconds of the day` lines that are not where the line before leads are gaps.

    A clip keeps the lines of the whole recording: those beyond its end are passed over.
    """
    starts: list[int] = [0]
    onsets_s: list[float] = [0.0]
    first_s: float | None = None
    for key, value in lines:
        sample, time_s = int(_number(path, {"sample": key}, "sample")), _number(path, {"time": value}, "time")
        if first_s is None:
            first_s = time_s - sample / sfreq_hz
            continue
        ahead_s = time_s - first_s - (onsets_s[-1] + (sample - starts[-1]) / sfreq_hz)
        while ahead_s < -_DAY_S / 2:  # past midnight
            first_s -= _DAY_S
            ahead_s += _DAY_S
        if ahead_s > max(1.5 / sfreq_hz, _CLOCK_S) and starts[-1] < sample < n_samples:
            onsets_s.append(time_s - first_s)
            starts.append(sample)
    stops = [*starts[1:], n_samples]
    return tuple(
        Segment(start, stop - start, onset_s) for start, stop, onset_s in zip(starts, stops, onsets_s, strict=True)
    )


def _comments(path: Path, lines: Lines) -> Iterator[Event]:
    """Events: onset and duration in seconds, two numbers of no concern, and the text."""
    for line, _ in lines:
        cells = line.split(",", 4)
        if len(cells) < 5:
            raise IngestError(f"[Comments] of {path.name}: expected 5 cells, found {line!r}. Fetch the file again.")
        times = {"onset": cells[0], "duration": cells[1]}
        yield Event(_number(path, times, "onset"), _number(path, times, "duration"), cells[4])

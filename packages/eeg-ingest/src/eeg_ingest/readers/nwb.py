"""NWB: an ElectricalSeries by HDF5, read in blocks (docs/decisions/mapped.md).

Source: the NWB schema 2.x (https://nwb-schema.readthedocs.io). Nothing of the subject or the session is looked at.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from eeg_ingest.channel_types import parse_labels, type_labels
from eeg_ingest.readers.constant_unit import correct_constant_unit
from eeg_ingest.readers.mapped import MappedRecording, scale_channels
from eeg_ingest.readers.variables import check_numbers
from eeg_ingest.recording import Event, IngestError, Segment

_NAMES = ("channel_name", "label", "electrode_name", "name", "electrode_label", "location")
_LABELS = ("trial_type", "condition", "stimulus", "label", "event", "type", "tags")
_JITTER = 10  # times the usual scatter of the times between samples is no gap
_STAMPS_AT_ONCE = 2**20


def open_nwb(
    path: Path, unit: str | None = None, *, series: str | None = None, overrule: bool = False
) -> MappedRecording:
    """Open an ElectricalSeries; `series` is its name or path where the file has several.

    Raises IngestError, with the series of the file, if there is none or no single one, or if it is damaged.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise IngestError(f"{path.name} is no sound HDF5 file: {error}. Fetch it again.") from error
    try:
        recording = _open(file, path, unit, series, overrule=overrule)
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
        file.close()
        raise IngestError(f"The NWB file {path.name} is not as its schema says: {error}. Export it again.") from error
    except IngestError:
        file.close()
        raise
    weakref.finalize(recording, file.close)
    return recording


def _open(file: h5py.File, path: Path, unit: str | None, wanted: str | None, *, overrule: bool) -> MappedRecording:
    group = _choose(file, wanted)
    data = group["data"]
    check_numbers(data)
    n_samples, n_channels = data.shape[0], int(np.prod(data.shape[1:], dtype=int))
    if not n_samples or not n_channels:
        raise IngestError(f"The series {group.name} holds no samples. Export the file again.")
    labels = _labels(group, n_channels)
    gain, offset = float(data.attrs.get("conversion", 1.0)), float(data.attrs.get("offset", 0.0))
    gains = np.full(n_channels, gain)
    if "channel_conversion" in group:
        gains = gains * np.asarray(group["channel_conversion"], dtype=float)
    # The schema fixes V. A file that converts its numbers means it; one that does not may hold anything.
    is_constant = gain == 1.0 and offset == 0.0 and "channel_conversion" not in group
    sfreq_hz, segments = _clock(group, n_samples)
    channels, factors = scale_channels(
        labels, type_labels(labels), ["V"] * n_channels, sfreq_hz, unit, overrule=overrule or is_constant
    )
    start_s = _start_s(group)
    recording = MappedRecording(
        [data],
        format="nwb",
        channels=channels,
        uv_per_value=gains * factors,
        zero_uv=offset * factors,
        segments=segments,
        events=[Event(e.onset_s - start_s, e.duration_s, e.label) for e in _events(file)],
        files=[path],
    )
    if is_constant and unit is None:
        correct_constant_unit(recording)
    return recording


def _choose(file: h5py.File, wanted: str | None) -> h5py.Group:
    found: dict[str, h5py.Group] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and item.attrs.get("neurodata_type") == "ElectricalSeries":
            found[name] = item

    for place in ("acquisition", "processing"):
        if place in file:
            file[place].visititems(lambda name, item, place=place: visit(f"{place}/{name}", item))
    matching = [name for name in found if wanted in (None, name, name.rpartition("/")[2])]
    if len(matching) != 1:
        what = "one ElectricalSeries" if wanted is None else f"one ElectricalSeries {wanted!r}"
        raise IngestError(
            f"The series of the NWB file: expected {what}, found {', '.join(matching or found) or 'none'}. Name one in "
            "sources.yaml: reader: {format: nwb, series: NAME}."
        )
    return found[matching[0]]


def _labels(group: h5py.Group, n_channels: int) -> list[str]:
    """Names of the electrodes: from the column of their table that names most sites; their ids where none names any."""
    rows = group["electrodes"]
    table = group.file[rows.attrs["table"]]
    picks = np.asarray(rows, dtype=int)
    if len(picks) != n_channels:
        raise IngestError(f"{group.name}: expected {n_channels} electrodes, found {len(picks)}. Export the file again.")
    columns = {key: [_text(table[key][pick]) for pick in picks] for key in _NAMES if key in table}
    sites = {key: sum(label.type == "eeg" for label in parse_labels(names)) for key, names in columns.items()}
    best = max(sites, key=lambda key: sites[key], default=None)
    if best is not None and sites[best]:
        return columns[best]
    named = next((key for key in _NAMES[:-1] if key in columns and len(set(columns[key])) == n_channels), None)
    return columns[named] if named else [str(table["id"][pick]) for pick in picks]


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace").strip() if isinstance(value, bytes) else str(value).strip()


def _start_s(group: h5py.Group) -> float:
    return float(group["timestamps"][0] if "timestamps" in group else group["starting_time"][()])


def _clock(group: h5py.Group, n_samples: int) -> tuple[float, tuple[Segment, ...]]:
    """The rate and the unbroken stretches. Times that come later than the samples before lead to are gaps."""
    if "timestamps" not in group:
        rate_hz = float(group["starting_time"].attrs["rate"])
        return rate_hz, (Segment(0, n_samples, 0.0),)
    stamps = group["timestamps"]
    if len(stamps) != n_samples or n_samples < 2:
        raise IngestError(f"{group.name}: expected {n_samples} timestamps, found {len(stamps)}. Export the file again.")
    start = np.asarray(stamps[:_STAMPS_AT_ONCE])
    step_s = float(np.median(np.diff(start)))
    scatter_s = float(np.median(np.abs(np.diff(start) - step_s)))
    usual_s = step_s + max(step_s / 2, _JITTER * scatter_s)
    starts, onsets_s, kept_s, kept = [0], [0.0], 0.0, 0
    last_s = float(start[0])
    for first in range(1, n_samples, _STAMPS_AT_ONCE):
        part = np.concatenate([[last_s], stamps[first : first + _STAMPS_AT_ONCE]])
        steps_s = np.diff(part)
        if not np.all(steps_s > 0):
            raise IngestError(f"The times of {group.name} do not rise at sample {first}. Export the file again.")
        gaps = np.flatnonzero(steps_s > usual_s)
        starts += (gaps + first).tolist()
        onsets_s += (part[gaps + 1] - start[0]).tolist()
        kept_s += float(steps_s[steps_s <= usual_s].sum())
        kept += len(steps_s) - len(gaps)
        last_s = float(part[-1])
    rate_hz = kept / kept_s
    stops = [*starts[1:], n_samples]
    whole_hz = round(rate_hz)
    return whole_hz if abs(whole_hz / rate_hz - 1) < 1e-4 else rate_hz, tuple(
        Segment(first, stop - first, onset_s) for first, stop, onset_s in zip(starts, stops, onsets_s, strict=True)
    )


def _events(file: h5py.File) -> Iterator[Event]:
    """Rows of all interval tables, and annotations; onsets on the file's clock."""
    for name, table in file["intervals"].items() if "intervals" in file else []:
        if "start_time" not in table:
            continue
        starts_s, stops_s = np.asarray(table["start_time"]), np.asarray(table["stop_time"])
        labels = _interval_labels(name, table, len(starts_s))
        for start_s, stop_s, label in zip(starts_s, stops_s, labels, strict=True):
            if np.isfinite(start_s):
                yield Event(float(start_s), float(np.nan_to_num(max(stop_s - start_s, 0.0))), label)
    for place in ("acquisition", "stimulus/presentation"):
        for item in file[place].values() if place in file else []:
            if item.attrs.get("neurodata_type") == "AnnotationSeries":
                for time_s, text in zip(np.asarray(item["timestamps"]), item["data"], strict=True):
                    yield Event(float(time_s), 0.0, _text(text))


def _interval_labels(name: str, table: h5py.Group, n_rows: int) -> Sequence[str]:
    """The cells of the column that says what an interval is; the table's name where none does."""
    key = next((key for key in _LABELS if key in table and table[key].shape == (n_rows,)), None)
    return [_text(cell) for cell in table[key]] if key and f"{key}_index" not in table else [name] * n_rows

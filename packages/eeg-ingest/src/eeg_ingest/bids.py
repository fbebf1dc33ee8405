"""BIDS: what the sidecars of a recording say of its channels, events and mains (docs/decisions/bids.md).

Source: https://bids-specification.readthedocs.io (1.10: common principles, electroencephalography). participants.tsv is
left to `labels`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eeg_ingest.channel_types import parse_labels
from eeg_ingest.recording import Channel, ChannelType, Event, IngestError, Recording
from eeg_ingest.tables import NO_SECONDS, NOT_AVAILABLE, Table, read_table
from eeg_ingest.units import voltage_unit

ENTITIES = {"sub": "subject", "ses": "session", "task": "task", "acq": "acquisition", "run": "run"}
NO_RECORDINGS = ("derivatives", "sourcedata", "code", "stimuli")  # folders at the root of a dataset
_ENTITY = re.compile(r"(?:^|_)([a-z]+)-([A-Za-z0-9+]+)(?=[_.]|$)")
_LABELS = ("trial_type", "value", "event_type", "stim_type")
_TYPES: dict[str, ChannelType] = {
    "eeg": "eeg",
    "ecg": "ecg",
    "emg": "emg",
    **dict.fromkeys(("eog", "heog", "veog"), "eog"),
    **dict.fromkeys(("trig", "stim"), "stim"),
    "ref": "ref",
}


@dataclass(frozen=True)
class ChannelRow:
    """A row of channels.tsv; None where it says nothing. `unit` is None for what is no voltage, too."""

    name: str
    type: ChannelType | None
    unit: str | None
    bad: str | None


@dataclass(frozen=True)
class Sidecars:
    """What lies beside a recording. `events` is None where there is no table of them."""

    channels: tuple[ChannelRow, ...] = ()
    events: tuple[Event, ...] | None = None
    line_freq_hz: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def unit(self) -> str | None:
        """The one unit of all EEG channels, or None."""
        units = {row.unit for row in self.channels if row.type == "eeg"}
        return units.pop() if len(units) == 1 else None


def entities(file: str) -> dict[str, str]:
    """The entities in a file's name, by their full names where ENTITIES has one (`sub-01` is subject 01)."""
    return {ENTITIES.get(key, key): value for key, value in _ENTITY.findall(file.rpartition("/")[2])}


def read_sidecars(path: Path, source_path: Path) -> Sidecars:
    """Read what the sidecars of the recording at `path` say; those that are absent say nothing.

    Raises IngestError where one cannot be read.
    """
    tables = {suffix: _applicable(path, source_path, suffix, ".tsv")[-1:] for suffix in ("channels", "events")}
    channels = tuple(row for file in tables["channels"] for row in _channel_rows(read_table(file, None)))
    events: tuple[Event, ...] | None = None
    warnings = []
    for file in tables["events"]:
        events, skipped = _events(read_table(file, None))
        warnings += [f"{skipped} rows of {file.name} have no onset or no label"] if skipped else []
    metadata: dict[str, Any] = {}
    for file in _applicable(path, source_path, "eeg", ".json"):  # what is nearer counts more
        metadata |= _read_json(file)
    return Sidecars(channels, events, _line_freq_hz(metadata), tuple(warnings))


def apply_sidecars(recording: Recording, sidecars: Sidecars) -> None:
    """Give a recording the types and the events that its sidecars have, and warnings of what they say otherwise."""
    recording.warnings += sidecars.warnings
    if sidecars.events:
        recording.events = sidecars.events
    rows = {row.name: row for row in sidecars.channels}
    folded = {row.name.casefold(): row for row in sidecars.channels}
    found = [rows.get(c.name) or folded.get(c.name.strip().casefold()) for c in recording.channels]
    kinds = [label.type for label in parse_labels([channel.name for channel in recording.channels])]
    recording.channels = tuple(
        _retyped(channel, row, kind) for channel, row, kind in zip(recording.channels, found, kinds, strict=True)
    )
    unmatched = [row.name for row in sidecars.channels if row not in found]
    if unmatched:
        recording.warnings.append(f"channels.tsv lists channels that the file lacks: {', '.join(unmatched)}")
    bad = [f"{row.name} ({row.bad})" if row.bad else row.name for row in found if row and row.bad is not None]
    if bad:
        recording.warnings.append(f"channels.tsv marks as bad: {', '.join(bad)}")
    pairs = zip(recording.channels, found, strict=True)
    other = sorted({row.unit for c, row in pairs if row and row.unit and c.type == "eeg" and row.unit != c.unit})
    if other:
        recording.warnings.append(f"channels.tsv says {', '.join(other)}; the file's own unit counts")


def _retyped(channel: Channel, row: ChannelRow | None, by_label: ChannelType | None) -> Channel:
    """A channel with the type of its row. Tables call an EOG electrode EEG, too: there the label counts."""
    if row is None or row.type is None:
        return channel
    kind = row.type
    if kind == "eeg":
        kind = by_label if by_label not in (None, "eeg") else kind
        kind = channel.type if channel.unit is None else kind  # no voltage, whatever the table says
    return replace(channel, type=kind)


def _applicable(path: Path, source_path: Path, suffix: str, extension: str) -> list[Path]:
    """The sidecars that apply to a recording, the nearest last.

    One applies that lies in the recording's folder or above it, in the dataset, and whose entities are all the
    recording's too (the inheritance principle).
    """
    own = entities(path.name)
    folders = [path.parent]
    while folders[-1] != source_path and source_path in folders[-1].parents and not _is_root(folders[-1]):
        folders.append(folders[-1].parent)
    found = []
    for folder in reversed(folders):
        matches = [
            file
            for file in folder.glob(f"*{suffix}{extension}")
            if re.fullmatch(rf"(.*_)?{suffix}{re.escape(extension)}", file.name)
            and entities(file.name).items() <= own.items()
        ]
        found += sorted(matches, key=lambda file: (len(entities(file.name)), file.name))
    return found


def _is_root(folder: Path) -> bool:
    return (folder / "dataset_description.json").is_file()


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise IngestError(f"The sidecar {path} cannot be read: expected JSON, found {error}. Correct it.") from error
    if not isinstance(content, dict):
        raise IngestError(f"The sidecar {path} cannot be read: expected an object, found another value. Correct it.")
    return content


def _line_freq_hz(metadata: Mapping[str, Any]) -> float | None:
    """PowerLineFrequency; None for `n/a`, or whatever else is no frequency."""
    value = metadata.get("PowerLineFrequency")
    try:
        freq_hz = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return freq_hz if math.isfinite(freq_hz) and freq_hz > 0 else None


def _cells(table: Table, name: str) -> list[str]:
    """A column, in whatever case its name is written; empty cells if the table lacks it, or where it says n/a."""
    index = next((i for i, column in enumerate(table.columns) if column.casefold() == name), None)
    if index is None:
        return [""] * len(table.rows)
    return ["" if row[index] in NOT_AVAILABLE else row[index] for row in table.rows]


def _channel_rows(table: Table) -> Iterator[ChannelRow]:
    columns = [_cells(table, name) for name in ("name", "type", "units", "status", "status_description")]
    for name, kind, unit, status, why in zip(*columns, strict=True):
        if name:
            known = _TYPES.get(kind.casefold(), "misc") if kind else None
            yield ChannelRow(name, known, voltage_unit(unit), why if status.casefold() == "bad" else None)


def _events(table: Table) -> tuple[tuple[Event, ...], int]:
    """Events, and how many rows have no onset or no label."""
    onset = table.column("onset")
    durations = _cells(table, "duration")
    columns = [_cells(table, name) for name in _LABELS]
    events = []
    for row, cells in enumerate(table.rows):
        label = next((column[row] for column in columns if column[row]), "")
        if cells[onset] in NO_SECONDS or not label:
            continue
        events.append(Event(table.seconds(row, onset), _duration_s(durations[row]), label))
    return tuple(events), len(table.rows) - len(events)


def _duration_s(text: str) -> float:
    try:
        duration_s = float(text)
    except ValueError:
        return 0.0
    return duration_s if math.isfinite(duration_s) and duration_s > 0 else 0.0


def recording_globs(suffixes: Sequence[str]) -> list[str]:
    """Where BIDS has EEG recordings: below the root, so not in derivatives or sourcedata."""
    return [f"sub-*/**/*_eeg.{suffix}" for suffix in suffixes]

"""Labels from tables: a row an event, a row a recording, or a row a sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eeg_ingest.beside import fill, find_beside
from eeg_ingest.labels import FlagLabels, TableLabels
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.tables import NO_SECONDS, NOT_AVAILABLE, Table, read_flags, read_table


def table_events(label: TableLabels, table: Table, onset: str) -> tuple[list[Event], int]:
    """Return one event for each row that has a label, and the number of rows that have none."""
    text, start = table.column(label.column), table.column(onset)
    duration = table.column(label.duration) if label.duration is not None else None
    stop = table.column(label.stop) if label.stop is not None else None
    channel = table.column(label.channel) if label.channel is not None else None
    events = []
    for row, cells in enumerate(table.rows):
        if cells[text] in NOT_AVAILABLE:
            continue
        onset_s, duration_s = table.seconds(row, start), 0.0
        if duration is not None and cells[duration] not in NO_SECONDS:
            duration_s = table.seconds(row, duration)
        elif stop is not None and cells[stop] not in NO_SECONDS:
            duration_s = table.seconds(row, stop) - onset_s
        if duration_s < 0:
            raise IngestError(
                f"The label table {table.path} cannot be used: expected a duration of 0 s or more on line "
                f"{table.lines[row]}, found {duration_s:g} s. Correct the table."
            )
        seen_on = "" if channel is None else label.rename_channels.get(cells[channel], cells[channel])
        events.append(Event(onset_s, duration_s, f"{label.renamed(cells[text])} {seen_on}".rstrip()))
    return events, len(table.rows) - len(events)


def look_up(label: TableLabels, table: Table, groups: Mapping[str, str | None], path: Path) -> str | None:
    """Return the label of the recording at `path`, None where its row has none. Raises IngestError without a row."""
    value = fill(label.value or "{subject}", groups, path)
    text, key = table.column(label.column), table.column(label.key or "")
    found = sorted({cells[text] for cells in table.rows if cells[key] == value})
    if len(found) != 1:
        what = f"the labels {', '.join(found)}" if found else "no such row"
        raise IngestError(
            f"The label table {table.path} cannot be used: expected one label where {label.key} is {value!r}, "
            f"found {what}. Correct the table, or value in sources.yaml."
        )
    return None if found[0] in NOT_AVAILABLE else label.renamed(found[0])


def find_table(label: TableLabels, groups: Mapping[str, str | None], path: Path, source_path: Path) -> Table:
    """Read the table of the recording at `path`. Raises MissingFileError, or IngestError where it cannot be read."""
    return read_table(find_beside(label.table, groups, path, source_path), label.columns)


def flag_events(
    label: FlagLabels, groups: Mapping[str, str | None], path: Path, source_path: Path, recording: Recording
) -> list[Event]:
    """Return an event for each run of 1 in a column, its rows being the samples of the recording."""
    table = find_beside(label.table, groups, path, source_path)
    flags = read_flags(table, label.columns)
    if flags.shape[1] != recording.n_samples:
        raise IngestError(
            f"The label table {table} cannot be used: expected a row for each of {recording.n_samples} samples, found "
            f"{flags.shape[1]}. Fetch the table or the recording again."
        )
    events = []
    for name, row in zip(label.columns, flags, strict=True):
        edges = np.flatnonzero(np.diff(row, prepend=0, append=0)).tolist()
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            rate_hz = recording.sfreq_hz
            events.append(Event(start / rate_hz, (stop - start) / rate_hz, label.renamed(name)))
    return events

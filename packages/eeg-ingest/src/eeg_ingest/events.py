"""Events of a recording: its annotations, and the labels that `sources.yaml` adds from the path and from tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eeg_ingest.file import StoredSegment
from eeg_ingest.labels import PLACEHOLDER, AnnotationLabels, PathLabels, TableLabels
from eeg_ingest.recording import Event, IngestError
from eeg_ingest.tables import NO_SECONDS, NOT_AVAILABLE, Table, read_table

HALF_SAMPLE_S = 0.5 / 200  # onsets are exact to a stored sample: rounding must not push one out of its segment


@dataclass(frozen=True)
class FileLabels:
    """What the labels of a source say of one file: events on its clock, and labels of the whole recording."""

    events: tuple[Event, ...] = ()
    whole: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_labels(
    labels: Sequence[AnnotationLabels | PathLabels | TableLabels],
    groups: Mapping[str, str | None],
    path: Path,
    source_path: Path,
) -> FileLabels:
    """Read the labels of the file at `path` from its path's named `groups` and from tables.

    Raises IngestError where a table is missing or does not hold what `sources.yaml` names.
    """
    events: list[Event] = []
    whole: list[str] = []
    warnings: list[str] = []
    for label in labels:
        if isinstance(label, PathLabels):
            whole.append(_rename(label, _group(groups, label.group, path)))
        elif isinstance(label, TableLabels):
            table = read_table(_find_table(label, groups, path, source_path), label.columns)
            if label.onset is not None:
                found, skipped = _events(label, table, label.onset)
                events += found
                warnings += [f"{skipped} rows without a label in {table.path.name}"] if skipped else []
            else:
                text = _look_up(label, table, _fill(label.value or "{subject}", groups, path))
                whole += [_rename(label, text)] if text not in NOT_AVAILABLE else []
                warnings += [f"no label in {table.path.name}"] if text in NOT_AVAILABLE else []
    return FileLabels(tuple(events), tuple(whole), tuple(warnings))


def rename_annotations(
    labels: Sequence[AnnotationLabels | PathLabels | TableLabels], annotations: Iterable[Event]
) -> list[Event]:
    """Give the annotations of a file the labels that `sources.yaml` wants."""
    rename = {old: new for label in labels if isinstance(label, AnnotationLabels) for old, new in label.rename.items()}
    return [Event(a.onset_s, a.duration_s, rename.get(a.label, a.label)) for a in annotations]


def event_rows(
    events: Iterable[Event], whole: Iterable[str], segments: Sequence[StoredSegment]
) -> list[dict[str, Any]]:
    """Make the rows of the events table, onsets on the stored seconds (null in a stretch that is not stored).

    Durations are on the file's clock; labels of the `whole` recording span all of it, breaks included.
    """
    first_s = segments[0]["original_onset_s"]
    span_s = segments[-1]["original_onset_s"] + segments[-1]["n_seconds"] - first_s
    rows: list[dict[str, Any]] = [
        {"onset_s": 0.0, "duration_s": span_s, "label": label, "original_onset_s": first_s} for label in whole
    ]
    for event in sorted(events, key=lambda event: (event.onset_s, event.duration_s, event.label)):
        rows.append(
            {
                "onset_s": _stored_onset_s(event.onset_s, segments),
                "duration_s": event.duration_s,
                "label": event.label,
                "original_onset_s": event.onset_s,
            }
        )
    return rows


def _stored_onset_s(onset_s: float, segments: Sequence[StoredSegment]) -> float | None:
    for segment in segments:
        into_s = onset_s - segment["original_onset_s"]
        if -HALF_SAMPLE_S <= into_s < segment["n_seconds"] - HALF_SAMPLE_S:
            return float(segment["first_second"] + max(into_s, 0.0))
    return None


def _rename(label: PathLabels | TableLabels, text: str) -> str:
    return label.rename.get(text, text)


def _group(groups: Mapping[str, str | None], name: str, path: Path) -> str:
    value = groups.get(name)
    if value is None:
        raise IngestError(
            f"The labels of {path.name} cannot be found: expected the path to hold the named group {name!r} of "
            "subject, found nothing there. Correct subject in sources.yaml."
        )
    return value


def _fill(text: str, groups: Mapping[str, str | None], path: Path) -> str:
    return PLACEHOLDER.sub(lambda m: path.stem if m[1] == "stem" else _group(groups, m[1], path), text)


def _find_table(label: TableLabels, groups: Mapping[str, str | None], path: Path, source_path: Path) -> Path:
    name = _fill(label.table, groups, path)
    for folder in (path.parent, source_path):
        if (folder / name).is_file():
            return folder / name
    raise IngestError(
        f"The labels of {path.name} cannot be read: expected the table {name} beside the recording or in "
        f"{source_path}, found no such file. Add the table, or correct labels in sources.yaml."
    )


def _events(label: TableLabels, table: Table, onset: str) -> tuple[list[Event], int]:
    """Return one event for each row that has a label, and the number of rows that have none."""
    text, start = table.column(label.column), table.column(onset)
    duration = table.column(label.duration) if label.duration is not None else None
    stop = table.column(label.stop) if label.stop is not None else None
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
        events.append(Event(onset_s, duration_s, _rename(label, cells[text])))
    return events, len(table.rows) - len(events)


def _look_up(label: TableLabels, table: Table, value: str) -> str:
    """Return the label of the recording that the key column calls `value`."""
    text, key = table.column(label.column), table.column(label.key or "")
    found = sorted({cells[text] for cells in table.rows if cells[key] == value})
    if len(found) != 1:
        what = f"the labels {', '.join(found)}" if found else "no such row"
        raise IngestError(
            f"The label table {table.path} cannot be used: expected one label where {label.key} is {value!r}, "
            f"found {what}. Correct the table, or value in sources.yaml."
        )
    return found[0]

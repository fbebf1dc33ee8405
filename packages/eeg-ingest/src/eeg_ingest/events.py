"""Events of a recording: its annotations, and the labels that `sources.yaml` adds from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.beside import MissingFileError, find_beside, group_of
from eeg_ingest.file import StoredSegment
from eeg_ingest.labels import (
    AnnotationLabels,
    AnyLabels,
    FlagLabels,
    PathLabels,
    RecipeLabels,
    RemainderLabels,
    TableLabels,
    TrialLabels,
)
from eeg_ingest.readers import read_annotations
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.table_labels import find_table, flag_events, look_up, table_events

_ReadLabels = AnnotationLabels | PathLabels | TableLabels | FlagLabels | TrialLabels | RecipeLabels
HALF_SAMPLE_S = 0.5 / 200  # onsets are exact to a stored sample: rounding must not push one out of its segment


@dataclass(frozen=True)
class FileLabels:
    """What the labels of a source say of one file: events on its clock, and labels of the whole recording.

    `known` is False where a file is not spoken of: then what has no event is not known to be the remainder.
    """

    events: tuple[Event, ...] = ()
    whole: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    known: bool = True


def missing_labels(name: str) -> FileLabels:
    """What is known of a recording whose labels are in a file that is not there: nothing, and a warning says so."""
    return FileLabels(warnings=(f"no labels: there is no {name} with it. Fetch it and build a new store",), known=False)


def read_labels(
    labels: Sequence[AnyLabels],
    groups: Mapping[str, str | None],
    path: Path,
    source_path: Path,
    recording: Recording,
) -> FileLabels:
    """Read the labels of the file at `path`, opened as `recording`, but for its own annotations.

    Raises IngestError where a file is missing or does not hold what `sources.yaml` names.
    """
    found: list[FileLabels] = []
    for label in labels:
        if not label.applies(groups):
            continue
        if not isinstance(label, RemainderLabels):
            found.append(_read(label, groups, path, source_path, recording))
        elif all(part.known for part in found):
            events = [event for part in found for event in part.events]
            found.append(FileLabels(tuple(_remainder(events, recording, label.label))))
    return FileLabels(
        tuple(event for part in found for event in part.events),
        tuple(text for part in found for text in part.whole),
        tuple(text for part in found for text in part.warnings),
    )


def _read(  # noqa: PLR0911  one return for each kind
    label: _ReadLabels, groups: Mapping[str, str | None], path: Path, source_path: Path, recording: Recording
) -> FileLabels:
    if isinstance(label, PathLabels):
        return FileLabels(whole=(label.renamed(group_of(groups, label.group, path)),))
    if isinstance(label, TableLabels):
        return _of_table(label, groups, path, source_path)
    if isinstance(label, FlagLabels):
        return FileLabels(tuple(flag_events(label, groups, path, source_path, recording)))
    if isinstance(label, TrialLabels):
        return _of_trials(label, path, recording)
    if isinstance(label, RecipeLabels):
        code = import_module(f"eeg_ingest.recipes.{label.recipe}")
        read: FileLabels = code.read_labels(path, groups, source_path, recording)
        return replace(read, events=tuple(replace(e, label=label.renamed(e.label)) for e in read.events))
    if label.file is None:  # the file's own: rename_annotations
        return FileLabels()
    file = find_beside([label.file], groups, path, source_path, what="file")
    return FileLabels(tuple(replace(e, label=label.renamed(e.label)) for e in read_annotations(file)))


def _of_table(label: TableLabels, groups: Mapping[str, str | None], path: Path, source_path: Path) -> FileLabels:
    try:
        table = find_table(label, groups, path, source_path)
    except MissingFileError as error:
        if not label.optional:
            raise
        if label.optional == "silently":
            return FileLabels()
        return FileLabels(warnings=(str(error),), known=False)
    if label.onset is not None:
        events, skipped = table_events(label, table, label.onset)
        return FileLabels(
            tuple(events), warnings=(f"{skipped} rows without a label in {table.path.name}",) if skipped else ()
        )
    text = look_up(label, table, groups, path)
    return FileLabels(whole=(text,)) if text is not None else FileLabels(warnings=(f"no label in {table.path.name}",))


def _of_trials(label: TrialLabels, path: Path, recording: Recording) -> FileLabels:
    names = [label.renamed(text) for text in label.labels]
    if label.start_s is None or label.stop_s is None:
        segments = recording.segments
        if len(segments) != len(names):
            raise IngestError(
                f"The labels of {path.name} cannot be used: expected {len(names)} segments, one for each trial, found "
                f"{len(segments)}. Fetch the recording again, or correct labels in sources.yaml."
            )
        times = [(part.onset_s, part.n_samples / recording.sfreq_hz) for part in segments]
    else:
        times = [(start, stop - start) for start, stop in zip(label.start_s, label.stop_s, strict=True)]
    last = recording.segments[-1]
    end_s = last.onset_s + last.n_samples / recording.sfreq_hz
    beyond = sum(start + length > end_s + HALF_SAMPLE_S for start, length in times)
    warning = f"{beyond} of {len(times)} trials end after the recording, which ends at {end_s:g} s"
    events = tuple(Event(*time, name) for time, name in zip(times, names, strict=True))
    return FileLabels(events, warnings=(warning,) if beyond else ())


def _remainder(events: Iterable[Event], recording: Recording, label: str) -> Iterator[Event]:
    """Yield an event for each stretch of a segment that no event covers."""
    taken = sorted((event.onset_s, event.onset_s + event.duration_s) for event in events if event.duration_s > 0)
    for segment in recording.segments:
        clock_s, end_s = segment.onset_s, segment.onset_s + segment.n_samples / recording.sfreq_hz
        for onset_s, stop_s in [*taken, (end_s, end_s)]:
            if min(onset_s, end_s) - clock_s > HALF_SAMPLE_S:  # rounding leaves gaps between rows that touch
                yield Event(clock_s, min(onset_s, end_s) - clock_s, label)
            clock_s = max(clock_s, stop_s)


def rename_annotations(
    labels: Sequence[AnyLabels], groups: Mapping[str, str | None], annotations: Iterable[Event]
) -> list[Event]:
    """Give a file's own annotations the labels that `sources.yaml` wants for a file with these named `groups`."""
    rename: dict[str, str] = {}
    for label in labels:
        if isinstance(label, AnnotationLabels) and label.file is None and label.applies(groups):
            rename |= label.rename
    return [replace(annotation, label=rename.get(annotation.label, annotation.label)) for annotation in annotations]


def without_repeats(annotations: Iterable[Event], labels: Sequence[Event]) -> list[Event]:
    """Leave out a file's annotations that its labels tell again: events.tsv of BIDS repeats those of an EEGLAB file."""
    told: dict[str, list[float]] = {}
    for event in labels:
        told.setdefault(event.label, []).append(event.onset_s)
    onsets_s = {label: np.sort(times) for label, times in told.items()}
    return [event for event in annotations if not _is_near(event.onset_s, onsets_s.get(event.label))]


def _is_near(onset_s: float, onsets_s: npt.NDArray[np.float64] | None) -> bool:
    if onsets_s is None:
        return False
    place = int(np.searchsorted(onsets_s, onset_s - HALF_SAMPLE_S))
    return place < len(onsets_s) and float(onsets_s[place]) <= onset_s + HALF_SAMPLE_S


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

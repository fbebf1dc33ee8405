"""Windows with a class or with targets: cut from a store's recordings by their events.

Shape legend: C channels, A seconds of a window.
"""

from __future__ import annotations

import difflib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from eeg_store import QUALITY_MEASURES, SFREQ_HZ, Store, WindowReader
from eeg_store.channels import slot_of
from eeg_tokenizer.batches import MAX_PATCHES

from labram_model.errors import LabramError
from labram_model.target_values import TargetReader
from labram_model.task import Task

logger = logging.getLogger(__name__)

_COLUMNS = ["recording", "source", "subject", "session", "file", "array", "first_second", "n_seconds", "segments"]
_SHOWN = 12  # labels or recordings that a message lists


@dataclass(frozen=True, slots=True)  # a window every 50 ms makes half a million
class LabelledWindow:
    """A window of `Task.window_s` seconds and its class; `start_sample` counts from its array's start.

    `label` is 0 in a regression. `event` is the number, from 1, of its event among the recording's events that have a
    class, and `event_label` that event's label.
    """

    subject: str
    recording: str
    array: str
    start_sample: int
    label: int
    event: int
    file: str
    session: str | None
    event_label: str = ""


@dataclass(frozen=True)
class Labelled:
    """All windows of a task, and how many were left out: a sample is not finite, a target is missing (NaN)."""

    windows: tuple[LabelledWindow, ...]
    left_out_not_finite: int
    left_out_without_target: int = 0

    @property
    def classes_of(self) -> dict[str, set[int]]:
        """The classes that each subject (`source/subject`) has windows of."""
        found: dict[str, set[int]] = {}
        for window in self.windows:
            found.setdefault(window.subject, set()).add(window.label)
        return found

    def of(self, subjects: Iterable[str]) -> tuple[LabelledWindow, ...]:
        """Return the windows of some subjects."""
        chosen = set(subjects)
        return tuple(window for window in self.windows if window.subject in chosen)


def labelled_windows(store: Store, task: Task) -> Labelled:
    """Cut the windows of a task, its targets written out, ordered by recording and start.

    Raises:
        LabramError: an unknown source; a class without events or without room for a window; a recording of an unknown
            subject; windows of more patches than the model takes, or all without targets.
    """
    recordings = {row["recording"]: row for row in _recordings(store, task)}
    class_of, by_recording = _events_of(store, task, recordings)
    used = [recordings[name] for name in sorted(by_recording)]
    _check_subjects(used)
    usable = _usable_channels(store, task, used)

    reader = WindowReader(store)
    targets = TargetReader(store, task) if task.targets is not None else None
    windows: list[LabelledWindow] = []
    n_finite = n_cut = 0
    for row in used:
        found = _windows_of(task, class_of, row, by_recording[row["recording"]])
        finite = _finite(reader, row, usable[row["array"]], found, task.window_s)
        good = list(compress(found, finite.tolist()))
        n_cut, n_finite = n_cut + len(found), n_finite + len(good)
        windows += good if targets is None else compress(good, targets.known(good).tolist())
    if n_finite and not windows:
        raise LabramError(
            f"No window has all of the targets {', '.join(task.targets or ())}: expected values at the last sample of "
            f"{n_finite} windows, found NaN. Choose other targets or events."
        )
    _check_classes(task, class_of, [event for events in by_recording.values() for event in events], windows)
    return Labelled(tuple(windows), n_cut - n_finite, n_finite - len(windows))


def _events_of(
    store: Store, task: Task, recordings: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, int], dict[str, list[dict[str, Any]]]]:
    """Return the class of each label, and each recording's events that have one: without events, one over all of it."""
    by_recording: dict[str, list[dict[str, Any]]] = {}
    if task.targets is not None and task.events is None:
        for name, row in recordings.items():
            first, last = row["segments"][0], row["segments"][-1]
            duration_s = last["original_onset_s"] + last["n_seconds"] - first["original_onset_s"]
            whole = {"original_onset_s": first["original_onset_s"], "duration_s": duration_s, "label": ""}
            by_recording[name] = [whole]
        return {"": 0}, by_recording
    table = store.events(
        columns=["recording", "label", "original_onset_s", "duration_s"],
        where=pc.field("recording").isin(list(recordings)),
    )
    class_of = task.class_of(pc.unique(table["label"]).to_pylist())
    _check_labels(task, class_of, table["label"])
    events = table.filter(pc.field("label").isin(list(class_of))).sort_by("original_onset_s").to_pylist()
    for event in events:
        by_recording.setdefault(event["recording"], []).append(event)
    return class_of, by_recording


def window_starts(task: Task, event: Mapping[str, Any], segments: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return where windows of an event start, in samples from the recording's first stored one.

    Event and segments are compared on the file's own clock, and no window crosses a segment's end. An event of some
    duration gives windows that lie within it; an `offset_s`, or a duration of 0, gives one window per event.
    """
    length = task.window_s * SFREQ_HZ
    stride = max(1, round((task.stride_s or task.window_s) * SFREQ_HZ))
    locked = task.offset_s is not None or not event["duration_s"]
    starts: list[int] = []
    for segment in segments:
        first, end = segment["first_second"] * SFREQ_HZ, (segment["first_second"] + segment["n_seconds"]) * SFREQ_HZ
        onset_s = event["original_onset_s"] - segment["original_onset_s"]
        if locked:
            start = first + round((onset_s + (task.offset_s or 0.0)) * SFREQ_HZ)
            starts += [start] if first <= start <= end - length else []
        else:
            stop = min(end, first + round((onset_s + event["duration_s"]) * SFREQ_HZ))
            starts += range(max(first, first + round(onset_s * SFREQ_HZ)), stop - length + 1, stride)
    return starts


def _recordings(store: Store, task: Task) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.recordings(columns=_COLUMNS).to_pylist()
    known = sorted({row["source"] for row in rows})
    if not known:
        raise LabramError(
            f"Cannot cut windows from {store.path}: expected recordings, found none. Build the store first."
        )
    for source in task.sources or ():
        if source not in known:
            near = difflib.get_close_matches(source, known, n=1)
            advice = f"Did you mean {near[0]}?" if near else "Choose one of them."
            raise LabramError(
                f"Unknown source in sources: expected one of {', '.join(known)}, found {source}. {advice}"
            )
    return [row for row in rows if task.sources is None or row["source"] in task.sources]


def _windows_of(
    task: Task, class_of: Mapping[str, int], row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> list[LabelledWindow]:
    subject, offset = f"{row['source']}/{row['subject']}", row["first_second"] * SFREQ_HZ
    found: list[tuple[int, int, int, str]] = []
    seen: set[tuple[int, int]] = set()
    for number, event in enumerate(events, 1):
        label = class_of[event["label"]]
        starts = window_starts(task, event, row["segments"])
        found += [
            (start, label, number, event["label"]) for start in starts if task.every_event or (start, label) not in seen
        ]
        seen |= {(start, label) for start in starts}
    return [
        LabelledWindow(
            subject, row["recording"], row["array"], offset + start, label, number, row["file"], row["session"], name
        )
        for start, label, number, name in sorted(found)
    ]


def _finite(
    reader: WindowReader,
    row: Mapping[str, Any],
    usable: Sequence[int],
    windows: Sequence[LabelledWindow],
    window_s: int,
) -> npt.NDArray[np.bool_]:
    """Return for each window of a recording whether the file had numbers for all its samples."""
    quality = reader.read_quality(row["array"], row["first_second"], row["n_seconds"])
    broken = (quality[:, usable, QUALITY_MEASURES.index("non_finite")] != 0).any(axis=1)
    broken_before = np.concatenate([[0], np.cumsum(broken)])
    start = np.array([window.start_sample for window in windows], dtype=np.int64) - row["first_second"] * SFREQ_HZ
    stop_second = -(-(start + window_s * SFREQ_HZ) // SFREQ_HZ)
    finite: npt.NDArray[np.bool_] = broken_before[stop_second] == broken_before[start // SFREQ_HZ]
    return finite


def _check_labels(task: Task, class_of: Mapping[str, int], labels: pa.ChunkedArray) -> None:
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(labels).to_pylist()}
    found = set(class_of.values())
    missing = {name: known for index, (name, known) in enumerate(task.event_labels.items()) if index not in found}
    if missing:
        wanted = "; ".join(f"{name}: {', '.join(known)}" for name, known in missing.items())
        shown = sorted(counts, key=lambda label: -counts[label])
        key = "events" if task.classes is None else "classes"
        raise LabramError(
            f"No event of a class in {key}: expected {wanted}; found "
            f"{_listed([f'{label} ({counts[label]})' for label in shown]) or 'no event at all'}. "
            "Correct the labels, or the sources' labels in sources.yaml."
        )
    told = [label for labels_of_class in task.event_labels.values() for label in labels_of_class if "*" not in label]
    if absent := [label for label in told if label not in counts]:
        logger.warning("No event has the label %s, of which the task speaks.", ", ".join(absent))


def _check_subjects(rows: Sequence[Mapping[str, Any]]) -> None:
    unknown = [row["recording"] for row in rows if row["subject"] is None]
    if unknown:
        raise LabramError(
            f"Cannot split by subject: expected a subject for every recording, found none for {len(unknown)} of "
            f"{len(rows)}: {_listed(unknown)}. Give their source a `subject` pattern in sources.yaml and build again, "
            "or leave the source out with `sources`."
        )


def _usable_channels(store: Store, task: Task, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return for each array the channels that have a place in the model."""
    usable: dict[str, list[int]] = {}
    for path in sorted({row["array"] for row in rows}):
        usable[path] = [index for index, name in enumerate(store.array(path).channels) if slot_of(name) is not None]
        n_channels = len(usable[path])
        if n_channels == 0:
            raise LabramError(
                f"Cannot cut windows from {path}: expected channels of the vocabulary, found none. "
                "Rename its channels in sources.yaml, or leave the source out with `sources`."
            )
        if n_channels * task.window_s > MAX_PATCHES:
            raise LabramError(
                f"Too long windows in {path}: expected at most {MAX_PATCHES} patches, found {n_channels} channels of "
                f"{task.window_s} s. Set window_s to at most {MAX_PATCHES // n_channels}."
            )
    return usable


def _check_classes(
    task: Task,
    class_of: Mapping[str, int],
    events: Sequence[Mapping[str, Any]],
    windows: Sequence[LabelledWindow],
) -> None:
    found = Counter(window.label for window in windows)
    for index, name in enumerate(task.event_labels):
        if not found[index]:
            durations = [event["duration_s"] or 0.0 for event in events if class_of[event["label"]] == index]
            told = name if task.classes is None else f"the class {name}"
            raise LabramError(
                f"No window of {told}: expected events of at least window_s = {task.window_s} s, found "
                f"{len(durations)} events of {min(durations):g} to {max(durations):g} s. Set a shorter window_s, or "
                "offset_s for one window from each event's onset."
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")

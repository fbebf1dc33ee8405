"""Recordings in arrays (MATLAB, NPZ): the whole signal in one, or a trial or run in each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.reader_settings import ArrayEvents, MatlabSettings, NpzSettings
from eeg_ingest.readers.marks import MarkReader
from eeg_ingest.readers.parsed import ParsedRecording, SampleFile, make_channels
from eeg_ingest.readers.text import few
from eeg_ingest.readers.variables import Value, Variables, find, open_variables, vector
from eeg_ingest.recording import Event, IngestError, Segment

_BLOCK_VALUES = 2**21
_TRIAL = "{trial}"


@dataclass(frozen=True)
class _Part:
    """One unbroken stretch: a value of the file, or the trial `index` of it. `load` reads it when it is needed."""

    load: Callable[[], Value]
    number: int
    index: int | None = None


def open_arrays(path: Path, settings: MatlabSettings | NpzSettings, unit: str | None) -> ParsedRecording:
    """Open arrays as `settings` declare them. Raises IngestError that lists what is there where they are others."""
    with open_variables(path, settings.format) as variables:
        return _read(path, settings, unit, variables)


def _read(
    path: Path, settings: MatlabSettings | NpzSettings, unit: str | None, variables: Variables
) -> ParsedRecording:
    sfreq_hz = _sfreq_hz(settings.sfreq_hz, variables)
    names = _texts(settings.names, variables) if settings.names is not None else None
    parts, warnings = _parts(settings, variables), []
    inside: list[list[Event]] | None = None
    if settings.events is not None:
        inside = _events(settings.events, variables, parts, sfreq_hz)
        if settings.events.skip_empty:
            empty = [str(part.number) for part, events in zip(parts, inside, strict=True) if not events]
            if empty:
                warnings.append(f"{few(empty)} of {len(parts)} parts of {settings.signal} have no events: left out")
            parts = [part for part, events in zip(parts, inside, strict=True) if events]
            inside = [events for events in inside if events]
    marks = MarkReader(settings, (), path.name)
    signal = _Signal(settings, names, marks, path)
    segments = tuple(signal.add(part, sfreq_hz) for part in parts)
    if signal.samples is None:
        raise IngestError(f"{path.name} holds no samples in {settings.signal!r}. Correct the source's reader.")
    channels, settled = make_channels(signal.labels, sfreq_hz, unit=unit)
    events = marks.events(segments, sfreq_hz)
    if inside is not None:
        for segment, found in zip(segments, inside, strict=True):
            events += [replace(event, onset_s=segment.onset_s + event.onset_s) for event in found]
    elif _is_divided(settings):
        labels = _trial_labels(settings, variables, parts)
        events += [
            Event(segment.onset_s, segment.n_samples / sfreq_hz, label)
            for segment, label in zip(segments, labels, strict=True)
        ]
    return ParsedRecording(
        path,
        format=settings.format,
        sfreq_hz=sfreq_hz,
        channels=channels,
        samples=signal.samples,
        unit=settled,
        segments=segments,
        events=events,
        warnings=warnings,
    )


class _Signal:
    """Unpacks part after part into one `SampleFile`; `labels` are its channels, without those that mark events."""

    def __init__(
        self, settings: MatlabSettings | NpzSettings, names: list[str] | None, marks: MarkReader, path: Path
    ) -> None:
        self.samples: SampleFile | None = None
        self.labels: list[str] = []
        self._settings = settings
        self._names = names
        self._marks = marks
        self._path = path

    def add(self, part: _Part, sfreq_hz: float) -> Segment:
        start = self.samples.n_samples if self.samples else 0
        for block in _blocks(self._settings, part):
            samples, names = self._prepared(block.shape[1])
            columns = [names.index(label) for label in self.labels]
            samples.append(block[:, columns] * self._settings.scale)
            self._marks.feed({name: block[:, names.index(name)] for name in self._marks.channels}, len(block))
        stop = self.samples.n_samples if self.samples else 0
        return Segment(start, stop - start, start / sfreq_hz)

    def _prepared(self, n_channels: int) -> tuple[SampleFile, list[str]]:
        """Return where the samples go and the names of the channels, which must be as many as there are."""
        names = self._names = self._names or [str(number) for number in range(1, n_channels + 1)]
        if len(names) != n_channels or len(set(names)) != len(names):
            raise IngestError(
                f"The channels of {self._settings.signal!r} in {self._path.name}: expected {len(set(names))} "
                f"({few(names)}), found {n_channels}. Correct axes or names of the source's reader."
            )
        if self.samples is None:
            absent = [name for name in self._marks.channels if name not in names]
            if absent:
                raise IngestError(
                    f"{self._path.name} has no channel {absent[0]!r}: expected one of {few(names)}. "
                    "Correct the source's reader."
                )
            self.labels = [name for name in names if name not in self._marks.channels]
            self.samples = SampleFile(len(self.labels))
        return self.samples, names


def _is_divided(settings: MatlabSettings | NpzSettings) -> bool:
    return "trial" in settings.axes or _TRIAL in settings.signal or "[]" in settings.signal


def _parts(settings: MatlabSettings | NpzSettings, variables: Variables) -> list[_Part]:
    """Find the parts of the signal in their order: by number for names that hold one."""
    if _TRIAL in settings.signal:
        pattern = re.escape(settings.signal).replace(re.escape("*"), ".*").replace(re.escape(_TRIAL), r"(\d+)")
        numbered = sorted((int(match[1]), name) for name in variables.names if (match := re.fullmatch(pattern, name)))
        if not numbered:
            raise IngestError(
                f"No variable of the file is called like {settings.signal!r}: expected one of "
                f"{few(variables.names) or 'none'}. Correct the source's reader."
            )
        parts = [_Part(partial(variables.load, name), number) for number, name in numbered]
    else:
        found = find(variables, settings.signal)
        parts = [_Part(partial(_same, value), number) for number, value in enumerate(found, 1)]
    if "trial" not in settings.axes:
        return parts
    counted = [(part, _n_trials(settings, part.load())) for part in parts]
    indices = [(part, index) for part, count in counted for index in (range(count) if count is not None else (None,))]
    return [_Part(part.load, number, index) for number, (part, index) in enumerate(indices, 1)]


def _same(value: Value) -> Value:
    return value


def _axes(settings: MatlabSettings | NpzSettings, value: Value) -> tuple[str, ...]:
    """The axes of a value's array, in its own order. MATLAB drops a last axis of length one."""
    axes: tuple[str, ...] = settings.axes
    n_axes = len(value.array().shape)
    if n_axes == len(axes) - 1 and axes[-1] == "trial":
        axes = axes[:-1]
    if n_axes != len(axes):
        raise IngestError(
            f"The axes of {settings.signal!r}: expected {', '.join(settings.axes)}, found the shape "
            f"{value.array().shape}. Correct axes of the source's reader."
        )
    return axes[::-1] if value.reversed else axes


def _n_trials(settings: MatlabSettings | NpzSettings, value: Value) -> int | None:
    axes = _axes(settings, value)
    return int(value.array().shape[axes.index("trial")]) if "trial" in axes else None


def _blocks(settings: MatlabSettings | NpzSettings, part: _Part) -> Iterator[npt.NDArray[np.float64]]:
    """Read a part in blocks (samples, channels)."""
    value = part.load()
    array, axes = value.array(), _axes(settings, value)
    n_samples, n_channels = (array.shape[axes.index(axis)] for axis in ("sample", "channel"))
    step = max(_BLOCK_VALUES // max(n_channels, 1), 1)
    for start in range(0, n_samples, step):
        places: dict[str, Any] = {"sample": slice(start, start + step), "channel": slice(None), "trial": part.index}
        block = np.asarray(array[tuple(places[axis] for axis in axes)], np.float64)
        yield block if axes.index("sample") < axes.index("channel") else block.T


def _sfreq_hz(declared: float | str, variables: Variables) -> float:
    if not isinstance(declared, str):
        return float(declared)
    rates = {float(rate) for value in find(variables, declared) for rate in vector(value)}
    if len(rates) != 1:
        raise IngestError(
            f"The rate in {declared!r}: expected one, found {sorted(rates)}. Correct the source's reader."
        )
    return rates.pop()


def _texts(declared: Sequence[str] | str, variables: Variables) -> list[str]:
    """Return a list of texts as it is, or what a variable holds: texts, or numbers as texts."""
    if not isinstance(declared, str):
        return list(declared)
    return [text for value in find(variables, declared)[:1] for text in _as_texts(value)]


def _as_texts(value: Value) -> list[str]:
    texts = value.texts()
    return texts if texts is not None else [f"{number:g}" for number in vector(value)]


def _trial_labels(settings: MatlabSettings | NpzSettings, variables: Variables, parts: Sequence[_Part]) -> list[str]:
    if settings.trial_labels is None:
        return [str(part.number) for part in parts]
    labels = _texts(settings.trial_labels, variables)
    labels = labels * len(parts) if len(labels) == 1 else labels
    if len(labels) != len(parts):
        raise IngestError(
            f"The labels of the trials: expected {len(parts)}, found {len(labels)}. Correct trial_labels."
        )
    return labels


def _events(settings: ArrayEvents, variables: Variables, parts: Sequence[_Part], sfreq_hz: float) -> list[list[Event]]:
    """Read the events of each part, onsets counted from its start."""
    if settings.optional and settings.onset.split(".")[0].removesuffix("[]") not in variables.names:
        return [[] for _ in parts]
    onsets, labels = find(variables, settings.onset), find(variables, settings.label)
    if not len(onsets) == len(labels) == len(parts):
        raise IngestError(
            f"The events in {settings.onset!r}: expected {len(parts)} arrays, one for each part of the signal, found "
            f"{len(onsets)} of onsets and {len(labels)} of labels. Correct events of the source's reader."
        )
    meaning: dict[str, str] = {}
    if settings.names is not None:
        meaning = dict(zip(map(str, settings.codes), _texts(settings.names, variables), strict=False))
    found = []
    for onset, label in zip(onsets, labels, strict=True):
        samples, texts = vector(onset), _as_texts(label)
        if len(samples) != len(texts):
            raise IngestError(
                f"The events in {settings.onset!r}: expected a label each, found {len(samples)} onsets and "
                f"{len(texts)} labels. Correct events of the source's reader."
            )
        times_s = (samples - settings.base) / sfreq_hz + settings.delay_s
        found.append(
            [
                Event(float(time_s), settings.duration_s, meaning.get(text, text))
                for time_s, text in zip(times_s, texts, strict=True)
            ]
        )
    return found

"""Events from channels that mark them: runs of 1, runs of a class, rises of a trigger code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.reader_settings import Marks
from eeg_ingest.readers.edf_events import clock_s, trigger_events
from eeg_ingest.recording import Event, IngestError, Segment


class MarkReader:
    """Collects the events of a recording block by block; `channels` are those that it needs."""

    def __init__(self, marks: Marks, states: Sequence[str], where: str) -> None:
        self._runs = {name: _Runs() for name in (*marks.flags, *states)}
        self._flags = marks.flags
        self._triggers = marks.triggers
        self._codes: list[tuple[int, int]] = []
        self._last_code: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._n_samples = 0
        self._where = where
        self.channels = tuple(dict.fromkeys([*self._runs, *marks.triggers]))

    def feed(self, columns: Mapping[str, npt.NDArray[Any]], n_samples: int) -> None:
        """Take the next `n_samples` of each channel. Raises IngestError for a flag that is neither 0 nor 1."""
        for name, runs in self._runs.items():
            values = columns[name]
            if name in self._flags and (wrong := values[~np.isin(values, (0, 1))]).size:
                raise IngestError(
                    f"{self._where} cannot be read: expected 0 and 1 in {name!r}, which is one of flags, found "
                    f"{wrong[0]:g}. Correct `flags` of the source's reader."
                )
            runs.feed(values)
        if self._triggers:
            total = np.sum([np.nan_to_num(columns[name]) for name in self._triggers], axis=0)
            codes = np.abs(np.rint(total)).astype(np.int64)
            start = self._n_samples - len(self._last_code)
            rises = trigger_events([self._last_code, codes])
            self._codes += [(start + sample, code) for sample, code in rises]
            self._last_code = codes[-1:]
        self._n_samples += n_samples

    def events(self, segments: Sequence[Segment], sfreq_hz: float) -> list[Event]:
        """Return the events on the file's clock."""
        events = [Event(clock_s(sample, segments, sfreq_hz), 0.0, str(code)) for sample, code in self._codes]
        for name, runs in self._runs.items():
            for start, stop, value in runs.finished():
                label = name if name in self._flags else _text(value)
                if not label or (name in self._flags and value != 1):
                    continue
                onset_s = clock_s(start, segments, sfreq_hz)
                duration_s = clock_s(stop - 1, segments, sfreq_hz) + 1 / sfreq_hz - onset_s
                events.append(Event(onset_s, duration_s, label))
        return events


class _Runs:
    """The runs of equal values of one channel."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._values: list[Any] = []
        self._n_samples = 0

    def feed(self, values: npt.NDArray[Any]) -> None:
        if len(values):
            changes = np.flatnonzero(values[1:] != values[:-1]) + 1
            if not self._values or values[0] != self._values[-1]:
                changes = np.concatenate([[0], changes])
            self._starts += (changes + self._n_samples).tolist()
            self._values += values[changes].tolist()
            self._n_samples += len(values)

    def finished(self) -> list[tuple[int, int, Any]]:
        return list(zip(self._starts, [*self._starts[1:], self._n_samples], self._values, strict=True))


def _text(value: Any) -> str:
    """The label of a value: a number without needless decimals, nothing for a missing one."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value)

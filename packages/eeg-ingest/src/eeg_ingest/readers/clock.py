"""What a column of times says: the sampling rate, and where samples are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eeg_ingest.recording import IngestError, Segment

_STRETCHES = 64
_STRETCH = 1000
_WHOLE = 0.005  # a rate this close to a whole number of Hz is that number: stamps are rounded and clocks err
_CLOCK_ERROR = 0.01  # between a declared rate and the stamps
_BACK_S = 1.0  # how far jitter may turn stamps around
_LOOK_S = 1.0  # stamps that come in bursts are late, never early: the earliest within this counts
_LEAST_LOST = 0.75  # samples
_BLOCK = 2**20

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stamps:
    """Times as numbers, in units of `seconds_each`."""

    column: str
    seconds_each: float

    def seconds(self, values: Times) -> Times:
        """Return the times of the next rows."""
        return values * self.seconds_each


@dataclass
class Counter:
    """A counter of samples that begins again after `modulus`, at `sfreq_hz` samples a second."""

    column: str
    modulus: int
    sfreq_hz: float
    _last: float | None = None
    _total: float = 0.0

    def seconds(self, values: Times) -> Times:
        """Return the times of the next rows: a jump of n is n samples, fewer than `modulus`."""
        if not len(values):
            return values
        steps = np.mod(np.diff(values, prepend=values[0] if self._last is None else self._last), self.modulus)
        counts = self._total + np.cumsum(steps)
        self._last, self._total = float(values[-1]), float(counts[-1])
        return counts / self.sfreq_hz


def rate_of(times_s: Times, declared_hz: float | None, where: str) -> float:
    """Return the sampling rate of stamps (S): the median over stretches, so that gaps do not count.

    A declared rate is returned as it is. Raises IngestError if the stamps do not rise, or disagree with it by 1 %.
    """
    n_samples = len(times_s)
    length = max(n_samples // _STRETCHES, min(n_samples - 1, _STRETCH))
    starts = np.arange(0, max(n_samples - length, 1), max(length, 1))
    spans = times_s[np.minimum(starts + length, n_samples - 1)] - times_s[starts] if n_samples > 1 else np.zeros(1)
    span_s = float(np.median(spans))
    if not span_s > 0:
        if declared_hz is not None:
            return declared_hz
        raise IngestError(f"{where} cannot be used: expected times that rise, found {span_s:g} s over {length} rows.")
    found_hz = length / span_s
    if declared_hz is not None:
        if n_samples > _STRETCH and abs(found_hz / declared_hz - 1) > _CLOCK_ERROR:
            raise IngestError(
                f"{where} contradicts the source: expected {declared_hz:g} Hz, found {found_hz:.6g} Hz. "
                "Correct sfreq_hz or the unit of time in the source's reader."
            )
        return declared_hz
    whole_hz = round(found_hz)
    return float(whole_hz) if abs(found_hz - whole_hz) < _WHOLE * found_hz else found_hz


def unbroken_stretches(times_s: Times, sfreq_hz: float, where: str, warnings: list[str]) -> tuple[Segment, ...]:
    """Cut the samples (S) where stamps tell of missing ones; onsets count from the first stamp.

    Stamps that come late in bursts, repeat or jitter are no gaps: the clock must stay ahead of the samples.
    Raises IngestError where a stamp is no number, or goes back by more than a second.
    """
    starts, longest_s, n_repeated = [0], 0.0, 0
    for first, times in _overlapping(times_s):
        steps_s = np.diff(times)
        bad = np.flatnonzero(~np.isfinite(times))
        back = np.flatnonzero(steps_s < -_BACK_S)
        if len(bad) or len(back):
            row = first + int((bad if len(bad) else back + 1)[0])
            found = f"{times_s[row]:g}" + ("" if len(bad) else f" after {times_s[row - 1]:g}")
            raise IngestError(f"{where} cannot be used: expected times that rise, found {found} in row {row + 1}.")
        n_repeated += int(np.count_nonzero(steps_s <= 0))
        for index in first + 1 + np.flatnonzero(steps_s > 1.5 / sfreq_hz):
            lost_s = _lost_s(times_s, int(index), starts[-1], sfreq_hz)
            if lost_s * sfreq_hz > _LEAST_LOST:
                starts.append(int(index))
                longest_s = max(longest_s, lost_s)
    if len(starts) > 1:
        warnings.append(
            f"gaps in the times: {len(starts) - 1}, the longest of {longest_s:.3g} s; the signal is cut there"
        )
    if n_repeated:
        warnings.append(f"{n_repeated} of {len(times_s)} times repeat the one before or go back")
    stops = [*starts[1:], len(times_s)]
    return tuple(
        Segment(start, stop - start, float(times_s[start] - times_s[0]))
        for start, stop in zip(starts, stops, strict=True)
    )


def _overlapping(times_s: Times) -> Iterator[tuple[int, Times]]:
    for first in range(0, len(times_s), _BLOCK):
        yield first, np.asarray(times_s[first : first + _BLOCK + 1])


def _lost_s(times_s: Times, index: int, start: int, sfreq_hz: float) -> float:
    """How far the clock gets ahead of the samples at a step: earliest stamps after it, against those before it."""
    look = int(_LOOK_S * sfreq_hz) + 1
    before, after = slice(max(start, index - look), index), slice(index, index + look)
    ahead = [
        np.min(times_s[part] - np.arange(part.start, part.start + len(times_s[part])) / sfreq_hz)
        for part in (before, after)
    ]
    return float(ahead[1] - ahead[0])

"""What a column of times says: the sampling rate, and where samples are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eeg_ingest.recording import IngestError, Segment

_STRETCHES = 1024
_STRETCH = 100  # samples at least
_LONG_STRETCH = 2560  # samples, of stamps that come in bursts
_BURST = 0.05  # of a stretch: steps longer than this do not tell the rate
_WHOLE = 2e-4  # a rate this close to a whole number of Hz is that number: stamps are rounded, and crystals err
_CLOCK_ERROR = 0.01  # between a declared or nominal rate and the stamps
_BACK_S = 1.0  # how far jitter may turn stamps around
_LOOK_S = 1.0  # stamps that come in bursts are late, never early: the earliest within this counts
_LEAST_LOST = 0.75  # samples
_BLOCK = 2**20

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stamps:
    """Times as numbers, in units of `seconds_each`; `nominal_hz` are the rates that the device may have, if known."""

    column: str
    seconds_each: float
    nominal_hz: tuple[float, ...] = ()

    def seconds(self, values: Times) -> Times:
        """Return the times of the next rows."""
        return values * self.seconds_each


@dataclass
class Counter:
    """A counter of samples at `sfreq_hz` samples a second, that begins again after `modulus`.

    It goes up by what most of its steps are (2 where two boards take turns); by 0 if it tells nothing. It begins again
    where it always falls from one number to one other, and after `modulus` where it does not fall often enough to tell.
    """

    column: str
    modulus: float
    sfreq_hz: float
    step: float | None = None
    _last: float | None = None
    _total: float = 0.0

    def seconds(self, values: Times) -> Times:
        """Return the times of the next rows: a jump of n is n samples, fewer than `modulus`."""
        if not len(values):
            return values
        if self.step is None:
            rises = np.mod(np.diff(values), self.modulus)
            self.step = float(np.median(rises)) if len(rises) else 1.0
            self.modulus = _modulus(values, self.step) or self.modulus
        steps = np.mod(np.diff(values, prepend=values[0] if self._last is None else self._last), self.modulus)
        if not self.step > 0:
            steps = np.where(np.isfinite(steps), 1.0, steps)
        counts = self._total + np.cumsum(steps / (self.step or 1.0))
        self._last, self._total = float(values[-1]), float(counts[-1])
        return counts / self.sfreq_hz


def _modulus(values: Times, step: float) -> float | None:
    """The numbers of a counter that falls from one number to one other most of the time, twice or more; else None."""
    falls = np.flatnonzero(np.diff(values) < 0)
    if len(falls) < 2:
        return None
    ends = np.stack([values[falls], values[falls + 1]])
    pairs, counts = np.unique(ends, axis=1, return_counts=True)
    most = int(counts.argmax())
    if counts[most] < 2 or 2 * counts[most] <= len(falls):
        return None
    return float(pairs[0, most] - pairs[1, most] + step)


def check_rising(times_s: Times, where: str) -> None:
    """Raise IngestError where a stamp (S) is no number, or goes back by more than a second."""
    for first, times in _overlapping(times_s):
        bad = np.flatnonzero(~np.isfinite(times))
        back = np.flatnonzero(np.diff(times) < -_BACK_S)
        if len(bad) or len(back):
            row = first + int((bad if len(bad) else back + 1)[0])
            found = f"{times_s[row]:g}" + ("" if len(bad) else f" after {times_s[row - 1]:g}")
            raise IngestError(
                f"{where} cannot be used: expected times that rise, found {found} in row {row + 1}. "
                "Correct the times, or fetch the file again."
            )


def rate_of(times_s: Times, declared_hz: float | None, nominal_hz: tuple[float, ...], where: str) -> float:
    """Return the sampling rate of stamps (S): that of their unbroken stretches.

    A declared rate is returned as it is, and so is a nominal one within 1 %. Raises IngestError if the stamps disagree
    with the declared one by 1 %, or tell no rate.
    """
    length = max(len(times_s) // _STRETCHES, min(len(times_s) - 1, _STRETCH))
    if length < 1:
        return _declared(declared_hz, "one time", where)
    starts = np.arange(0, len(times_s) - length, length)
    usual_s = float(np.median(times_s[starts + length] - times_s[starts]))
    longest_s = np.median([np.diff(times_s[start : start + length + 1]).max() for start in starts])
    if not usual_s > 0 or (length >= _STRETCH and longest_s > _BURST * usual_s):
        return _declared(declared_hz, f"bursts every {longest_s:.3g} s", where)
    whole = [part for part in unbroken_stretches(times_s, length / usual_s, []) if part.n_samples > 1]
    spans_s = [float(times_s[part.start_sample + part.n_samples - 1] - times_s[part.start_sample]) for part in whole]
    if not sum(spans_s) > 0:
        return _declared(declared_hz, "none that rise", where)
    found_hz = sum(part.n_samples - 1 for part in whole) / sum(spans_s)
    if declared_hz is not None:
        if length >= _STRETCH and abs(found_hz / declared_hz - 1) > _CLOCK_ERROR:
            raise IngestError(
                f"{where} contradicts the source: expected {declared_hz:g} Hz, found {found_hz:.6g} Hz. "
                "Correct sfreq_hz or the unit of time in the source's reader."
            )
        return declared_hz
    whole_hz = float(round(found_hz))
    nominal = [rate_hz for rate_hz in nominal_hz if abs(found_hz / rate_hz - 1) < _CLOCK_ERROR]
    return next(iter(nominal), whole_hz if abs(found_hz - whole_hz) < _WHOLE * found_hz else found_hz)


def nominal_rate(times_s: Times, nominal_hz: tuple[float, ...]) -> float | None:
    """Return the one of the rates that stamps of arrival (S) agree with, which may come in bursts; None if they do not.

    Gaps in a few places do not matter.
    """
    length = min(len(times_s) - 1, _LONG_STRETCH)
    if length < _STRETCH:
        return None
    starts = np.arange(0, len(times_s) - length, length)
    usual_s = float(np.median(times_s[starts + length] - times_s[starts]))
    return next((rate_hz for rate_hz in nominal_hz if abs(length - usual_s * rate_hz) < _BURST * length), None)


def _declared(declared_hz: float | None, found: str, where: str) -> float:
    if declared_hz is None:
        raise IngestError(
            f"{where} tells no rate: expected regular times, found {found}. Declare sfreq_hz in the reader."
        )
    return declared_hz


def unbroken_stretches(
    times_s: Times, sfreq_hz: float, warnings: list[str], *, least_lost: float = _LEAST_LOST
) -> tuple[Segment, ...]:
    """Cut the samples (S) where stamps tell of `least_lost` missing ones; onsets count from the first stamp.

    Stamps that come late in bursts, repeat or jitter are no gaps: the clock must stay ahead of the samples.
    """
    starts, longest_s, n_repeated = [0], 0.0, 0
    for first, times in _overlapping(times_s):
        steps_s = np.diff(times)
        n_repeated += int(np.count_nonzero(steps_s <= 0))
        for index in first + 1 + np.flatnonzero(steps_s > 1.5 / sfreq_hz):
            lost_s = _lost_s(times_s, int(index), starts[-1], sfreq_hz)
            if lost_s * sfreq_hz > least_lost:
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

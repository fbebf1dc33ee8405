"""Quality of each second and channel, measured on the source samples of that second and on what is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.filters import notch_freqs_hz
from eeg_ingest.recording import Channel
from eeg_ingest.source_block import SourceBlock

STORED_RANGE_UV = 3276.75  # what rounds to more than 32767 steps of 0.1 µV
LEAST_SHARE = 0.01  # of the mean square that the variance must be to be told from it: float32 errs by a 1e-7th or so

Floats = npt.NDArray[np.float32]


class QualityMeter:
    """Measures the blocks of one recording, and counts the samples that are not finite numbers.

    The measures, in the store's order: `flat`, the share of samples equal to the one before; `clipped`, the share at
    the converter's limits, or of stored samples beyond the int16 range where that is larger; `amplitude_uv`, the
    standard deviation of the stored second; `line_noise`, the share of the source second's variance at the mains
    frequency and those multiples that lie in the stored band (the larger of 50 and 60 Hz if the mains is unknown, 0 if
    the rate is too low to tell); `non_finite`, the share of NaN and infinite samples.
    """

    def __init__(self, rate_hz: Fraction, channels: Sequence[Channel], line_freq_hz: float | None) -> None:
        self._rate_hz = rate_hz
        self._names = [channel.name for channel in channels]
        self._limits_uv = np.array([channel.limits_uv or (-np.inf, np.inf) for channel in channels], np.float32)
        mains_hz = (50.0, 60.0) if line_freq_hz is None else (line_freq_hz,)
        self._tones_hz = [tones for f in mains_hz if (tones := notch_freqs_hz(f, float(rate_hz)))]
        self._n_bridged = np.zeros(len(channels), np.int64)
        self._n_measured = 0

    def measure_source(self, source: SourceBlock, columns: slice, first_s: int, stop_s: int) -> Floats:
        """Measure (C, A, 5) of the channels `columns` in the segment's seconds `first_s` to `stop_s`, as far as
        the source's samples tell.
        """
        measured = np.zeros((len(source.uv), stop_s - first_s, 5), np.float32)
        edges = np.arange(first_s, stop_s + 1)
        bounds = edges * self._rate_hz.numerator // self._rate_hz.denominator - source.start
        starts, lengths = bounds[:-1], np.diff(bounds)
        steady = _steady(source)
        for length in np.unique(lengths):  # one if the rate is whole, else two
            chosen = lengths == length
            seconds = _cut(source.uv, starts, chosen, int(length))
            measured[:, chosen, 0] = _mean(_cut(steady, starts, chosen, int(length)))
            measured[:, chosen, 1] = self._clipped(source, columns, seconds)
            measured[:, chosen, 3] = _tone_share(seconds, self._bases(int(length)))
            if source.non_finite is not None:
                measured[:, chosen, 4] = _mean(_cut(source.non_finite, starts, chosen, int(length)))
        if columns.start == 0:
            self._n_measured += int(bounds[-1] - bounds[0])
        if source.non_finite is not None:
            self._n_bridged[columns] += source.non_finite[:, bounds[0] : bounds[-1]].sum(axis=1)
        return measured

    @staticmethod
    def measure_stored(stored_uv: Floats, measured: Floats) -> None:
        """Add to `measured` (C, A, 5) what the stored samples (C, A, 200) of the same seconds tell."""
        measured[..., 1] = np.maximum(measured[..., 1], _saturated(stored_uv))
        measured[..., 2] = _deviation(stored_uv)

    def _clipped(self, source: SourceBlock, columns: slice, seconds: Floats) -> Floats:
        """(C, A): share of samples outside the converter's limits."""
        clipped = np.zeros(seconds.shape[:2], np.float32)
        low_uv, high_uv = self._limits_uv[columns].T
        for row in np.flatnonzero((source.low_uv < low_uv) | (source.high_uv > high_uv)):
            clipped[row] = _mean((seconds[row] < low_uv[row]) | (seconds[row] > high_uv[row]))
        return clipped

    def _bases(self, length: int) -> list[Floats]:
        return [_tone_basis(tones_hz, length, float(self._rate_hz)) for tones_hz in self._tones_hz]

    def warnings(self) -> list[str]:
        """What the user must know about the samples that were bridged."""
        rows = np.flatnonzero(self._n_bridged)
        if not len(rows):
            return []
        names = ", ".join(self._names[row] for row in rows)
        n_bridged, n_samples = self._n_bridged.sum(), len(rows) * self._n_measured
        return [f"non-finite samples in {names}: {n_bridged} of {n_samples}, bridged; see quality"]


def _cut(
    samples: npt.NDArray[Any], starts: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_], length: int
) -> npt.NDArray[Any]:
    """The chosen seconds (C, A, length) of `samples` (C, S); a view where they are all of them."""
    if chosen.all():
        stop = starts[0] + len(starts) * length
        return samples[:, starts[0] : stop].reshape(len(samples), len(starts), length)
    return samples[:, starts[chosen][:, None] + np.arange(length)]


def _steady(source: SourceBlock) -> npt.NDArray[np.bool_]:
    """(C, S): whether a sample equals the one before; the first of a segment has none before, nor has a bridged one."""
    steady = np.empty(source.uv.shape, np.bool_)
    np.equal(source.uv[:, 1:], source.uv[:, :-1], out=steady[:, 1:])
    steady[:, 0] = False
    if source.non_finite is not None:
        steady &= ~source.non_finite
    return steady


def _mean(marks: npt.NDArray[np.bool_]) -> Floats:
    """Share of True along the last axis."""
    counts = np.bitwise_count(np.packbits(marks, axis=-1)).sum(axis=-1, dtype=np.uint32)
    return np.asarray(counts / np.float32(marks.shape[-1]), np.float32)


def _saturated(stored_uv: Floats) -> Floats | float:
    """(C, A): share of samples that int16 cannot hold."""
    if max(stored_uv.max(), -stored_uv.min()) <= STORED_RANGE_UV:
        return 0.0
    return np.asarray((np.abs(stored_uv) > STORED_RANGE_UV).mean(axis=2, dtype=np.float32))


def _deviation(seconds: Floats) -> Floats:
    """Standard deviation along the last axis."""
    return np.asarray(np.sqrt(_moments(seconds)[2]))


def _moments(seconds: Floats) -> tuple[Floats, Floats, Floats]:
    """Samples (..., S) that can be squared, their mean (...), and their variance (...).

    They are the seconds themselves, or without their mean where float32 would lose the variance beside it.
    """
    n_samples = seconds.shape[-1]
    mean = seconds @ np.full(n_samples, 1 / n_samples, np.float32)
    square = np.vecdot(seconds, seconds) / np.float32(n_samples)
    variance = square - np.square(mean)
    if (variance < LEAST_SHARE * square).any():
        centred = seconds - mean[..., None]
        return centred, np.zeros_like(mean), np.vecdot(centred, centred) / np.float32(n_samples)
    return seconds, mean, variance


@lru_cache(maxsize=16)
def _tone_basis(tones_hz: tuple[float, ...], length: int, sfreq_hz: float) -> Floats:
    """Cosines and sines (2 x tones, length), scaled so that squared projections add up to the tones' power."""
    phase = 2 * np.pi * np.arange(length) / sfreq_hz * np.array(tones_hz)[:, None]
    return np.asarray(np.concatenate([np.cos(phase), np.sin(phase)]) * np.sqrt(2) / length, np.float32)


def _tone_share(seconds: Floats, bases: Sequence[Floats]) -> Floats:
    """(C, A): the largest share of the variance that one of the sets of tones has."""
    share = np.zeros(seconds.shape[:2], np.float32)
    if not bases:
        return share
    samples, mean, variance = _moments(seconds)
    for basis in bases:
        # Wave by wave: BLAS is slow for a few columns. A wave of no whole periods has a mean, which meets the second's.
        power = sum(np.square(samples @ wave - mean * wave.sum()) for wave in basis)
        np.maximum(share, np.divide(power, variance, out=np.zeros_like(power), where=variance > 0), out=share)
    return np.minimum(share, 1, out=share)

"""What lets the audit recognise a recording that it has seen: how loud each second is, in words of bits.

A copy in another format, with other gains, or a part of a recording, rises and falls in the same seconds. Whether
each second is louder than the one before, for the lower and the upper quartile of the channels, makes 2 bits; 16
seconds make a word. The seconds of a part may begin anywhere, so words of a few stretches are made at 40 places
inside a second too. Which words two recordings share is a matter of sorting them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from eeg_store import SCALE_UV, SFREQ_HZ, WindowReader

from eeg_ingest.audit.stretches import MIN_UV, Floats
from eeg_ingest.quantiles import median, quantiles

WORD_S = 16
STEP = 5  # samples between the places inside a second: 10 off, one bit in twelve has turned, 2 off one in fifty
N_PHASES = SFREQ_HZ // STEP
STRETCH_S = 48
N_STRETCHES = 3
COLUMNS_AT_ONCE, ROWS_AT_ONCE = 16, 4096  # that are copied and sorted: a day need not take more memory than an hour
MIN_CHANGES = 4  # between the 16 bits of each quartile: a signal that hardly turns says nothing

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Echo:
    """Words of a recording: `words` begin at the seconds `seconds`; `samples` are where the `queries` begin."""

    words: Words
    seconds: npt.NDArray[np.int32]
    queries: Words
    samples: npt.NDArray[np.int32]


def echo_of(reader: WindowReader, row: Mapping[str, Any], loud: Floats) -> Echo:
    """Make the words of a recording from the loudness (A, 2) of its seconds, and the queries from its samples."""
    words, seconds = words_of(loud)
    n_seconds = min(STRETCH_S, row["n_seconds"] - 1)
    if n_seconds <= WORD_S:
        return Echo(words, seconds, np.empty(0, np.uint64), np.empty(0, np.int32))
    starts = sorted({int(s) for s in np.linspace(0, row["n_seconds"] - 1 - n_seconds, N_STRETCHES)})
    windows = [(row["array"], (row["first_second"] + start) * SFREQ_HZ, n_seconds + 1) for start in starts]
    queries, samples = [], []
    for start, window in zip(starts, reader.read(windows), strict=True):
        found, at = _queries(window.reshape(len(window), -1).astype(np.float32) * np.float32(SCALE_UV), n_seconds)
        queries.append(found)
        samples.append(at + start * SFREQ_HZ)
    return Echo(words, seconds, np.concatenate(queries), np.concatenate(samples).astype(np.int32))


def _queries(uv: Floats, n_seconds: int) -> tuple[Words, npt.NDArray[np.int32]]:
    """Different words of a stretch uv (C, one second more than `n_seconds`), and the samples at which they begin."""
    n_places = n_seconds * N_PHASES
    bins = [values.reshape(len(uv), -1, STEP) @ np.ones(STEP, np.float32) for values in (uv, np.square(uv))]
    sums = [np.cumsum(np.pad(values.astype(np.float64), ((0, 0), (1, 0))), axis=1) for values in bins]
    mean, power = ((s[:, N_PHASES:][:, :n_places] - s[:, :n_places]) / SFREQ_HZ for s in sums)
    amplitude_uv = np.sqrt(np.maximum(power - mean**2, 0)).astype(np.float32)  # of the second from each place on
    words, places = words_of(loudness(amplitude_uv.T), N_PHASES)
    words, first = np.unique(words, return_index=True)
    return words, places[first] * STEP


def loudness(amplitude_uv: Floats) -> Floats:
    """Lower and upper quartile (A, 2) of the amplitudes (A, C) of the channels that have a signal."""
    starts = range(0, amplitude_uv.shape[1], COLUMNS_AT_ONCE)
    typical_uv = [median(amplitude_uv[:, first : first + COLUMNS_AT_ONCE], axis=0) for first in starts]
    live = np.concatenate(typical_uv) > MIN_UV
    if not live.any():
        return np.zeros((len(amplitude_uv), 2), np.float32)
    rows = (amplitude_uv[first : first + ROWS_AT_ONCE, live] for first in range(0, len(amplitude_uv), ROWS_AT_ONCE))
    return np.concatenate([quantiles(few, (0.25, 0.75)) for few in rows])


def words_of(loud: Floats, step: int = 1) -> tuple[Words, npt.NDArray[np.int32]]:
    """Words of loudness (places, 2), `step` places to a second, and the places at which they begin.

    Words that hardly turn are left out.
    """
    louder = loud[step:] > loud[:-step]
    length = (WORD_S - 1) * step + 1
    if len(louder) < length:
        return np.empty(0, np.uint64), np.empty(0, np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(louder, length, axis=0)[..., ::step]  # (words, 2, WORD_S)
    turns = (windows[..., 1:] != windows[..., :-1]).sum(axis=2)
    kept = np.flatnonzero((turns >= MIN_CHANGES).all(axis=1))
    weights = (1 << np.arange(2 * WORD_S, dtype=np.uint64)).reshape(2, WORD_S)
    words = (windows[kept] * weights).sum(axis=(1, 2), dtype=np.uint64)
    return words, kept.astype(np.int32)

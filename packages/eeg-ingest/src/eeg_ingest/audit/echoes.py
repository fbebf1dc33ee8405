"""What lets the audit recognise a recording that it has seen: how loud each second is, in words of bits.

A copy in another format, with other gains, or a part of a recording, rises and falls in the same seconds. Whether
each second is louder than the one before, for the lower and the upper quartile of the channels, makes 2 bits; 16
seconds make a word. The seconds of a part may begin anywhere, so words of a few stretches are made at ten places
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

WORD_S = 16
PHASES = tuple(range(0, SFREQ_HZ, 20))  # samples into a second: a twentieth of one off turns 4 to 10 % of the bits
STRETCH_S = 48
N_STRETCHES = 3
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
        uv = window.reshape(len(window), -1).astype(np.float32) * np.float32(SCALE_UV)
        for phase in PHASES:
            part = uv[:, phase : phase + n_seconds * SFREQ_HZ].reshape(len(uv), n_seconds, SFREQ_HZ)
            found, at = words_of(loudness(part.std(axis=2).T))
            queries.append(found)
            samples.append((at + start) * SFREQ_HZ + phase)
    return Echo(words, seconds, np.concatenate(queries), np.concatenate(samples).astype(np.int32))


def loudness(amplitude_uv: Floats) -> Floats:
    """Lower and upper quartile (A, 2) of the amplitudes (A, C) of the channels that have a signal."""
    live = np.median(amplitude_uv, axis=0) > MIN_UV
    if not live.any():
        return np.zeros((len(amplitude_uv), 2), np.float32)
    return np.asarray(np.quantile(amplitude_uv[:, live], (0.25, 0.75), axis=1).T, np.float32)


def words_of(loud: Floats) -> tuple[Words, npt.NDArray[np.int32]]:
    """Words of loudness (A, 2), and the seconds at which they begin; words that hardly turn are left out."""
    louder = np.diff(loud, axis=0) > 0
    n_words = len(louder) - WORD_S + 1
    if n_words < 1:
        return np.empty(0, np.uint64), np.empty(0, np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(louder, WORD_S, axis=0)  # (words, 2, WORD_S)
    turns = (windows[..., 1:] != windows[..., :-1]).sum(axis=2)
    kept = np.flatnonzero((turns >= MIN_CHANGES).all(axis=1))
    weights = (1 << np.arange(2 * WORD_S, dtype=np.uint64)).reshape(2, WORD_S)
    words = (windows[kept] * weights).sum(axis=(1, 2), dtype=np.uint64)
    return words, kept.astype(np.int32)

"""The few stretches of a recording that the audit reads, and their spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from eeg_store import SCALE_UV, SFREQ_HZ, WindowReader

from eeg_ingest.transforms import rfft

N_STRETCHES = 16
STRETCH_S = 8  # resolves an eighth of a hertz
MIN_UV = 0.05  # half a step of the store: less is rounding

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Stretches:
    """K stretches of C channels: `uv` (K, C, S), centred, and `live` (K, C), where a channel has a signal at all."""

    uv: Floats
    live: npt.NDArray[np.bool_]


def power_of(stretches: Stretches) -> tuple[Floats, npt.NDArray[np.float64]]:
    """One-sided power (K, C, F) in µV² a bin, Hann-windowed, and its frequencies (F)."""
    n_samples = stretches.uv.shape[2]
    window = np.hanning(n_samples)
    window *= np.sqrt(2 / np.square(window).sum() / n_samples)
    spectrum = rfft(stretches.uv * window.astype(np.float32))
    power: Floats = np.square(spectrum.real) + np.square(spectrum.imag)
    return power, np.asarray(np.fft.rfftfreq(n_samples, 1 / SFREQ_HZ), np.float64)


def read_stretches(reader: WindowReader, row: Mapping[str, Any]) -> Stretches:
    """Read up to 16 stretches of up to 8 s, spread evenly over a recording; none crosses a break. Raises StoreError."""
    segments = [(segment["first_second"], segment["n_seconds"]) for segment in row["segments"]]
    n_seconds = min(STRETCH_S, max(length for _, length in segments))
    segments = [(first, length) for first, length in segments if length >= n_seconds]
    ends = np.cumsum([length for _, length in segments])
    starts = set()
    for part in np.linspace(0, 1, N_STRETCHES):
        place = int(part * (ends[-1] - 1))
        number = int(np.searchsorted(ends, place, side="right"))
        first, length = segments[number]
        starts.add(first + min(place - int(ends[number] - length), length - n_seconds))
    windows = [(row["array"], (row["first_second"] + start) * SFREQ_HZ, n_seconds) for start in sorted(starts)]
    uv = np.stack([window.reshape(len(window), -1) for window in reader.read(windows)]).astype(np.float32)
    uv *= np.float32(SCALE_UV)
    uv -= uv.mean(axis=2, keepdims=True)
    return Stretches(uv, uv.std(axis=2) > MIN_UV)

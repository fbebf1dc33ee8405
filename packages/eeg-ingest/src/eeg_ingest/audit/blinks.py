"""How strongly each channel sees the eyes: large slow deflections of one sign, again and again."""

from __future__ import annotations

import numpy as np
from eeg_store import SFREQ_HZ

from eeg_ingest.audit.stretches import Floats, Stretches
from eeg_ingest.transforms import rfft

SLOW_HZ = (0.5, 6.0)  # holds a blink of 0.2 to 0.4 s, and neither drift nor alpha
DECIMATE = 10
OFTEN = 0.7


def measure_blinks(stretches: Stretches) -> tuple[Floats, float]:
    """Height (C) that the largest slow deflection has, with one sign, in seven of ten stretches; 0 if the signs vary.

    And the height that it has in a typical channel, whatever its sign.

    Blinks come every few seconds and always with one sign. A loose electrode, sweat and slow waves deflect either way.
    """
    n_samples = stretches.uv.shape[2]
    spectrum = rfft(stretches.uv)
    freqs_hz = np.fft.rfftfreq(n_samples, 1 / SFREQ_HZ)
    spectrum[..., (freqs_hz < SLOW_HZ[0]) | (freqs_hz > SLOW_HZ[1])] = 0
    n_slow = n_samples // DECIMATE
    slow = np.fft.irfft(spectrum[..., : n_slow // 2 + 1], n_slow) * np.float32(1 / DECIMATE)
    largest = np.abs(slow).argmax(axis=2)
    peaks = np.take_along_axis(slow, largest[..., None], axis=2)[..., 0]
    few, most = np.quantile(peaks, (1 - OFTEN, OFTEN), axis=0)
    heights = np.asarray(np.maximum(np.maximum(few, -most), 0), np.float32)
    return heights, float(np.median(np.abs(peaks)))

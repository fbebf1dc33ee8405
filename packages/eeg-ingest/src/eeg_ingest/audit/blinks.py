"""How strongly each channel sees the eyes: the typical largest slow deflection."""

from __future__ import annotations

import numpy as np
import scipy.fft
from eeg_store import SFREQ_HZ

from eeg_ingest.audit.stretches import Floats, Stretches

SLOW_HZ = (0.5, 6.0)  # holds a blink of 0.2 to 0.4 s, and neither drift nor alpha
DECIMATE = 10


def blinks_uv(stretches: Stretches) -> Floats:
    """Absolute median (C) over stretches of the largest slow deflection, with its sign.

    Blinks come every few seconds and always with one sign, so their height stays. Deflections of either sign, as a
    loose electrode, sweat or slow waves have, cancel.
    """
    n_samples = stretches.uv.shape[2]
    spectrum = scipy.fft.rfft(stretches.uv)
    freqs_hz = scipy.fft.rfftfreq(n_samples, 1 / SFREQ_HZ)
    spectrum[..., (freqs_hz < SLOW_HZ[0]) | (freqs_hz > SLOW_HZ[1])] = 0
    n_slow = n_samples // DECIMATE
    slow = scipy.fft.irfft(spectrum[..., : n_slow // 2 + 1], n_slow) * np.float32(1 / DECIMATE)
    largest = np.abs(slow).argmax(axis=2)
    peaks = np.take_along_axis(slow, largest[..., None], axis=2)[..., 0]
    return np.asarray(np.abs(np.median(peaks, axis=0)), np.float32)

"""The shape of a recording's spectrum: what hums, and how fast the power falls."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eeg_ingest.audit.stretches import Floats
from eeg_ingest.quantiles import median

BAND_HZ = (1.0, 40.0)
SLOPE_HZ = (2.0, 30.0)
PEAK_HZ = 0.25
NEIGHBOURS_HZ = (1.5, 5.0)  # as in `eeg_ingest.mains`: beside the peak and beyond a notch

Spectrum = npt.NDArray[np.float64]


def typical_spectrum(power: Floats, live: npt.NDArray[np.bool_], freqs_hz: Spectrum) -> Spectrum:
    """Median (F) over stretches and live channels of power (K, C, F), each scaled to its sum from 1 to 40 Hz."""
    chosen = power[live]
    band = (freqs_hz >= BAND_HZ[0]) & (freqs_hz <= BAND_HZ[1])
    level = chosen[:, band].sum(axis=1)
    scaled = chosen[level > 0] / level[level > 0, None]
    return median(scaled, axis=0).astype(np.float64) if len(scaled) else np.full(len(freqs_hz), np.nan)


def hum_ratio(spectrum: Spectrum, freqs_hz: Spectrum, hum_hz: float) -> float:
    """The largest power within a quarter of a hertz of `hum_hz` over the median beside it, on its louder side.

    NaN where the spectrum is empty or too coarse to tell.
    """
    distance_hz = freqs_hz - hum_hz
    near, far = NEIGHBOURS_HZ
    sides = [spectrum[(near <= side * distance_hz) & (side * distance_hz <= far)] for side in (-1, 1)]
    beside = max((float(np.median(side)) for side in sides if len(side)), default=0.0)
    peak = spectrum[np.abs(distance_hz) <= PEAK_HZ]
    return float(peak.max() / beside) if len(peak) and beside > 0 else float("nan")


def slope(spectrum: Spectrum, freqs_hz: Spectrum) -> float:
    """Exponent of the power from 2 to 30 Hz: 0 for white noise, about -1.5 for EEG. NaN for an empty spectrum."""
    band = (freqs_hz >= SLOPE_HZ[0]) & (freqs_hz <= SLOPE_HZ[1])
    if not (spectrum[band] > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(freqs_hz[band]), np.log(spectrum[band]), 1)[0])

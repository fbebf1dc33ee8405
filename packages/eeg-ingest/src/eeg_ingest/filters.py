"""Band-pass and mains notch: MNE's FIR designs, as one frequency response for the one-pass harmonization."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from eeg_ingest.fir import Edge, fir
from eeg_ingest.recording import IngestError

LOW_HZ = 0.1
HIGH_HZ = 75.0
SFREQ_OUT_HZ = 200
MIN_LOWPASS_ROOM_HZ = 1.0  # with less room below Nyquist a low-pass has no transition band left
NOTCH_WIDTH = 1 / 200  # of the notch's frequency, and
NOTCH_TRANSITION_HZ = 1.0  # the transition band: both are the defaults of `mne.io.Raw.notch_filter`
SFREQ_LIMITS_HZ = (2.0, 50_000.0)
_MAX_DENOMINATOR = 10**8


def exact_rate(sfreq_hz: float) -> Fraction:
    """The fraction that a rate stands for (33.333333333333336 is 100/3), so that counting seconds is exact.

    Raises `IngestError` for a rate that no EEG has.
    """
    low, high = SFREQ_LIMITS_HZ
    if not low <= sfreq_hz <= high:
        raise IngestError(
            f"Sampling rate: expected {low:g} to {high:g} Hz, found {sfreq_hz:g} Hz. Check the file's header."
        )
    return Fraction(sfreq_hz).limit_denominator(_MAX_DENOMINATOR)


def band_of(sfreq_hz: float) -> tuple[float, float]:
    """Low and high end (Hz) of what is stored: 0.1 to 75 Hz, or to the Nyquist frequency where that is lower."""
    nyquist_hz = sfreq_hz / 2
    return LOW_HZ, HIGH_HZ if nyquist_hz - HIGH_HZ >= MIN_LOWPASS_ROOM_HZ else nyquist_hz


def notch_freqs_hz(line_freq_hz: float | None, sfreq_hz: float) -> tuple[float, ...]:
    """The mains frequency and its multiples inside the band, as far as their notch fits below Nyquist."""
    if line_freq_hz is None:
        return ()
    if not line_freq_hz >= 10:
        raise IngestError(f"Mains notch: expected line_freq_hz of 50 or 60, found {line_freq_hz:g}. Correct it.")
    end_hz = band_of(sfreq_hz)[1]
    multiples = line_freq_hz * np.arange(1, int(end_hz / line_freq_hz) + 1)
    return tuple(float(f) for f in multiples if f < end_hz and _notch_edges(f)[1] < sfreq_hz / 2)


def _notch_edges(freq_hz: float) -> tuple[float, float]:
    half_hz = freq_hz * NOTCH_WIDTH / 2 + NOTCH_TRANSITION_HZ / 2
    return freq_hz - half_hz, freq_hz + half_hz


@lru_cache(maxsize=16)
def kernels(sfreq_hz: float, notches_hz: tuple[float, ...]) -> tuple[npt.NDArray[np.float64], ...]:
    """Zero-phase kernels of `raw.filter(0.1, 75)` and `raw.notch_filter(notches_hz)`, around their middle samples."""
    low_hz, high_hz = band_of(sfreq_hz)
    band = [Edge(0.0, low_hz, rises=True)]  # transitions as wide as MNE makes them for these frequencies
    if high_hz < sfreq_hz / 2:
        band.append(Edge(high_hz, min(high_hz * 1.25, sfreq_hz / 2), rises=False))
    designed = [fir(sfreq_hz, band)]
    if notches_hz:
        half = NOTCH_TRANSITION_HZ / 2
        notches = []
        for low, high in map(_notch_edges, notches_hz):
            notches += [Edge(low, low + half, rises=False), Edge(high - half, high, rises=True)]
        designed.append(fir(sfreq_hz, notches))
    return tuple(designed)


@lru_cache(maxsize=16)
def response(sfreq_hz: float, notches_hz: tuple[float, ...], n_in: int, n_out: int) -> npt.NDArray[np.float32]:
    """Gain of the filters and of the resampling at the bins that both transforms have (real: zero phase).

    Takes the first bins of an rfft over `n_in` samples to those of an irfft over `n_out`.
    Its gain at 0 Hz is nil, which lets the caller subtract any constant first.
    """
    n_bins = min(n_in, n_out) // 2 + 1
    gain = np.full(n_bins, n_out / n_in)
    for kernel in kernels(sfreq_hz, notches_hz):
        circular = np.zeros(n_in)
        circular[: len(kernel)] = kernel
        circular = np.roll(circular, -(len(kernel) // 2))
        gain *= np.fft.rfft(circular)[:n_bins].real
    if n_out > n_in and n_in % 2 == 0:
        gain[-1] /= (
            2  # the source's Nyquist bin stands for both signs of the frequency, which are apart at the higher rate
        )
    return gain.astype(np.float32)

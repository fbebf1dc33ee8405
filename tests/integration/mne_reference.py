"""The harmonized signal by MNE alone: its filters and its resampling, padded to whole seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt


def harmonize_with_mne(
    path: Path, channels: Sequence[str], line_freq_hz: float | None, scale_to_uv: float = 1e6
) -> npt.NDArray[np.float64]:
    """Filter to 0.1-75 Hz, notch, resample to 200 Hz: (C, 200 x whole seconds) in µV, channels by their labels."""
    reader = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw
    raw = reader(path, preload=True, verbose="ERROR")
    sfreq_hz = int(raw.info["sfreq"])
    assert sfreq_hz == raw.info["sfreq"]
    return filter_with_mne(raw.get_data(picks=list(channels)) * scale_to_uv, sfreq_hz, line_freq_hz)


def filter_with_mne(
    signal_uv: npt.NDArray[np.float64], sfreq_hz: int, line_freq_hz: float | None
) -> npt.NDArray[np.float64]:
    """Filter to 0.1-75 Hz, notch, resample to 200 Hz: (C, S) at `sfreq_hz` to (C, 200 x whole seconds)."""
    return resample_with_mne(only_filter_with_mne(signal_uv, sfreq_hz, line_freq_hz), sfreq_hz)


def only_filter_with_mne(
    signal_uv: npt.NDArray[np.float64], sfreq_hz: int, line_freq_hz: float | None
) -> npt.NDArray[np.float64]:
    """Filter to 0.1-75 Hz and notch: (C, S) at `sfreq_hz`."""
    nyquist_hz = sfreq_hz / 2
    high_hz = 75.0 if nyquist_hz > 75 else None
    data = mne.filter.filter_data(signal_uv, sfreq_hz, 0.1, high_hz, verbose="ERROR")
    if line_freq_hz is not None:
        freqs = np.arange(line_freq_hz, min(75.0, nyquist_hz), line_freq_hz)
        data = mne.filter.notch_filter(data, sfreq_hz, freqs, verbose="ERROR")
    return np.asarray(data)


def resample_with_mne(signal_uv: npt.NDArray[np.float64], sfreq_hz: int, *, pad_s: int = 20) -> npt.NDArray[np.float64]:
    """Resample (C, S) at `sfreq_hz` to (C, 200 x whole seconds), with `pad_s` put before and after the signal."""
    seconds = signal_uv.shape[1] // sfreq_hz
    whole = signal_uv[:, : seconds * sfreq_hz]
    if sfreq_hz == 200:
        return whole  # as `raw.resample` does; `mne.filter.resample` would halve what lies at 100 Hz
    resampled = mne.filter.resample(whole, up=200, down=sfreq_hz, npad=pad_s * sfreq_hz, verbose="ERROR")
    return np.asarray(resampled[:, : seconds * 200])

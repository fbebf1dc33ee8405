"""Filter designs against those of MNE."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from eeg_ingest.filters import NOTCH_WIDTH, band_of, kernels, notch_freqs_hz

RATES_HZ = (100, 128, 152.1, 160, 200, 250, 256, 500, 512.03, 600.614990234375, 1000, 2048, 5000)


@pytest.mark.parametrize("line_freq_hz", [None, 16.7, 25.0, 50.0, 60.0])
@pytest.mark.parametrize("sfreq_hz", RATES_HZ)
def test_kernels_are_those_that_mne_designs(sfreq_hz: float, line_freq_hz: float | None) -> None:
    low_hz, high_hz = band_of(sfreq_hz)
    lowpass_hz = high_hz if high_hz < sfreq_hz / 2 else None
    wanted = [mne.filter.create_filter(None, sfreq_hz, low_hz, lowpass_hz, verbose="error")]
    notches_hz = notch_freqs_hz(line_freq_hz, sfreq_hz)
    if notches_hz:  # as `mne.filter.notch_filter` asks for them
        freqs_hz = np.array(notches_hz)
        half_hz = freqs_hz * NOTCH_WIDTH / 2 + 0.5
        edges_hz = freqs_hz + half_hz, freqs_hz - half_hz
        wanted.append(mne.filter.create_filter(None, sfreq_hz, *edges_hz, "auto", 0.5, 0.5, verbose="error"))
    for kernel, of_mne in zip(kernels(sfreq_hz, notches_hz), wanted, strict=True):
        assert kernel.shape == of_mne.shape
        np.testing.assert_allclose(kernel, of_mne, atol=1e-14)

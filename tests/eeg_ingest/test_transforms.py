"""The FFTs of the signal path, those of both libraries: against NumPy's in float64, and against each other."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from eeg_ingest import harmonize as signal_path
from eeg_ingest.recording import Recording
from eeg_ingest.transforms import DuccTransforms, SciPyTransforms, Transforms

needs_ducc = pytest.mark.skipif(find_spec("ducc0") is None, reason="ducc0, the extra `fast`, is not installed")
KINDS = [SciPyTransforms, pytest.param(DuccTransforms, marks=needs_ducc)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_in", "n_out"), [(500, 200), (125, 250), (256, 200)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_those_of_numpy(
    kind: Callable[[int, int], Transforms], n_in: int, n_out: int, dtype: type[np.floating]
) -> None:
    both = kind(n_in, n_out)
    for n_channels in range(1, both.rows + 1):
        n_rows = both.fitting(n_channels)
        assert n_channels <= n_rows <= both.rows
        signal = np.random.default_rng(n_channels).standard_normal((n_rows, n_in)).astype(dtype)
        spectrum = both.forward(signal)
        wanted = np.fft.rfft(signal.astype(np.float64))
        exact = 1e-6 if dtype is np.float32 else 1e-14
        np.testing.assert_allclose(spectrum, wanted, atol=exact * np.abs(wanted).max())
        n_bins = min(n_in, n_out) // 2 + 1
        back = both.backward(spectrum[:, :n_bins])
        wanted_back = np.fft.irfft(wanted[:, :n_bins], n_out)
        np.testing.assert_allclose(back, wanted_back, atol=exact * np.abs(wanted_back).max())
        assert back.dtype == dtype


@needs_ducc
@pytest.mark.parametrize(("sfreq_hz", "n_channels"), [(256.0, 13), (128.0, 3), (600.614990234375, 1)])
def test_both_give_the_same_signal(
    monkeypatch: pytest.MonkeyPatch,
    memory_recording: Callable[..., Recording],
    sfreq_hz: float,
    n_channels: int,
) -> None:
    uv = 100 * np.random.default_rng(0).standard_normal((n_channels, int(90 * sfreq_hz)))
    uv[0] *= 1000  # beyond what is transformed in float32
    signals = []
    for kind in (DuccTransforms, SciPyTransforms):
        monkeypatch.setattr(signal_path, "transforms", kind)
        recording = memory_recording(uv, sfreq_hz)
        blocks = signal_path.harmonize(recording, range(n_channels), line_freq_hz=50.0)
        signals.append(np.concatenate([block.signal for block in blocks]))
    np.testing.assert_allclose(signals[0][:, 1:], signals[1][:, 1:], atol=2e-4)
    np.testing.assert_allclose(signals[0][:, :1], signals[1][:, :1], atol=2e-2)

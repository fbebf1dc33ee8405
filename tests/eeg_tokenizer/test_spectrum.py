"""Spectrum targets against NumPy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from eeg_tokenizer.spectrum import SpectrumConfig, spectrum_targets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray


def _expected(patches: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Targets of the patches (N, S) of one sample, in double precision."""
    half = np.fft.rfft(patches) + 0  # exactly real at 0 and 100 Hz, where rounding would decide between pi and -pi
    spectrum = np.concatenate([half, half[:, 99:0:-1].conj()], axis=1)
    parts = {"amplitude": np.abs(spectrum), "phase": np.angle(spectrum)}
    return {name: (part - part.mean()) / part.std(ddof=1) for name, part in parts.items()}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    scale_uv=st.sampled_from([1, 30, 3000]),
)
def test_each_sample_is_scored_over_its_valid_patches(seed: int, lengths: list[int], scale_uv: float) -> None:
    rng = np.random.default_rng(seed)
    patches = rng.standard_normal((len(lengths), max(lengths), 200)) * scale_uv / 100
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    found = spectrum_targets(torch.from_numpy(patches), valid)
    for row, n in enumerate(lengths):
        for name, expected in _expected(patches[row, :n]).items():
            torch.testing.assert_close(found[name][row, :n].numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_circular_phase_is_the_spectrum_with_its_amplitude_compressed(power: float) -> None:
    rng = np.random.default_rng(0)
    patches = rng.standard_normal((3, 4, 200)) * rng.uniform(0.1, 10, (3, 1, 1))
    config = SpectrumConfig("half", phase="circular", phase_power=power)
    found = spectrum_targets(torch.from_numpy(patches), None, config)["phase"].numpy()
    cosine, sine = found[..., :101], found[..., 101:]
    spectrum = np.fft.rfft(patches)
    expected = np.abs(spectrum) ** power * np.exp(1j * np.angle(spectrum))
    ratio = (cosine + 1j * sine) / expected  # one positive number for each sample
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1].real, ratio.shape), rtol=1e-9)
    np.testing.assert_allclose((found**2).mean((1, 2)), 1, rtol=1e-9)


@pytest.mark.parametrize("phase", ["angle", "circular"])
def test_half_a_spectrum_is_scaled_over_its_own_bins_and_valid_patches(phase: Literal["angle", "circular"]) -> None:
    config = SpectrumConfig("half", phase=phase, phase_power=0.5)
    patches = torch.randn(2, 5, 200, dtype=torch.float64)
    valid = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    found = spectrum_targets(patches, valid, config)
    alone = spectrum_targets(patches[:1, :3], None, config)
    for name, width in config.widths.items():
        assert found[name].shape == (2, 5, width)
        torch.testing.assert_close(found[name][:1, :3], alone[name], rtol=0, atol=1e-9)
    amplitude = np.abs(np.fft.rfft(patches[:1, :3].numpy()))
    expected = (amplitude - amplitude.mean()) / amplitude.std(ddof=1)
    np.testing.assert_allclose(alone["amplitude"].numpy(), expected, atol=1e-9)


def test_without_padding_the_result_is_the_same() -> None:
    patches = torch.randn(3, 7, 200)
    plain, masked = spectrum_targets(patches, None), spectrum_targets(patches, torch.ones(3, 7, dtype=torch.bool))
    for name, value in plain.items():
        torch.testing.assert_close(value, masked[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("frequency_hz", [1, 10, 75])
def test_a_rhythm_is_a_line_at_its_frequency_and_at_the_mirror(frequency_hz: int) -> None:
    time_s = torch.arange(200) / 200
    patches = torch.sin(2 * torch.pi * frequency_hz * time_s).expand(1, 2, 200)
    amplitude = spectrum_targets(patches, None)["amplitude"]
    assert set(amplitude[0, 0].topk(2).indices.tolist()) == {frequency_hz, 200 - frequency_hz}


@pytest.mark.parametrize("padded", [False, True])
def test_a_flat_sample_has_targets_of_zero(padded: bool) -> None:
    valid = torch.tensor([[True, True, False], [True, True, True]]) if padded else None
    patches = torch.zeros(2, 3, 200)
    patches[1] = torch.randn(3, 200)
    circular = SpectrumConfig("half", phase="circular", phase_power=0.5)
    for config in (SpectrumConfig(), circular):
        for target in spectrum_targets(patches, valid, config).values():
            assert torch.all(target[0] == 0)
            assert torch.all(target.isfinite())

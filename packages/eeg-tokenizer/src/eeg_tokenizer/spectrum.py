"""What the tokenizer learns to predict: the Fourier spectrum of each patch (paper, section 2.3).

Shapes: B batch, N patches, S samples of a patch (200), F bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from eeg_tokenizer.batches import PATCH_SAMPLES

SMALLEST_STD = 1e-12  # a sample without any signal has targets of zero, not NaN

BANDS_HZ = {"delta": (0, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 76)}
# From, to: bins are 1 Hz apart, and a store holds nothing above 75 Hz.


@dataclass(frozen=True)
class SpectrumConfig:
    """Which targets a patch has; the defaults are the official ones. `recipes.TokenizerRecipe` says what each does."""

    spectrum: Literal["full", "half"] = "full"
    phase: Literal["angle", "circular"] = "angle"
    phase_power: float = 0.0

    @property
    def bins(self) -> int:
        """F: the whole DFT, or what is left of it without the mirrored half."""
        return PATCH_SAMPLES if self.spectrum == "full" else PATCH_SAMPLES // 2 + 1

    @property
    def widths(self) -> dict[str, int]:
        """How many numbers each target has; a circular phase has two for each bin, all cosines first."""
        return {"amplitude": self.bins, "phase": self.bins * (2 if self.phase == "circular" else 1)}

    def frequencies_hz(self) -> Tensor:
        """Return the frequency (F,) of each bin; a mirrored bin has that of its twin."""
        hz = torch.arange(self.bins)
        return torch.minimum(hz, PATCH_SAMPLES - hz)


OFFICIAL = SpectrumConfig()


def spectrum_targets(patches: Tensor, valid: Tensor | None, config: SpectrumConfig = OFFICIAL) -> dict[str, Tensor]:
    """Return the targets of every patch, scaled over the valid patches of its sample.

    Amplitude and angle (in radians) are z-scored. A circular phase is (cos, sin) times a power of the amplitude,
    divided by the root of its mean square: it has no mean to take off.

    Args:
        patches: (B, N, S).
        valid: (B, N) bool, False at padding; None without padding.
        config: which targets.

    Returns:
        "amplitude" (B, N, F) and "phase" (B, N, F), or (B, N, 2 F) if circular. What stands at padding has no meaning.
    """
    spectrum = torch.fft.fft(patches, dim=-1)[..., : config.bins]
    amplitude = spectrum.abs()
    if config.phase == "angle":
        imaginary = spectrum.imag + 0.0  # -0 becomes 0: libraries differ, and it would turn the phase of pi into -pi
        phase = _zscore(torch.atan2(imaginary, spectrum.real), valid)
    else:
        scale = amplitude.clamp_min(SMALLEST_STD).pow(config.phase_power - 1)
        phase = _to_unit_power(torch.cat([spectrum.real * scale, spectrum.imag * scale], -1), valid)
    return {"amplitude": _zscore(amplitude, valid), "phase": phase}


def _zscore(x: Tensor, valid: Tensor | None) -> Tensor:
    """Z-score (B, N, F) over the valid patches and all bins of a sample, with the unbiased standard deviation."""
    if valid is None:
        std, mean = torch.std_mean(x, dim=(1, 2), keepdim=True)
    else:
        weight = valid.unsqueeze(-1).to(x.dtype)
        count = weight.sum(1, keepdim=True) * x.shape[2]
        mean = (x * weight).sum((1, 2), keepdim=True) / count
        std = (((x - mean).square() * weight).sum((1, 2), keepdim=True) / (count - 1)).sqrt()
    return (x - mean) / std.clamp_min(SMALLEST_STD)


def _to_unit_power(x: Tensor, valid: Tensor | None) -> Tensor:
    """Scale (B, N, F) to a mean square of 1 over the valid patches of a sample."""
    power = x.square().mean(-1, keepdim=True)
    if valid is None:
        mean = power.mean(1, keepdim=True)
    else:
        weight = valid.unsqueeze(-1).to(x.dtype)
        mean = (power * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return x / mean.sqrt().clamp_min(SMALLEST_STD)

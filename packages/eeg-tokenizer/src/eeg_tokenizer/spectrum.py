"""What the tokenizer learns to predict: the Fourier spectrum of each patch (paper, section 2.3).

Shapes: B batch, N patches, S samples of a patch (200), F bins.
"""

from __future__ import annotations

import torch
from torch import Tensor

TARGETS = {"amplitude": 200, "phase": 200}  # bins of each target: the full DFT with its mirrored half, as official
SMALLEST_STD = 1e-12  # a sample without any signal has targets of zero, not NaN


def spectrum_targets(patches: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
    """Return amplitude and phase in radians of every patch, each z-scored over the valid patches of a sample.

    Args:
        patches: (B, N, S).
        valid: (B, N) bool, False at padding; None without padding.

    Returns:
        "amplitude" and "phase", each (B, N, F). What stands at padding has no meaning.
    """
    spectrum = torch.fft.fft(patches, dim=-1)
    imaginary = spectrum.imag + 0.0  # -0 becomes 0: libraries differ, and it would turn the phase of pi into -pi
    phase = torch.atan2(imaginary, spectrum.real)
    return {"amplitude": _zscore(spectrum.abs(), valid), "phase": _zscore(phase, valid)}


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

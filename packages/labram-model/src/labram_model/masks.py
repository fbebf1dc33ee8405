"""Which patches masked pre-training hides.

Shapes: B batch, N patches.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# The constants of SplitMix64 (Steele, Lea, Flood 2014), as signed numbers.
_STRIDE, _FIRST, _SECOND = (
    int(np.uint64(x).astype(np.int64)) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def random_mask(valid: Tensor, ratio: float, *, window: Tensor, seed: int, step: int = 0) -> Tensor:
    """Choose the patches to hide: of n valid ones in a sample, all but floor(n (1 - ratio)), as the official code.

    The choice is a function of the window, the seed and the step alone, on every device: it is the same wherever in a
    batch a window stands, in whichever process, and however it is padded.

    Args:
        valid: (B, N) bool, False at padding, which is never masked.
        ratio: share of patches to hide, 0 to 1; the paper hides half.
        window: (B,) int64, the index of each window.
        seed: of the run.
        step: a window that comes again is masked anew.

    Returns:
        (B, N) bool on the device of `valid`, True where hidden.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"mask ratio: expected 0 to 1, found {ratio}. Choose a share of the patches.")
    key = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64).astype(np.int64)[0])
    of_window = _mixed(key + (window + 1) * _STRIDE)
    patch = torch.arange(1, valid.shape[1] + 1, device=valid.device)
    noise = _shifted(_mixed(of_window.unsqueeze(1) + patch * _STRIDE), 1)
    rank = noise.masked_fill(~valid, torch.iinfo(torch.int64).max).argsort(1).argsort(1)  # padding ranks last
    kept = (valid.sum(1, keepdim=True).double() * (1 - ratio)).long()
    hidden: Tensor = valid & (rank >= kept)
    return hidden


def _mixed(x: Tensor) -> Tensor:
    """Scramble int64 numbers so that any two, however near, give unrelated ones (SplitMix64)."""
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right and fill up with zeros, as for unsigned numbers."""
    shifted: Tensor = (x >> bits) & (2 ** (64 - bits) - 1)
    return shifted

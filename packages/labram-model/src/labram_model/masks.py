"""Which patches masked pre-training hides.

Shapes: B batch, N patches.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_mask(valid: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """Choose the patches to hide: of n valid ones in a sample, all but floor(n (1 - ratio)), as the official code.

    Args:
        valid: (B, N) bool, False at padding, which is never masked.
        ratio: share of patches to hide, 0 to 1; the paper hides half.
        generator: decides the choice; drawn on its own device.

    Returns:
        (B, N) bool on the device of `valid`, True where hidden.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"mask ratio: expected 0 to 1, found {ratio}. Choose a share of the patches.")
    noise = torch.rand(valid.shape, generator=generator, device=generator.device).to(valid.device)
    rank = noise.masked_fill(~valid, 2.0).argsort(1).argsort(1)  # padding ranks last
    kept = (valid.sum(1, keepdim=True).double() * (1 - ratio)).long()
    return valid & (rank >= kept)

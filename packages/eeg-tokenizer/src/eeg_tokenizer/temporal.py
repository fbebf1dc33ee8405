"""The temporal encoder: from one-second patches of signal to patch embeddings.

Shapes: B batch, N patches, S samples of a patch (200), C filters, T steps of a patch (25), D width (25 C).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 25  # the first convolution's stride of 8 makes 25 steps of 200 samples
NORM_GROUPS = 4


class TemporalEncoder(nn.Module):
    """Three convolutions along time, each with GroupNorm and GELU (paper, section 2.2 and Table 3).

    GroupNorm spans all patches of a sample, so it sees a channel's amplitude relative to the others.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        filters, rest = divmod(width, STEPS)
        if rest or filters % NORM_GROUPS:
            raise ValueError(
                f"width of the temporal encoder: expected a multiple of {STEPS * NORM_GROUPS} "
                f"({STEPS} steps, filters in {NORM_GROUPS} groups), found {width}. Choose such a width."
            )
        self.conv1 = nn.Conv2d(1, filters, (1, 15), stride=(1, 8), padding=(0, 7))
        self.norm1 = nn.GroupNorm(NORM_GROUPS, filters)
        self.conv2 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(NORM_GROUPS, filters)
        self.conv3 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(NORM_GROUPS, filters)

    def forward(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Embed patches (B, N, S) as (B, N, D); `valid` (B, N) bool is False at padding, None without padding."""
        x = patches.unsqueeze(1)
        x = F.gelu(group_norm(self.conv1(x), self.norm1, valid))
        x = F.gelu(group_norm(self.conv2(x), self.norm2, valid))
        x = F.gelu(group_norm(self.conv3(x), self.norm3, valid))
        return x.permute(0, 2, 3, 1).flatten(2)  # (B, C, N, T) -> (B, N, T C)


def group_norm(x: Tensor, norm: nn.GroupNorm, valid: Tensor | None) -> Tensor:
    """Apply `norm` to (B, C, N, T) with the mean and variance of the valid patches (B, N) alone."""
    if valid is None:
        normalized: Tensor = norm(x)
        return normalized
    x = x.to(torch.promote_types(x.dtype, torch.float32))  # statistics of bfloat16 would be too coarse
    grouped = x.reshape(len(x), norm.num_groups, -1, *x.shape[2:])  # (B, groups, C / groups, N, T)
    weight = valid[:, None, None, :, None].to(grouped.dtype)
    count = weight.sum((2, 3, 4), keepdim=True) * grouped.shape[2] * grouped.shape[4]
    mean = (grouped * weight).sum((2, 3, 4), keepdim=True) / count
    variance = ((grouped - mean).square() * weight).sum((2, 3, 4), keepdim=True) / count
    normalized = ((grouped - mean) * (variance + norm.eps).rsqrt()).flatten(1, 2)
    return normalized * norm.weight[:, None, None] + norm.bias[:, None, None]

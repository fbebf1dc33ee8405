"""Transformer blocks: pre-norm, attention and MLP as residual branches (paper, section 2.2).

Shapes: B batch, L tokens (cls and patches), D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eeg_tokenizer.attention import NORM_EPS, Attention


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map each token (B, L, D) by itself."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class DropPath(nn.Module):
    """Leave a residual branch out for some samples while training (stochastic depth, Huang et al. 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Zero whole samples of (B, L, D) and scale the others up, so that the expectation stays."""
        if not self.training or self.probability == 0:
            return branch
        keep = 1 - self.probability
        kept = torch.empty(len(branch), 1, 1, dtype=branch.dtype, device=branch.device).bernoulli_(keep)
        out: Tensor = branch * kept / keep
        return out


class Block(nn.Module):
    """Attention and MLP, each a residual branch, scaled by a learned gain per feature where `layer_scale` is given."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_width: int,
        *,
        layer_scale: float | None,
        drop_path: float,
        qk_norm: bool,
        qkv_bias: bool,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads, qk_norm=qk_norm, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = MLP(width, mlp_width)
        self.drop_path = DropPath(drop_path)
        self.gamma_1 = None if layer_scale is None else nn.Parameter(torch.full((width,), layer_scale))
        self.gamma_2 = None if layer_scale is None else nn.Parameter(torch.full((width,), layer_scale))
        self.recompute = False  # see `compute.Compute`

    def forward(self, x: Tensor, keys: Tensor | None, chosen: Tensor | None = None) -> Tensor:
        """Map tokens (B, L, D); `keys` as in `Attention.forward`.

        `chosen` (B / 2, L, 1) bool says that one half of the batch will be used of each token: of the first windows
        where True, of the second where False. The MLP is left out for the others; (B / 2, L, D) comes back.
        """
        if self.recompute and torch.is_grad_enabled():
            kept: Tensor = checkpoint(self._map, x, keys, chosen, use_reentrant=False)
            return kept
        return self._map(x, keys, chosen)

    def _map(self, x: Tensor, keys: Tensor | None, chosen: Tensor | None) -> Tensor:
        x = x + self.drop_path(_scaled(self.attn(self.norm1(x), keys), self.gamma_1))
        if chosen is not None:
            first, second = x.chunk(2)
            x = torch.where(chosen, first, second)
        x = x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.gamma_2))
        return x


def _scaled(branch: Tensor, gamma: Tensor | None) -> Tensor:
    return branch if gamma is None else branch * gamma

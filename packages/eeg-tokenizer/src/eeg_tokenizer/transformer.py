"""Transformer blocks: pre-norm, with LayerNorm on queries and keys (paper, section 2.2).

Shapes: B batch, L tokens (cls and patches), D width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention.

    The official pre-training and fine-tuning models normalize queries and keys and have no bias; the official tokenizer
    does neither of the two, so both are settings.
    """

    def __init__(self, width: int, heads: int, *, qk_norm: bool, qkv_bias: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads of a width of {width}: expected a divisor, found {heads}. Choose another number.")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if qkv_bias else None  # a bias of the keys would cancel
        self.q_norm = nn.LayerNorm(width // heads, eps=NORM_EPS) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads, eps=NORM_EPS) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, keys: Tensor | None) -> Tensor:
        """Mix tokens (B, L, D); `keys` (B, 1, 1, L) bool is True where a token may be attended to, None for all."""
        bias = None
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias).reshape(*x.shape[:2], 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, L, D / H)
        q, k = self.q_norm(q).type_as(v), self.k_norm(k).type_as(v)
        out: Tensor = self.proj(mix(q, k, v, keys).transpose(1, 2).flatten(2))
        return out


def mix(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
    """Attend: (B, H, L, D / H) each, `keys` as in `Attention.forward`.

    On a CPU in bfloat16 plain products are a quarter faster than the fused kernel, whose heads of 20 do not fit
    vectors (docs/performance.md).
    """
    if v.device.type == "cpu" and v.dtype == torch.bfloat16:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if keys is not None:
            scores = scores.masked_fill(~keys, -torch.inf)
        mixed: Tensor = scores.softmax(-1).type_as(v) @ v
        return mixed
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keys)


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

    def forward(self, x: Tensor, keys: Tensor | None) -> Tensor:
        """Map tokens (B, L, D); `keys` as in `Attention.forward`."""
        if self.recompute and torch.is_grad_enabled():
            kept: Tensor = checkpoint(self._map, x, keys, use_reentrant=False)
            return kept
        return self._map(x, keys)

    def _map(self, x: Tensor, keys: Tensor | None) -> Tensor:
        x = x + self.drop_path(_scaled(self.attn(self.norm1(x), keys), self.gamma_1))
        x = x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.gamma_2))
        return x


def _scaled(branch: Tensor, gamma: Tensor | None) -> Tensor:
    return branch if gamma is None else branch * gamma

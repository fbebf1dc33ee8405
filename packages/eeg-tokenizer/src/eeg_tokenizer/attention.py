"""Multi-head self-attention, with LayerNorm on queries and keys (paper, section 2.2).

Shapes: B batch, L tokens (cls and patches), D width, H heads, W width of a head (D / H).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        q, k, v = qkv.unbind(2)  # each (B, L, H, W)
        q, k = normalized(q, self.q_norm), normalized(k, self.k_norm)
        mixed = mix(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), keys)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


def normalized(x: Tensor, norm: nn.Module) -> Tensor:
    """Normalize queries or keys (B, L, H, W), in float32 at least.

    A LayerNorm of bfloat16 on a CPU adds up the gradients of its weights in bfloat16, and misses them by a third.
    """
    if isinstance(norm, nn.Identity):
        return x
    out: Tensor = norm(x.to(torch.promote_types(x.dtype, torch.float32))).type_as(x)
    return out


def mix(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
    """Attend: (B, H, L, W) each, `keys` as in `Attention.forward`.

    On a CPU in bfloat16 plain products take a third of the time of the fused kernel, whose heads of 20 do not fit
    vectors (docs/decisions/compute.md).
    """
    if v.device.type == "cpu" and v.dtype == torch.bfloat16:
        mixed: Tensor = _Mix.apply(q * q.shape[-1] ** -0.5, k, v, keys)  # type: ignore[no-untyped-call]
        return mixed
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keys)


class _Mix(torch.autograd.Function):
    """Attention of scaled queries by plain products, which are faster with the weights' long side inside.

    That is why all but the first are written transposed, as autograd would not.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
        scores = q @ k.mT
        if keys is not None:
            scores = scores.masked_fill(~keys, -torch.inf)
        weights = scores.softmax(-1).type_as(v)
        ctx.save_for_backward(q, k, v, weights)
        return (v.mT @ weights.mT).mT

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        of_weights = slope @ v.mT
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)  # 0 where masked
        return (k.mT @ of_scores.mT).mT, (q.mT @ of_scores).mT, (slope.mT @ weights).mT, None

"""A linear head and its cross-entropy in one, a few hundred rows at a time, so that all logits never exist at once.

For Base at a batch of 16 windows the logits alone are 4096 x 8192 numbers, 134 MB, and autograd would hold them two
or three times over. Here each block of logits is made, used and forgotten in the forward pass, its gradient included.

Shapes: V rows, D width, K codes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

ROWS = 512  # 16 MB of logits for 8192 codes


class RowScores(NamedTuple):
    """The weighted loss, with gradient; for each row the cross-entropy in nats, and whether its code was the likeliest.

    A row with a code of -1 counts nowhere; its entries are 0 and False.
    """

    loss: Tensor
    nats: Tensor
    right: Tensor


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor, codes: Tensor, row_weight: Tensor, *, dtype: torch.dtype
) -> RowScores:
    """Return sum of `row_weight` times the cross-entropy of `features @ weight.T + bias` against `codes`.

    Args:
        features: (V, D).
        weight, bias: (K, D) and (K,), of the head.
        codes: (V,) int64; -1 where there is none.
        row_weight: (V,), what a row's cross-entropy counts in the loss; without gradient.
        dtype: of the products of matrices; all else is in float32.
    """
    loss, nats, right = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        features.to(dtype), weight.to(dtype), bias, codes, row_weight
    )
    return RowScores(loss, nats, right)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  # as autograd calls it
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, codes: Tensor, row_weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        learns = any(ctx.needs_input_grad[:3])
        nats = bias.new_zeros(len(features))
        right = torch.zeros_like(codes, dtype=torch.bool)
        gradients = [torch.empty_like(features), torch.zeros_like(weight, dtype=bias.dtype), torch.zeros_like(bias)]
        for first in range(0, len(features), ROWS):
            rows = slice(first, first + ROWS)
            block = features[rows]
            logits = (block @ weight.T).type_as(bias) + bias
            nats[rows], right[rows], slope = _score_block(logits, codes[rows], row_weight[rows])
            if learns:
                low = slope.to(block.dtype)
                torch.mm(low, weight, out=gradients[0][rows])
                gradients[1] += low.T @ block
                gradients[2] += slope.sum(0)
        if learns:
            gradients[1] = gradients[1].to(weight.dtype)
            ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(nats, right)
        return (nats * row_weight).sum(), nats, right

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        of_features, of_weight, of_bias = ctx.saved_tensors
        return of_features * slope, of_weight * slope, of_bias * slope, None, None


def _score_block(logits: Tensor, codes: Tensor, row_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return nats (V,), right (V,), and the gradient (V, K) of the weighted sum of nats by the logits."""
    has_code = codes >= 0
    index = codes.clamp_min(0).unsqueeze(1)
    top, likeliest = logits.max(1)
    of_code = logits.gather(1, index).squeeze(1)
    odds = (logits - top.unsqueeze(1)).exp()
    total = odds.sum(1)
    nats = torch.where(has_code, total.log() + top - of_code, 0.0)
    scale = torch.where(has_code, row_weight, 0.0)
    slope = odds * (scale / total).unsqueeze(1)
    slope.scatter_add_(1, index, -scale.unsqueeze(1))
    return nats, has_code & (likeliest == codes), slope

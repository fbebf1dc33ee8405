"""A linear head and its cross-entropy in one, a few hundred rows at a time, so that all logits never exist at once.

For Base at a batch of 16 windows the logits alone are 4096 x 8192 numbers, 134 MB, and autograd would hold them two
or three times over. Here each block of logits is made, used and forgotten in the forward pass, its gradient included.

Shapes: V rows, D width, K codes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
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
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    codes: Tensor,
    row_weight: Tensor,
    *,
    dtype: torch.dtype,
    compiled: bool = False,
) -> RowScores:
    """Return sum of `row_weight` times the cross-entropy of `features @ weight.T + bias` against `codes`.

    Args:
        features: (V, D).
        weight, bias: (K, D) and (K,), of the head.
        codes: (V,) int64; -1 where there is none.
        row_weight: (V,), what a row's cross-entropy counts in the loss; without gradient.
        dtype: of the products of matrices; all else is in float32.
        compiled: whether what is done to the logits is compiled.
    """
    loss, nats, right = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        features.to(dtype), weight.to(dtype), bias, codes, row_weight, compiled
    )
    return RowScores(loss, nats, right)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  # as autograd calls it
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, codes: Tensor, row_weight: Tensor, compiled: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        learns = any(ctx.needs_input_grad[:3])
        nats = bias.new_zeros(len(features))
        right = torch.zeros_like(codes, dtype=torch.bool)
        gradients = [torch.empty_like(features), torch.zeros_like(weight, dtype=bias.dtype), torch.zeros_like(bias)]
        score = _score_compiled() if compiled else _score_block
        for first in range(0, len(features), ROWS):
            rows = slice(first, first + ROWS)
            block, index = features[rows], codes[rows].clamp_min(0)
            scale = torch.where(codes[rows] >= 0, row_weight[rows], 0.0)
            nats[rows], likeliest, slope, of_bias = score(block @ weight.T, bias, index, scale)
            right[rows] = likeliest == codes[rows]
            if learns:
                torch.mm(slope, weight, out=gradients[0][rows])
                gradients[1] += slope.T @ block
                gradients[2] += of_bias.index_add_(0, index, -scale)
        nats.masked_fill_(codes < 0, 0.0)
        if learns:
            gradients[1] = gradients[1].to(weight.dtype)
            ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(nats, right)
        return (nats * row_weight).sum(), nats, right

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        of_features, of_weight, of_bias = ctx.saved_tensors
        return of_features * slope, of_weight * slope, of_bias * slope, None, None, None


def _score_block(product: Tensor, bias: Tensor, index: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score V rows of the head's product (V, K) against the codes `index` (V,), each counted `scale` (V,).

    Returns:
        Nats (V,), the likeliest codes (V,), the gradient (V, K) by the logits of the sum of scaled nats, in the
        product's precision, and the sum over rows (K,) of that gradient, without what comes from the codes themselves.
    """
    logits = product.type_as(bias) + bias
    top, likeliest = logits.max(1)
    of_code = logits.gather(1, index.unsqueeze(1)).squeeze(1)
    odds = (logits - top.unsqueeze(1)).exp()
    total = odds.sum(1)
    nats = total.log() + top - of_code
    slope = odds * (scale / total).unsqueeze(1)
    at_code = torch.expm1(-nats) * scale
    low = slope.type_as(product).scatter(1, index.unsqueeze(1), at_code.type_as(product).unsqueeze(1))
    return nats, likeliest, low, slope.sum(0)


@cache
def _score_compiled() -> Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return `_score_block` compiled: a quarter of the time of its parts one by one."""
    return torch.compile(_score_block)

"""Attention in bfloat16 on a CPU, which is our own, against PyTorch's in float32."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from eeg_tokenizer.attention import mix, normalized
from torch import Tensor, nn


def assert_near(found: Tensor, expected: Tensor) -> None:
    assert (found.float() - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("padded", [False, True])
def test_values_and_gradients_are_those_of_attention(*, padded: bool) -> None:
    torch.manual_seed(0)
    given = [torch.randn(2, 3, 33, 20).to(torch.bfloat16) for _ in range(3)]
    keys = torch.arange(33).expand(2, 1, 1, 33) < torch.tensor([20, 33])[:, None, None, None] if padded else None
    ours = [tensor.clone().requires_grad_() for tensor in given]
    theirs = [tensor.float().requires_grad_() for tensor in given]
    slope = torch.randn(2, 3, 33, 20).to(torch.bfloat16)

    q, k, v = theirs
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
    q, k, v = ours
    found = mix(q, k, v, keys)
    expected.backward(slope.float())  # type: ignore[no-untyped-call]
    found.backward(slope)  # type: ignore[no-untyped-call]
    assert found.dtype == torch.bfloat16
    assert_near(found, expected)
    for own, their in zip(ours, theirs, strict=True):
        assert own.grad is not None
        assert their.grad is not None
        assert_near(own.grad, their.grad)


def test_the_weights_of_a_norm_learn_from_all_of_many_heads() -> None:
    torch.manual_seed(0)
    x, slope = (torch.randn(8, 257, 10, 20).to(torch.bfloat16) for _ in range(2))
    found, exact = nn.LayerNorm(20), nn.LayerNorm(20)
    normalized(x, found).backward(slope)  # type: ignore[no-untyped-call]
    normalized(x.float(), exact).backward(slope.float())  # type: ignore[no-untyped-call]
    for ours, expected in zip(found.parameters(), exact.parameters(), strict=True):
        assert ours.grad is not None
        assert expected.grad is not None
        assert_near(ours.grad, expected.grad)

"""The head's cross-entropy in blocks against PyTorch's own in one."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch.nn.functional as F
from labram_model import cross_entropy
from labram_model.cross_entropy import linear_cross_entropy

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


@pytest.mark.parametrize(
    ("n_rows", "compiled"),
    [(1, False), (7, False), (20, False), pytest.param(20, True, marks=needs_compiler)],
)
def test_value_and_gradients_are_those_of_pytorch(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder, n_rows: int, *, compiled: bool
) -> None:  # recwarn: torch warns of its own parts
    monkeypatch.setattr(cross_entropy, "ROWS", 7)  # so that blocks end within the rows, and at their end
    torch.manual_seed(n_rows)
    features, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((n_rows, 5), (11, 5), (11,))
    )
    codes = torch.randint(-1, 11, (n_rows,))
    row_weight = torch.rand(n_rows, dtype=torch.float64)

    scored = linear_cross_entropy(features, weight, bias, codes, row_weight, dtype=torch.float64, compiled=compiled)
    (3 * scored.loss).backward()  # type: ignore[no-untyped-call]
    found = [tensor.grad for tensor in (features, weight, bias)]
    for tensor in (features, weight, bias):
        tensor.grad = None

    logits = F.linear(features, weight, bias)
    nats = F.cross_entropy(logits, codes, ignore_index=-1, reduction="none")
    (3 * (nats * row_weight).sum()).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(scored.nats, nats.detach())
    torch.testing.assert_close(scored.loss, (nats * row_weight).sum())
    assert torch.equal(scored.right, logits.argmax(1) == codes)
    for ours, tensor in zip(found, (features, weight, bias), strict=True):
        torch.testing.assert_close(ours, tensor.grad)


def test_large_logits_stay_finite() -> None:
    features = torch.full((2, 1), 1e4, requires_grad=True)
    scored = linear_cross_entropy(
        features,
        torch.tensor([[1.0], [-1.0]]),
        torch.zeros(2),
        torch.tensor([0, 1]),
        torch.ones(2),
        dtype=torch.float32,
    )
    scored.loss.backward()  # type: ignore[no-untyped-call]
    assert scored.nats.tolist() == [0.0, 2e4]
    assert torch.isfinite(features.grad).all()  # type: ignore[arg-type]


def test_bfloat16_is_near() -> None:
    torch.manual_seed(0)
    features, weight, bias = torch.randn(64, 16), torch.randn(32, 16) / 4, torch.randn(32)
    codes, row_weight = torch.randint(0, 32, (64,)), torch.full((64,), 1 / 64)
    exact = linear_cross_entropy(features, weight, bias, codes, row_weight, dtype=torch.float32)
    near = linear_cross_entropy(features, weight, bias, codes, row_weight, dtype=torch.bfloat16)
    assert near.loss.dtype == torch.float32
    assert float(near.loss) == pytest.approx(float(exact.loss), rel=0.01)

"""Counted operations against those that PyTorch counts while a step runs."""

from __future__ import annotations

import pytest
import torch
from eeg_tokenizer.backbone import SIZES
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.vqnsp import VQNSP, tokenizer_config
from labram_model.classifier import Classifier
from labram_model.masked import MaskedModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

B, N = 2, 24


def windows() -> Batch:
    shape = (B, N)
    channel = torch.arange(1, N + 1).expand(shape)
    valid = torch.ones(shape, dtype=torch.bool)
    return Batch(torch.randn(*shape, 200), channel, torch.zeros_like(channel), valid, torch.arange(B))


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    if isinstance(model, MaskedModel):
        codes = torch.randint(0, model.n_codes, (B, N))
        loss: Tensor = model(batch, codes, torch.rand(B, N) < 0.5, symmetric=model.passes == 2).loss
    else:
        loss = model(batch).loss if isinstance(model, VQNSP) else model(batch).sum()
    return loss


@pytest.mark.parametrize("kind", ["masked", "masked once", "classifier", "tokenizer"])
def test_operations_are_those_that_pytorch_counts(kind: str) -> None:
    torch.manual_seed(0)
    model: MaskedModel | Classifier | VQNSP
    if kind == "tokenizer":
        small = tokenizer_config(width=100, encoder_layers=2, decoder_layers=1, heads=5, n_codes=16, code_width=8)
        model = VQNSP(small)
        model.quantizer.start(torch.randn(64, 8))
    else:
        model = Classifier(SIZES["tiny"], 2) if kind == "classifier" else MaskedModel(SIZES["tiny"], 64)
        if isinstance(model, MaskedModel):
            model.passes = 1 if kind == "masked once" else 2
    # PyTorch does not count its fused attention on CPUs.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss_of(model, windows()).backward()  # type: ignore[no-untyped-call]
    # Within what the first convolution saves, which needs no gradient by its input.
    assert model.training_flops(B, N) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_base_takes_what_the_performance_page_says() -> None:
    flops = MaskedModel(SIZES["base"], 8192).training_flops(1, 256)
    assert flops == pytest.approx(24e9, rel=0.05)

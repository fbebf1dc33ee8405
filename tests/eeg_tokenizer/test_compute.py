"""Compiled, in bfloat16, and with activations computed again, a backbone stays the backbone that it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch
from eeg_tokenizer.backbone import Backbone, BackboneConfig
from eeg_tokenizer.compute import Compute, choose_compute
from torch import Tensor

SMALL = BackboneConfig(width=100, layers=3, heads=5, mlp_width=200, layer_scale=0.1)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


@pytest.fixture(autouse=True)
def _forget_compiled() -> Iterator[None]:
    yield
    torch.compiler.reset()


def backbone(compute: Compute) -> Backbone:
    torch.manual_seed(0)
    model = Backbone(SMALL)
    compute.prepare(model)
    return model


def inputs(n_patches: int, *, padded: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    generator = torch.Generator().manual_seed(n_patches)
    patches = torch.randn(2, n_patches, 200, generator=generator)
    channel = torch.arange(1, n_patches + 1).expand(2, -1)
    valid = torch.ones(2, n_patches, dtype=torch.bool)
    valid[1, n_patches - padded :] = False
    mask = torch.rand(2, n_patches, generator=generator) < 0.5
    return patches, channel, torch.zeros_like(channel), valid if padded else None, mask


def gradients(
    model: Backbone, given: tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Return what the model makes of valid patches, and its gradients."""
    out = model(*given)[:, 1:]
    if given[3] is not None:
        out = out[given[3]]
    model.zero_grad()
    out.square().mean().backward()
    return out.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@needs_compiler
def test_compiled_it_gives_the_same(recwarn: pytest.WarningsRecorder) -> None:  # torch warns of its own parts
    eager, compiled = backbone(Compute()), backbone(Compute(compiled=True))
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    for given in (inputs(6), inputs(9), inputs(9, padded=4), inputs(12, padded=2)):  # lengths change, padding comes
        for found, expected in zip(gradients(compiled, given), gradients(eager, given), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_activations_computed_again_change_nothing_but_memory() -> None:
    held: dict[bool, int] = {}
    results: dict[bool, list[Tensor | None]] = {}
    for recompute in (False, True):
        model = backbone(Compute(recompute=recompute))
        saved: list[int] = []

        def keep(tensor: Tensor, saved: list[int] = saved) -> Tensor:
            saved.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = model(*inputs(16))
        held[recompute] = sum(saved)
        out.square().mean().backward()
        results[recompute] = [p.grad for p in model.parameters()]
    assert held[True] < held[False] / 3
    for found, expected in zip(results[True], results[False], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("padded", [0, 5])
def test_bfloat16_is_near_and_answers_in_float32(padded: int) -> None:
    exact, found = (gradients(backbone(Compute(bf16=bf16)), inputs(16, padded=padded)) for bf16 in (False, True))
    assert found[0].dtype == torch.float32
    assert (found[0] - exact[0]).square().mean().sqrt() < 0.03 * exact[0].std()
    assert all(gradient.dtype == torch.float32 for gradient in found[1])


def test_defaults_are_the_device_s() -> None:
    on_cpu = choose_compute(None, compiled=None, recompute=False, device=torch.device("cpu"))
    on_gpu = choose_compute(None, compiled=None, recompute=False, device=torch.device("cuda"))
    assert (on_cpu, on_gpu) == (Compute(), Compute(bf16=True, compiled=True))
    asked = choose_compute("bf16", compiled=True, recompute=True, device=torch.device("cpu"))
    assert asked == Compute(bf16=True, compiled=True, recompute=True)

"""The codebook against a plain implementation with one-hot matrices, and across processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import eeg_tokenizer.quantizer
import pytest
import torch
import torch.nn.functional as F
from eeg_tokenizer.quantizer import NormEMAQuantizer, Quantized, nearest_codes, spherical_kmeans
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

DECAY = 0.9


def _quantizer(n_codes: int, width: int, seed: int = 0) -> NormEMAQuantizer:
    generator = torch.Generator().manual_seed(seed)
    quantizer = NormEMAQuantizer(n_codes, width, decay=DECAY)
    quantizer.codebook.copy_(F.normalize(torch.randn(n_codes, width, generator=generator), dim=-1))
    quantizer.usage.copy_(torch.rand(n_codes, generator=generator))
    quantizer.started.fill_(True)
    return quantizer


def _teach(quantizer: NormEMAQuantizer, z: Tensor, valid: Tensor | None = None) -> Quantized:
    """Take a training step on vectors (B, N, W)."""
    out: Quantized = quantizer(z, valid)
    chosen = out.codes >= 0
    quantizer.learn(out.units[chosen], out.codes[chosen])
    return out


def _one_hot_step(z: Tensor, codebook: Tensor, usage: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes, loss, codebook and usage after one training batch of vectors (V, W), written as the paper says it."""
    z = z / z.norm(dim=-1, keepdim=True)
    codes = torch.cdist(z, codebook).argmin(1)
    one_hot = F.one_hot(codes, len(codebook)).to(z.dtype)
    loss = ((one_hot @ codebook - z) ** 2).mean()
    counts = one_hot.sum(0)
    means = one_hot.T @ z / counts.clamp(min=1)[:, None]
    means = means / means.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    moved = torch.where(counts[:, None] > 0, DECAY * codebook + (1 - DECAY) * means, codebook)
    return codes, loss, moved / moved.norm(dim=-1, keepdim=True), DECAY * usage + (1 - DECAY) * counts


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 20)),
    n_codes=st.integers(2, 40),
    width=st.integers(2, 16),
    padded=st.booleans(),
)
def test_a_training_batch(seed: int, shape: tuple[int, int], n_codes: int, width: int, padded: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(*shape, width, generator=generator) * 3
    valid = torch.rand(shape, generator=generator) < 0.7 if padded else torch.ones(shape, dtype=torch.bool)
    valid[0, 0] = True
    quantizer = _quantizer(n_codes, width, seed).train()
    codes, loss, codebook, usage = _one_hot_step(z[valid], quantizer.codebook.clone(), quantizer.usage.clone())
    vectors = quantizer.codebook[codes]

    out = _teach(quantizer, z, valid if padded else None)

    assert torch.equal(out.codes[valid], codes)
    assert torch.all(out.codes[~valid] == -1)
    torch.testing.assert_close(out.vectors[valid], vectors)
    torch.testing.assert_close(out.loss, loss)
    torch.testing.assert_close(quantizer.codebook, codebook)
    torch.testing.assert_close(quantizer.usage, usage)


@pytest.mark.parametrize("training", [True, False])
def test_looking_codes_up_learns_nothing(training: bool) -> None:
    quantizer = _quantizer(8, 4).train(training)
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    z = torch.randn(2, 5, 4)
    out = quantizer(z, None)
    assert torch.equal(out.codes, quantizer.encode(z, None))
    assert all(torch.equal(before[name], tensor) for name, tensor in quantizer.state_dict().items())


def test_the_gradient_passes_straight_through() -> None:
    quantizer = _quantizer(8, 4).eval()
    z = torch.randn(3, 4, dtype=torch.float32, requires_grad=True)
    weight = torch.randn(1, 3, 4)
    (through,) = torch.autograd.grad((quantizer(z[None], None).vectors * weight).sum(), z)
    (direct,) = torch.autograd.grad((F.normalize(z, dim=-1) * weight).sum(), z)
    torch.testing.assert_close(through, direct)
    assert direct.abs().sum() > 0


def test_padding_gets_no_gradient() -> None:
    quantizer = _quantizer(8, 4).train()
    z = torch.randn(2, 3, 4, requires_grad=True)
    valid = torch.tensor([[True, True, False], [True, False, False]])
    (gradient,) = torch.autograd.grad(quantizer(z, valid).loss, z)
    assert torch.all(gradient[~valid] == 0)
    assert torch.all(gradient[valid].abs().sum(-1) > 0)


def test_codes_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook, vectors = _quantizer(16, 4).codebook, torch.randn(100, 4)
    whole = nearest_codes(vectors, codebook)
    monkeypatch.setattr(eeg_tokenizer.quantizer, "BLOCK_ENTRIES", 16 * 7)  # 7 vectors at a time
    assert torch.equal(nearest_codes(vectors, codebook), whole)


def test_codes_of_any_length_are_nearest_by_distance() -> None:
    codebook, vectors = torch.randn(32, 4) * torch.rand(32, 1) * 3, torch.randn(200, 4)
    assert torch.equal(nearest_codes(vectors, codebook), torch.cdist(vectors, codebook).argmin(1))


def test_an_untrained_codebook_is_refused() -> None:
    with pytest.raises(RuntimeError, match="untrained"):
        NormEMAQuantizer(8, 4).eval()(torch.randn(1, 2, 4), None)


def test_an_idle_code_becomes_one_of_the_vectors_and_is_chosen() -> None:
    torch.manual_seed(0)  # with other draws two codes may lie on one vector, and the first is chosen
    quantizer = NormEMAQuantizer(4, 3, revive_after=2).train()
    near = F.normalize(torch.tensor([[1.0, 0.0, 0.0]]) + 0.01 * torch.randn(8, 3), dim=-1)
    quantizer.start(near)
    _teach(quantizer, near[None])
    quantizer.codebook[3] = torch.tensor([-1.0, 0.0, 0.0])  # far from all that comes
    for _ in range(2):
        _teach(quantizer, near[None])
        assert quantizer.codebook[3, 0] > 0 or quantizer.idle[3] > 0
    assert (near @ quantizer.codebook[3]).max() > 0.999
    assert quantizer(quantizer.codebook[3].clone()[None, None], None).codes.item() == 3


def test_without_revival_an_idle_code_stays() -> None:
    quantizer = NormEMAQuantizer(4, 3).train()
    near = F.normalize(torch.tensor([[1.0, 0.0, 0.0]]) + 0.01 * torch.randn(8, 3), dim=-1)
    quantizer.start(near)
    far = torch.tensor([-1.0, 0.0, 0.0])
    quantizer.codebook[3] = far
    for _ in range(20):
        _teach(quantizer, near[None])
    assert torch.equal(quantizer.codebook[3], far)


def test_a_start_without_patches_is_refused() -> None:
    with pytest.raises(ValueError, match="found none"):
        NormEMAQuantizer(8, 4).start(torch.zeros(0, 4))


def _clusters(n_each: int) -> tuple[Tensor, Tensor]:
    """Unit vectors tightly around 6 axes of 3-d space, and the axes."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    return F.normalize(axes.repeat_interleave(n_each, 0) + 0.05 * torch.randn(6 * n_each, 3), dim=-1), axes


def test_kmeans_finds_clusters() -> None:
    torch.manual_seed(0)
    samples, axes = _clusters(200)
    best = min(
        (nearest_residual(samples, spherical_kmeans(samples, 12, torch.Generator().manual_seed(seed))), seed)
        for seed in range(3)
    )
    assert best[0] < nearest_residual(samples, axes)  # twice as many means fit at least as well as the true centres


def nearest_residual(samples: Tensor, means: Tensor) -> float:
    return (samples - means[nearest_codes(samples, means)]).square().sum(-1).mean().item()


@pytest.mark.parametrize("n_samples", [5, 500])
def test_kmeans_is_decided_by_its_generator(n_samples: int) -> None:
    samples = F.normalize(torch.randn(n_samples, 8), dim=-1)
    first, again, other = (spherical_kmeans(samples, 32, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(32))


def test_usage() -> None:
    quantizer = NormEMAQuantizer(8, 4)
    assert quantizer.codebook_usage() == (0, 0.0)
    quantizer.usage.copy_(torch.tensor([3.0, 3.0, 3.0, 3.0, 0, 0, 0, 0]))
    in_use, perplexity = quantizer.codebook_usage()
    assert in_use == 4
    assert perplexity == pytest.approx(4)
    quantizer.usage.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0.01]))
    in_use, perplexity = quantizer.codebook_usage()
    assert in_use == 2
    assert 1 < perplexity < 1.1


def test_two_processes_train_the_codebook_of_one(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 5, 30, 8, generator=generator)  # 3 batches of 5 windows: 2 for one process, 3 for the other
    valid = torch.rand(3, 5, 30, generator=generator) < 0.8
    valid[:, :, 0] = True
    valid[1:, :2] = False
    valid[1:, :2, :3] = True
    save_file({"z": z, "valid": valid}, tmp_path / "batches.safetensors")
    script = Path(__file__).with_name("quantizer_process.py")
    processes = [
        subprocess.Popen([sys.executable, script, tmp_path, str(rank), "2"], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    ranks = [load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2)]

    torch.manual_seed(0)
    alone = NormEMAQuantizer(n_codes=24, code_width=8).train()
    alone.start(F.normalize(z[0], dim=-1)[valid[0]])
    codes = torch.stack([_teach(alone, *batch).codes for batch in zip(z, valid, strict=True)])

    assert torch.equal(ranks[0]["codebook"], ranks[1]["codebook"])
    assert torch.equal(ranks[0]["usage"], ranks[1]["usage"])
    assert torch.equal(ranks[0]["revived"], ranks[1]["revived"])
    assert torch.all(ranks[0]["revived"].sum(1) > 0)
    assert ranks[1]["started"]
    torch.testing.assert_close(ranks[0]["codebook"], alone.codebook, rtol=0, atol=1e-6)
    torch.testing.assert_close(ranks[0]["usage"], alone.usage)
    assert torch.equal(torch.cat([ranks[0]["codes"], ranks[1]["codes"]], dim=1), codes)

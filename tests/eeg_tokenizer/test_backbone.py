"""The backbone: padding, sizes, initialization, coordinates."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from eeg_tokenizer.backbone import SIZES, Backbone, BackboneConfig, valid_or_none
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.transformer import DropPath
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

SMALL = BackboneConfig(width=100, layers=2, heads=5, mlp_width=200, layer_scale=0.5)


def _windows(shapes: list[tuple[int, int]], seed: int) -> list[Sample]:
    """Windows of (channels, seconds) with random montages and signal, of 5 to 200 µV."""
    rng = np.random.default_rng(seed)
    return [
        Sample(
            (rng.uniform(0.05, 2) * rng.standard_normal((n_channels, n_seconds, 200))).astype(np.float32),
            1.0,
            1 + rng.permutation(128)[:n_channels],
        )
        for n_channels, n_seconds in shapes
    ]


def _randomized(model: Backbone, seed: int = 0) -> Backbone:
    """Weights far from their start, so that gains and biases count."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model.eval()


def _encode(model: Backbone, batch: Batch, patches: Tensor | None = None) -> Tensor:
    out: Tensor = model(
        batch.patches if patches is None else patches, batch.channel, batch.time, valid_or_none(batch.valid)
    )
    return out


mixes = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=2, max_size=4)


@settings(max_examples=25, deadline=None)
@given(cls_position=st.sampled_from(["slot_0", "first_channel"]), shapes=mixes, seed=st.integers(0, 2**32 - 1))
def test_padding_changes_nothing(
    cls_position: Literal["slot_0", "first_channel"], shapes: list[tuple[int, int]], seed: int
) -> None:
    model = _randomized(Backbone(replace(SMALL, cls_position=cls_position))).double()  # rounding hides nothing
    windows = _windows(shapes, seed)
    mixed = collate(windows)
    garbage = torch.where(mixed.valid.unsqueeze(-1), mixed.patches, 1e3).double()
    with torch.no_grad():
        together, with_garbage = _encode(model, mixed, mixed.patches.double()), _encode(model, mixed, garbage)
        for row, window in enumerate(windows):
            batch = collate([window])
            alone = _encode(model, batch, batch.patches.double())[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, rtol=0, atol=1e-11)
            torch.testing.assert_close(with_garbage[row, : len(alone)], alone, rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", ["tiny", "base"])
def test_padding_in_single_precision(size: str) -> None:
    torch.manual_seed(0)
    model = Backbone(SIZES[size]).eval()
    windows = _windows([(32, 4), (1, 1), (19, 3), (2, 16)], seed=1)
    with torch.no_grad():
        together = _encode(model, collate(windows))
        for row, window in enumerate(windows):
            alone = _encode(model, collate([window]))[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, rtol=0, atol=1e-5)


def test_padding_gets_no_gradient() -> None:
    model = _randomized(Backbone(SMALL))
    batch = collate(_windows([(2, 3), (5, 2), (1, 1)], seed=0))
    patches = batch.patches.clone().requires_grad_()
    out = _encode(model, batch, patches)[:, 1:]
    torch.autograd.backward(out[batch.valid].square().sum())
    assert patches.grad is not None
    assert torch.all(patches.grad[~batch.valid] == 0)
    assert torch.all(patches.grad[batch.valid].abs().sum(-1) > 0)


@pytest.mark.parametrize("size", SIZES)
def test_group_norm_is_torchs_where_nothing_is_padded(size: str) -> None:
    encoder = Backbone(replace(SIZES[size], layers=0)).embed
    patches = torch.randn(2, 6, 200)
    torch.testing.assert_close(
        encoder(patches, None), encoder(patches, torch.ones(2, 6, dtype=torch.bool)), rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_every_coordinate_counts() -> None:
    model = _randomized(Backbone(SMALL))
    batch = collate(_windows([(3, 2)], seed=0))
    start = _encode(model, batch)
    other_channel, other_time = batch.channel.clone(), batch.time.clone()
    other_channel[0, 3] = 128 if batch.channel[0, 3] < 100 else 1
    other_time[0, 3] = 15
    assert not torch.allclose(model(batch.patches, other_channel, batch.time, None), start)
    assert not torch.allclose(model(batch.patches, batch.channel, other_time, None), start)
    order = torch.tensor([4, 2, 0, 5, 1, 3])  # a set: the order of the patches does not count
    shuffled = model(batch.patches[:, order], batch.channel[:, order], batch.time[:, order], None)
    torch.testing.assert_close(shuffled[:, 1:], start[:, 1:][:, order], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("cls_position", ["slot_0", "first_channel"])
def test_cls_reads_its_own_slot_or_the_first_channels(cls_position: Literal["slot_0", "first_channel"]) -> None:
    model = _randomized(Backbone(replace(SMALL, layers=0, cls_position=cls_position)))
    batch = collate(_windows([(3, 2), (1, 1)], seed=0))
    slots = torch.zeros(2, dtype=torch.int64) if cls_position == "slot_0" else batch.channel[:, 0]
    expected = model.norm(model.cls_token[0] + model.pos_embed[0, slots])
    torch.testing.assert_close(_encode(model, batch)[:, 0], expected)


@torch.no_grad()
def test_the_mask_hides_the_signal_but_not_where_it_is() -> None:
    model = _randomized(Backbone(SMALL))
    batch = collate(_windows([(4, 2)], seed=0))
    embedded = model.embed(batch.patches, None)
    mask = torch.tensor([[True, False] * 4])
    changed = torch.where(mask.unsqueeze(-1), embedded + 1, embedded)
    encoded = model.encode(embedded, batch.channel, batch.time, None, mask)
    assert torch.equal(encoded, model.encode(changed, batch.channel, batch.time, None, mask))
    assert not torch.equal(encoded[:, 1], encoded[:, 3])


def test_a_backbone_without_mask_token_refuses_a_mask() -> None:
    model = Backbone(replace(SMALL, mask_token=False))
    batch = collate(_windows([(1, 1)], seed=0))
    with pytest.raises(ValueError, match="mask_token"):
        model(batch.patches, batch.channel, batch.time, None, batch.valid)


@pytest.mark.parametrize(
    ("size", "expected"), [("base", 5_820_136), ("large", 46_259_120), ("huge", 369_236_512)]
)  # counted in the official encoder: with mask token and final norm, without code head
def test_parameter_counts(size: str, expected: int) -> None:
    with torch.device("meta"):
        model = Backbone(SIZES[size])
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize(("size", "filters"), [("tiny", 4), ("base", 8), ("large", 16), ("huge", 32)])
def test_temporal_filters(size: str, filters: int) -> None:
    with torch.device("meta"):
        model = Backbone(replace(SIZES[size], layers=1))
    assert SIZES[size].temporal_channels == filters
    assert model.state_dict()["patch_embed.conv1.weight"].shape == (filters, 1, 1, 15)


def test_initialization_is_scaled_down_with_depth() -> None:
    torch.manual_seed(0)
    model = Backbone(SIZES["base"])
    weights = model.state_dict()
    for depth in range(SIZES["base"].layers):
        block, scale = f"blocks.{depth}.", 1 / math.sqrt(2 * (depth + 1))
        assert weights[f"{block}attn.qkv.weight"].std().item() == pytest.approx(0.02, rel=0.05)
        assert weights[f"{block}attn.proj.weight"].std().item() == pytest.approx(0.02 * scale, rel=0.05)
        assert weights[f"{block}mlp.fc2.weight"].std().item() == pytest.approx(0.02 * scale, rel=0.05)
        assert torch.all(weights[f"{block}gamma_1"] == 0.1)
        assert torch.all(weights[f"{block}mlp.fc1.bias"] == 0)
    assert model.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)


def test_attention_of_tiny_starts_at_the_same_place_and_second() -> None:
    torch.manual_seed(0)
    model = Backbone(SIZES["tiny"])
    patches = torch.randn(2, 8, 200)
    features = model.embed(patches, None).std().item()
    for embedding in (model.pos_embed, model.time_embed, model.mask_token):
        assert embedding is not None
        assert 0.5 * features < embedding.std().item() < 2 * features
    assert model.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    for depth in range(SIZES["tiny"].layers):
        queries, keys, values = model.state_dict()[f"blocks.{depth}.attn.qkv.weight"].chunk(3)
        assert torch.equal(queries, keys)
        assert not torch.equal(queries, values)


def test_drop_path_leaves_branches_out_in_training_alone() -> None:
    model = _randomized(Backbone(replace(SMALL, layers=3, drop_path=0.5)))
    assert [part.probability for part in model.modules() if isinstance(part, DropPath)] == [0, 0.25, 0.5]
    batch = collate(_windows([(2, 2)] * 8, seed=0)[:1] * 8)
    with torch.no_grad():
        assert torch.equal(_encode(model, batch), _encode(model, batch))
        outputs = _encode(model.train(), batch)
    assert len({tuple(row.flatten().tolist()) for row in outputs}) > 1  # equal windows, different branches


@pytest.mark.parametrize("width", [99, 150])
def test_a_width_that_the_temporal_encoder_cannot_make_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 100.*found {width}"):
        Backbone(replace(SMALL, width=width, heads=1))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="divisor, found 7"):
        Backbone(replace(SMALL, heads=7))


@torch.no_grad()
def test_compiles_as_one_graph() -> None:
    model = _randomized(Backbone(SMALL))
    batch = collate(_windows([(2, 2), (1, 3)], seed=0))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    inputs = (batch.patches, batch.channel, batch.time, batch.valid)
    torch.testing.assert_close(compiled(*inputs), model(*inputs))

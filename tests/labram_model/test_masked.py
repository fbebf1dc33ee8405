"""Masked pre-training: symmetric masking, padding, missing codes, sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from eeg_tokenizer.backbone import SIZES, BackboneConfig
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.official import OfficialStateError
from hypothesis import given, settings
from hypothesis import strategies as st
from labram_model.masked import MaskedModel
from labram_model.masks import random_mask
from torch import Tensor

N_CODES = 32
SMALL = BackboneConfig(width=100, layers=2, heads=5, mlp_width=200, layer_scale=0.5)


def _windows(shapes: list[tuple[int, int]], seed: int) -> list[Sample]:
    """Windows of (channels, seconds) with random montages, signal, and codes of which some are missing."""
    rng = np.random.default_rng(seed)
    return [
        Sample(
            (rng.uniform(0.05, 2) * rng.standard_normal((n_channels, n_seconds, 200))).astype(np.float32),
            1.0,
            1 + rng.permutation(128)[:n_channels],
            codes=rng.integers(-1, N_CODES, (n_channels, n_seconds)),
        )
        for n_channels, n_seconds in shapes
    ]


def _codes(batch: Batch) -> Tensor:
    assert batch.codes is not None
    return batch.codes


def _model(config: BackboneConfig = SMALL) -> MaskedModel:
    torch.manual_seed(0)
    model = MaskedModel(config, N_CODES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.03)
    return model


MODEL = _model()


@settings(max_examples=20, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=2, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
@torch.no_grad()
def test_padding_changes_nothing(shapes: list[tuple[int, int]], seed: int) -> None:
    windows = _windows(shapes, seed)
    mixed = collate(windows)
    codes = _codes(mixed)
    mask = random_mask(mixed.valid, 0.5, window=mixed.window, seed=seed)
    logits = MODEL.logits(mixed, mask)
    together = MODEL(mixed, codes, mask)
    nats: dict[str, list[Tensor]] = {"masked": [], "complement": []}
    for row, window in enumerate(windows):
        batch = collate([window])
        n = batch.valid.shape[1]
        own_mask, own_codes = mask[row : row + 1, :n], _codes(batch)
        alone = MODEL.logits(batch, own_mask)
        torch.testing.assert_close(logits[row, :n], alone[0], rtol=0, atol=1e-5)
        has_code = own_codes >= 0
        for part, chosen in (("masked", own_mask & has_code), ("complement", ~own_mask & has_code)):
            nats[part].append(F.cross_entropy(alone[chosen], own_codes[chosen], reduction="none"))
    for part, values in nats.items():
        all_values = torch.cat(values)
        expected = all_values.mean().item() if len(all_values) else 0.0
        assert together.parts[part].item() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_each_pass_sees_nothing_of_what_it_predicts() -> None:
    batch = collate(_windows([(4, 3)], seed=0))
    mask = random_mask(batch.valid, 0.5, window=batch.window, seed=0)
    masked_pass, complement_pass = (
        MODEL.head(MODEL.backbone(batch.patches, batch.channel, batch.time, None, hidden)[:, 1:])
        for hidden in (mask, ~mask)
    )
    logits = MODEL.logits(batch, mask)
    torch.testing.assert_close(logits[mask], masked_pass[mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits[~mask], complement_pass[~mask], rtol=0, atol=1e-5)


def test_loss_and_accuracy() -> None:
    batch = collate(_windows([(4, 3), (2, 2)], seed=1))
    codes = _codes(batch)
    mask = random_mask(batch.valid, 0.5, window=batch.window, seed=1)
    with torch.no_grad():
        logits = MODEL.logits(batch, mask)
    has_code = codes >= 0
    right = has_code & (torch.arange(codes.numel()).view(codes.shape) % 3 == 0)
    codes = torch.where(has_code, torch.where(right, logits.argmax(-1), (logits.argmax(-1) + 1) % N_CODES), codes)
    out = MODEL(batch, codes, mask)
    assert out.accuracy.item() == pytest.approx(right.sum().item() / has_code.sum().item())
    assert out.loss.item() == pytest.approx((out.parts["masked"] + out.parts["complement"]).item())
    assert out.loss.requires_grad


def test_missing_codes_and_padding_get_no_gradient() -> None:
    batch = collate(_windows([(4, 3), (2, 2)], seed=1))
    mask = random_mask(batch.valid, 0.5, window=batch.window, seed=1)
    garbage = torch.where(batch.valid, _codes(batch), 7)  # codes that someone left at padding
    torch.testing.assert_close(MODEL(batch, garbage, mask), MODEL(batch, _codes(batch), mask))


def test_a_batch_without_any_code_has_no_loss() -> None:
    batch = collate(_windows([(2, 2)], seed=1))
    out = MODEL(batch, torch.full_like(_codes(batch), -1), random_mask(batch.valid, 0.5, window=batch.window, seed=0))
    assert out.loss.item() == 0
    assert out.accuracy.item() == 0


def test_every_weight_gets_a_gradient() -> None:
    model = _model(replace(SMALL, cls_position="slot_0"))
    batch = collate(_windows([(4, 3), (2, 2)], seed=1))
    mask = random_mask(batch.valid, 0.5, window=batch.window, seed=1)
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(model(batch, _codes(batch), mask).loss, list(parameters.values()))
    assert all(gradient.any() and torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(("size", "expected"), [("base", 7_466_728), ("large", 49_544_112), ("huge", 375_798_304)])
def test_parameter_counts_with_one_code_head(size: str, expected: int) -> None:
    with torch.device("meta"):
        model = MaskedModel(SIZES[size], 8192)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_initialization_cuts_the_normal_distribution_at_one_deviation() -> None:
    torch.manual_seed(0)
    weights = MaskedModel(SIZES["base"], N_CODES).state_dict()
    for name in ("head.weight", "backbone.pos_embed", "backbone.patch_embed.conv2.weight"):
        assert weights[name].abs().max() <= 0.02
    assert weights["head.weight"].std().item() == pytest.approx(0.02 * 0.5396, rel=0.05)  # of a normal cut at ±1 sd
    assert not weights["backbone.patch_embed.conv1.bias"].any()


@torch.no_grad()
def test_official_states_of_our_own_models() -> None:
    model = _model(replace(SMALL, cls_position="first_channel", layer_scale=0.1))
    state = model.to_official()
    loaded = MaskedModel.from_official(state).eval()
    batch = collate(_windows([(3, 2), (1, 1)], seed=1))
    mask = random_mask(batch.valid, 0.5, window=batch.window, seed=1)
    assert loaded.config == model.config
    assert torch.equal(loaded.logits(batch, mask), model.logits(batch, mask))
    assert state["projection_head.0.weight"].shape == (100, 100)
    assert not state["student.lm_head.weight"].any()  # what the official model never trains
    del state["projection_head.0.weight"]
    with pytest.raises(OfficialStateError, match=r"missing projection_head\.0\.weight"):
        MaskedModel.from_official(state)


@torch.no_grad()
def test_a_single_pass_is_the_first_half_of_two() -> None:
    batch = collate(_windows([(3, 4), (2, 2)], seed=1))
    codes, mask = _codes(batch), torch.rand(batch.valid.shape) < 0.7
    mask &= batch.valid
    both, one = MODEL(batch, codes, mask), MODEL(batch, codes, mask, symmetric=False)
    assert set(one.parts) == {"masked"}
    torch.testing.assert_close(one.loss, both.parts["masked"])
    logits = MODEL.logits(batch, mask)
    hidden = mask & (codes >= 0)
    torch.testing.assert_close(one.loss, F.cross_entropy(logits[hidden], codes[hidden]))
    torch.testing.assert_close(one.accuracy, (logits[hidden].argmax(-1) == codes[hidden]).float().mean())

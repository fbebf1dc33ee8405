"""The classifier: padding, what it takes over from pre-training, its start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from eeg_tokenizer.backbone import SIZES, BackboneConfig
from eeg_tokenizer.batches import Sample, collate
from hypothesis import given, settings
from hypothesis import strategies as st
from labram_model.classifier import Classifier
from labram_model.masked import MaskedModel

SMALL = BackboneConfig(width=100, layers=2, heads=5, mlp_width=200, layer_scale=0.5)


def _windows(shapes: list[tuple[int, int]], seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [
        Sample(
            (rng.uniform(0.05, 2) * rng.standard_normal((n_channels, n_seconds, 200))).astype(np.float32),
            1.0,
            1 + rng.permutation(128)[:n_channels],
        )
        for n_channels, n_seconds in shapes
    ]


def _model() -> Classifier:
    torch.manual_seed(0)
    model = Classifier(SMALL, 3).eval()
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
    features, logits = MODEL.features(collate(windows)), MODEL(collate(windows))
    for row, window in enumerate(windows):
        batch = collate([window])
        torch.testing.assert_close(features[row], MODEL.features(batch)[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(logits[row], MODEL(batch)[0], rtol=0, atol=1e-5)


def test_pretrained_weights_are_taken_over() -> None:
    masked = MaskedModel(replace(SMALL, cls_position="first_channel"), 16)
    with torch.no_grad():
        for parameter in masked.parameters():
            parameter.add_(torch.randn(parameter.shape))
    model = Classifier.from_backbone(masked.backbone, 3, drop_path=0.1)
    taken, given_ = model.backbone.state_dict(), masked.backbone.state_dict()
    assert given_.keys() - taken.keys() == {"mask_token", "norm.weight", "norm.bias"}
    assert all(torch.equal(taken[name], given_[name]) for name in taken)
    assert torch.all(model.fc_norm.weight == 1)
    assert (model.config.drop_path, model.config.cls_position) == (0.1, "slot_0")


def test_a_change_of_the_classifier_leaves_the_pretrained_backbone() -> None:
    masked = MaskedModel(SMALL, 16)
    before = masked.backbone.cls_token.detach().clone()
    model = Classifier.from_backbone(masked.backbone, 3)
    with torch.no_grad():
        model.backbone.cls_token.add_(1)
    assert torch.equal(masked.backbone.cls_token, before)


def test_first_predictions_are_near_chance() -> None:
    torch.manual_seed(0)
    model = Classifier(SIZES["tiny"], 4)
    probabilities = model(collate(_windows([(4, 3)] * 2, seed=0))).softmax(-1)
    torch.testing.assert_close(probabilities, torch.full((2, 4), 0.25), rtol=0, atol=1e-3)
    assert model.head.weight.std().item() == pytest.approx(0.02 * 0.001, rel=0.2)


def test_every_weight_gets_a_gradient() -> None:
    model = _model().train()
    batch = collate(_windows([(4, 3), (2, 2)], seed=0))
    parameters = dict(model.named_parameters())
    loss = torch.nn.functional.cross_entropy(model(batch), torch.tensor([0, 2]))
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    assert all(gradient.any() for gradient in gradients)  # none is left over for distributed training to wait for


@torch.no_grad()
def test_official_states_of_our_own_models() -> None:
    model = _model()
    loaded = Classifier.from_official(model.to_official()).eval()
    batch = collate(_windows([(3, 2), (1, 1)], seed=1))
    assert torch.equal(loaded(batch), model(batch))

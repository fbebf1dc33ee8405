"""The models against numbers of the official code, to 1e-5."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_tokenizer.batches import Batch, Sample, collate
from labram_model.classifier import Classifier
from labram_model.masked import MaskedModel
from torch import Tensor

Vectors = dict[str, Tensor]


def _read(path: Path) -> tuple[Vectors, Vectors, Batch]:
    with np.load(path) as arrays:
        vectors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    state = {name.removeprefix("state."): value for name, value in vectors.items() if name.startswith("state.")}
    slots = vectors["input_chans"][1:].numpy()
    windows = [Sample(window, 1.0, slots, window=i) for i, window in enumerate(vectors["x"].numpy())]
    return vectors, state, collate(windows)


def _close(found: Tensor, expected: Tensor, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


@torch.no_grad()
def test_classifier(golden: Path) -> None:
    vectors, state, batch = _read(golden / "finetune.npz")
    model = Classifier.from_official(state).eval()
    tokens = model.backbone(batch.patches, batch.channel, batch.time, None)[:, 1:]

    _close(model.backbone.embed(batch.patches, None), vectors["patch_embed"], atol=1e-5)
    _close(model.fc_norm(tokens), vectors["patch_tokens"], atol=1e-5)
    _close(model.features(batch), vectors["pooled"], atol=1e-5)
    _close(model(batch), vectors["logits"], atol=1e-5)


@torch.no_grad()
def test_masked_model(golden: Path) -> None:
    vectors, state, batch = _read(golden / "masked.npz")
    model = MaskedModel.from_official(state).eval()
    mask = vectors["mask"]
    logits = model.logits(batch, mask)
    out = model(batch, vectors["targets"], mask)

    _close(logits[mask], vectors["logits_masked"], atol=1e-5)
    _close(logits[~mask], vectors["logits_complement"], atol=1e-5)
    _close(out.loss, vectors["loss"], rtol=1e-5)
    for part, chosen in (("masked", mask), ("complement", ~mask)):
        expected = torch.nn.functional.cross_entropy(vectors[f"logits_{part}"], vectors["targets"][chosen])
        _close(out.parts[part], expected, rtol=1e-5)


@torch.no_grad()
def test_cls_takes_the_first_channels_position_in_masked_pretraining_alone(golden: Path) -> None:
    _, masked, batch = _read(golden / "masked.npz")
    _, finetune, _ = _read(golden / "finetune.npz")
    mask = torch.zeros_like(batch.valid)
    for model, name, reads_slot_0 in (
        (MaskedModel.from_official(masked).eval(), "student.pos_embed", False),
        (Classifier.from_official(finetune).eval(), "pos_embed", True),
    ):
        before = model.logits(batch, mask) if isinstance(model, MaskedModel) else model(batch)
        model.backbone.pos_embed[0, 0] += 1
        after = model.logits(batch, mask) if isinstance(model, MaskedModel) else model(batch)
        assert torch.equal(before, after) != reads_slot_0, name


@pytest.mark.parametrize(("name", "kind"), [("masked", MaskedModel), ("finetune", Classifier)])
def test_the_official_state_comes_back(golden: Path, name: str, kind: type[MaskedModel | Classifier]) -> None:
    _, state, _ = _read(golden / f"{name}.npz")
    back = kind.from_official(state).to_official()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(("kind", "model_type"), [("8k_vocab", MaskedModel), ("patch200_200", Classifier)])
@pytest.mark.parametrize("size", ["base", "large"])
def test_the_full_size_checkpoints_map(
    golden: Path, size: str, kind: str, model_type: type[MaskedModel | Classifier]
) -> None:
    kinds = json.loads((golden / "official_keys.json").read_text())
    shapes = next(value for key, value in kinds.items() if key.startswith(f"labram_{size}") and kind in key)
    with torch.device("meta"):
        model = model_type.from_official({name: torch.empty(shape) for name, shape in shapes.items()})
    assert (model.config.layers, model.config.heads) == {"base": (12, 10), "large": (24, 16)}[size]
    assert {name: list(tensor.shape) for name, tensor in model.to_official().items()} == shapes

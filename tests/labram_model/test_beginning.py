"""Pre-training goes on from a model that was pre-trained before: ours, or one of the official code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.backbone import SIZES
from eeg_tokenizer.run import RunError
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel
from labram_model.models import load_masked
from labram_model.pretrain import PretrainOptions, pretrain

StoreMaker = Callable[..., Path]
FEW = {"n_subjects": 4, "rounds": 1, "channels": ("FZ", "PZ")}


def tokenizer(store: Path, output: Path, seed: int) -> Path:
    train_tokenizer(TrainOptions(store, output, steps=2, n_codes=16, batch_size=4, seed=seed))
    return output


def tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def store(make_store: StoreMaker) -> Path:
    return make_store(FEW)


@pytest.fixture
def options(store: Path, tmp_path: Path) -> PretrainOptions:
    """Of a first pre-training, already done, and of one step that hardly moves a weight, to come."""
    first = PretrainOptions(
        store, tmp_path / "first", tokenizer=tokenizer(store, tmp_path / "own", 0), steps=3, batch_size=4
    )
    pretrain(first)
    return replace(first, output=tmp_path / "second", checkpoint=first.output, steps=1, lr=1e-9, seed=5)


def test_weights_go_on_where_they_were(options: PretrainOptions) -> None:
    assert options.checkpoint is not None
    pretrain(options)
    before, after = (tensors(load_masked(folder)) for folder in (options.checkpoint, options.output))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-6, rtol=0, msg=name)
    told = checkpoint.load_config(options.output)["options"]["checkpoint"]
    assert told == checkpoint.content_hash(options.checkpoint)
    with pytest.raises(RunError, match="checkpoint expected"):
        pretrain(replace(options, checkpoint=None, resume=True))
    pretrain(replace(options, resume=True))


def test_codes_of_another_tokenizer_get_a_new_head(
    options: PretrainOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert options.checkpoint is not None
    other = replace(options, tokenizer=tokenizer(options.store, tmp_path / "other", 1))
    with caplog.at_level(logging.INFO):
        pretrain(other)
    assert "predicts the codes of another tokenizer: its head begins anew" in caplog.text
    before, after = load_masked(options.checkpoint), load_masked(other.output)
    torch.testing.assert_close(after.backbone.mask_token, before.backbone.mask_token, atol=1e-6, rtol=0)
    assert (after.head.weight - before.head.weight).abs().max() > 1e-3


def test_official_weights_are_pre_trained_further(options: PretrainOptions, tmp_path: Path) -> None:
    torch.manual_seed(9)
    official = MaskedModel(replace(SIZES["base"], cls_position="first_channel"), 16)
    torch.save({"model": official.to_official()}, tmp_path / "labram-base.pth")
    summary, _ = pretrain(replace(options, checkpoint=tmp_path / "labram-base.pth"))
    assert summary["size"] == "base"
    config = checkpoint.load_config(options.output)
    assert config["recipe"]["cls_position"] == config["config"]["backbone"]["cls_position"] == "first_channel"
    after = load_masked(options.output)
    for name, tensor in tensors(official).items():
        torch.testing.assert_close(after.state_dict()[name], tensor, atol=1e-6, rtol=0, msg=name)


def test_what_the_model_has_decided_cannot_be_asked_for(options: PretrainOptions, tmp_path: Path) -> None:
    with pytest.raises(LabramError, match="expected --checkpoint or --size, found both"):
        pretrain(replace(options, size="tiny"))
    with pytest.raises(LabramError, match="Cannot change cls_position=first_channel: expected what the model"):
        pretrain(replace(options, changes=("cls_position=first_channel",)))
    with pytest.raises(LabramError, match=r"expected a model of kind masked .* found vqnsp"):
        pretrain(replace(options, checkpoint=tmp_path / "own"))

"""Recipes of masked pre-training: the paper's numbers, and runs that repeat their own recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eeg_tokenizer import checkpoint
from eeg_tokenizer.run import RunError
from labram_model.models import load_masked
from labram_model.pretrain import PretrainOptions, pretrain
from labram_model.recipes import PAPER, pretrain_recipe

StoreMaker = Callable[..., Path]
FEW = {"n_subjects": 4, "rounds": 1, "channels": ("FZ", "PZ")}


def test_the_paper_recipe_has_the_numbers_of_table_4() -> None:
    for size in ("tiny", "base", "large", "huge"):
        assert pretrain_recipe("paper", size) == PAPER
    assert PAPER.lr == 5e-4
    assert PAPER.lr * PAPER.min_lr_share == pytest.approx(1e-5)
    assert (PAPER.epochs, PAPER.epochs * PAPER.warmup_share, PAPER.stride_s) == (50, 5, 4)
    assert (PAPER.betas, PAPER.weight_decay, PAPER.clip_grad) == ((0.9, 0.98), 0.05, 3.0)
    assert (PAPER.mask_ratio, PAPER.symmetric, PAPER.cls_position) == (0.5, True, "first_channel")


def test_improved_keeps_to_slot_0_and_mixes() -> None:
    assert pretrain_recipe("improved", "base") == replace(PAPER, cls_position="slot_0", mixed_batches=True)
    assert pretrain_recipe("improved", "tiny", ["mask_ratio=0.4"]).mask_ratio == 0.4
    with pytest.raises(RunError, match=r"mask_ratio: expected a number from 0\.01 to 0\.99, found '1'"):
        pretrain_recipe("improved", "base", ["mask_ratio=1"])


def test_recipes_reach_the_model_and_the_tokenizer_trained_first(make_store: StoreMaker, tmp_path: Path) -> None:
    store, output = make_store(FEW), tmp_path / "run"
    changes = ("symmetric=false", "mask_ratio=0.75")
    options = PretrainOptions(store, output, steps=1, batch_size=2, recipe="paper", changes=changes)
    pretrain(options)
    model = load_masked(output)
    assert model.config.cls_position == "first_channel"
    assert not model.config.quick_start
    recorded = checkpoint.load_config(output)
    assert recorded["recipe"]["mask_ratio"] == 0.75
    assert checkpoint.load_config(output / "tokenizer")["config"]["targets"]["phase"] == "angle"
    with pytest.raises(RunError, match=r"--set mask_ratio expected 0\.75, found 0\.5"):
        pretrain(replace(options, changes=("symmetric=false",), resume=True))

"""Recipes: what their names stand for, and changing single fields."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eeg_tokenizer.recipes import IMPROVED, PAPER, change, tokenizer_recipe
from eeg_tokenizer.run import RunError


def test_the_paper_recipe_has_the_numbers_of_table_3() -> None:
    recipe = tokenizer_recipe("paper", "tiny")
    assert recipe == tokenizer_recipe("paper", "base") == PAPER
    assert recipe.lr == 5e-5
    assert recipe.lr * recipe.min_lr_share == pytest.approx(1e-5)
    assert (recipe.epochs, recipe.epochs * recipe.warmup_share) == (100, 10)
    assert (recipe.betas, recipe.weight_decay, recipe.stride_s, recipe.decay) == ((0.9, 0.99), 1e-4, 1, 0.99)


def test_the_improved_recipe_learns_tiny_faster() -> None:
    assert tokenizer_recipe("improved", "base") == IMPROVED
    assert tokenizer_recipe("improved", "tiny") == replace(IMPROVED, lr=1e-3)
    assert tokenizer_recipe("improved", "tiny").decay == pytest.approx(0.8)
    assert IMPROVED.decay == pytest.approx(0.99)


def test_fields_are_changed_by_json_or_words() -> None:
    changes = [
        "revive_after=null",
        "betas=[0.8, 0.95]",
        "phase=angle",
        "lr=1",
        "mean_start=false",
        "codebook_decay=0.9",
    ]
    changed = change(IMPROVED, changes)
    expected = {"revive_after": None, "betas": (0.8, 0.95), "phase": "angle", "lr": 1.0, "mean_start": False}
    assert changed == replace(IMPROVED, **expected, codebook_decay=0.9)  # type: ignore[arg-type]
    assert type(changed.lr) is float


def test_all_mistakes_are_named_at_once() -> None:
    wrong = [
        *("revive=3", "colour=red", "lr", "lr=0", "epochs=1.5", "phase=round", "mean_start=1"),
        *("betas=[0.9]", "betas=[0.9, 1]", "revive_after=never", "weight_decay=1e999"),
    ]
    with pytest.raises(RunError) as caught:
        change(IMPROVED, wrong)
    for part in (
        "unknown field 'revive'. Did you mean revive_after?",
        "unknown field 'colour'. Fields are lr,",
        "expected field=value, found 'lr'",
        "lr: expected at least 1e-12, found '0'",
        "epochs: expected a whole number, found '1.5'",
        "phase: expected angle or circular, found 'round'",
        "mean_start: expected true or false, found '1'",
        "betas: expected a list of 2, found '[0.9]'",
        "betas: expected a number from 0 to 0.999999, found '[0.9, 1]'",
        "weight_decay: expected at least 0, found '1e999'",
        "revive_after: expected a whole number or null, found 'never'",
    ):
        assert part in str(caught.value)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(RunError, match=r"--recipe: expected paper or improved, found 'best'"):
        tokenizer_recipe("best", "tiny")

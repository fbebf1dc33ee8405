"""Recipes of masked pre-training: `paper` is what the paper and the official code do, `improved` is the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from eeg_tokenizer.recipes import Positive, Recipe, change, choose


@dataclass(frozen=True)
class PretrainRecipe(Recipe):
    """How `labram pretrain` trains.

    Attributes:
        clip_grad: the largest norm of the gradient; None for any.
        mask_ratio: the share of the patches that the first pass hides.
        symmetric: whether a second pass hides the others. Without, a step costs half and predicts the masked alone.
        cls_position: see `BackboneConfig`.
        quick_start: see `BackboneConfig`.
    """

    clip_grad: Positive | None
    mask_ratio: Annotated[float, 0.01, 0.99]
    symmetric: bool
    cls_position: Literal["slot_0", "first_channel"]
    quick_start: bool


PAPER = PretrainRecipe(
    lr=5e-4,
    min_lr_share=0.02,  # 1e-5
    warmup_share=0.1,  # 5 of 50 epochs
    epochs=50,
    betas=(0.9, 0.98),
    weight_decay=0.05,
    clip_grad=3.0,
    stride_s=4,
    mixed_batches=False,
    mask_ratio=0.5,
    symmetric=True,
    cls_position="first_channel",
    quick_start=False,
)  # Table 4 and the official code; batches are the device's

IMPROVED = replace(PAPER, mixed_batches=True, cls_position="slot_0")

TINY = replace(IMPROVED, lr=3e-3, quick_start=True)  # learns a small store within minutes (docs/decisions/tiny.md)


def pretrain_recipe(name: str, size: str, changes: Sequence[str] = ()) -> PretrainRecipe:
    """Return the recipe of a name for a size, with single fields changed (`field=value`).

    Raises:
        RunError: an unknown name or field, or a value that a field does not take; all are named.
    """
    return change(choose({"paper": PAPER, "improved": TINY if size == "tiny" else IMPROVED}, name), changes)

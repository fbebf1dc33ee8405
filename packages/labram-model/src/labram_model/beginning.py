"""What a pre-training begins with: random weights, or those of a model that was pre-trained before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.backbone import BackboneConfig

from labram_model import models
from labram_model.code_source import CodeSource
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel
from labram_model.recipes import PretrainRecipe, pretrain_recipe
from labram_model.weights import model_folder

logger = logging.getLogger(__name__)

OF_THE_MODEL = ("cls_position", "quick_start")  # fields of the recipe that a model made before has decided


@dataclass(frozen=True)
class Beginning:
    """The shape of the model, and where it was pre-trained before the model itself.

    Attributes:
        size: the name of its size.
        backbone: its shape.
        model: with the weights to begin with; None for random ones.
        tokenizer: content hash of the tokenizer whose codes `model` predicts; None where nobody knows.
        content_hash: of `model`.
    """

    size: str
    backbone: BackboneConfig
    model: MaskedModel | None = None
    tokenizer: str | None = None
    content_hash: str | None = None

    def recipe(self, name: str, changes: Sequence[str]) -> PretrainRecipe:
        """Return the recipe of a name with single fields changed; what a model made before has decided is as there.

        Raises:
            LabramError: a change of what is decided.
            RunError: as `pretrain_recipe`.
        """
        recipe = pretrain_recipe(name, self.size, changes)
        if self.model is None:
            return recipe
        if taken := [change for change in changes if change.split("=")[0].strip() in OF_THE_MODEL]:
            raise LabramError(
                f"Cannot change {', '.join(taken)}: expected what the model of --checkpoint was made with, found "
                "another value. Leave it out."
            )
        return replace(recipe, **{name: getattr(self.backbone, name) for name in OF_THE_MODEL})

    def make_model(self, recipe: PretrainRecipe, codes: CodeSource) -> MaskedModel:
        """Return the model to train. The head of one that predicted other codes begins anew.

        A file of the official code does not say whose codes it predicts: its head stays where their number is the same.
        """
        new = MaskedModel(
            replace(self.backbone, cls_position=recipe.cls_position, quick_start=recipe.quick_start), codes.n_codes
        )
        if self.model is None:
            return new
        new.backbone.load_state_dict(self.model.backbone.state_dict())
        if self.model.n_codes == codes.n_codes and self.tokenizer in (None, codes.tokenizer):
            new.head.load_state_dict(self.model.head.state_dict())
        else:
            logger.info("The model of --checkpoint predicts the codes of another tokenizer: its head begins anew.")
        return new


def choose_beginning(path: Path | None, size: str | None, device: torch.device) -> Beginning:
    """Return the beginning from the model at `path`, a directory or an official file, or from random weights.

    Raises:
        LabramError: a model of another kind, a size beside a model, an unknown size.
        CheckpointError: no model, or a damaged one.
    """
    if path is None:
        return Beginning(*models.backbone_config(size, device))
    if size is not None:
        raise LabramError(
            "Cannot choose the size of a pre-trained model: expected --checkpoint or --size, found both. Leave out one."
        )
    with model_folder(path) as folder:
        model = models.load_masked(folder)
        document = checkpoint.load_config(folder)
        return Beginning(
            document["size"], model.config, model, document.get("tokenizer"), checkpoint.content_hash(folder)
        )

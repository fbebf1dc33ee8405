"""Models out of their directories: which kind it is, and the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.backbone import SIZES, Backbone, BackboneConfig
from torch import nn

from labram_model.classifier import Classifier
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel

MASKED, CLASSIFIER, REGRESSOR, TOKENIZER = "masked", "classifier", "regressor", "vqnsp"
FINETUNED = (CLASSIFIER, REGRESSOR)
MADE_BY = {
    MASKED: "labram pretrain",
    CLASSIFIER: "labram finetune",
    REGRESSOR: "labram finetune",
    TOKENIZER: "eeg-tokenizer train",
}


def masked_document(model: MaskedModel) -> dict[str, Any]:
    """Return what `config.json` says of the model itself."""
    return {
        **model.described(),
        "parameters": count_parameters(model),
        "versions": versions(),
    }


def finetuned_document(model: Classifier, kind: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `config.json` says of the model itself; `outputs` says what they mean: `classes` or `targets`."""
    return {
        "model": kind,
        "config": {
            "backbone": asdict(model.config),
            "pooling": model.pooling,
            "outputs": model.n_outputs,
            **outputs,
        },
        "parameters": count_parameters(model),
        "versions": versions(),
    }


def load_masked(folder: Path) -> MaskedModel:
    """Load what `labram pretrain` wrote.

    Raises:
        LabramError: another kind of model.
        CheckpointError: no model, or a damaged one.
    """
    expect_kind(folder, MASKED)
    return MaskedModel.load(folder)


def load_finetuned(folder: Path) -> Classifier:
    """Load what `labram finetune` wrote; raises as `load_masked`."""
    expect_kind(folder, *FINETUNED)
    return Classifier.load(folder)


def load_backbone(folder: Path) -> Backbone:
    """Load the backbone of a pre-trained or a fine-tuned model; raises as `load_masked`."""
    kind = expect_kind(folder, MASKED, *FINETUNED)["model"]
    return (load_masked(folder) if kind == MASKED else load_finetuned(folder)).backbone


def size_of(config: BackboneConfig) -> str:
    """Return the name of the size with this shape, or the shape in words."""
    shape = attrgetter("width", "layers", "heads", "mlp_width")
    named = [name for name, size in SIZES.items() if shape(size) == shape(config)]
    return named[0] if named else f"{config.layers} layers of {config.width}"


def expect_kind(folder: Path, *kinds: str) -> dict[str, Any]:
    """Return `config.json` of a model of one of these kinds.

    Raises:
        LabramError: another kind.
        CheckpointError: no model.
    """
    config = checkpoint.load_config(folder)
    if config.get("model") not in kinds or not isinstance(config.get("config"), dict):
        wanted = " or ".join(f"a model of kind {kind} ({MADE_BY[kind]})" for kind in kinds)
        raise LabramError(
            f"Cannot use the model in {folder}: expected {wanted}, found {config.get('model')}. "
            "Give the directory of such a model."
        )
    return config


def backbone_config(size: str | None, device: torch.device) -> tuple[str, BackboneConfig]:
    """Return the size asked for, or the device's own: base on a GPU, tiny on a CPU.

    Raises:
        LabramError: no such size.
    """
    size = size or ("base" if device.type == "cuda" else "tiny")
    if size not in SIZES:
        raise LabramError(f"Unknown size in --size: expected one of {', '.join(SIZES)}, found {size}. Choose one.")
    return size, SIZES[size]


def count_parameters(model: nn.Module) -> int:
    """Return the number of learned values."""
    return sum(parameter.numel() for parameter in model.parameters())


def versions() -> dict[str, str]:
    """Return the versions of what made a model."""
    return {name: version(name) for name in ("labram-model", "eeg-tokenizer", "eeg-store", "torch")}

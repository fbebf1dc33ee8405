"""Official tokenizers (`vqnsp.pth`) into our directories.

Tensors that the official model has and no forward pass reads are kept beside the weights, in `official.safetensors`, so
that the way back gives the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from eeg_tokenizer import checkpoint
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.vqnsp import VQNSP

_UNTRAINED = "official.safetensors"


def is_tokenizer(state: Mapping[str, Tensor]) -> bool:
    """Tell the state of an official tokenizer from that of the other models."""
    return any(name.startswith("quantize.") for name in state)


def import_tokenizer(state: Mapping[str, Tensor], output: Path, file: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Write an official tokenizer into `output`, and return its `config.json` and the tensors kept for the way back.

    Raises:
        OfficialStateError: when a tensor is missing, unexpected, or of another shape.
        OSError: the output cannot be written.
    """
    model = VQNSP.from_official(state)
    document = {
        "model": "vqnsp",
        "config": asdict(model.config),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "size": "base" if model.config.encoder.layers == 12 else f"{model.config.encoder.layers} layers",
        "imported": {"from": "official", "file": file},
        "versions": {name: version(name) for name in ("eeg-tokenizer", "eeg-store", "torch")},
    }
    checkpoint.save_model(output, model, document)
    save_untrained(output, model.untrained)
    return document, model.untrained


def save_untrained(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Keep what an official model has beyond ours beside the weights."""
    if tensors:
        safetensors.torch.save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / _UNTRAINED
        )


def load_untrained(folder: Path) -> dict[str, Tensor]:
    """Return what `save_untrained` kept; nothing for a model of our own training.

    Raises:
        CheckpointError: a damaged file.
    """
    path = folder / _UNTRAINED
    if not path.is_file():
        return {}
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"Cannot read {path}: expected safetensors, found {error}. Import it again.") from error
    return tensors

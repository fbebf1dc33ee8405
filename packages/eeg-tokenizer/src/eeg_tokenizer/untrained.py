"""Tensors that an official model has and no forward pass reads: kept beside the weights for an exact way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from eeg_tokenizer.checkpoint import CheckpointError

UNTRAINED = "official.safetensors"


def save_untrained(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Keep what an official model has beyond ours beside the weights, which are written after it."""
    if tensors:
        folder.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / UNTRAINED)


def load_untrained(folder: Path) -> dict[str, Tensor]:
    """Return what `save_untrained` kept; nothing for a model of our own training.

    Raises:
        CheckpointError: a damaged file.
    """
    path = folder / UNTRAINED
    if not path.is_file():
        return {}
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"Cannot read {path}: expected safetensors, found {error}. Import it again.") from error
    return tensors

"""Official tokenizers (`vqnsp.pth`) into our directories."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from eeg_tokenizer import checkpoint
from eeg_tokenizer.untrained import save_untrained
from eeg_tokenizer.vqnsp import VQNSP


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
        **model.described(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "size": "base" if model.config.encoder.layers == 12 else f"{model.config.encoder.layers} layers",
        "imported": {"from": "official", "file": file},
        "versions": {name: version(name) for name in ("eeg-tokenizer", "eeg-store", "torch")},
    }
    save_untrained(output, model.untrained)
    checkpoint.save_model(output, model, document)
    return document, model.untrained

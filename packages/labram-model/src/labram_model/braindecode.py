"""State dicts of `braindecode.models.Labram` as official fine-tuning ones (github.com/braindecode/braindecode, 1.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eeg_tokenizer.official import OfficialStateError
from torch import Tensor

_RENAMES = (
    (r"^position_embedding$", "pos_embed"),
    (r"^temporal_embedding$", "time_embed"),
    (r"^patch_embed\.temporal_conv\.", "patch_embed."),
    (r"^final_layer\.", "head."),
    (r"^(blocks\.\d+\.mlp\.)0\.", r"\1fc1."),
    (r"^(blocks\.\d+\.mlp\.)2\.", r"\1fc2."),
)
_DECODER = "patch_embed.segment_patch.proj.weight"


def is_braindecode(state: Mapping[str, Tensor]) -> bool:
    """Tell braindecode's names from the official ones."""
    return "temporal_embedding" in state


def to_official_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of braindecode's Labram; names without a counterpart stay, and loading them is refused.

    Raises:
        OfficialStateError: its "neural decoder", which averages channels and has a bias for relative positions.
    """
    if _DECODER in state:
        raise OfficialStateError(
            "state of braindecode's Labram: expected neural_tokenizer=True, found the neural decoder "
            f"({', '.join(sorted(name for name in state if 'relative_position' in name or 'segment_patch' in name))}), "
            "which no LaBraM has. Use the weights with braindecode."
        )
    return {_official(name): tensor for name, tensor in state.items()}


def _official(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name

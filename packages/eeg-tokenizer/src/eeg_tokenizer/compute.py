"""How a model is computed: in which precision, compiled or not, with activations kept or computed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from eeg_tokenizer.backbone import Backbone
from eeg_tokenizer.temporal import TemporalEncoder
from eeg_tokenizer.transformer import Block


@dataclass(frozen=True)
class Compute:
    """What `--precision`, `--compile` and `--checkpoint-activations` come to.

    Attributes:
        bf16: whether a backbone multiplies matrices in bfloat16 (`torch.autocast`). Weights, the optimizer, the codes
            and their book, norms, spectra and losses stay in float32.
        compiled: whether blocks and temporal encoder are compiled (`torch.compile`).
        recompute: whether blocks keep their input alone for the backward pass, and compute the rest again.
    """

    bf16: bool = False
    compiled: bool = False
    recompute: bool = False

    def prepare(self, model: nn.Module) -> None:
        """Set up a model's backbones in place; names of parameters stay.

        They are compiled part by part, because all blocks of a model share one compiled function: Base is ready in
        seconds.
        """
        for part in model.modules():
            if isinstance(part, Backbone):
                part.bf16, part.compiled = self.bf16, self.compiled
            if isinstance(part, Block):
                part.recompute = self.recompute
            if self.compiled and isinstance(part, Block | TemporalEncoder):
                part.compile()

    def recorded(self) -> dict[str, Any]:
        """Return what changes the last digits of a result, for the options of a run."""
        return {"precision": "bf16" if self.bf16 else "fp32", "compile": self.compiled}


def choose_compute(precision: str | None, *, compiled: bool | None, recompute: bool, device: torch.device) -> Compute:
    """Fill in the defaults (docs/decisions/compute.md): bfloat16 and compiled on a GPU, neither on a CPU."""
    on_gpu = device.type == "cuda"
    return Compute(
        bf16=on_gpu if precision is None else precision == "bf16",
        compiled=on_gpu if compiled is None else compiled,
        recompute=recompute,
    )

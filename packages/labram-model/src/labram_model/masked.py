"""Masked pre-training: predict the codes of hidden patches (paper, section 2.4).

Shapes: B batch, N patches, D width, K codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import torch
from eeg_tokenizer.backbone import INIT_STD, Backbone, BackboneConfig, init_weights, valid_or_none
from eeg_tokenizer.batches import NO_CODE, Batch
from eeg_tokenizer.flops import BACKWARD, embed_flops, encode_flops, mlp_flops
from eeg_tokenizer.official import OfficialNames, backbone_config, load_official, shape_of, to_official
from eeg_tokenizer.published import PublishedModel
from torch import Tensor, nn

from labram_model.cross_entropy import linear_cross_entropy

OFFICIAL_NAMES = OfficialNames(
    renames=(("student.", "backbone."), ("lm_head.", "head.")),
    untrained={
        "student.lm_head.weight": "lm_head.weight",
        "student.lm_head.bias": "lm_head.bias",
        "projection_head.0.weight": "student.blocks.0.attn.proj.weight",
        "projection_head.0.bias": "student.blocks.0.attn.proj.bias",
    },
    unused=("logit_scale",),  # in the released labram-base.pth (issue 27 of the official repository)
)


class MaskedOutput(NamedTuple):
    """The loss with gradient, the part of each pass without, and the share of codes predicted right."""

    loss: Tensor
    parts: dict[str, Tensor]
    accuracy: Tensor


class MaskedModel(PublishedModel):
    """A backbone that sees some patches and predicts the codes of the hidden ones, for a mask and for its complement.

    Each patch is hidden in exactly one of the two passes (symmetric masking), and is predicted there alone. Without
    symmetric masking there is one pass, and only what it hides is predicted.
    """

    kinds = ("masked",)

    def __init__(self, config: BackboneConfig, n_codes: int) -> None:
        super().__init__()
        self.config = config
        self.n_codes = n_codes
        self.passes = 2  # of a training step: 1 where it is not symmetric, which changes what it is counted to take
        self.backbone = Backbone(config)
        self.head = nn.Linear(config.width, n_codes)
        self.backbone.reset_parameters(cut=INIT_STD, patch_embed=True)
        init_weights(self.head, cut=INIT_STD)

    def forward(
        self,
        batch: Batch,
        codes: Tensor,
        mask: Tensor,
        *,
        symmetric: bool = True,
        shares: Mapping[str, Tensor] | None = None,
    ) -> MaskedOutput:
        """Return the cross-entropy over the masked patches plus, if symmetric, that over the others.

        Args:
            batch: B windows.
            codes: (B, N) int64 targets; patches without a code (-1) and padding count nowhere.
            mask: (B, N) bool, True for patches hidden in the first pass; the second hides the other valid ones.
            symmetric: whether there is a second pass.
            shares: what each part counts in the loss: the batch's share of a larger one; None for all of it.
        """
        codes = codes.masked_fill(~batch.valid if symmetric else ~mask, NO_CODE)
        has_code = codes != NO_CODE
        passes = {"masked": has_code & mask} | ({"complement": has_code & ~mask} if symmetric else {})
        shares = shares or {}
        row_weight = torch.stack(
            [chosen * (shares.get(name, 1.0) / chosen.sum().clamp_min(1)) for name, chosen in passes.items()]
        ).sum(0)
        scored = linear_cross_entropy(
            self.features(batch, mask, symmetric=symmetric).flatten(0, 1),
            self.head.weight,
            self.head.bias,
            codes.flatten(),
            row_weight.flatten(),
            dtype=torch.bfloat16 if self.backbone.bf16 else self.head.weight.dtype,
            compiled=self.backbone.compiled,
        )
        parts = {name: _mean(scored.nats, chosen.flatten()) for name, chosen in passes.items()}
        return MaskedOutput(scored.loss, parts, _mean(scored.right, has_code.flatten()))

    def logits(self, batch: Batch, mask: Tensor, *, symmetric: bool = True) -> Tensor:
        """Return (B, N, K): for each patch what the pass that hides it predicts."""
        out: Tensor = self.head(self.features(batch, mask, symmetric=symmetric))
        return out

    def features(self, batch: Batch, mask: Tensor, *, symmetric: bool = True) -> Tensor:
        """Return (B, N, D): for each patch the output of the pass that hides it."""
        valid = valid_or_none(batch.valid)
        embedded = self.backbone.embed(batch.patches, valid)
        if not symmetric:
            return self.backbone.encode(embedded, batch.channel, batch.time, valid, mask)[:, 1:]
        return self.backbone.encode_hidden(embedded, batch.channel, batch.time, valid, mask)

    def training_flops(self, n_windows: int, n_patches: int) -> float:
        """Return the floating-point operations of a training step on B windows of N patches (`flops`)."""
        head = 2.0 * n_windows * n_patches * self.config.width * self.n_codes
        passes = encode_flops(self.config, self.passes * n_windows, n_patches)
        if self.passes > 1:
            passes -= mlp_flops(self.config, n_windows, n_patches)  # of the last block, see `Block.forward`
        return (1 + BACKWARD) * (embed_flops(self.config, n_windows, n_patches) + passes + head)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> MaskedModel:
        """Build the model, with random weights, that a `config.json` describes."""
        config = document["config"]
        return cls(BackboneConfig(**config["backbone"]), config["n_codes"])

    def described(self) -> dict[str, Any]:
        """Return `model` and `config` of a `config.json`."""
        return {"model": self.kinds[0], "config": {"backbone": asdict(self.config), "n_codes": self.n_codes}}

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor]) -> MaskedModel:
        """Build the model of an official state dict, whose cls takes the first channel's position.

        Raises:
            OfficialStateError: when a tensor is missing, unexpected, or of another shape.
        """
        config = replace(backbone_config(state, "student."), cls_position="first_channel")
        model = cls(config, shape_of(state, "lm_head.weight")[0])
        model.untrained = load_official(model, state, OFFICIAL_NAMES)
        return model

    def to_official(self) -> dict[str, Tensor]:
        """Return the official state dict of this model."""
        return to_official(self, OFFICIAL_NAMES, self.untrained)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Average the chosen of values (V,); 0 when there is none."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)

"""A head on a backbone: fine-tuning's model (paper, section 2.5).

Shapes: B batch, N patches, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

import torch
from eeg_tokenizer.attention import NORM_EPS
from eeg_tokenizer.backbone import Backbone, BackboneConfig, init_weights, valid_or_none
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.flops import BACKWARD, backbone_flops
from eeg_tokenizer.official import OfficialNames, backbone_config, load_official, shape_of, to_official
from eeg_tokenizer.published import PublishedModel
from torch import Tensor, nn

HEAD_SCALE = 0.001  # first predictions near chance, so the head's noise does not disturb the pre-trained layers

Pooling = Literal["mean", "cls"]


def official_names(pooling: Pooling) -> OfficialNames:
    """Return how the names map: the norm before the head is `fc_norm` of the mean and `norm` of cls."""
    norm = "fc_norm." if pooling == "mean" else "norm."
    return OfficialNames(renames=((norm, "fc_norm."), ("head.", "head."), ("", "backbone.")), untrained={})


def n_outputs(n_classes: int) -> int:
    """Return the outputs of a head: one for two classes, which is trained by binary cross-entropy as in the paper."""
    return 1 if n_classes == 2 else n_classes


def class_names(outputs: int) -> list[str]:
    """Return names for the classes of a head that come from nowhere else."""
    return [f"class_{number}" for number in range(max(2, outputs))]


class Classifier(PublishedModel):
    """Backbone, the mean over the valid patches, LayerNorm, and a linear head, for classes or for values of targets.

    With `pooling` "cls" the head reads cls in place of the mean: `--use_cls` of the official code, and what Labram of
    braindecode does unless told otherwise. Our own training always takes the mean, as the paper.

    cls takes its own position (slot 0), also when pre-training gave it the first channel's, as in the official code.
    """

    kinds = ("classifier", "regressor")

    def __init__(self, config: BackboneConfig, n_outputs: int, *, pooling: Pooling = "mean") -> None:
        super().__init__()
        self.config = replace(config, cls_position="slot_0", mask_token=False, final_norm=False)
        self.n_outputs = n_outputs
        self.pooling = pooling
        self.backbone = Backbone(self.config)
        self.fc_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.head = nn.Linear(config.width, n_outputs)
        init_weights(self.head)
        with torch.no_grad():
            self.head.weight.mul_(HEAD_SCALE)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits or values (B, n_outputs) of a batch of windows."""
        out: Tensor = self.head(self.features(batch))
        return out

    def features(self, batch: Batch) -> Tensor:
        """Return one embedding (B, D) for each window, which the head reads."""
        valid = valid_or_none(batch.valid)
        tokens = self.backbone(batch.patches, batch.channel, batch.time, valid)
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        elif valid is None:
            pooled = tokens[:, 1:].mean(1)
        else:
            pooled = (tokens[:, 1:] * valid.unsqueeze(-1)).sum(1) / valid.sum(1, keepdim=True)
        out: Tensor = self.fc_norm(pooled)
        return out

    def training_flops(self, n_windows: int, n_patches: int) -> float:
        """Return the floating-point operations of a training step on B windows of N patches (`flops`)."""
        return (1 + BACKWARD) * backbone_flops(self.config, n_windows, n_patches)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Classifier:
        """Build the model, with random weights, that a `config.json` describes."""
        config = document["config"]
        named = len(config["targets"]) if document["model"] == "regressor" else n_outputs(len(config["classes"]))
        outputs, pooling = config.get("outputs", named), config.get("pooling", "mean")  # models of before had no others
        return cls(BackboneConfig(**config["backbone"]), outputs, pooling=pooling)

    def described(self) -> dict[str, Any]:
        """Return `model` and `config` of a `config.json`; classes of a model that was not loaded have numbers."""
        kind = self.document.get("model", self.kinds[0])
        meaning = self.document.get("config") or {"classes": class_names(self.n_outputs)}
        shape = {"backbone": asdict(self.config), "pooling": self.pooling, "outputs": self.n_outputs}
        return {"model": kind, "config": {**meaning, **shape}}

    @classmethod
    def from_backbone(cls, backbone: Backbone, n_outputs: int, *, drop_path: float = 0.0) -> Classifier:
        """Start from a pre-trained backbone; its final norm and mask token are left out, norm and head are fresh."""
        model = cls(replace(backbone.config, drop_path=drop_path), n_outputs)
        dropped = ("norm.", "mask_token")
        weights = {name: value for name, value in backbone.state_dict().items() if not name.startswith(dropped)}
        model.backbone.load_state_dict(weights)
        return model

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor]) -> Classifier:
        """Build the model of an official fine-tuning state dict.

        Raises:
            OfficialStateError: when a tensor is missing, unexpected, or of another shape.
        """
        pooling: Pooling = "cls" if "norm.weight" in state else "mean"
        model = cls(backbone_config(state, ""), shape_of(state, "head.weight")[0], pooling=pooling)
        load_official(model, state, official_names(pooling))
        return model

    def to_official(self) -> dict[str, Tensor]:
        """Return the official state dict of this model."""
        return to_official(self, official_names(self.pooling), {})

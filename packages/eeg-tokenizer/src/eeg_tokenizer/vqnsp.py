"""VQ-NSP, the neural tokenizer: vector-quantized neural spectrum prediction (paper, section 2.3 and Table 3).

Shapes: B batch, N patches, D width, W code width, K codes, F bins of a spectrum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eeg_tokenizer.backbone import Backbone, BackboneConfig, init_weights, valid_or_none
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.flops import BACKWARD, backbone_flops
from eeg_tokenizer.official import (
    OfficialNames,
    OfficialStateError,
    backbone_config,
    load_official,
    shape_of,
    to_official,
)
from eeg_tokenizer.published import PublishedModel
from eeg_tokenizer.quantizer import NormEMAQuantizer, Quantized
from eeg_tokenizer.spectrum import OFFICIAL, SpectrumConfig, spectrum_targets


@dataclass(frozen=True)
class VQNSPConfig:
    """A tokenizer: its two transformers, K codes of width W, how they learn (`NormEMAQuantizer`), and its targets."""

    encoder: BackboneConfig
    decoder: BackboneConfig
    n_codes: int
    code_width: int
    decay: float = 0.99
    revive_after: int | None = None
    targets: SpectrumConfig = field(default_factory=SpectrumConfig)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VQNSPConfig:
        """Build a configuration from what `dataclasses.asdict` made of it."""
        encoder, decoder = BackboneConfig(**values["encoder"]), BackboneConfig(**values["decoder"])
        targets = SpectrumConfig(**values.get("targets", {}))  # tokenizers of before had the official ones
        return cls(**{**values, "encoder": encoder, "decoder": decoder, "targets": targets})


def tokenizer_config(
    *, width: int, encoder_layers: int, decoder_layers: int, heads: int, n_codes: int, code_width: int
) -> VQNSPConfig:
    """Return a configuration of the official kind: bias but no norm on queries and keys, and no layer scale."""
    encoder = BackboneConfig(
        width=width,
        layers=encoder_layers,
        heads=heads,
        mlp_width=4 * width,
        layer_scale=None,
        qk_norm=False,
        qkv_bias=True,
        mask_token=False,
    )
    decoder = replace(encoder, layers=decoder_layers, vector_width=code_width)
    return VQNSPConfig(encoder, decoder, n_codes=n_codes, code_width=code_width)


TOKENIZER_SIZES: dict[str, VQNSPConfig] = {
    "tiny": tokenizer_config(width=100, encoder_layers=4, decoder_layers=2, heads=5, n_codes=512, code_width=32),
    "base": tokenizer_config(width=200, encoder_layers=12, decoder_layers=3, heads=10, n_codes=8192, code_width=64),
}  # base is Table 3 of the paper; tiny is ours and trains on two cores


OFFICIAL_NAMES = OfficialNames(
    renames=(
        ("encoder.fc_norm.", "encoder.norm."),
        ("decoder.fc_norm.", "decoder.norm."),
        ("encode_task_layer.", "to_code."),
        ("decode_task_layer.", "heads.amplitude."),
        ("decode_task_layer_angle.", "heads.phase."),
        ("quantize.embedding.weight", "quantizer.codebook"),
        ("quantize.embedding.initted", "quantizer.started"),
        ("quantize.cluster_size", "quantizer.usage"),
    ),
    untrained={
        "quantize.embedding.cluster_size": "quantize.cluster_size",
        "quantize.embedding.embed_avg": "quantize.embedding.weight",
    },
    own=frozenset({"quantizer.idle"}),
    unused=("loss", "teacher", "scaling"),  # which the official code drops when it loads a tokenizer
)


class VQNSPOutput(NamedTuple):
    """The loss, its named parts, and the codes (B, N) with -1 at padding of the vectors `units` (B, N, W).

    Loss and parts have gradients, `units` has none (`NormEMAQuantizer.learn` takes it).
    """

    loss: Tensor
    parts: dict[str, Tensor]
    codes: Tensor
    units: Tensor


class Reconstruction(NamedTuple):
    """The codes of a batch, and what the decoder makes of them beside what it should: each part (B, N, its width)."""

    quantized: Quantized
    predicted: dict[str, Tensor]
    targets: dict[str, Tensor]


class VQNSP(PublishedModel):
    """Encoder, codebook and decoder; a head for each part of the spectrum."""

    kinds = ("vqnsp",)

    def __init__(self, config: VQNSPConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Backbone(config.encoder)
        self.to_code = _head(config.encoder.width, config.code_width)
        self.quantizer = NormEMAQuantizer(
            config.n_codes,
            config.code_width,
            decay=config.decay,
            revive_after=config.revive_after,
        )
        self.decoder = Backbone(config.decoder)
        self.heads = nn.ModuleDict(
            {name: _head(config.decoder.width, width) for name, width in config.targets.widths.items()}
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> VQNSP:
        """Build the model, with random weights, that a `config.json` describes."""
        return cls(VQNSPConfig.from_dict(document["config"]))

    def described(self) -> dict[str, Any]:
        """Return `model` and `config` of a `config.json`."""
        return {"model": self.kinds[0], "config": asdict(self.config)}

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor], *, heads: int | None = None) -> VQNSP:
        """Build the model of an official state dict; `heads` where they are not 20 wide, as no tensor tells.

        Raises:
            OfficialStateError: when a tensor is missing, unexpected, or of another shape.
        """
        n_codes, code_width = shape_of(state, "quantize.embedding.weight")
        encoder, decoder = (backbone_config(state, prefix, heads=heads) for prefix in ("encoder.", "decoder."))
        model = cls(VQNSPConfig(encoder, decoder, n_codes=n_codes, code_width=code_width))
        model.untrained = load_official(model, state, OFFICIAL_NAMES)
        return model

    def to_official(self) -> dict[str, Tensor]:
        """Return the official state dict of this model.

        Raises:
            OfficialStateError: the official model has other targets.
        """
        if self.config.targets != OFFICIAL:
            raise OfficialStateError(
                f"official state of a tokenizer: expected the targets {OFFICIAL}, found {self.config.targets}. "
                "Train with --recipe paper."
            )
        return to_official(self, OFFICIAL_NAMES, self.untrained)

    def forward(self, batch: Batch) -> VQNSPOutput:
        """Return the loss: commitment to the codes plus the mean squared error of each target over valid patches."""
        return self.loss(self.reconstruct(batch), batch)

    def reconstruct(self, batch: Batch) -> Reconstruction:
        """Encode, quantize and decode a batch, and work out its targets."""
        valid = valid_or_none(batch.valid)
        quantized = self.quantize(batch, valid)
        predicted = self.decode(quantized.vectors, batch, valid)
        return Reconstruction(quantized, predicted, spectrum_targets(batch.patches, valid, self.config.targets))

    def loss(self, of: Reconstruction, batch: Batch) -> VQNSPOutput:
        """Return the loss of a reconstruction of a batch."""
        valid = valid_or_none(batch.valid)
        parts = {"commitment": of.quantized.loss}
        parts |= {name: _mean_squared_error(of.predicted[name], of.targets[name], valid) for name in of.predicted}
        loss = torch.stack(list(parts.values())).sum()
        return VQNSPOutput(loss, parts, of.quantized.codes, of.quantized.units)

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Return the codes (B, N) int64 of a batch, -1 at padding, without learning from it."""
        valid = valid_or_none(batch.valid)
        return self.quantizer.encode(self.code_vectors(batch, valid), valid)

    def training_flops(self, n_windows: int, n_patches: int) -> float:
        """Return the floating-point operations of a training step on B windows of N patches (`flops`)."""
        config, n = self.config, n_windows * n_patches
        width, code_width = config.encoder.width, config.code_width
        heads = sum(2.0 * (width**2 + width * out) for out in (code_width, *config.targets.widths.values()))
        learned = n * heads + sum(
            backbone_flops(part, n_windows, n_patches) for part in (config.encoder, config.decoder)
        )
        return (1 + BACKWARD) * learned + 2.0 * n * code_width * config.n_codes

    def quantize(self, batch: Batch, valid: Tensor | None) -> Quantized:
        """Encode the patches and replace them by codes."""
        quantized: Quantized = self.quantizer(self.code_vectors(batch, valid), valid)
        return quantized

    def decode(self, vectors: Tensor, batch: Batch, valid: Tensor | None) -> dict[str, Tensor]:
        """Predict the z-scored targets (B, N, F) from code vectors (B, N, W)."""
        features = self.decoder(vectors, batch.channel, batch.time, valid)[:, 1:]
        return {name: head(features) for name, head in self.heads.items()}

    def code_vectors(self, batch: Batch, valid: Tensor | None) -> Tensor:
        """Return what the encoder says of each patch (B, N, W), before it is made a code."""
        out: Tensor = self.to_code(self.encoder(batch.patches, batch.channel, batch.time, valid)[:, 1:])
        return out


def _head(width: int, out: int) -> nn.Sequential:
    head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, out))
    init_weights(head)
    return head


def _mean_squared_error(predicted: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Average over the bins of all valid patches of the batch; both (B, N, F)."""
    error = (predicted - target).square().mean(-1)
    return error.mean() if valid is None else (error * valid).sum() / valid.sum()

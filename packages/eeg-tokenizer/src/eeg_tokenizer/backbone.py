"""The neural transformer that the tokenizer, masked pre-training and fine-tuning share (paper, section 2.2).

Shapes: B batch, N patches, S samples of a patch (200), D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eeg_tokenizer.attention import NORM_EPS
from eeg_tokenizer.batches import MAX_SECONDS
from eeg_tokenizer.temporal import STEPS, TemporalEncoder
from eeg_tokenizer.transformer import Block

INIT_STD = 0.02
QUICK_STD = 0.5  # of coordinates, as of the features that leave the temporal encoder


@dataclass(frozen=True)
class BackboneConfig:
    """The shape of a backbone.

    Attributes:
        width: D. With patches of signal as input it is 25 times the temporal encoder's filters.
        layers: number of transformer blocks.
        heads: attention heads in each block.
        mlp_width: hidden width of each block's MLP.
        layer_scale: start value of the learned gains of the residual branches; None for no gains.
        vector_width: None for patches of signal; else the input is one vector of this width for each patch.
        cls_position: whose position embedding cls takes. "slot_0" is its own. "first_channel" is what the official
            masked pre-training does (a defect, on which its weights depend).
        drop_path: stochastic depth of the last block; it grows linearly from 0 at the first.
        qk_norm, qkv_bias: see `attention.Attention`; the official tokenizer has them the other way round.
        mask_token: whether there is an embedding that stands for masked patches.
        final_norm: whether a LayerNorm follows the last block.
        quick_start: whether fresh weights are drawn so that attention goes to the same place and the same second from
            the first step, instead of as the official code draws them (docs/decisions/tiny.md).
        n_slots: position embeddings: cls and 128 channels.
        max_seconds: time embeddings, one for each second of the longest window.
    """

    width: int
    layers: int
    heads: int
    mlp_width: int
    layer_scale: float | None
    vector_width: int | None = None
    cls_position: Literal["slot_0", "first_channel"] = "slot_0"
    drop_path: float = 0.0
    qk_norm: bool = True
    qkv_bias: bool = False
    mask_token: bool = True
    final_norm: bool = True
    quick_start: bool = False
    n_slots: int = 129
    max_seconds: int = MAX_SECONDS

    @property
    def temporal_channels(self) -> int:
        """Filters of the temporal encoder; 0 where the input is vectors."""
        return self.width // STEPS if self.vector_width is None else 0


SIZES: dict[str, BackboneConfig] = {
    "tiny": BackboneConfig(width=100, layers=4, heads=5, mlp_width=400, layer_scale=None, quick_start=True),
    "base": BackboneConfig(width=200, layers=12, heads=10, mlp_width=800, layer_scale=0.1),
    "large": BackboneConfig(width=400, layers=24, heads=16, mlp_width=1600, layer_scale=1e-5),
    "huge": BackboneConfig(width=800, layers=48, heads=16, mlp_width=3200, layer_scale=1e-6),
}  # Table 4 of the paper; tiny is ours and trains on two cores


class VectorEmbedding(nn.Module):
    """Input of the tokenizer's decoder: a linear map of code vectors instead of the temporal encoder."""

    def __init__(self, vector_width: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(vector_width, width)

    def forward(self, vectors: Tensor, valid: Tensor | None) -> Tensor:  # noqa: ARG002 - as the temporal encoder
        """Embed vectors (B, N, vector width) as (B, N, D)."""
        out: Tensor = self.proj(vectors)
        return out


class Backbone(nn.Module):
    """Embeds patches, adds where and when they are, prepends cls, and lets them attend to each other."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embed = (
            TemporalEncoder(width) if config.vector_width is None else VectorEmbedding(config.vector_width, width)
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width)) if config.mask_token else None
        self.pos_embed = nn.Parameter(torch.zeros(1, config.n_slots, width))
        self.time_embed = nn.Parameter(torch.zeros(1, config.max_seconds, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                config.heads,
                config.mlp_width,
                layer_scale=config.layer_scale,
                drop_path=config.drop_path * layer / max(1, config.layers - 1),
                qk_norm=config.qk_norm,
                qkv_bias=config.qkv_bias,
            )
            for layer in range(config.layers)
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPS) if config.final_norm else nn.Identity()
        self.bf16 = False  # whether blocks and input multiply in bfloat16, see `compute.Compute`
        self.compiled = False  # whether what computes with it is compiled, see there too
        self.reset_parameters()

    def forward(
        self, patches: Tensor, channel: Tensor, time: Tensor, valid: Tensor | None, mask: Tensor | None = None
    ) -> Tensor:
        """Encode a batch of patches.

        Args:
            patches: (B, N, S) in units of 100 µV, or (B, N, vector width).
            channel: (B, N) int64, vocabulary slots 1..128 (0 at padding).
            time: (B, N) int64, the second in the window, 0..15.
            valid: (B, N) bool, False at padding; None where nothing is padded, which is faster (`valid_or_none`).
            mask: (B, N) bool, True where the mask token takes the patch's place.

        Returns:
            (B, 1 + N, D), cls first. What stands at padding has no meaning.
        """
        return self.encode(self.embed(patches, valid), channel, time, valid, mask)

    def embed(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Embed patches (B, N, S) as (B, N, D), without their coordinates."""
        with self._autocast(patches.device):
            out: Tensor = self.patch_embed(patches, valid)
        return out.type_as(self.cls_token)

    def encode(
        self, embedded: Tensor, channel: Tensor, time: Tensor, valid: Tensor | None, mask: Tensor | None = None
    ) -> Tensor:
        """Do the rest of `forward` from embedded patches (B, N, D)."""
        return self._transform(self._tokens(embedded, channel, time, mask), valid, None)

    def encode_hidden(
        self, embedded: Tensor, channel: Tensor, time: Tensor, valid: Tensor | None, mask: Tensor
    ) -> Tensor:
        """Encode embedded patches (B, N, D) twice: once `mask` is hidden, once the rest is.

        Returns:
            (B, N, D): each patch as the pass that hides it makes it. What stands at padding has no meaning.
        """
        x = torch.cat([self._tokens(embedded, channel, time, hidden) for hidden in (mask, ~mask)])
        valid = None if valid is None else torch.cat([valid, valid])
        return self._transform(x, valid, F.pad(mask, (1, 0)).unsqueeze(-1))[:, 1:]

    def _tokens(self, embedded: Tensor, channel: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        """Return cls and embedded patches, where they are and when: (B, 1 + N, D)."""
        if mask is not None:
            if self.mask_token is None:
                raise ValueError("mask of a backbone: expected mask_token in its configuration, found none. Set it.")
            embedded = torch.where(mask.unsqueeze(-1), self.mask_token, embedded)
        embedded = embedded + F.embedding(channel, self.pos_embed[0]) + F.embedding(time, self.time_embed[0])
        cls_slot = channel[:, :1] if self.config.cls_position == "first_channel" else torch.zeros_like(channel[:, :1])
        return torch.cat([self.cls_token + F.embedding(cls_slot, self.pos_embed[0]), embedded], dim=1)

    def _transform(self, x: Tensor, valid: Tensor | None, chosen: Tensor | None) -> Tensor:
        """Take tokens (B, 1 + N, D) through all blocks; `chosen` is for the last, see `Block.forward`."""
        keys = None if valid is None else F.pad(valid, (1, 0), value=True)[:, None, None, :]
        with self._autocast(x.device):
            for depth, block in enumerate(self.blocks, start=1):
                x = block(x, keys, chosen if depth == len(self.blocks) else None)
        out: Tensor = self.norm(x.type_as(self.cls_token))
        return out

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bf16)

    @torch.no_grad()
    def reset_parameters(self, *, cut: float = 2.0, patch_embed: bool = False) -> None:
        """Draw fresh weights as the official models do.

        Args:
            cut: absolute value at which the normal distribution is cut off.
            patch_embed: whether the input's layers are drawn too, instead of left as PyTorch initializes them.
        """
        for parameter in (self.cls_token, self.mask_token, self.pos_embed, self.time_embed):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=INIT_STD, a=-cut, b=cut)
        parts: list[nn.Module] = [self.blocks, self.norm, *([self.patch_embed] if patch_embed else [])]
        for part in parts:
            init_weights(part, cut=cut)
        for name, weight in self.blocks.named_parameters():
            if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):  # the deeper, the smaller the residual's steps
                depth = int(name.split(".")[0]) + 1
                weight.div_(math.sqrt(2 * depth))
        if self.config.quick_start:
            self._start_quickly()

    def _start_quickly(self) -> None:
        """Make coordinates as loud as the features of patches, and let keys start as the queries do."""
        for embedding in (self.pos_embed, self.time_embed, self.mask_token):
            if embedding is not None:
                embedding.mul_(QUICK_STD / INIT_STD)
        for name, weight in self.blocks.named_parameters():
            if name.endswith("attn.qkv.weight"):
                queries, keys, _ = weight.chunk(3)
                keys.copy_(queries)


@torch.no_grad()
def init_weights(part: nn.Module, *, cut: float = 2.0) -> None:
    """Draw the weights of all linear layers and convolutions in `part` from a normal cut at ±`cut`; biases are zero."""
    for module in part.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=INIT_STD, a=-cut, b=cut)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def valid_or_none(valid: Tensor) -> Tensor | None:
    """Return `valid` (B, N), or None where no patch is padding: the path without masks is faster."""
    return None if bool(valid.all()) else valid

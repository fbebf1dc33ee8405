"""The official training steps, written plainly: what `benchmarks/training.py` compares with.

Two passes of the student one after the other, attention by matrix products and softmax, logits of the masked patches at
once, a tokenizer that is run in full for its codes, a one-hot codebook update. Modules have the official names of their
parameters, so that the same weights give the same loss as ours.

Shapes: B batch, N patches (channel-major), S samples of a patch (200), D width, K codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from eeg_tokenizer.backbone import BackboneConfig
from eeg_tokenizer.vqnsp import VQNSPConfig
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.scale = (width // config.heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width)) if config.qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if config.qkv_bias else None
        norm = nn.LayerNorm if config.qk_norm else nn.Identity
        self.q_norm, self.k_norm = norm(width // config.heads, eps=1e-6), norm(width // config.heads, eps=1e-6)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        bias = None
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = self.q_norm(qkv[0]), self.k_norm(qkv[1]), qkv[2]
        attention = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)
        out: Tensor = self.proj((attention @ v).transpose(1, 2).reshape(*x.shape[:2], -1))
        return out


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = Mlp(config.width, config.mlp_width)
        scaled = config.layer_scale is not None
        self.gamma_1 = nn.Parameter(torch.ones(config.width)) if scaled else None
        self.gamma_2 = nn.Parameter(torch.ones(config.width)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.gamma_1 is None or self.gamma_2 is None:
            x = x + self.attn(self.norm1(x))
            out: Tensor = x + self.mlp(self.norm2(x))
            return out
        x = x + self.gamma_1 * self.attn(self.norm1(x))
        out = x + self.gamma_2 * self.mlp(self.norm2(x))
        return out


class TemporalConv(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, filters, (1, 15), stride=(1, 8), padding=(0, 7))
        self.norm1 = nn.GroupNorm(4, filters)
        self.conv2 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(4, filters)
        self.conv3 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(4, filters)

    def forward(self, patches: Tensor) -> Tensor:
        x = patches.unsqueeze(1)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            x = F.gelu(norm(conv(x)))
        return x.permute(0, 2, 3, 1).flatten(2)


class Projection(nn.Module):
    def __init__(self, vector_width: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(vector_width, width, 1)

    def forward(self, vectors: Tensor) -> Tensor:
        out: Tensor = self.proj(vectors.transpose(1, 2).unsqueeze(-1))
        return out.squeeze(-1).transpose(1, 2)


class Transformer(nn.Module):
    """Encoder, decoder and student alike; `final` is the official name of the last norm."""

    def __init__(self, config: BackboneConfig, final: str) -> None:
        super().__init__()
        self.first_channel = config.cls_position == "first_channel"
        self.patch_embed = (
            TemporalConv(config.temporal_channels)
            if config.vector_width is None
            else Projection(config.vector_width, config.width)
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width)) if config.mask_token else None
        self.pos_embed = nn.Parameter(torch.zeros(1, config.n_slots, config.width))
        self.time_embed = nn.Parameter(torch.zeros(1, config.max_seconds, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final = final
        self.add_module(final, nn.LayerNorm(config.width, eps=1e-6))

    def forward(self, patches: Tensor, slots: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features (B, 1 + N, D) of patches (B, N, S) of the channels `slots` (C,)."""
        x = self.patch_embed(patches)
        n_windows, seconds = len(x), x.shape[1] // len(slots)
        if mask is not None and self.mask_token is not None:
            w = mask.unsqueeze(-1).type_as(x)
            x = x * (1 - w) + self.mask_token.expand_as(x) * w
        x = torch.cat((self.cls_token.expand(n_windows, -1, -1), x), dim=1)
        places = self.pos_embed[:, slots].unsqueeze(2).expand(n_windows, -1, seconds, -1).flatten(1, 2)
        of_cls = places[:, :1] if self.first_channel else self.pos_embed[:, :1].expand(n_windows, -1, -1)
        x = x + torch.cat((of_cls, places), dim=1)
        times = self.time_embed[:, :seconds].unsqueeze(1).expand(n_windows, len(slots), -1, -1).flatten(1, 2)
        x = torch.cat((x[:, :1], x[:, 1:] + times), dim=1)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.get_submodule(self.final)(x)
        return out


class Masked(nn.Module):
    def __init__(self, config: BackboneConfig, n_codes: int) -> None:
        super().__init__()
        self.student = Transformer(config, "norm")
        self.lm_head = nn.Linear(config.width, n_codes)

    def forward(self, patches: Tensor, slots: Tensor, codes: Tensor, mask: Tensor) -> Tensor:
        """The loss: cross-entropy of the masked patches, then of the others."""
        loss = patches.new_zeros(())
        for hidden in (mask, ~mask):
            features = self.student(patches, slots, hidden)[:, 1:]
            loss = loss + F.cross_entropy(self.lm_head(features[hidden]), codes[hidden])
        return loss


class Embedding(nn.Module):
    def __init__(self, n_codes: int, code_width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_codes, code_width))


class Quantizer(nn.Module):
    def __init__(self, n_codes: int, code_width: int, decay: float) -> None:
        super().__init__()
        self.embedding = Embedding(n_codes, code_width)
        self.register_buffer("cluster_size", torch.zeros(n_codes))
        self.decay = decay

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = F.normalize(z, dim=-1)
        flat = z.reshape(-1, z.shape[-1])
        weight = self.embedding.get_buffer("weight")
        distance = flat.pow(2).sum(1, keepdim=True) + weight.pow(2).sum(1) - 2 * flat @ weight.T
        nearest = distance.argmin(1)
        vectors = weight[nearest].view(z.shape)
        one_hot = F.one_hot(nearest, len(weight)).type(z.dtype)
        if self.training:
            with torch.no_grad():
                counts = one_hot.sum(0)
                self.get_buffer("cluster_size").mul_(self.decay).add_(counts, alpha=1 - self.decay)
                sums = (flat.t() @ one_hot).t()
                means = F.normalize(sums / counts.masked_fill(counts == 0, 1).unsqueeze(1), dim=-1)
                means = torch.where((counts == 0).unsqueeze(1), weight, means)
                weight.copy_(F.normalize(weight * self.decay + means * (1 - self.decay), dim=-1))
        loss = F.mse_loss(vectors.detach(), z)
        return z + (vectors - z).detach(), nearest.view(z.shape[:-1]), loss


class Tokenizer(nn.Module):
    def __init__(self, config: VQNSPConfig) -> None:
        super().__init__()
        self.encoder = Transformer(config.encoder, "fc_norm")
        self.decoder = Transformer(config.decoder, "fc_norm")
        self.quantize = Quantizer(config.n_codes, config.code_width, config.decay)
        width = config.encoder.width
        self.encode_task_layer = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, config.code_width))
        self.decode_task_layer = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 200))
        self.decode_task_layer_angle = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 200))

    def codes(self, patches: Tensor, slots: Tensor) -> Tensor:
        """Codes (B, N)."""
        return self.quantize(self.encode_task_layer(self.encoder(patches, slots)[:, 1:]))[1]  # type: ignore[no-any-return]

    def forward(self, patches: Tensor, slots: Tensor) -> Tensor:
        """The loss: amplitude, angle and commitment."""
        spectrum = torch.fft.fft(patches, dim=-1)
        vectors, _, loss = self.quantize(self.encode_task_layer(self.encoder(patches, slots)[:, 1:]))
        features = self.decoder(vectors, slots)[:, 1:]
        heads = ((self.decode_task_layer, spectrum.abs()), (self.decode_task_layer_angle, spectrum.angle()))
        for head, target in heads:
            std, mean = torch.std_mean(target, dim=(1, 2), keepdim=True)
            loss = loss + F.mse_loss(head(features), (target - mean) / std)
        out: Tensor = loss
        return out

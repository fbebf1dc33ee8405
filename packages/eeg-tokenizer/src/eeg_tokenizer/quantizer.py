"""The codebook: nearest neighbours on the unit sphere, learned by moving averages (paper, section 2.3).

Shapes: B batch, N patches, V vectors, W code width, K codes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

KMEANS_ROUNDS = 10
BLOCK_ENTRIES = 2**24  # similarities held at once: 64 MiB, where 32,000 patches times 8192 codes would take 1 GiB
RECENT_BATCHES = 100


class Quantized(NamedTuple):
    """Vectors (B, N, W) with the gradient of their input, codes (B, N) with -1 at padding, and the commitment loss.

    `units` (B, N, W) are the input at unit length, without gradient: what the codebook learns from.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor
    units: Tensor


class CodebookUsage(NamedTuple):
    """How many codes are chosen at all, and exp(entropy) of how often: K when all are chosen equally often."""

    in_use: int
    perplexity: float


class NormEMAQuantizer(nn.Module):
    """A codebook of unit vectors that follows the encoder by an exponential moving average.

    `start` sets the codes by k-means, and `learn` moves them after every step, by statistics summed over all processes,
    so that all processes hold the same codebook. `forward` changes nothing: parts of a batch are learned from together,
    and a step that is thrown away leaves no trace. `usage` (K,) is the moving average of how often a code is chosen in
    a step.

    A code that none of the last `revive_after` x K vectors chose takes the place of one of the batch's; with None it
    stays where it is for good, as in the official code (docs/decisions/codebook.md).
    """

    codebook: Tensor
    usage: Tensor
    started: Tensor
    idle: Tensor

    def __init__(
        self,
        n_codes: int,
        code_width: int,
        *,
        decay: float = 0.99,
        commitment: float = 1.0,
        revive_after: int | None = None,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.commitment = commitment
        self.revive_after = revive_after
        self.register_buffer("codebook", torch.zeros(n_codes, code_width))
        self.register_buffer("usage", torch.zeros(n_codes))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("idle", torch.zeros(n_codes))  # vectors since the code was chosen

    def forward(self, z: Tensor, valid: Tensor | None) -> Quantized:
        """Replace vectors (B, N, W) by their nearest codes; `valid` (B, N) is False at padding.

        Raises:
            RuntimeError: when the codebook was never set.
        """
        z = F.normalize(z.to(self.codebook.dtype), dim=-1)
        flat = z.detach().flatten(0, -2)
        weight = torch.ones_like(flat[:, 0]) if valid is None else valid.flatten().to(flat.dtype)
        nearest = self._nearest(flat)
        vectors = F.embedding(nearest, self.codebook).view_as(z)
        error = (vectors - z).square().mean(-1).flatten()
        loss = self.commitment * (error * weight).sum() / weight.sum()
        return Quantized(z + (vectors - z).detach(), _codes(nearest, z, valid), loss, z.detach())

    @torch.no_grad()
    def encode(self, z: Tensor, valid: Tensor | None) -> Tensor:
        """Return the nearest codes (B, N) int64 to vectors (B, N, W), -1 at padding, without learning from them.

        Raises:
            RuntimeError: when the codebook was never set.
        """
        flat = F.normalize(z.to(self.codebook.dtype), dim=-1).flatten(0, -2)
        return _codes(self._nearest(flat), z, valid)

    @torch.no_grad()
    def start(self, samples: Tensor, generator: torch.Generator | None = None) -> None:
        """Set the codes by k-means over unit vectors (V, W), those of the first process; `generator` is on the CPU."""
        if not _distributed() or dist.get_rank() == 0:
            self.codebook.copy_(spherical_kmeans(samples, len(self.codebook), generator))
        if _distributed():
            dist.broadcast(self.codebook, src=0)
        self.started.fill_(True)

    @torch.no_grad()
    def learn(self, units: Tensor, codes: Tensor) -> None:
        """Learn from the valid vectors (V, W) of this process in a step, at unit length, and their codes (V,)."""
        self._update(units, codes)
        if self.revive_after is not None:
            self._revive(units, self.revive_after * len(self.idle))

    def codebook_usage(self) -> CodebookUsage:
        """Return how many codes were chosen in the last 100 steps or so, and the perplexity over them."""
        in_use = self.usage > (1 - self.decay) * self.decay**RECENT_BATCHES
        share = self.usage / self.usage.sum().clamp_min(1e-12)
        entropy = -torch.special.xlogy(share, share).sum()
        return CodebookUsage(int(in_use.sum()), math.exp(entropy.item()) if in_use.any() else 0.0)

    def _nearest(self, flat: Tensor) -> Tensor:
        if not self.started:
            raise RuntimeError("codes of an untrained tokenizer: expected a codebook, found none. Train it first.")
        return nearest_codes(flat, self.codebook)

    def _update(self, units: Tensor, codes: Tensor) -> None:
        """Move each chosen code towards the mean of its vectors; the others stay."""
        counts = torch.bincount(codes, minlength=len(self.usage)).to(self.usage.dtype)
        sums = torch.zeros_like(self.codebook).index_add_(0, codes, units)
        if _distributed():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        self.usage.lerp_(counts, 1 - self.decay)
        self.idle.add_(counts.sum()).masked_fill_(counts > 0, 0)
        means = F.normalize(sums / counts.clamp_min(1).unsqueeze(-1), dim=-1)
        means = torch.where(counts.unsqueeze(-1) > 0, means, self.codebook)
        self.codebook.copy_(F.normalize(self.codebook.lerp(means, 1 - self.decay), dim=-1))

    def _revive(self, samples: Tensor, longest: int) -> None:
        """Put each code that more than `longest` vectors passed by onto one of the vectors (V, W) of all processes."""
        dead = self.idle > longest  # the same on all processes, like the counts
        if not dead.any():
            return
        gathered = _gather(samples)
        chosen = torch.randint(len(gathered), (int(dead.sum()),), device=gathered.device)
        self.codebook[dead] = gathered[chosen]
        self.idle[dead] = 0
        if _distributed():
            dist.broadcast(self.codebook, src=0)


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Return the index (V,) of the nearest code (K, W) to each vector (V, W): by cosine, as codes have unit length.

    Half of the codes' squared length is taken off, so that the answer also holds for a codebook of other lengths.
    """
    half_square = codebook.square().sum(1) / 2
    block = max(1, BLOCK_ENTRIES // len(codebook))
    return torch.cat([(part @ codebook.T - half_square).argmax(1) for part in torch.split(vectors, block)])


def spherical_kmeans(samples: Tensor, n_codes: int, generator: torch.Generator | None) -> Tensor:
    """Return `n_codes` unit vectors (K, W) that summarize unit vectors (V, W); they start as some of these."""
    if len(samples) == 0:
        raise ValueError("start of the codebook: expected patches in the first batch, found none. Check the windows.")
    if len(samples) >= n_codes:
        chosen = torch.randperm(len(samples), generator=generator)[:n_codes]
    else:
        chosen = torch.randint(len(samples), (n_codes,), generator=generator)
    means = samples[chosen.to(samples.device)]
    for _ in range(KMEANS_ROUNDS):
        nearest = nearest_codes(samples, means)
        counts = torch.bincount(nearest, minlength=n_codes).unsqueeze(-1)
        sums = torch.zeros_like(means).index_add_(0, nearest, samples)
        means = torch.where(counts > 0, F.normalize(sums, dim=-1), means)
    return means


def _codes(nearest: Tensor, z: Tensor, valid: Tensor | None) -> Tensor:
    codes = nearest.view(z.shape[:-1])
    return codes if valid is None else codes.masked_fill(~valid, -1)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _gather(samples: Tensor) -> Tensor:
    """Return the samples (V, W) of all processes in their order; processes may hold different numbers."""
    if not _distributed():
        return samples
    length = torch.tensor([len(samples)], device=samples.device)
    lengths = [torch.zeros_like(length) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, length)
    longest = int(torch.cat(lengths).max())
    padded = F.pad(samples, (0, 0, 0, longest - len(samples)))
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(n)] for part, n in zip(parts, lengths, strict=True)])

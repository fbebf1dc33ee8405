"""What a tokenizer is trained on: how it starts, its loss, and its scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eeg_tokenizer.backbone import valid_or_none
from eeg_tokenizer.bands import BandScores
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.spectrum import spectrum_targets
from eeg_tokenizer.step import Objective, Shares, StepLoss
from eeg_tokenizer.vqnsp import VQNSP


def vqnsp_objective(vqnsp: VQNSP) -> Objective[Batch]:
    """Return what a tokenizer learns: by gradients the loss, and its codebook from the vectors of every step."""

    def loss(model: nn.Module, batch: Batch, _step: int, shares: Shares) -> StepLoss:
        out = model(batch)  # `vqnsp`, or what wraps it
        weighted = torch.stack([part * shares[name] for name, part in out.parts.items()]).sum()
        return StepLoss(weighted, out.parts, lesson=(out.units[batch.valid], out.codes[batch.valid]))

    def counts(batch: Batch, _step: int) -> Mapping[str, Tensor]:
        return dict.fromkeys(("commitment", *vqnsp.config.targets.widths), batch.valid.sum())

    def learn(lessons: list[tuple[Tensor, Tensor]]) -> Mapping[str, float]:
        units, codes = (torch.cat(each) for each in zip(*lessons, strict=True))
        vqnsp.quantizer.learn(units, codes)
        usage = vqnsp.quantizer.codebook_usage()
        return {"codes_in_use": usage.in_use, "perplexity": usage.perplexity}

    return Objective(loss, counts, learn)


@torch.no_grad()
def start_codebook(model: VQNSP, batches: Iterable[Batch], seed: int) -> None:
    """Set the codes by k-means over the vectors of some batches, the same batches on all processes."""
    parts = []
    for batch in batches:
        valid = valid_or_none(batch.valid)
        parts.append(model.code_vectors(batch, valid)[batch.valid])
    units = F.normalize(torch.cat(parts).float(), dim=-1)
    model.quantizer.start(units, torch.Generator().manual_seed(seed))


@torch.no_grad()
def start_heads(model: VQNSP, batches: Iterable[Batch]) -> None:
    """Let the heads predict the mean spectrum from the start, by the biases of their last layers.

    Otherwise the first thing that all code vectors learn is this mean; they turn in one direction, and within some
    twenty steps a single code is left (docs/decisions/codebook.md).
    """
    sums: dict[str, Tensor] = {}
    n_patches = 0
    for batch in batches:
        n_patches += int(batch.valid.sum())
        for name, target in spectrum_targets(batch.patches, batch.valid, model.config.targets).items():
            sums[name] = sums.get(name, 0.0) + target[batch.valid].sum(0)
    for name, total in sums.items():
        *_, bias = model.heads[name].parameters()
        bias.copy_(total / n_patches)


@torch.no_grad()
def score(model: VQNSP, batches: Iterable[Batch]) -> dict[str, Any]:
    """Score a model over batches that do not teach.

    Returns:
        `loss` and its parts; `codes_in_use` and their `perplexity`; `vs_mean`, the error of each target in all bins and
        by frequency band, divided by that of predicting the mean spectrum (`BandScores`).
    """
    n_codes = model.config.n_codes
    sums: dict[str, float] = defaultdict(float)
    bands = BandScores(model.config.targets)
    chosen = torch.zeros(n_codes, dtype=torch.float64)
    n_windows = 0
    for batch in batches:
        reconstruction = model.reconstruct(batch)
        out = model.loss(reconstruction, batch)
        bands.add(reconstruction.predicted, reconstruction.targets, batch.valid)
        n_windows += len(batch)
        for name, value in {"loss": out.loss, **out.parts}.items():
            sums[name] += float(value) * len(batch)
        chosen += torch.bincount(out.codes[batch.valid], minlength=n_codes).cpu()
    share = chosen / chosen.sum()
    return {
        **{name: value / n_windows for name, value in sums.items()},
        "codes_in_use": int((chosen > 0).sum()),
        "perplexity": float(torch.exp(-torch.special.xlogy(share, share).sum())),
        "vs_mean": bands.vs_mean(),
    }

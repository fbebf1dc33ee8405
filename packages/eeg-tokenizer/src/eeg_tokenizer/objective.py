"""What a tokenizer is trained on: how it starts, its loss, and its scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from eeg_tokenizer.bands import BandScores
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.spectrum import spectrum_targets
from eeg_tokenizer.training import StepLoss
from eeg_tokenizer.vqnsp import VQNSP


def vqnsp_loss(vqnsp: VQNSP) -> Callable[[nn.Module, Batch], StepLoss]:
    """Return the loss of a batch, with how many codes the last batches used."""

    def loss_of(model: nn.Module, batch: Batch) -> StepLoss:
        out = model(batch)  # `vqnsp`, or what wraps it
        usage = vqnsp.quantizer.codebook_usage()
        return StepLoss(out.loss, out.parts, {"codes_in_use": usage.in_use, "perplexity": usage.perplexity})

    return loss_of


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

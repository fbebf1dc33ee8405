"""How well a model predicts the codes of patches that it does not see, over held-out windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from eeg_store import Store
from eeg_tokenizer.distributed import Place
from eeg_tokenizer.loader import StoredWindows
from eeg_tokenizer.windows import Windows
from torch import nn

from labram_model.code_source import CodeSource
from labram_model.masks import random_mask

SCORED_MASK_RATIO = 0.5  # whatever the training hides, so that scores compare
SCORED_WINDOWS = 256  # of the held-out ones, evenly spread
SCORING_BATCH = 32


@torch.no_grad()
def score(
    model: nn.Module, stored: StoredWindows, parts: Sequence[np.ndarray], codes: CodeSource, device: torch.device
) -> dict[str, float]:
    """Score the prediction of masked codes over some windows, with the same masks at every call.

    Returns:
        `loss`; `accuracy`, the share of masked codes that are predicted right; what it is to be compared with: `chance`
        (1/K) and `most_frequent` (the share of the commonest code, which a constant guess would get); `codes_in_use`
        and their `perplexity`.
    """
    drawn = torch.zeros(codes.n_codes, dtype=torch.int64)
    loss = right = 0.0
    for part in parts:
        batch = stored.read(part).to(device)
        targets = codes.of(batch)
        known = targets[batch.valid & (targets >= 0)]
        out = model(batch, targets, random_mask(batch.valid, SCORED_MASK_RATIO, window=batch.window, seed=0))
        drawn += torch.bincount(known, minlength=codes.n_codes).cpu()
        loss += float(out.loss) * len(known)
        right += float(out.accuracy) * len(known)
    n_codes = int(drawn.sum())
    share = drawn.double() / n_codes
    return {
        "loss": loss / n_codes,
        "accuracy": right / n_codes,
        "chance": 1 / codes.n_codes,
        "most_frequent": int(drawn.max()) / n_codes,
        "codes_in_use": int((drawn > 0).sum()),
        "perplexity": math.exp(-float(torch.special.xlogy(share, share).sum())),
    }


def evaluation(
    store: Store, held_out: Windows, codes: CodeSource, place: Place
) -> Callable[[nn.Module], dict[str, float]]:
    """Return the scoring of a model on a fixed choice of the held-out windows."""
    stored = StoredWindows(store, held_out, codes=codes.stored)
    return lambda model: score(model, stored, spread(held_out), codes, place.device)


def spread(windows: Windows) -> list[np.ndarray]:
    """Return a fixed choice of the windows, evenly spread over them, in batches."""
    chosen = np.linspace(0, len(windows) - 1, min(SCORED_WINDOWS, len(windows))).astype(np.int64)
    return np.split(chosen, range(SCORING_BATCH, len(chosen), SCORING_BATCH))

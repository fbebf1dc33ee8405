"""How batches are made up: which windows, in which order, and where one batch ends and the next begins.

Shapes: W windows, D draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eeg_tokenizer.run import RunError
from eeg_tokenizer.sampling import Order, window_order
from eeg_tokenizer.windows import Windows, WindowsError

_GRANULES = 8  # in the smallest batch, so that rounding takes an eighth of a batch at most


@dataclass(frozen=True)
class BatchOptions:
    """What a training may be asked about its batches.

    Attributes:
        where: a condition on windows (`queries`); None takes all.
        weights: of the sources (`sampling.window_order`).
        tokens: the most patches of a batch over all processes, padding included, instead of a number of windows.
        loader_workers: processes that read batches, for each process that trains; 0 reads in a thread.
    """

    where: str | None = None
    weights: str = "hours"
    tokens: int | None = None
    loader_workers: int = 0

    def lasting(self) -> dict[str, Any]:
        """Return the options that change the result, where they are not the defaults."""
        lasting = {"where": self.where, "weights": self.weights, "tokens": self.tokens}
        return {name: value for name, value in lasting.items() if value not in (None, "hours")}


class FixedBatches:
    """Batches of a fixed number of windows, over all processes."""

    def __init__(self, n_windows: int) -> None:
        self.n_windows = self.granule = n_windows
        self.mean_windows = float(n_windows)

    def bounds(self, step: int) -> tuple[int, int]:
        """Return the first draw of batch number `step`, and the one after its last."""
        return step * self.n_windows, (step + 1) * self.n_windows


class TokenBatches:
    """Batches of as many draws as keep windows x longest window, padding included, within `tokens` patches.

    Batches follow the order, so they mix what it mixes. Where they end does not depend on the number of processes: the
    number of windows is rounded down to a power of two, `granule`, and any number of processes that divides it shares
    batches evenly.
    """

    n_windows = None  # it varies

    def __init__(self, order: Order, n_patches: NDArray[np.int64], tokens: int) -> None:
        """Group the windows of `order`, which have `n_patches` (W,).

        Raises:
            WindowsError: not even one window of the longest fits.
        """
        longest = int(n_patches.max())
        if tokens < longest:
            raise WindowsError(
                f"Cannot fill batches of --tokens {tokens}: expected room for a window, found windows of {longest} "
                f"patches. Give at least {longest}."
            )
        self.granule = 1 << max(0, (tokens // longest // _GRANULES).bit_length() - 1)
        self._order, self._n_patches, self._tokens = order, n_patches, tokens
        self._bounds = [0]

    @property
    def mean_windows(self) -> float:
        """Windows of a batch, as the first batches have them."""
        n_batches = 64
        return self.bounds(n_batches - 1)[1] / n_batches

    def bounds(self, step: int) -> tuple[int, int]:
        """Return the first draw of batch number `step`, and the one after its last."""
        while len(self._bounds) < step + 2:
            first = self._bounds[-1]
            n_windows = self._fitting(first)
            self._bounds.append(first + n_windows // self.granule * self.granule)
        return self._bounds[step], self._bounds[step + 1]

    def _fitting(self, first: int) -> int:
        """Return how many windows from this draw on fit, looking no further ahead than it takes."""
        ahead = 2 * self.granule * _GRANULES
        while True:
            lengths = self._n_patches[self._order.at(np.arange(first, first + ahead))]
            padded = np.maximum.accumulate(lengths) * np.arange(1, ahead + 1)
            if padded[-1] > self._tokens:
                return int(np.searchsorted(padded, self._tokens, side="right"))
            ahead *= 2


DEFAULT = BatchOptions()


@dataclass(frozen=True)
class BatchPlan:
    """The order of windows, and the sizes of batches."""

    order: Order
    sizes: FixedBatches | TokenBatches


def choose_batch_size(asked: int | None, options: BatchOptions, *, default: int, world_size: int) -> int:
    """Return the windows of a batch over all processes: those asked for, or the default.

    Raises:
        RunError: a size that the processes do not divide, or one beside a number of patches.
    """
    batch_size = asked or default
    if batch_size % world_size:
        raise RunError(
            f"Cannot share a batch over {world_size} processes: expected a --batch-size that they divide, "
            f"found {batch_size}. Choose another."
        )
    if asked and options.tokens:
        raise RunError("Cannot size batches: expected --batch-size or --tokens, found both. Leave one out.")
    return batch_size


def plan_batches(
    windows: Windows, options: BatchOptions, *, batch_size: int, seed: int, mixed: bool, world_size: int = 1
) -> BatchPlan:
    """Return how to make batches of `windows`: of `batch_size` over all processes, or of `options.tokens` patches.

    Raises:
        WindowsError: weights or tokens that do not suit the windows; batches that the processes cannot share evenly.
    """
    order = window_order(windows, seed=seed, weights=options.weights, mixed=mixed)
    if options.tokens is None:
        return BatchPlan(order, FixedBatches(batch_size))
    sizes = TokenBatches(order, windows.n_patches(), options.tokens)
    if sizes.granule % world_size:
        raise WindowsError(
            f"Cannot share batches of --tokens {options.tokens}: expected groups of windows that {world_size} "
            f"processes divide, found groups of {sizes.granule}. Use a power of two of processes, or more tokens."
        )
    return BatchPlan(order, sizes)

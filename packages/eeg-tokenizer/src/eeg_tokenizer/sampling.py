"""In which order windows are drawn: a function of the seed alone.

Draws are numbered from 0 through a whole run, over all processes, so any position is reached at once.

Shapes: W windows, D draws.
"""

from __future__ import annotations

import logging
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eeg_tokenizer.windows import Windows, WindowsError

logger = logging.getLogger(__name__)

Indices = NDArray[np.int64]

BLOCK = 1 << 16  # draws within which every source has its share to the window


class Order(Protocol):
    """Which window each draw is."""

    def at(self, draws: Indices) -> Indices:
        """Return the windows (D,) of these draws."""
        ...


class Permutations:
    """Epoch after epoch a new permutation of all windows; with `groups` (W,), one group after another in each."""

    def __init__(self, n_windows: int, seed: tuple[int, ...], groups: Indices | None = None) -> None:
        self._n_windows, self._seed, self._groups = n_windows, seed, groups
        self._epochs: dict[int, Indices] = {}

    def at(self, draws: Indices) -> Indices:
        """Return the windows (D,) of these draws."""
        epochs = draws // self._n_windows
        parts = np.split(draws, np.flatnonzero(np.diff(epochs)) + 1)
        return np.concatenate(
            [self._permutation(int(part[0]) // self._n_windows)[part % self._n_windows] for part in parts]
        )

    def _permutation(self, epoch: int) -> Indices:
        if epoch not in self._epochs:
            order = np.random.default_rng([*self._seed, epoch]).permutation(self._n_windows)
            if self._groups is not None:
                order = order[np.argsort(self._groups[order], kind="stable")]
            # Two, as a batch may end in the next epoch.
            self._epochs = {epoch: order} | {e: o for e, o in self._epochs.items() if abs(e - epoch) == 1}
        return self._epochs[epoch]


class WeightedOrder:
    """Draws from each source by its share, and within a source without replacement, epoch after epoch of its own.

    Every block of `BLOCK` draws holds each source as often as its share says, rounded, in random order.
    """

    def __init__(self, source: Indices, shares: NDArray[np.float64], seed: int) -> None:
        """Draw windows of `source` (W,) numbers by `shares`, one for each number, which add up to 1."""
        self._seed = seed
        self._until = np.minimum(np.cumsum(shares), 1)
        self._until[-1] = 1
        self._windows = [np.flatnonzero(source == number) for number in range(len(shares))]
        self._orders = [Permutations(len(own), (seed, 1, number)) for number, own in enumerate(self._windows)]
        self._blocks: dict[int, tuple[Indices, Indices]] = {}

    def at(self, draws: Indices) -> Indices:
        """Return the windows (D,) of these draws."""
        indices = np.empty(len(draws), dtype=np.int64)
        for block in np.unique(draws // BLOCK).tolist():
            of_block = draws // BLOCK == block
            sources, numbers = self._block(block)
            place = draws[of_block] % BLOCK
            found = np.empty(len(place), dtype=np.int64)
            for source in np.unique(sources[place]).tolist():
                own = sources[place] == source
                found[own] = self._windows[source][self._orders[source].at(numbers[place[own]])]
            indices[of_block] = found
        return indices

    def _block(self, block: int) -> tuple[Indices, Indices]:
        """Return (BLOCK,) the source of each draw, and (BLOCK,) how many times that source was drawn before."""
        if block not in self._blocks:
            before, after = (self._drawn(end * BLOCK) for end in (block, block + 1))
            sources = np.repeat(np.arange(len(before)), after - before)
            sources = np.random.default_rng([self._seed, 2, block]).permutation(sources)
            numbers = np.empty(BLOCK, dtype=np.int64)
            for source, first in enumerate(before.tolist()):
                own = sources == source
                numbers[own] = first + np.arange(int(own.sum()))
            self._blocks = {block: (sources, numbers)} | {b: v for b, v in self._blocks.items() if abs(b - block) == 1}
        return self._blocks[block]

    def _drawn(self, n_draws: int) -> Indices:
        """Return how many of the first draws each source has."""
        until = np.concatenate([[0], np.rint(self._until * n_draws).astype(np.int64)])
        drawn: Indices = np.diff(until)
        return drawn


def window_order(windows: Windows, *, seed: int, weights: str = "hours", mixed: bool = True) -> Order:
    """Return the order in which to draw windows.

    Args:
        windows: to draw from.
        seed: of the order.
        weights: `hours` (every window once in an epoch), `uniform` (every source equally often), `temperature:T`
            (sources by their number of windows to the power of 1/T: 1 is hours, above 1 raises the small ones), or
            `siena=1,tusz=3` (sources by these weights; 0 leaves one out).
        mixed: whether sources mix; else an epoch goes through one after another.

    Raises:
        WindowsError: weights that cannot be understood, sources missing or unknown, or weights without mixing.
    """
    numbers, names = windows.source_numbers(), windows.source_names()
    counts = np.bincount(numbers, minlength=len(names)).astype(np.float64)
    shares = _shares(weights, [name for name, count in zip(names, counts, strict=True) if count], counts[counts > 0])
    if shares is None:
        return Permutations(len(windows), (seed,), None if mixed else numbers)
    if not mixed:
        raise WindowsError(
            f"Cannot draw sources by --weights {weights}: expected batches that mix them, found mixed_batches false. "
            "Leave --weights out, or add --set mixed_batches=true."
        )
    all_shares = np.zeros(len(names))
    all_shares[counts > 0] = shares
    said = [f"{name} {share:.1%}" for name, share in zip(names, all_shares, strict=True)]
    logger.info("Drawing windows by source: %s.", ", ".join(said))
    return WeightedOrder(numbers, all_shares, seed)


def _shares(text: str, names: list[str], counts: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the share of each source; None for `hours`."""
    kind, _, number = text.partition(":")
    if text == "hours":
        return None
    if text == "uniform":
        weights = np.ones(len(names))
    elif kind == "temperature":
        weights = (counts / counts.max()) ** (1 / _positive(text, number))
    elif "=" in text:
        weights = _given(text, names)
    else:
        raise WindowsError(
            f"Unknown --weights: expected hours, uniform, temperature:T or source=weight,..., found {text!r}. "
            "Give one of these."
        )
    weights = weights / weights.max()  # a sum of the largest numbers would be infinite
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _given(text: str, names: list[str]) -> NDArray[np.float64]:
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    given = {name.strip(): _positive(text, weight, or_zero=True) for name, weight in pairs}
    unknown, missing = sorted(set(given) - set(names)), sorted(set(names) - set(given))
    if unknown or missing or len(given) < len(pairs) or not any(given.values()):
        found = [f"no {name}" for name in missing] + [f"{name}, which has no windows" for name in unknown]
        found += ["a source twice"] if len(given) < len(pairs) else []
        found += [] if any(given.values()) else ["no weight above 0"]
        raise WindowsError(
            f"Cannot draw sources by --weights {text}: expected each of {', '.join(names)} once, found "
            f"{'; '.join(found)}. Name every source; weight 0 leaves one out."
        )
    return np.array([given[name] for name in names])


def _positive(text: str, number: str, *, or_zero: bool = False) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and not or_zero):
        expected = "numbers of 0 or more" if or_zero else "a number above 0"
        raise WindowsError(f"Cannot use --weights {text}: expected {expected}, found {number!r}. Correct it.")
    return value

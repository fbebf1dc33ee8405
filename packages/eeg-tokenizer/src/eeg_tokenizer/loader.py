"""Random batches from a store: each a function of the seed and its number, read ahead in a thread.

Shapes: B batch, C channels, A seconds, W windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from eeg_store import SFREQ_HZ, Store, WindowReader
from numpy.typing import NDArray

from eeg_tokenizer.batches import MODEL_UNIT_UV, Batch, Sample, collate
from eeg_tokenizer.windows import GRID, Windows, WindowsError

READ_AHEAD = 4  # batches

R = TypeVar("R")
T = TypeVar("T")
Scalar = TypeVar("Scalar", bound=np.generic)


class StoredWindows:
    """Reads windows from a store as batches, and the codes that a tokenizer wrote beside them."""

    def __init__(self, store: Store, windows: Windows, *, codes: str | None = None) -> None:
        """Read from `store`; with `codes` (a tokenizer's hash) `windows` must be those of `cut_grid`.

        Raises:
            WindowsError: the store has no such codes, or on another grid.
        """
        self.windows = windows
        self._codes = codes
        if codes is not None:
            grid = store.code_sets().get(codes, {}).get("grid")
            if grid != GRID:
                raise WindowsError(
                    f"Cannot read the codes {codes[:16]} in {store.path}: expected the grid {GRID}, found {grid}. "
                    "Write them again with eeg-tokenizer encode."
                )
        self._reader = WindowReader(store)
        self._scales = [store.array(montage.array).attrs["scale_uv"] / MODEL_UNIT_UV for montage in windows.montages]

    def read(self, indices: NDArray[np.int64]) -> Batch:
        """Return the windows (B,) as one batch.

        Raises:
            StoreError: the store has no such codes, or is damaged.
        """
        windows = self.windows
        montages = windows.montage[windows.recording[indices]]
        paths = [windows.montages[montage].array for montage in montages]
        first, seconds = windows.first_second[indices].tolist(), windows.n_seconds[indices].tolist()
        starts = [second * SFREQ_HZ for second in first]
        signals = self._reader.read(list(zip(paths, starts, seconds, strict=True)))
        codes = None
        if self._codes is not None:
            codes = self._reader.read_codes(self._codes, list(zip(paths, first, seconds, strict=True)))
        samples = []
        for i, index in enumerate(indices.tolist()):
            montage = windows.montages[montages[i]]
            samples.append(
                Sample(
                    signal=_usable(signals[i], montage.rows),
                    scale=self._scales[montages[i]],
                    channel=montage.slots,
                    codes=None if codes is None else _usable(codes[i].T, montage.rows),
                    window=index,
                )
            )
        return collate(samples)


def read_ahead(read: Callable[[R], T], requests: Iterable[R]) -> Generator[T, None, None]:
    """Yield `read(request)` for each request, a few ahead, from one thread, which ends with the generator.

    Close the generator (`contextlib.closing`) where it may not be used up.

    Raises:
        Exception: whatever `read` raises, at its request.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        ahead: deque[Future[T]] = deque()
        try:
            for request in requests:
                ahead.append(thread.submit(read, request))
                if len(ahead) > READ_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


class BatchLoader(Generic[T]):
    """Batches of windows drawn without replacement: every epoch is a permutation of all windows, drawn anew.

    Batches follow each other through the epochs, so the last batch of an epoch may end in the next one, and a set
    smaller than a batch is gone through more than once in it.
    """

    def __init__(
        self,
        read: Callable[[NDArray[np.int64]], T],
        n_windows: int,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        """Draw batches.

        Args:
            read: makes a batch of the windows with these indices; called in a thread.
            n_windows: how many windows there are.
            batch_size: windows of a batch over all processes.
            seed: of the permutations.
            rank: this process.
            world_size: number of processes.
            groups: (W,) for an epoch that goes through one group of windows after another, the windows of each in
                random order; None mixes all windows in every batch.

        Raises:
            ValueError: no windows, or a batch that the processes cannot share evenly.
        """
        if n_windows < 1 or batch_size < 1:
            raise ValueError(
                f"Cannot draw batches: expected windows and a batch size of 1 or more, found {n_windows} windows and "
                f"batches of {batch_size}."
            )
        if batch_size % world_size:
            raise ValueError(
                f"Cannot share a batch: expected a --batch-size that {world_size} processes divide, found {batch_size}."
            )
        self._read, self._n_windows, self._batch_size, self._seed = read, n_windows, batch_size, seed
        self._share = batch_size // world_size
        self._offset = rank * self._share
        self._groups = groups
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    def indices(self, step: int) -> NDArray[np.int64]:
        """Return the windows of this process in batch number `step`, counted from 0."""
        first = step * self._batch_size + self._offset
        drawn = np.arange(first, first + self._share)
        epochs = drawn // self._n_windows
        indices = np.empty(self._share, dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            of_epoch = epochs == epoch
            indices[of_epoch] = self._permutation(epoch)[drawn[of_epoch] % self._n_windows]
        return indices

    def batch(self, step: int) -> T:
        """Return this process's share of batch number `step`."""
        return self._read(self.indices(step))

    def batches(self, first: int, end: int) -> Generator[T, None, None]:
        """Yield batches `first` to `end` - 1, read ahead."""
        return read_ahead(self.batch, range(first, end))

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if self._epoch is None or self._epoch[0] != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._n_windows)
            if self._groups is not None:
                order = order[np.argsort(self._groups[order], kind="stable")]
            self._epoch = (epoch, order)
        return self._epoch[1]


def _usable(values: NDArray[Scalar], rows: NDArray[np.int64]) -> NDArray[Scalar]:
    """Return the channels (C, ...) that have a slot; all of them without a copy."""
    return values if len(rows) == len(values) else values[rows]

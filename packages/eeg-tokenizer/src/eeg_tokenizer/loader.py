"""Batches of windows from a store, read ahead in a thread or in processes.

Shapes: B batch, C channels, A seconds, W windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from eeg_store import SFREQ_HZ, Store, WindowReader
from numpy.typing import NDArray

from eeg_tokenizer.batch_plan import BatchPlan
from eeg_tokenizer.batches import MODEL_UNIT_UV, NO_CODE, Batch, BatchWriter, Sample
from eeg_tokenizer.reader_processes import read_in_processes
from eeg_tokenizer.sampling import Indices
from eeg_tokenizer.windows import GRID, Windows, WindowsError

READ_AHEAD = 4  # batches

R = TypeVar("R")
T = TypeVar("T")
Scalar = TypeVar("Scalar", bound=np.generic)


class Pinnable(Protocol):
    """What can be copied into page-locked memory."""

    def pin_memory(self) -> Self:
        """Return the copy."""
        ...


PinnableT = TypeVar("PinnableT", bound=Pinnable)


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
            attributes = store.code_sets().get(codes, {})
            grid, self._n_codes = attributes.get("grid"), attributes.get("n_codes", 0)
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
            StoreError: the store is damaged.
            WindowsError: codes that the tokenizer does not have, or none at all.
        """
        windows = self.windows
        montages = windows.montage[windows.recording[indices]]
        paths = [windows.montages[montage].array for montage in montages]
        first, seconds = windows.first_second[indices].tolist(), windows.n_seconds[indices].tolist()
        starts = [second * SFREQ_HZ for second in first]
        codes = None
        if self._codes is not None:
            read = self._reader.read_codes(self._codes, list(zip(paths, first, seconds, strict=True)))
            codes = [_usable(of.T, windows.montages[m].rows) for of, m in zip(read, montages, strict=True)]
            self._check(codes, indices)
        shapes = [(len(windows.montages[montage].rows), n) for montage, n in zip(montages, seconds, strict=True)]
        writer = BatchWriter(shapes, indices.tolist(), codes=codes is not None)
        for row, values in self._reader.visit(list(zip(paths, starts, seconds, strict=True))):
            montage = windows.montages[montages[row]]
            sample = Sample(
                signal=_usable(values, montage.rows),
                scale=self._scales[montages[row]],
                channel=montage.slots,
                codes=None if codes is None else codes[row],
            )
            writer.put(row, sample)
        return writer.batch

    def _check(self, codes: Sequence[NDArray[np.int32]], indices: NDArray[np.int64]) -> None:
        """Refuse codes (C, A) of windows that their tokenizer cannot have written; where a file is lost, all are -1."""
        for values, index in zip(codes, indices, strict=True):
            lowest, highest = int(values.min()), int(values.max())
            if lowest < NO_CODE or not 0 <= highest < self._n_codes:
                recording = self.windows.recordings[self.windows.recording[index]]
                raise WindowsError(
                    f"Cannot read the codes {str(self._codes)[:16]} of recording {recording!r}: expected some of 0 to "
                    f"{self._n_codes - 1}, found {f'{lowest} to {highest}' if highest >= 0 else 'none'}. "
                    "Run eeg-ingest validate, which names what to remove before they are encoded again."
                )


def read_ahead(read: Callable[[R], T], requests: Iterable[R], *, workers: int = 0) -> Generator[T, None, None]:
    """Yield `read(request)` for each request in order, a few ahead, from one thread or from `workers` processes.

    Threads and processes end with the generator: close it (`contextlib.closing`) where it may not be used up.

    Raises:
        LoaderError: a process has died.
        Exception: whatever `read` raises, at its request.
    """
    return read_in_processes(read, requests, workers) if workers else _from_thread(read, requests)


def _from_thread(read: Callable[[R], T], requests: Iterable[R]) -> Generator[T, None, None]:
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


def pinned(stream: Generator[PinnableT, None, None]) -> Generator[PinnableT, None, None]:
    """Yield the batches of `stream` in page-locked memory; the next one is copied there meanwhile, in a thread."""
    with closing(stream), ThreadPoolExecutor(1, thread_name_prefix="pin") as thread:

        def pin_next() -> PinnableT | None:
            batch = next(stream, None)
            return None if batch is None else batch.pin_memory()

        following = thread.submit(pin_next)
        while (batch := following.result()) is not None:
            following = thread.submit(pin_next)
            yield batch


class BatchLoader(Generic[T]):
    """Batches of windows: which ones is a function of the seed and the batch's number, whoever reads them.

    Batches follow each other through the epochs of an order, so the last batch of an epoch may end in the next one,
    and a set smaller than a batch is gone through more than once in it.
    """

    def __init__(
        self,
        read: Callable[[Indices], T],
        plan: BatchPlan,
        *,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> None:
        """Draw batches.

        Args:
            read: makes a batch of the windows with these indices; called in a thread, or in other processes.
            plan: in which order windows are drawn, and how many a batch has over all processes that train.
            rank: this process.
            world_size: number of processes that train.
            workers: processes that read, for each process that trains; 0 reads in a thread.

        Raises:
            ValueError: the processes cannot share a batch evenly.
        """
        if plan.sizes.granule % world_size:
            raise ValueError(
                f"Cannot share a batch: expected a number of windows that {world_size} processes divide, found "
                f"{plan.sizes.granule}."
            )
        self._read, self._order, self._sizes = read, plan.order, plan.sizes
        self._rank, self._world_size, self._workers = rank, world_size, workers

    def indices(self, step: int) -> Indices:
        """Return the windows of this process in batch number `step`, counted from 0."""
        first, end = self._sizes.bounds(step)
        share = (end - first) // self._world_size
        return self._order.at(np.arange(share) + first + self._rank * share)

    def batch(self, step: int) -> T:
        """Return this process's share of batch number `step`."""
        return self._read(self.indices(step))

    def batches(self, first: int, end: int) -> Generator[T, None, None]:
        """Yield batches `first` to `end` - 1, read ahead. See `read_ahead`."""
        return read_ahead(self._read, map(self.indices, range(first, end)), workers=self._workers)


def _usable(values: NDArray[Scalar], rows: NDArray[np.int64]) -> NDArray[Scalar]:
    """Return the channels (C, ...) that have a slot; all of them without a copy."""
    return values if len(rows) == len(values) else values[rows]

"""Reading stretches of signal, quality and codes: many windows at once, at any sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from eeg_store.arrays import read_metadata
from eeg_store.chunks import LOOK, ChunkReader
from eeg_store.contract import SFREQ_HZ, StoreError, sentence
from eeg_store.shards import READ_ERRORS, context, open_array

if TYPE_CHECKING:
    from eeg_store.store import Store


class WindowReader:
    """Reads windows, seconds, quality, targets and codes of a store, concurrently. It may be sent to other processes.

    Stretches that were never written, a lost shard and damaged bytes are errors (StoreError), not zeros. A store that
    grows is followed: an array is opened again when a read goes past its known end.
    Signal and targets are decoded in the thread that asks (`chunks`). `concurrency` bounds TensorStore's threads, which
    read the rest; by default it takes one for each core.
    """

    def __init__(self, store: Store, concurrency: int | None = None) -> None:
        self._path = store.path
        self._concurrency = concurrency
        self._context: ts.Context | None = None
        self._open: dict[str, ts.TensorStore] = {}
        self._chunks: dict[str, ChunkReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_concurrency": self._concurrency, "_context": None, "_open": {}, "_chunks": {}}

    def read(self, windows: Sequence[tuple[str, int, int]]) -> list[npt.NDArray[np.int16]]:
        """Read windows (array path, start_sample, n_seconds). Return int16 (C, n_seconds, 200) for each, in order.

        `start_sample` counts samples of 200 Hz from the array's start. A window that does not start on a whole second
        is a view into a slightly larger array. Raise StoreError.
        """
        return self._read_windows(windows)

    def visit(self, windows: Sequence[tuple[str, int, int]]) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
        """Yield the position of each window and its signal, as `read` returns it, in the order of their places.

        It is the fastest way to read: a signal holds until the next is asked for. Raise StoreError.
        """
        return self._visit(windows, keep=False)

    def read_targets(self, windows: Sequence[tuple[str, int, int]]) -> list[npt.NDArray[np.float32]]:
        """Read the targets in time of windows (signal array path, start_sample, n_seconds), as `read` their signal.

        Return float32 (T, n_seconds, 200) for each, NaN where there is none. Raise StoreError.
        """
        return self._read_windows([(_beside(path, "targets"), start, n) for path, start, n in windows])

    def _read_windows(self, windows: Sequence[tuple[str, int, int]]) -> list[npt.NDArray[Any]]:
        found = dict(self._visit(windows, keep=True))
        return [found[position] for position in range(len(windows))]

    def _visit(self, windows: Sequence[tuple[str, int, int]], *, keep: bool) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        by_path: dict[str, list[int]] = {}
        for position, (path, _, _) in enumerate(windows):
            by_path.setdefault(path, []).append(position)
        for path, positions in by_path.items():
            stretches = [_whole_seconds(windows[position]) for position in positions]
            for number, block in self._chunk_reader(path, stretches).read(stretches, keep=keep):
                _, start_sample, n_seconds = windows[positions[number]]
                yield positions[number], _cut(block.swapaxes(0, 1), start_sample % SFREQ_HZ, n_seconds)

    def read_seconds(self, array_path: str, first_second: int, n_seconds: int) -> npt.NDArray[np.int16]:
        """Read int16 (n_seconds, C, 200). Raise StoreError."""
        stretch = (first_second, n_seconds)
        ((_, values),) = self._chunk_reader(array_path, [stretch]).read([stretch], keep=True)
        return values

    def read_quality(self, array_path: str, first_second: int, n_seconds: int) -> npt.NDArray[np.float32]:
        """Read the quality numbers beside a signal array, float32 (n_seconds, C, 5). Raise StoreError."""
        return self._read([(_beside(array_path, "quality"), first_second, n_seconds)])[0]

    def read_codes(self, tokenizer_hash: str, stretches: Sequence[tuple[str, int, int]]) -> list[npt.NDArray[np.int32]]:
        """Read codes of stretches (signal array path, first_second, n_seconds). Return int32 (n_seconds, C) for each.

        -1 where there is no code, as in recordings that are not in `Store.codes_done`. Raise StoreError.
        """
        name = f"codes/{tokenizer_hash[:16]}"
        return self._read([(_beside(path, name), first, n) for path, first, n in stretches])

    def _chunk_reader(self, path: str, stretches: Sequence[tuple[int, int]]) -> ChunkReader:
        """Return the reader of an array's chunks, which has all of these stretches."""
        self._array(path, min(first for first, _ in stretches), max(first + n for first, n in stretches))
        if path not in self._chunks:
            self._chunks[path] = ChunkReader(self._path / path, read_metadata(self._path / path))
        return self._chunks[path]

    def _read(self, stretches: Sequence[tuple[str, int, int]]) -> list[npt.NDArray[Any]]:
        """Read (second, channel, ...) of each stretch."""
        parts = [
            self._array(path, first, first + n_seconds)[first : first + n_seconds]
            for path, first, n_seconds in stretches
        ]
        with ts.Batch() as batch:  # one visit to a shard for all windows in it
            futures = [part.read(batch=batch) for part in parts]
        try:
            return [np.asarray(future.result()) for future in futures]
        except READ_ERRORS as error:
            raise StoreError(sentence("reading failed", self._path, "stored seconds", error, LOOK)) from error

    def _array(self, path: str, first: int, stop: int) -> ts.TensorStore:
        if path not in self._open or stop > self._open[path].shape[0]:
            if self._context is None:
                self._context = context(self._concurrency)
            # Codes say themselves where there is none; signal and quality cannot.
            fill_missing = "/codes/" in path
            self._open[path] = open_array(self._path / path, self._context, fill_missing=fill_missing)
        n_seconds = self._open[path].shape[0]
        if not 0 <= first <= stop <= n_seconds:
            action = "Read only seconds of rows in Store.recordings()"
            found = f"seconds {first} to {stop}"
            raise StoreError(sentence("reading failed", path, f"seconds within 0 to {n_seconds}", found, action))
        return self._open[path]


def _beside(signal_path: str, name: str) -> str:
    """Return the path of an array of the same source and montage."""
    return f"{signal_path.rsplit('/', 1)[0]}/{name}"


def _whole_seconds(window: tuple[str, int, int]) -> tuple[int, int]:
    """Return the first second that a window touches, and how many."""
    _, start_sample, n_seconds = window
    first = start_sample // SFREQ_HZ
    return first, -(-start_sample // SFREQ_HZ) + n_seconds - first


def _cut(block: npt.NDArray[Any], offset: int, n_seconds: int) -> npt.NDArray[Any]:
    """Cut (C, n_seconds, 200) out of (C, seconds, 200), `offset` samples after its start."""
    if offset == 0:
        return block
    n_channels = len(block)
    samples = block.reshape(n_channels, -1)[:, offset : offset + n_seconds * SFREQ_HZ]
    return samples.reshape(n_channels, n_seconds, SFREQ_HZ)

"""Writing one recording: whole shards of its own slot, and at the end its row, by one atomic rename."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eeg_store import tables
from eeg_store.arrays import read_metadata
from eeg_store.contract import QUALITY_MEASURES, SFREQ_HZ, StoreError, sentence
from eeg_store.encoding import encode
from eeg_store.files import slug, sync, write_atomic
from eeg_store.shards import shard_file
from eeg_store.slots import Slot
from eeg_store.store import Store


class _Stream:
    """One array's part of a recording: buffered to whole shards, hashed on the way, and put on disk by `syncing`."""

    def __init__(self, store: Store, path: str, dtype: str, first_shard: int, syncing: ThreadPoolExecutor) -> None:
        self._folder = store.path / path
        self._metadata = read_metadata(self._folder)
        shape = self._metadata["chunk_grid"]["configuration"]["chunk_shape"]
        self._buffer = np.empty(shape, dtype)
        self._filled = 0
        self._shard = first_shard
        self._syncing = syncing
        self._unsynced: list[Future[None]] = []
        self._sha256 = hashlib.sha256()

    def append(self, values: npt.NDArray[Any]) -> None:
        while len(values):
            part = values[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            values = values[len(part) :]
            if self._filled == len(self._buffer):
                self.flush()

    def flush(self) -> None:
        """Write what is buffered as one shard."""
        if self._filled:
            block = self._buffer[: self._filled]
            self._sha256.update(block.data)
            path = shard_file(self._folder, self._shard, block.ndim)
            write_atomic(path, encode(self._metadata, block), durable=False)
            self._unsynced.append(self._syncing.submit(sync, path))
            self._shard += 1
            self._filled = 0

    def finish(self) -> None:
        """Write the rest, and wait until every shard is on disk."""
        self.flush()
        for synced in self._unsynced:
            synced.result()
        sync(self._folder)
        self._unsynced.clear()

    def sha256(self) -> str:
        return self._sha256.hexdigest()


class RecordingWriter:
    """Appends one recording to its slot. At most one shard is in memory. One writer for a slot, any number for a store.

    Use it in a `with` statement: leaving it without `commit` removes what was written.
    A full or failing disk raises OSError; the recording is then not in the store.
    """

    def __init__(self, store: Store, slot: Slot) -> None:
        store.check_writable()
        if store.is_committed(slot.recording):
            action = "Leave out recordings for which Store.is_committed is true"
            where = f"recording {slot.recording!r}"
            raise StoreError(sentence("writing a recording failed", where, "no row yet", "a committed row", action))
        self.slot = slot
        self.n_seconds = 0
        self._store = store
        self._array = store.array(slot.array)
        self._shards = slot.shards(self._array.shard_seconds)
        self._syncing = ThreadPoolExecutor(1)  # waits for the disk while the next shard is made
        # Fixed byte order, because the checksums are over these bytes.
        self._signal = _Stream(store, self._array.path, "<i2", self._shards.start, self._syncing)
        self._quality = _Stream(store, self._array.quality_path, "<f4", self._shards.start, self._syncing)
        self._targets: _Stream | None = None
        self.target_names = store.target_names(self._array)
        if self.target_names:
            self._targets = _Stream(store, self._array.targets_path, "<f4", self._shards.start, self._syncing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()

    def append(
        self,
        signal: npt.NDArray[np.int16],
        quality: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Add seconds: signal int16 (n, C, 200) in 0.1 µV, quality float32 (n, C, 5). Raise StoreError, OSError.

        And targets float32 (n, T, 200), NaN where there is none, if the array has targets.
        """
        n, n_channels = len(signal), len(self._array.channels)
        expected = f"int16 {(n, n_channels, SFREQ_HZ)} and float32 {(n, n_channels, len(QUALITY_MEASURES))}"
        found = f"{signal.dtype} {signal.shape} and {quality.dtype} {quality.shape}"
        if self._targets is not None:
            expected += f" and float32 {(n, len(self.target_names), SFREQ_HZ)}"
        if targets is not None:
            found += f" and {targets.dtype} {targets.shape}"
        if expected != found:
            raise StoreError(self._failed(expected, found, "Give whole seconds of every channel"))
        if self.n_seconds + n > self.slot.n_seconds:
            expected, found = f"{self.slot.n_seconds} s", f"{self.n_seconds + n} s"
            raise StoreError(self._failed(expected, found, "Reserve the length that is written"))
        self._signal.append(signal)
        self._quality.append(quality)
        if self._targets is not None and targets is not None:
            self._targets.append(targets)
        self.n_seconds += n

    def commit(self, row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        """Write the rest, the events, and then the row, with which the recording exists. Raise StoreError, OSError.

        `row` has the columns of the recordings table but for those that follow from the slot and the data (`recording`,
        `array`, `first_second`, `n_seconds`, `signal_sha256`, `quality_sha256`); `events` have all but `recording`.
        """
        if self.n_seconds != self.slot.n_seconds:
            expected, found = f"{self.slot.n_seconds} s", f"{self.n_seconds} s"
            raise StoreError(self._failed(expected, found, "Append all seconds that were reserved"))
        self._check(row, events)
        self._signal.finish()
        self._quality.finish()
        folder, name = self._store.path / "tables", f"{slug(self.slot.recording)}.parquet"
        full = {
            **row,
            "recording": self.slot.recording,
            "array": self.slot.array,
            "first_second": self.slot.first_second,
            "n_seconds": self.slot.n_seconds,
            "signal_sha256": self._signal.sha256(),
            "quality_sha256": self._quality.sha256(),
        }
        # Encoded before anything is visible, so that a wrong row leaves nothing behind.
        data = tables.encode_rows([full], tables.RECORDINGS, f"recording {self.slot.recording!r}")
        happened = [{**event, "recording": self.slot.recording} for event in events]
        event_file = folder / "events" / name
        if happened:
            tables.write_rows(event_file, happened, tables.EVENTS)
        else:
            event_file.unlink(missing_ok=True)
            sync(event_file.parent)
        if self._targets is not None:
            self._targets.finish()
            mark = {"recording": self.slot.recording, "targets_sha256": self._targets.sha256()}
            tables.write_rows(folder / "targets" / name, [mark], tables.TARGETS)
        self._store.clear_failure(row["source"], row["file"])
        write_atomic(folder / "recordings" / name, data)

    def discard(self) -> None:
        """Remove what was written, unless it is committed."""
        self._syncing.shutdown()
        if not self._store.is_committed(self.slot.recording):
            self._store.remove_shards(self._array, self._shards)

    def _check(self, row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        n_seconds, n_channels = self.slot.n_seconds, len(self._array.channels)
        if (row.get("source"), row.get("n_channels")) != (self._array.source, n_channels):
            expected = f"source {self._array.source!r} and {n_channels} channels"
            found = f"source {row.get('source')!r} and {row.get('n_channels')} channels"
            raise StoreError(self._failed(expected, found, "Correct the row"))
        wrong = tables.wrong_segments(row.get("segments") or [], n_seconds)
        if wrong:
            raise StoreError(
                self._failed(f"segments that follow one another over {n_seconds} s", wrong, "Correct the row")
            )
        for event in events:
            if tables.is_outside(event.get("onset_s"), n_seconds):
                expected = f"events from 0 to below {n_seconds} s, or without onset_s"
                action = "Leave onset_s empty where an event lies in a stretch that is not stored"
                raise StoreError(self._failed(expected, event, action))

    def _failed(self, expected: object, found: object, action: str) -> str:
        return sentence("writing a recording failed", f"recording {self.slot.recording!r}", expected, found, action)

"""Decoding stretches of sharded arrays straight from their files, in the memory of the one before.

TensorStore reads any Zarr array, but spends two thirds of a window's time on other things than decoding. The layout
(`arrays.signal_metadata`) is fixed, so its bytes are read here: a shard ends with the place and length of each inner
chunk, and a chunk is Blosc and a CRC32C (Zarr v3, `sharding_indexed`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from eeg_store.arrays import Metadata
from eeg_store.contract import StoreError, sentence
from eeg_store.encoding import ABSENT
from eeg_store.shards import shard_file

LOOK = "Run eeg-ingest validate (or Store.validate()), which names what to restore"
_CODECS = ["bytes", "blosc", "crc32c"]
_CHECKSUM = 4  # bytes
_SOUND = 0x48674BC7  # the CRC32C of any bytes that end with their own, little-endian


class ChunkReader:
    """Reads one sharded array. What is absent or damaged is an error (StoreError)."""

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        """Read the array in `folder`. Raise StoreError unless it has the codecs of the contract."""
        self._folder = folder
        shape = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        sharding = metadata["codecs"][0].get("configuration", {})
        found = [codec["name"] for codec in sharding.get("codecs", [])], sharding.get("index_location")
        if found != (_CODECS, "end"):
            action = "Run Store.validate(), or build the store again"
            raise StoreError(sentence("opening an array failed", folder, (_CODECS, "end"), found, action))
        self._chunk_seconds: int = sharding["chunk_shape"][0]
        self._chunks_per_shard: int = shape[0] // self._chunk_seconds
        self._inner = tuple(shape[1:])
        self._dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        self._indexes: dict[int, npt.NDArray[np.uint64]] = {}  # 16 bytes for each chunk; a shard never changes

    def read(self, stretches: Sequence[tuple[int, int]], *, keep: bool) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield the position of each stretch (first second, seconds), in order of place, and its values (seconds, ...).

        Without `keep` the values hold until the next ones are asked for: memory that is used again stays in the
        processor's cache, and fresh memory costs as much as decoding.
        """
        by_shard = sorted(range(len(stretches)), key=lambda position: stretches[position])
        file, opened = -1, -1
        memory = np.empty((0, *self._inner), self._dtype)
        try:
            for position in by_shard:
                first, n_seconds = stretches[position]
                chunks = range(first // self._chunk_seconds, -(-(first + n_seconds) // self._chunk_seconds))
                n_decoded = len(chunks) * self._chunk_seconds
                if keep or len(memory) < n_decoded:
                    memory = np.empty((n_decoded, *self._inner), self._dtype)
                for number, chunk in enumerate(chunks):
                    shard, place = divmod(chunk, self._chunks_per_shard)
                    if shard != opened:
                        if file >= 0:
                            os.close(file)
                        file, opened = -1, shard  # not to be closed twice if the next is absent
                        file = self._open(shard)
                    start = number * self._chunk_seconds
                    self._decode(file, shard, place, memory[start : start + self._chunk_seconds])
                skipped = first - chunks.start * self._chunk_seconds
                yield position, memory[skipped : skipped + n_seconds]
        finally:
            if file >= 0:
                os.close(file)

    def _open(self, shard: int) -> int:
        path = shard_file(self._folder, shard, 1 + len(self._inner))
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise _damaged(path, "a stored shard", "none") from error
        except OSError as error:
            raise _damaged(path, "a shard that can be read", error) from error

    def _decode(self, file: int, shard: int, place: int, into: npt.NDArray[Any]) -> None:
        if shard not in self._indexes:
            self._indexes[shard] = self._read_index(file, shard)
        offset, n_bytes = self._indexes[shard][place].tolist()
        if offset == ABSENT:
            raise _damaged(self._where(shard, place), "a stored chunk", "none")
        data = os.pread(file, n_bytes, offset)
        if len(data) != n_bytes or google_crc32c.value(data) != _SOUND:
            raise _damaged(self._where(shard, place), "its checksum", "other bytes")
        try:
            blosc.decompress(memoryview(data)[:-_CHECKSUM], into)
        except (RuntimeError, ValueError) as error:
            raise _damaged(self._where(shard, place), "a Blosc chunk", error) from error

    def _read_index(self, file: int, shard: int) -> npt.NDArray[np.uint64]:
        n_bytes = 16 * self._chunks_per_shard + _CHECKSUM
        size = os.fstat(file).st_size
        data = os.pread(file, n_bytes, max(0, size - n_bytes))
        if len(data) != n_bytes or google_crc32c.value(data) != _SOUND:
            raise _damaged(shard_file(self._folder, shard, 1 + len(self._inner)), "an index", "other bytes")
        return np.frombuffer(data[:-_CHECKSUM], "<u8").reshape(-1, 2).astype(np.uint64)

    def _where(self, shard: int, place: int) -> str:
        return f"chunk {place} of {shard_file(self._folder, shard, 1 + len(self._inner))}"


def _damaged(where: object, expected: str, found: object) -> StoreError:
    return StoreError(sentence("reading failed", where, expected, found, LOOK))

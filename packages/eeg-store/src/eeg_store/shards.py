"""Chunk and shard bytes through TensorStore: encoding whole files, and opening arrays for concurrent reads.

zarr-python writes the same bytes, ten times slower, and its scattered reads are thirty times slower
(docs/decisions); the tests read with it what is written here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tensorstore as ts

from eeg_store.arrays import Metadata, read_metadata
from eeg_store.contract import StoreError, sentence

# What TensorStore raises for absent, damaged and forbidden data, depending on the status of the operation.
READ_ERRORS = (ValueError, LookupError, RuntimeError, OSError)

_used_in_process: int | None = None


def _use() -> None:
    """Raise StoreError in a process that was forked from one that used TensorStore, where it would abort."""
    global _used_in_process  # noqa: PLW0603  one per process, as TensorStore's threads are
    process = os.getpid()
    if _used_in_process not in (None, process):
        action = "Start workers with multiprocessing's 'spawn' or 'forkserver'"
        found = f"a fork of process {_used_in_process}, which has TensorStore's threads"
        raise StoreError(sentence("using the store failed", f"process {process}", "a fresh process", found, action))
    _used_in_process = process


def encode(metadata: Metadata, block: npt.NDArray[Any]) -> bytes:
    """Return the file of one shard, or of one chunk of an array that is not sharded.

    `block` is (n, ...) with n at most the shard's seconds. Inner chunks after its end stay absent. Values equal to the
    fill value are stored too, so that an absent chunk always means that nothing was written there.
    """
    _use()
    chunk_shape = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    memory = ts.Context({"memory_key_value_store": {}, "cache_pool": {"total_bytes_limit": 0}})
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "memory"},
        "metadata": {**metadata, "shape": chunk_shape},
        "store_data_equal_to_fill_value": True,
    }
    array = ts.open(spec, create=True, context=memory).result()
    array[: len(block)].write(block).result()
    files = ts.KvStore.open({"driver": "memory"}, context=memory).result()
    return bytes(files.read(shard_file(Path(), 0, len(chunk_shape)).name).result().value)


def shard_file(array: Path, index: int, n_dims: int) -> Path:
    """Return the file of the shard that is `index`-th along the seconds."""
    return array / ".".join(["c", str(index), *["0"] * (n_dims - 1)])


def open_array(folder: Path, context: ts.Context, *, fill_missing: bool) -> ts.TensorStore:
    """Open an array for reading. Without `fill_missing`, reading what was never written is an error, not zeros."""
    _use()
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{folder}{os.sep}"},
        "fill_missing_data_reads": fill_missing,
        "recheck_cached_metadata": "open",
    }
    try:
        return ts.open(spec, read=True, context=context).result()
    except READ_ERRORS as error:
        action = "Look for the array's name in Store.arrays(), or run Store.validate()"
        raise StoreError(sentence("opening an array failed", folder, "a Zarr v3 array", error, action)) from error


def context(concurrency: int | None) -> ts.Context:
    """Return the limits of one reader: threads that decode and read, and no cache."""
    threads = {"limit": concurrency} if concurrency else {"limit": "shared"}
    return ts.Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            "data_copy_concurrency": threads,
            "file_io_concurrency": threads,
        }
    )


def remove_shards(array: Path, shards: range) -> None:
    """Remove the files of an array's shards, where they exist."""
    n_dims = len(read_metadata(array)["shape"])
    for index in shards:
        shard_file(array, index, n_dims).unlink(missing_ok=True)

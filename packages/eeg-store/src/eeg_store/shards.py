"""The files of shards, and arrays opened through TensorStore for concurrent reads.

Scattered reads of zarr-python are thirty times slower; the tests read with it what is written here.
"""

from __future__ import annotations

import os
from pathlib import Path

import tensorstore as ts

from eeg_store.arrays import read_metadata
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

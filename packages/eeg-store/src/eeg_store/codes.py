"""Codes of a tokenizer beside the signal, on the declared grid of windows, under the tokenizer's hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_store import arrays, tables
from eeg_store.arrays import SignalArray
from eeg_store.contract import StoreError, plain_json, sentence
from eeg_store.encoding import encode
from eeg_store.files import slug, write_atomic
from eeg_store.shards import shard_file

# What the store itself says in the attributes; all others are the tokenizer's.
OWN_ATTRIBUTES = ("tokenizer_hash", "channels")


def create_codes(store: Path, array: SignalArray, tokenizer_hash: str, attrs: Mapping[str, Any]) -> None:
    """Make the codes array beside `array`, unless it is there with the same attributes. Hold the store's lock."""
    if not re.fullmatch(r"[0-9a-f]{16,}", tokenizer_hash):
        action = "Give the SHA-256 of the tokenizer"
        raise StoreError(sentence("creating codes failed", array.path, "a hash in hex", repr(tokenizer_hash), action))
    if not isinstance(attrs.get("n_codes"), int) or set(attrs) & set(OWN_ATTRIBUTES):
        expected = f"a whole number n_codes and no {' or '.join(OWN_ATTRIBUTES)}"
        raise StoreError(sentence("creating codes failed", array.path, expected, dict(attrs), "Correct the attributes"))
    folder = store / array.codes_path(tokenizer_hash)
    attributes = {"tokenizer_hash": tokenizer_hash, "channels": list(array.channels), **plain_json(dict(attrs))}
    if (folder / "zarr.json").exists():
        found = arrays.read_metadata(folder)["attributes"]
        if found != attributes:
            raise StoreError(sentence("creating codes failed", folder, attributes, found, "Remove the old codes first"))
    tables.create_folder_once(marks_folder(store, tokenizer_hash), tables.CODES)
    if not (folder / "zarr.json").exists():
        arrays.write_group(folder.parent)
        arrays.write_metadata(folder, arrays.codes_metadata(array.n_seconds, list(array.channels), attributes))


def write_codes(
    store: Path, array: SignalArray, tokenizer_hash: str, row: tables.Row, values: npt.NDArray[np.int32]
) -> None:
    """Write the codes (n_seconds, C) of a recording, whole chunks that are its own, and its mark last."""
    folder = store / array.codes_path(tokenizer_hash)
    metadata = arrays.read_metadata(folder)
    shape = (row["n_seconds"], len(array.channels))
    n_codes = metadata["attributes"]["n_codes"]
    if values.dtype != np.int32 or values.shape != shape or values.min() < -1 or values.max() >= n_codes:
        found = f"{values.dtype} {values.shape}"
        if values.size:
            found += f" from {values.min()} to {values.max()}"
        expected = f"int32 {shape} from -1 to {n_codes - 1}"
        where = f"recording {row['recording']!r}"
        raise StoreError(sentence("writing codes failed", where, expected, found, "Correct the codes"))
    values = np.ascontiguousarray(values, "<i4")
    first_shard = row["first_second"] // array.shard_seconds
    for index, start in enumerate(range(0, len(values), array.shard_seconds)):
        block = values[start : start + array.shard_seconds]
        write_atomic(shard_file(folder, first_shard + index, block.ndim), encode(metadata, block))
    mark = {name: row[name] for name in ("recording", "array", "first_second", "n_seconds")}
    mark["codes_sha256"] = hashlib.sha256(values.data).hexdigest()
    path = marks_folder(store, tokenizer_hash) / f"{slug(row['recording'])}.parquet"
    tables.write_rows(path, [mark], tables.CODES)


def code_sets(store: Path, signal_arrays: Sequence[SignalArray]) -> dict[str, dict[str, Any]]:
    """Return the tokenizers' own attributes that all arrays of its codes share, by the tokenizer's hash."""
    found: dict[str, dict[str, Any]] = {}
    for array in signal_arrays:
        for file in sorted((store / array.path).parent.glob("codes/*/zarr.json")):
            attributes = dict(arrays.read_metadata(file.parent)["attributes"])
            tokenizer_hash = attributes["tokenizer_hash"]
            own = {name: attributes[name] for name in attributes if name not in OWN_ATTRIBUTES}
            shared = found.get(tokenizer_hash, own)
            found[tokenizer_hash] = {name: shared[name] for name in shared if own.get(name) == shared[name]}
    return found


def marks_folder(store: Path, tokenizer_hash: str) -> Path:
    """Return the folder of the marks of recordings whose codes are complete."""
    return store / "tables" / "codes" / tokenizer_hash[:16]

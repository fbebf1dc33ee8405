"""The bytes of shards and chunks as Zarr v3 has them: Blosc and a CRC32C for each chunk, and an index of them.

`chunks` reads what is made here. TensorStore makes the same bytes, slower (docs/decisions/shard-bytes.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from eeg_store.arrays import Metadata

ABSENT = np.uint64(2**64 - 1)  # place and length of a chunk that a shard lacks
_SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


def encode(metadata: Metadata, block: npt.NDArray[Any]) -> bytes:
    """Return the file of one shard, or of one chunk of an array that is not sharded.

    `block` is (n, ...) with n at most the shard's seconds. Inner chunks after its end stay absent. Values equal to the
    fill value are stored too, so that an absent chunk always means that nothing was written there.
    """
    values = np.ascontiguousarray(block, np.dtype(metadata["data_type"]).newbyteorder("<"))
    fill = float("nan") if metadata["fill_value"] == "NaN" else metadata["fill_value"]
    n_seconds = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    first = metadata["codecs"][0]
    if first["name"] != "sharding_indexed":
        return _encode_chunk(metadata["codecs"], values, n_seconds, fill)
    chunk_seconds = first["configuration"]["chunk_shape"][0]
    chunks = [
        _encode_chunk(first["configuration"]["codecs"], values[start : start + chunk_seconds], chunk_seconds, fill)
        for start in range(0, len(values), chunk_seconds)
    ]
    lengths = np.array([len(chunk) for chunk in chunks], np.uint64)
    index = np.full((n_seconds // chunk_seconds, 2), ABSENT, "<u8")
    index[: len(chunks), 0] = np.cumsum(lengths) - lengths
    index[: len(chunks), 1] = lengths
    return b"".join([*chunks, _with_checksum(index.tobytes())])


def _encode_chunk(codecs: Sequence[Metadata], values: npt.NDArray[Any], n_seconds: int, fill: float) -> bytes:
    """Return a chunk of `n_seconds` that begins with `values`."""
    if len(values) < n_seconds:
        rest = np.full((n_seconds - len(values), *values.shape[1:]), fill, values.dtype)
        values = np.concatenate([values, rest])
    (how,) = (codec["configuration"] for codec in codecs if codec["name"] == "blosc")
    shuffle = _SHUFFLES[how["shuffle"]]
    return _with_checksum(blosc.compress(values, how["cname"].encode(), how["clevel"], shuffle, how["blocksize"]))


def _with_checksum(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")

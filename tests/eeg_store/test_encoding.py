"""The bytes of shards and chunks against those that TensorStore writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorstore as ts
from eeg_store import arrays, contract
from eeg_store.encoding import encode
from eeg_store.shards import shard_file

CHANNELS = [f"E{number}" for number in range(1, 24)]
SHARD_S = contract.shard_seconds(len(CHANNELS))
ATTRIBUTES = arrays.signal_attributes(tuple(CHANNELS), None, None, {})
TARGETS = {"targets": ["x", "y"], "units": ["mm", "mm"]}
KINDS = {
    "signal": arrays.signal_metadata(SHARD_S, ATTRIBUTES),
    "quality": arrays.quality_metadata(SHARD_S, CHANNELS),
    "targets": arrays.targets_metadata(SHARD_S, len(CHANNELS), TARGETS),
    "codes": arrays.codes_metadata(SHARD_S, CHANNELS, {}),
}


@pytest.mark.parametrize("n_seconds", [SHARD_S, 3 * contract.chunk_seconds(len(CHANNELS)), 25, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_tensorstore(tmp_path: Path, kind: str, n_seconds: int) -> None:
    metadata = KINDS[kind]
    block = values(metadata, n_seconds)
    # As the store means it: chunks of the fill value are written too (zarr-python leaves them out of a shard).
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/", "store_data_equal_to_fill_value": True}
    array = ts.open({**spec, "metadata": metadata}, create=True).result()
    array[:n_seconds].write(block).result()
    written = shard_file(tmp_path, 0, block.ndim).read_bytes()
    assert encode(metadata, block) == written


def values(metadata: dict[str, Any], n_seconds: int) -> npt.NDArray[Any]:
    """Seconds of an array, with a stretch of its fill value."""
    noise = np.random.default_rng(n_seconds).normal(0, 100, (n_seconds, *metadata["shape"][1:]))
    block = noise.astype(metadata["data_type"])
    block[: n_seconds // 2] = np.nan if metadata["fill_value"] == "NaN" else metadata["fill_value"]
    return block

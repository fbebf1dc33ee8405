"""Codes beside the signal: whole recordings, under the tokenizer's hash, -1 where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from eeg_store import Store, StoreError, WindowReader

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Recordings

HASH = "0123456789abcdef" * 4
ATTRIBUTES = {"n_codes": 8192, "window": {"most_patches": 256, "pair": (1, 2)}}


def _codes(n_seconds: int, n_channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    codes = np.arange(n_seconds * n_channels, dtype=np.int32).reshape(n_seconds, n_channels) % 8193 - 1
    return codes.astype(np.int32)


@pytest.fixture
def encoded(filled: Store) -> Store:
    """The longest recording has codes."""
    row = next(row for row in filled.recordings().to_pylist() if row["recording"] == "s01_a")
    filled.create_codes(HASH, row["array"], ATTRIBUTES)
    filled.create_codes(HASH, row["array"], ATTRIBUTES)
    filled.write_codes(HASH, row, _codes(700, 5))
    return filled


def test_codes_come_back(encoded: Store) -> None:
    array = next(array.path for array in encoded.arrays() if array.source == "src")
    reader = WindowReader(encoded)
    found = reader.read_codes(HASH, [(array, 0, 700), (array, 287, 3)])
    np.testing.assert_array_equal(found[0], _codes(700, 5), strict=True)
    np.testing.assert_array_equal(found[1], _codes(700, 5)[287:290], strict=True)
    plain = zarr.open_array(encoded.path / array.replace("signal", f"codes/{HASH[:16]}"), mode="r")
    np.testing.assert_array_equal(np.asarray(plain[:700]), _codes(700, 5), strict=True)
    assert plain.attrs["tokenizer_hash"] == HASH
    assert encoded.codes_done(HASH) == {"s01_a"}
    assert encoded.codes_done("f" * 64) == set()
    assert encoded.code_sets() == {HASH: {"n_codes": 8192, "window": {"most_patches": 256, "pair": [1, 2]}}}
    assert encoded.validate() == []


def test_a_recording_without_codes_has_minus_one(encoded: Store) -> None:
    row = next(row for row in encoded.recordings().to_pylist() if row["recording"] == "s03_c")
    found = WindowReader(encoded).read_codes(HASH, [(row["array"], row["first_second"], row["n_seconds"])])[0]
    assert (found == -1).all()


def test_codes_of_recordings_that_came_later(encoded: Store, recordings: Recordings) -> None:
    slot = encoded.reserve([recordings.request("late", 500)])["late"]
    recordings.write(encoded, slot)
    row = next(row for row in encoded.recordings().to_pylist() if row["recording"] == "late")
    encoded.write_codes(HASH, row, _codes(500, 5))
    found = WindowReader(encoded).read_codes(HASH, [(slot.array, slot.first_second, 500)])[0]
    np.testing.assert_array_equal(found, _codes(500, 5), strict=True)
    assert encoded.codes_done(HASH) == {"s01_a", "late"}
    assert encoded.validate() == []


def test_codes_without_their_mark_are_not_done(encoded: Store) -> None:
    next(encoded.path.glob("tables/codes/*/s01_a*")).unlink()
    assert encoded.codes_done(HASH) == set()
    assert encoded.validate() == []


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.full((3, 5), 8192, np.int32), "from -1 to 8191, found int32 .* from 8192"),
        (np.full((3, 5), -2, np.int32), "from -2"),
        (np.zeros((2, 5), np.int32), r"found int32 \(2, 5\)"),
        (np.zeros((3, 5), np.int64), "found int64"),
    ],
)
def test_wrong_codes_are_refused(
    encoded: Store, codes: np.ndarray[tuple[int, ...], np.dtype[np.int32]], message: str
) -> None:
    row = next(row for row in encoded.recordings().to_pylist() if row["recording"] == "s02_b")
    with pytest.raises(StoreError, match=message):
        encoded.write_codes(HASH, row, codes)
    assert encoded.codes_done(HASH) == {"s01_a"}


def test_codes_of_another_grid_are_not_mixed_in(encoded: Store) -> None:
    array = next(array.path for array in encoded.arrays() if array.source == "src")
    with pytest.raises(StoreError, match="Remove the old codes first"):
        encoded.create_codes(HASH, array, {**ATTRIBUTES, "window": "another"})
    for tokenizer_hash, attributes in (("tokenizer", ATTRIBUTES), (HASH, {}), (HASH, {**ATTRIBUTES, "channels": []})):
        with pytest.raises(StoreError, match="creating codes failed"):
            encoded.create_codes(tokenizer_hash, array, attributes)
    with pytest.raises(StoreError, match="expected a committed recording"):
        encoded.write_codes(HASH, {"recording": "none", "array": array}, np.zeros((1, 5), np.int32))

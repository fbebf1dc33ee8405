"""Targets in time: written, read, checked and cleaned up with the signal that they belong to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import zarr
from eeg_store import RecordingWriter, Slot, Store, StoreError, WindowReader
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Recordings

NAMES = (("knee", "degree"), ("grip", "N"))
LENGTHS = {"s01_a": 700, "s02_b": 3}


def angles(slot: Slot) -> npt.NDArray[np.float32]:
    """(n_seconds, 2, 200), NaN where there is none."""
    seed = int.from_bytes(hashlib.sha256(slot.recording.encode()).digest()[:4])
    values = np.random.default_rng(seed).standard_normal((slot.n_seconds, 2, 200)).astype(np.float32)
    values[0, 1, 50:] = np.nan
    return values


def write(recordings: Recordings, store: Store, slot: Slot, *, commit: bool = True) -> None:
    writer = RecordingWriter(store, slot)
    signal, quality = (
        recordings.signal(slot.recording, slot.n_seconds),
        recordings.quality(slot.recording, slot.n_seconds),
    )
    for start in range(0, slot.n_seconds, 130):
        piece = slice(start, start + 130)
        writer.append(signal[piece], quality[piece], angles(slot)[piece])
    if commit:
        writer.commit(recordings.row(slot.recording, slot.n_seconds), recordings.events(slot.n_seconds))


@pytest.fixture
def slots(store: Store, recordings: Recordings) -> dict[str, Slot]:
    return store.reserve([replace(recordings.request(name, n), targets=NAMES) for name, n in LENGTHS.items()])


@pytest.fixture
def with_targets(store: Store, slots: dict[str, Slot], recordings: Recordings) -> Store:
    for slot in slots.values():
        write(recordings, store, slot)
    assert store.validate() == []
    return store


def test_any_window_has_the_targets_of_its_samples(with_targets: Store, slots: dict[str, Slot]) -> None:
    reader = WindowReader(with_targets)

    @settings(max_examples=30, deadline=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(list(slots.values())))
        n_seconds = data.draw(st.integers(1, min(16, slot.n_seconds)))
        start = data.draw(st.integers(0, (slot.n_seconds - n_seconds) * 200))
        (found,) = reader.read_targets([(slot.array, slot.first_second * 200 + start, n_seconds)])
        continuous = angles(slot).transpose(1, 0, 2).reshape(2, -1)
        wanted = continuous[:, start : start + n_seconds * 200].reshape(2, n_seconds, 200)
        np.testing.assert_array_equal(found, wanted, strict=True)

    check()


def test_plain_zarr_and_parquet_read_them(with_targets: Store, slots: dict[str, Slot]) -> None:
    slot = slots["s01_a"]
    array = zarr.open_array(with_targets.path / slot.array.replace("/signal", "/targets"), mode="r")
    assert dict(array.attrs) == {"targets": ["knee", "grip"], "units": ["degree", "N"]}
    np.testing.assert_array_equal(array[slot.first_second : slot.first_second + slot.n_seconds], angles(slot))
    marks = {
        row["recording"]: row["targets_sha256"]
        for row in pq.read_table(with_targets.path / "tables/targets").to_pylist()
    }
    assert marks["s01_a"] == hashlib.sha256(angles(slot).tobytes()).hexdigest()


def test_a_store_without_targets_is_as_before(filled: Store) -> None:
    assert not (filled.path / "tables/targets").exists()
    assert "targets" not in (filled.path / "tables/slots.json").read_text()
    array = filled.arrays()[0]
    assert filled.target_names(array) == ()
    with pytest.raises(StoreError, match=r"opening an array failed in .*/targets: expected a Zarr v3 array"):
        WindowReader(filled).read_targets([(array.path, 0, 1)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: next(s.path.glob("tables/targets/s02*")).unlink(), "the targets' checksum is missing"),
        (lambda s: next(s.path.glob("src/*/targets/c.0.0.0")).unlink(), "targets is lost"),
        (lambda s: _flip(next(s.path.glob("src/*/targets/c.0.0.0"))), "targets is damaged"),
        (lambda s: _swap(s.path), "the targets checksum is wrong"),
        (lambda s: next(s.path.glob("src/*/targets/zarr.json")).write_text("{}"), "reading metadata failed"),
    ],
)
def test_damage_is_found(with_targets: Store, damage: Callable[[Store], object], message: str) -> None:
    damage(with_targets)
    problems = with_targets.validate()
    assert any(message in problem for problem in problems), problems
    assert all(re.match(r"^.+ in .+: expected .+, found .+\. .+\.$", problem, re.DOTALL) for problem in problems)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _swap(store: Path) -> None:
    """A sound shard that is another recording's."""
    first, last = (next(store.glob(f"src/*/targets/c.{index}.0.0")) for index in (0, 1))
    last.write_bytes(first.read_bytes())


def test_what_was_not_committed_leaves_nothing(store: Store, slots: dict[str, Slot], recordings: Recordings) -> None:
    write(recordings, store, slots["s01_a"], commit=False)
    assert list(store.path.glob("src/*/targets/c.*"))
    (store.path / "tables/targets/s09.parquet").write_bytes((store.path / "tables/targets/schema.parquet").read_bytes())
    store.remove_orphans()
    assert not list(store.path.glob("src/*/targets/c.*"))
    assert [file.name for file in (store.path / "tables/targets").iterdir()] == ["schema.parquet"]
    write(recordings, store, slots["s01_a"])
    assert store.validate() == []


def test_targets_that_do_not_fit_are_refused(store: Store, slots: dict[str, Slot], recordings: Recordings) -> None:
    slot = slots["s02_b"]
    signal, quality = recordings.signal("s02_b", 3), recordings.quality("s02_b", 3)
    with RecordingWriter(store, slot) as writer:
        for targets in (None, angles(slot)[:, :1], angles(slot).astype(np.float64)):
            with pytest.raises(StoreError, match=r"and float32 \(3, 2, 200\), found"):
                writer.append(signal, quality, targets)
    with pytest.raises(StoreError, match=r"reserving failed .*knee"):
        store.reserve([recordings.request("s03_c", 5)])

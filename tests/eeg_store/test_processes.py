"""Killed writers, writers side by side, and full disks: a recording is whole or not there."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from eeg_store import RecordingWriter, Store, WindowReader

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Nursery, Recordings


def _check_new(store: Store, recordings: Recordings, seen: set[str]) -> None:
    """Compare the recordings that were not `seen` yet with what was written, and add them."""
    reader = WindowReader(store)
    for row in store.recordings().to_pylist():
        if row["recording"] not in seen:
            found = reader.read_seconds(row["array"], row["first_second"], row["n_seconds"])
            np.testing.assert_array_equal(found, recordings.signal(row["recording"], row["n_seconds"]), strict=True)
            seen.add(row["recording"])


def test_a_killed_writer_leaves_no_row_without_data(store: Store, recordings: Recordings, nursery: Nursery) -> None:
    names = [f"r{index:03d}" for index in range(100)]
    moments = random.Random(1)
    seen: set[str] = set()
    for _ in range(12):
        rows = store.path / "tables" / "recordings"
        enough = len(list(rows.iterdir())) + moments.randint(0, 2)
        process = nursery.start("write", store.path.as_posix(), names, 290)
        while len(list(rows.iterdir())) < enough:
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.02))
        os.kill(process, signal.SIGKILL)
        assert nursery.wait(process) == -signal.SIGKILL
        assert pq.read_table(store.path / "tables" / "recordings").num_rows == len(store.recordings())
        committed = set(store.recordings()["recording"].to_pylist())
        assert set(store.events()["recording"].to_pylist()) == committed
        _check_new(store, recordings, seen)
    store.remove_orphans()
    assert store.validate() == []
    assert not list(store.path.rglob(".*.partial"))
    assert 0 < len(committed) < len(names)
    assert len(list(store.path.glob("src/*/signal/c.*"))) == 2 * len(committed), "holes take no disk space"
    assert nursery.run("write", store.path.as_posix(), names, 290) == 0
    assert set(store.recordings()["recording"].to_pylist()) == set(names)
    assert store.validate() == []
    _check_new(store, recordings, set())


def test_writers_side_by_side_lose_nothing(store: Store, recordings: Recordings, nursery: Nursery) -> None:
    names = [[f"w{worker}-{index}" for index in range(10)] for worker in range(4)]
    processes = [nursery.start("write", store.path.as_posix(), own, 290) for own in names]
    seen: set[str] = set()
    while len(seen) < 20:
        _check_new(store, recordings, seen)  # a reader sees whole recordings only, while the array grows
    assert [nursery.wait(process) for process in processes] == [0, 0, 0, 0]
    assert set(store.recordings()["recording"].to_pylist()) == {name for own in names for name in own}
    assert len(store.arrays()) == 1
    assert store.validate() == []
    _check_new(store, recordings, set())


@contextmanager
def _largest_file(n_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to write more to any file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [10_000, 2_000_000])
def test_a_refused_write_is_an_oserror_and_leaves_no_recording(
    filled: Store, recordings: Recordings, n_bytes: int
) -> None:
    slot = filled.reserve([recordings.request("big", 1000, tuple(f"C{i}" for i in range(30)))])["big"]
    before = len(filled.recordings())
    with _largest_file(n_bytes), pytest.raises(OSError, match="File too large") as caught:
        recordings.write(filled, slot)
    assert caught.value.errno == errno.EFBIG
    assert len(filled.recordings()) == before
    assert not list((filled.path / slot.array).glob("*c.*"))
    assert filled.validate() == []
    recordings.write(filled, slot)
    assert filled.validate() == []


def test_a_disk_that_fills_at_the_last_moment_leaves_no_recording(
    store: Store, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = store.reserve([recordings.request("r", 10)])["r"]
    real = os.fsync

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().parent.name == "recordings":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        recordings.write(store, slot)
    monkeypatch.undo()
    assert len(store.recordings()) == len(store.events()) == 0
    store.remove_orphans()
    assert store.validate() == []


def test_a_fork_of_a_reader_is_told_what_to_do(filled: Store, nursery: Nursery) -> None:
    assert nursery.run("fork_after_reading", filled.path.as_posix()) == 7


def test_leaving_a_writer_without_commit_removes_its_shards(store: Store, recordings: Recordings) -> None:
    slot = store.reserve([recordings.request("r", 400)])["r"]
    with RecordingWriter(store, slot) as writer:
        writer.append(recordings.signal("r", 400)[:300], recordings.quality("r", 400)[:300])
        assert list((store.path / slot.array).glob("c.*"))
    assert not list((store.path / slot.array).glob("c.*"))
    assert len(store.recordings()) == 0

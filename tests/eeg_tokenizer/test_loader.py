from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import zarr
from eeg_store import Store, StoreError
from eeg_store.channels import slot_of
from eeg_tokenizer.batch_plan import BatchPlan, FixedBatches
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.loader import BatchLoader, StoredWindows, pinned, read_ahead
from eeg_tokenizer.reader_processes import LoaderError, read_in_processes
from eeg_tokenizer.sampling import Permutations
from eeg_tokenizer.windows import GRID, WindowsError, cut_grid, cut_windows
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def plan(n_windows: int, batch_size: int, seed: int = 0, groups: Indices | None = None) -> BatchPlan:
    return BatchPlan(Permutations(n_windows, (seed,), groups), FixedBatches(batch_size))


def loader(
    n_windows: int, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1
) -> BatchLoader[list[int]]:
    return BatchLoader(np.ndarray.tolist, plan(n_windows, batch_size, seed), rank=rank, world_size=world_size)


@settings(deadline=None)
@given(
    n_windows=st.integers(1, 50), share=st.integers(1, 20), world_size=st.integers(1, 3), seed=st.integers(0, 5),
    first=st.integers(0, 12),
)  # fmt: skip
def test_epochs_are_permutations_and_any_position_is_reached_at_once(
    n_windows: int, share: int, world_size: int, seed: int, first: int
) -> None:
    batch_size, end = share * world_size, first + 4
    whole = list(loader(n_windows, batch_size, seed).batches(0, end))
    drawn = [index for batch in whole for index in batch]
    for start in range(0, len(drawn) - n_windows + 1, n_windows):
        assert sorted(drawn[start : start + n_windows]) == list(range(n_windows))
    assert list(loader(n_windows, batch_size, seed).batches(first, end)) == whole[first:]
    shares = [
        list(loader(n_windows, batch_size, seed, rank, world_size).batches(first, end)) for rank in range(world_size)
    ]
    for step, batch in enumerate(whole[first:]):
        assert [index for rank in range(world_size) for index in shares[rank][step]] == batch


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(loader(40, 40, seed).batch(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_batches_that_processes_cannot_share_are_refused() -> None:
    with pytest.raises(ValueError, match="that 2 processes divide, found 3"):
        loader(5, 3, world_size=2)


def test_batches_hold_what_plain_zarr_reads(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=3)
    stored = StoredWindows(mixed_store, windows)
    batches = list(BatchLoader(stored.read, plan(len(windows), 7, seed=1)).batches(0, len(windows) // 7))
    for batch in batches:
        for row, index in enumerate(batch.window.tolist()):
            montage = windows.of(index)
            array = zarr.open_array(mixed_store.path, path=montage.array, mode="r")
            first, n_seconds = int(windows.first_second[index]), int(windows.n_seconds[index])
            names: list[str] = list(array.attrs["channels"])  # type: ignore[arg-type]  # JSON
            rows = [i for i, name in enumerate(names) if slot_of(name) is not None]
            microvolts = np.asarray(array[first : first + n_seconds])[:, rows].astype(np.float64) * 0.1
            n = len(rows) * n_seconds
            expected = microvolts.transpose(1, 0, 2).reshape(n, 200) / 100
            np.testing.assert_allclose(batch.patches[row, :n].numpy(), expected, rtol=1e-6)
            assert batch.channel[row, :n].tolist() == [slot_of(names[r]) for r in rows for _ in range(n_seconds)]
            assert batch.valid[row].sum() == n


def test_a_batch_mixes_sources_and_montages(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=1)
    batch = BatchLoader(StoredWindows(mixed_store, windows).read, plan(len(windows), 32)).batch(0)
    assert {windows.of(index).source for index in batch.window.tolist()} == {"lab", "clinic"}
    assert len({windows.of(index).array for index in batch.window.tolist()}) == 3
    assert not batch.valid.all()


def test_windows_are_drawn_as_often_as_there_are_of_each_source(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=1)
    indices = [i for batch in loader(len(windows), 8).batches(0, 50 * len(windows) // 8) for i in batch]
    drawn = Counter(windows.of(index).source for index in indices)
    there = Counter(windows.of(index).source for index in range(len(windows)))
    for source in there:
        assert drawn[source] / len(indices) == pytest.approx(there[source] / len(windows), rel=0.02)


def test_codes_come_with_their_patches(make_store: Callable[..., Store]) -> None:
    store = make_store({"name": "a", "channels": ("FZ", "EXG1", "CZ"), "segments": (20, 7)})
    (row,) = store.recordings().to_pylist()
    tokenizer = "ab" * 32
    store.create_codes(tokenizer, row["array"], {"n_codes": 100, "grid": GRID})
    codes = np.arange(27 * 3, dtype=np.int32).reshape(27, 3)
    codes[:, 1] = -1
    store.write_codes(tokenizer, row, codes)
    windows = cut_grid(store)
    batch = StoredWindows(store, windows, codes=tokenizer).read(np.arange(len(windows)))
    assert windows.n_seconds.tolist() == [16, 4, 7]
    assert batch.codes is not None
    for window, (first, n) in enumerate(zip(windows.first_second, windows.n_seconds, strict=True)):
        for c, column in enumerate((0, 2)):
            assert batch.codes[window, c * n : (c + 1) * n].tolist() == codes[first : first + n, column].tolist()
    assert (batch.codes[~batch.valid] == -1).all()


@pytest.mark.parametrize(
    ("spoilt", "found"), [([0, 50, 100], "0 to 100"), ([-7, 0, 50], "-7 to 50"), ([-1] * 3, "none"), (None, "none")]
)
def test_codes_that_no_tokenizer_wrote_are_refused(
    make_store: Callable[..., Store], spoilt: list[int] | None, found: str
) -> None:
    """Of a lost file all codes are read as -1: training would go on without them, and say nothing."""
    store, tokenizer = make_store({"name": "a"}), "ab" * 32
    (row,) = store.recordings().to_pylist()
    store.create_codes(tokenizer, row["array"], {"n_codes": 100, "grid": GRID})
    store.write_codes(tokenizer, row, np.full((40, 3), 50, np.int32))
    folder = store.path / store.array(row["array"]).codes_path(tokenizer)
    if spoilt is None:
        (folder / "c.0.0").unlink()
    else:
        zarr.open_array(folder, mode="r+")[:40] = np.tile(np.array(spoilt, np.int32), (40, 1))
    windows = StoredWindows(store, cut_grid(store), codes=tokenizer)
    with pytest.raises(
        WindowsError, match=f"of recording 'a': expected some of 0 to 99, found {found}\\. Run eeg-ingest"
    ):
        windows.read(np.arange(1))


def test_codes_of_another_grid_are_refused(make_store: Callable[..., Store]) -> None:
    store = make_store({"name": "a"})
    store.create_codes("cd" * 32, store.arrays()[0].path, {"n_codes": 100, "grid": "every second"})
    with pytest.raises(WindowsError, match="found every second"):
        StoredWindows(store, cut_grid(store), codes="cd" * 32)
    with pytest.raises(WindowsError, match="found None"):
        StoredWindows(store, cut_grid(store), codes="ef" * 32)


def test_a_damaged_shard_is_an_error_of_the_consumer(make_store: Callable[..., Store]) -> None:
    store = make_store({"name": "a"})
    windows = cut_windows(store, stride_seconds=1)
    for shard in Path(store.path, store.arrays()[0].path).glob("c.*"):
        shard.write_bytes(b"\0" * shard.stat().st_size)
    batches = BatchLoader(StoredWindows(store, windows).read, plan(len(windows), 4))
    with pytest.raises(StoreError, match="reading failed"):
        list(batches.batches(0, 3))


def test_reading_ahead_is_bounded_ends_with_the_consumer_and_passes_errors_on() -> None:
    started: list[int] = []

    def read(request: int) -> int:
        started.append(request)
        if request == 20:
            raise KeyError(request)
        return request

    with closing(read_ahead(read, range(100))) as stream:
        assert [next(stream) for _ in range(3)] == [0, 1, 2]
    assert max(started) <= 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
    seen: list[int] = []
    with pytest.raises(KeyError):
        seen.extend(read_ahead(read, range(100)))
    assert seen == list(range(20))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_every_epoch_reads_every_window_once(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=4)
    batches: list[Batch] = list(
        BatchLoader(StoredWindows(mixed_store, windows).read, plan(len(windows), len(windows), seed=2)).batches(0, 2)
    )
    for batch in batches:
        assert sorted(batch.window.tolist()) == list(range(len(windows)))
    assert not torch.equal(batches[0].window, batches[1].window)


def test_groups_follow_each_other_through_every_epoch() -> None:
    groups = np.array([1, 0, 2, 0, 1, 2, 0, 1])
    loader = BatchLoader(lambda indices: indices, plan(8, 4, 3, groups))
    epochs = [np.concatenate([loader.batch(step), loader.batch(step + 1)]) for step in (0, 2, 4)]
    for epoch in epochs:
        assert groups[epoch].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
        assert sorted(epoch.tolist()) == list(range(8))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1


def readers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_processes_read_the_batches_that_a_thread_reads(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=2)
    stored = StoredWindows(mixed_store, windows)
    state = torch.get_rng_state()
    one, two = (list(BatchLoader(stored.read, plan(len(windows), 5), workers=n).batches(3, 30)) for n in (0, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for thread, process in zip(one, two, strict=True):
        for name in ("patches", "channel", "time", "valid", "window"):
            assert torch.equal(getattr(thread, name), getattr(process, name))
    assert not readers()


def test_a_killed_reader_is_an_error_and_leaves_no_process(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=2)
    handler = signal.getsignal(signal.SIGCHLD)
    with closing(
        BatchLoader(StoredWindows(mixed_store, windows).read, plan(len(windows), 2), workers=1).batches(0, 10**6)
    ) as stream:
        next(stream)
        (reader,) = readers()
        reader.send_signal(signal.SIGTERM)  # to the whole group, as a batch system sends it: training decides
        next(stream)
        reader.kill()
        with pytest.raises(LoaderError, match="expected it to live"):
            for _ in stream:
                pass
    assert signal.getsignal(signal.SIGCHLD) == handler
    assert not readers()


def test_a_signal_to_the_group_leaves_readers_that_still_start() -> None:
    answers = read_in_processes(str, range(3), 1)
    sent = threading.Thread(target=_terminate_first_reader)
    sent.start()
    assert list(answers) == ["0", "1", "2"]
    sent.join()


def _terminate_first_reader() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for reader in readers():
            reader.send_signal(signal.SIGTERM)
            return
        time.sleep(0.01)


def test_an_error_in_a_reading_process_keeps_its_kind(make_store: Callable[..., Store]) -> None:
    store = make_store({"name": "a"})
    windows = cut_windows(store, stride_seconds=1)
    for shard in Path(store.path, store.arrays()[0].path).glob("c.*"):
        shard.write_bytes(b"\0" * shard.stat().st_size)
    with pytest.raises(StoreError, match="reading failed"):
        list(BatchLoader(StoredWindows(store, windows).read, plan(len(windows), 4), workers=1).batches(0, 2))


class Pinned(int):
    """A number that remembers the thread which pinned it."""

    thread = ""

    def pin_memory(self) -> Pinned:
        copy = Pinned(self)
        copy.thread = threading.current_thread().name
        return copy


def test_batches_are_pinned_in_order_in_a_thread_that_ends_with_the_stream() -> None:
    closed = []

    def numbers(end: int) -> Generator[Pinned, None, None]:
        try:
            for number in range(end):
                yield Pinned(number)
            raise StoreError("the sixth is damaged")
        finally:
            closed.append(end)

    stream = pinned(numbers(5))
    found = [next(stream) for _ in range(5)]
    assert [(number, number.thread.split("_")[0]) for number in found] == [(number, "pin") for number in range(5)]
    with pytest.raises(StoreError, match="the sixth"):
        next(stream)
    with closing(pinned(numbers(4))) as stream:
        assert next(stream) == 0
    assert closed == [5, 4]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pin")]

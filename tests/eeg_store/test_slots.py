"""Every recording has shards of its own, the same ones however often it is asked for, and after any kill."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eeg_store import SlotRequest, Store, StoreError
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Nursery, Recordings


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_slots_are_whole_shards_that_never_overlap(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store.create(tmp_path_factory.mktemp("slots") / "s", {})
    montage = st.sampled_from([("T7",), ("T7", "T8"), tuple(f"C{index}" for index in range(300))])
    owners: dict[tuple[str, int], str] = {}
    for call in range(data.draw(st.integers(1, 3))):
        wanted = data.draw(st.lists(st.tuples(montage, st.integers(1, 5000)), min_size=1, max_size=5))
        requests = [SlotRequest(f"{call}-{i}", "src", channels, None, n) for i, (channels, n) in enumerate(wanted)]
        slots = store.reserve(requests)
        assert store.reserve(requests) == slots
        for request in requests:
            slot = slots[request.recording]
            array = store.array(slot.array)
            assert array.channels == request.channels
            assert slot.first_second % array.shard_seconds == 0
            assert array.shard_seconds % array.chunk_seconds == 0
            assert slot.first_second + slot.n_seconds <= array.n_seconds
            for shard in slot.shards(array.shard_seconds):
                assert owners.setdefault((slot.array, shard), slot.recording) == slot.recording
    assert Store.open(store.path).arrays() == store.arrays()
    assert not list(store.path.rglob("c.*"))


@pytest.mark.parametrize(("n_channels", "chunk", "shard"), [(1, 16, 288), (19, 13, 299), (64, 4, 300), (256, 1, 156)])
def test_a_window_touches_few_chunks_and_a_shard_is_minutes(
    store: Store, n_channels: int, chunk: int, shard: int
) -> None:
    slot = store.reserve([SlotRequest("r", "src", tuple(f"C{i}" for i in range(n_channels)), None, 10)])["r"]
    array = store.array(slot.array)
    assert (array.chunk_seconds, array.shard_seconds) == (chunk, shard)


def test_a_recording_that_failed_leaves_a_hole_without_files(store: Store, recordings: Recordings) -> None:
    slots = store.reserve([recordings.request(name, 400) for name in ("a", "bad", "c")])
    recordings.write(store, slots["a"])
    recordings.write(store, slots["c"])
    store.record_failure("src", "bad.edf", "cut short")
    signal_folder = store.path / slots["a"].array
    assert sorted(path.name for path in signal_folder.glob("c.*")) == ["c.0.0.0", "c.1.0.0", "c.4.0.0", "c.5.0.0"]
    assert store.validate() == []


def test_a_file_that_changed_before_it_was_stored_gets_another_slot(store: Store, recordings: Recordings) -> None:
    first = store.reserve([recordings.request("a", 400)])["a"]
    second = store.reserve([recordings.request("a", 500)])["a"]
    assert second.first_second > first.first_second
    recordings.write(store, second)
    with pytest.raises(StoreError, match=r"recording 'a', which is stored: expected 500 s .* found 400 s"):
        store.reserve([recordings.request("a", 400)])
    assert store.validate() == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (SlotRequest("a", "tables", ("T7",), None, 1), "source name"),
        (SlotRequest("a", "../x", ("T7",), None, 1), "source name"),
        (SlotRequest("", "src", ("T7",), None, 1), "recording name"),
        (SlotRequest("a", "src", (), None, 1), "channel names"),
        (SlotRequest("a", "src", ("T7", "T7"), None, 1), "channel names"),
        (SlotRequest("a", "src", ("T7",), None, 0), "whole second"),
        (SlotRequest("a", "src", ("T7",), None, 1, None, {"x": object()}), "JSON"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_is_kept(store: Store, request_: SlotRequest, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        store.reserve([SlotRequest("good", "src", ("T7",), None, 5), request_])
    assert store.arrays() == []


def test_one_recording_cannot_have_two_slots(store: Store, recordings: Recordings) -> None:
    with pytest.raises(StoreError, match="each recording once"):
        store.reserve([recordings.request("a", 1), recordings.request("a", 2)])


def test_arrays_without_a_slot_book_are_not_written_over(filled: Store, recordings: Recordings) -> None:
    (filled.path / "tables" / "slots.json").unlink()
    with pytest.raises(StoreError, match=r"slots\.json"):
        filled.reserve([recordings.request("new", 5)])


def test_a_kill_between_any_two_steps_changes_nothing(tmp_path: Path, nursery: Nursery) -> None:
    def files(store: Store) -> dict[str, bytes]:
        return {str(path.relative_to(store.path)): path.read_bytes() for path in store.path.rglob("*.json")}

    calm = Store.create(tmp_path / "calm", {})
    assert nursery.run("reserve", calm.path.as_posix(), 1000) == 0
    n_files = len(files(calm)) - 1  # all but the root's; each takes one rename
    assert n_files == 8
    for kill_at in range(n_files):
        killed = Store.create(tmp_path / str(kill_at), {})
        assert nursery.run("reserve", killed.path.as_posix(), kill_at) == -signal.SIGKILL
        slots_are_kept = (killed.path / "tables" / "slots.json").exists()
        Store.open(killed.path, "a")
        if slots_are_kept:
            assert files(killed) == files(calm)
        assert nursery.run("reserve", killed.path.as_posix(), 1000) == 0
        assert files(killed) == files(calm)

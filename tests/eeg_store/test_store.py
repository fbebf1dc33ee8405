"""Creating, opening and querying a store, and the messages of what is refused."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from eeg_store import RecordingWriter, Store, StoreError
from eeg_store.snapshot import SNAPSHOT, WORTH_A_SNAPSHOT

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Recordings


def test_what_is_expected_is_kept_apart_from_the_spec(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {"sources": {"a": {}}})
    before = store.spec_hash
    store.update_expected({"a": {"subjects": 9, "sfreq_hz": (160.0, 128.0)}})
    store.update_spec({"sources": {"a": {}, "b": {}}})
    held = Store.open(tmp_path / "s")
    assert held.expected == {"a": {"subjects": 9, "sfreq_hz": [160.0, 128.0]}}
    assert held.spec_hash != before
    store.update_spec({"sources": {"a": {}}})
    assert store.spec_hash == before
    with pytest.raises(StoreError, match='mode "a"'):
        held.update_expected({})


def test_the_spec_comes_back_with_its_hash(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {"b": [1, 2.5], "a": {"µ": None}})
    same = Store.create(tmp_path / "t", {"a": {"µ": None}, "b": [1, 2.5]})
    assert Store.open(store.path).spec == {"b": [1, 2.5], "a": {"µ": None}}
    assert store.spec_hash == same.spec_hash == Store.open(store.path).spec_hash
    store.update_spec({"a": 2})
    assert Store.open(store.path).spec == {"a": 2}
    assert Store.open(store.path).spec_hash == store.spec_hash != same.spec_hash


def test_a_used_path_is_refused_and_an_empty_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("used", "file"):
        with pytest.raises(StoreError, match="expected no such path, or an empty folder"):
            Store.create(tmp_path / name, {})
    store = Store.create(tmp_path / "empty", {})
    with pytest.raises(StoreError, match="expected no such path, or an empty folder"):
        Store.create(store.path, {})


def test_a_killed_create_is_taken_over(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {})
    (store.path / "zarr.json").rename(store.path / f".zarr.json.{'0' * 16}.partial")
    shutil.rmtree(store.path / "tables" / "failures")
    assert Store.create(store.path, {"again": True}).spec == {"again": True}
    assert Store.open(store.path).validate() == []


def test_a_spec_that_is_not_json_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for spec in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(StoreError, match="plain JSON"):
            Store.create(tmp_path / "s", spec)
    assert not (tmp_path / "s").exists()


def test_a_path_without_a_store_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"expected a folder with a zarr\.json, found none"):
        Store.open(tmp_path)


def test_a_store_opened_for_reading_is_never_changed(filled: Store, recordings: Recordings) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in filled.path.rglob("*")}

    store = Store.open(filled.path)
    row = store.recordings().to_pylist()[0]
    slot = filled.reserve([recordings.request("new", 1)])["new"]
    before = files()
    store.events()
    store.failures()
    assert store.validate() == []
    refused = (
        lambda: store.update_spec({}),
        lambda: store.reserve([]),
        lambda: store.record_failure("src", "x", "y"),
        lambda: store.clear_failure("src", "x"),
        store.remove_orphans,
        lambda: store.create_codes("0" * 64, row["array"], {"n_codes": 1}),
        lambda: store.write_codes("0" * 64, row, np.zeros((1, 1), np.int32)),
        lambda: RecordingWriter(store, slot),
    )
    for call in refused:
        with pytest.raises(StoreError, match='expected mode "a", found mode "r"'):
            call()
    assert files() == before


def test_a_store_may_be_sent_to_another_process(filled: Store) -> None:
    assert pickle.loads(pickle.dumps(filled)).recordings().equals(filled.recordings())


def test_a_failure_is_replaced_and_goes_when_the_file_is_stored(store: Store, recordings: Recordings) -> None:
    store.record_failure("src", "s01_a.edf", "no permission")
    store.record_failure("src", "s01_a.edf", "empty")
    store.record_failure("src", "sub/ünïcode name.edf", "text")
    reasons = [(row["file"], row["reason"]) for row in store.failures().to_pylist()]
    assert reasons == [("s01_a.edf", "empty"), ("sub/ünïcode name.edf", "text")]
    recordings.write(store, store.reserve([recordings.request("s01_a", 5)])["s01_a"])
    assert store.failures()["file"].to_pylist() == ["sub/ünïcode name.edf"]
    store.clear_failure("src", "sub/ünïcode name.edf")
    store.clear_failure("src", "never there")
    assert store.failures().num_rows == 0


def test_a_stored_recording_is_not_written_again(filled: Store, recordings: Recordings) -> None:
    slot = filled.reserve([recordings.request("s02_b", 3)])["s02_b"]
    assert filled.is_committed("s02_b")
    assert not filled.is_committed("s02")
    with pytest.raises(StoreError, match="expected no row yet, found a committed row"):
        RecordingWriter(filled, slot)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_channels": 4}, "expected source 'src' and 5 channels, found source 'src' and 4"),
        ({"source": "other"}, "found source 'other'"),
        ({"segments": []}, "expected segments that follow one another over 9 s, found 0 s"),
        ({"subjekt": "01"}, "row 0: unknown column subjekt"),
        ({"format": None}, "row 0: no value for format"),
        ({"n_bytes": "many"}, "many"),
        ({"left_out": [{"name": "ECG"}]}, "reason"),
    ],
)
def test_a_wrong_row_is_not_committed(
    store: Store, recordings: Recordings, change: dict[str, Any], message: str
) -> None:
    slot = store.reserve([recordings.request("r", 9)])["r"]
    with RecordingWriter(store, slot) as writer:
        writer.append(recordings.signal("r", 9), recordings.quality("r", 9))
        with pytest.raises(StoreError, match=message):
            writer.commit({**recordings.row("r", 9), **change}, [])
        assert store.recordings().num_rows == 0
        writer.commit(recordings.row("r", 9), [])
    assert store.validate() == []


@pytest.mark.parametrize("onset_s", [-0.1, 9.0, float("nan")])
def test_an_event_outside_of_its_recording_is_refused(store: Store, recordings: Recordings, onset_s: float) -> None:
    slot = store.reserve([recordings.request("r", 9)])["r"]
    event = {"onset_s": onset_s, "duration_s": 0.0, "label": "x", "original_onset_s": 0.0}
    with pytest.raises(StoreError, match="expected events from 0 to below 9 s"):
        recordings.write(store, slot, [event])
    assert store.events().num_rows == store.recordings().num_rows == 0


def test_seconds_must_be_as_many_and_as_wide_as_reserved(store: Store, recordings: Recordings) -> None:
    slot = store.reserve([recordings.request("r", 9)])["r"]
    signal, quality = recordings.signal("r", 10), recordings.quality("r", 10)
    with RecordingWriter(store, slot) as writer:
        for wrong in ((signal[:, :4], quality), (signal.astype(np.int32), quality), (signal, quality[:5])):
            with pytest.raises(StoreError, match=r"expected int16 \(.*\) and float32"):
                writer.append(*wrong)
        with pytest.raises(StoreError, match="expected 9 s, found 10 s"):
            writer.append(signal, quality)
        writer.append(signal[:8], quality[:8])
        with pytest.raises(StoreError, match="expected 9 s, found 8 s"):
            writer.commit(recordings.row("r", 9), [])


def test_orphans_go_and_what_is_committed_stays(filled: Store, recordings: Recordings) -> None:
    before = {path: path.read_bytes() for path in filled.path.rglob("*") if path.is_file()}
    slots = filled.reserve([recordings.request("gone", 600)])
    with RecordingWriter(filled, slots["gone"]) as writer:
        writer.append(recordings.signal("gone", 600), recordings.quality("gone", 600))
        shutil.copy(
            next((filled.path / "tables" / "events").glob("s01*")), filled.path / "tables" / "events" / "gone.parquet"
        )
        (filled.path / "tables" / "recordings" / f".x.parquet.{'a' * 16}.partial").write_bytes(b"half")
        (filled.path / slots["gone"].array / f".c.9.0.0.{'b' * 16}.partial").write_bytes(b"half")
        filled.remove_orphans()
        after = {path: path.read_bytes() for path in filled.path.rglob("*") if path.is_file()}
    changed = {path.name for path in after if before.get(path) != after[path]}
    assert changed == {"zarr.json", "slots.json"}, "only the reserved place is left"
    assert set(before) <= set(after)
    assert filled.validate() == []


def test_a_snapshot_of_many_rows_is_never_the_truth(store: Store) -> None:
    folder = store.path / "tables" / "failures"
    n = WORTH_A_SNAPSHOT + 5
    for index in range(n):
        store.record_failure("src", f"{index:04d}", "first")
    assert store.failures().num_rows == n
    assert (folder / SNAPSHOT).exists()
    store.record_failure("src", "0003", "again")
    store.clear_failure("src", "0004")
    store.record_failure("src", "9999", "new")
    reader = Store.open(store.path)
    plain = pq.read_table(folder)
    ours = reader.failures()
    assert ours.num_rows == plain.num_rows == n
    assert ours.equals(plain.sort_by([("source", "ascending"), ("file", "ascending")]).cast(ours.schema))
    assert reader.failures(where=pc.field("file") == "0003")["reason"].to_pylist() == ["again"]
    (folder / SNAPSHOT).write_bytes(b"garbage")
    assert reader.failures().equals(ours)
    pq.write_table(pa.table({"a": [1]}), folder / SNAPSHOT)
    assert reader.failures().equals(ours)
    assert store.validate() == []


def test_a_snapshot_that_cannot_be_written_does_not_hinder_reading(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(WORTH_A_SNAPSHOT):
        store.record_failure("src", f"{index:04d}", "x")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert store.failures().num_rows == WORTH_A_SNAPSHOT
    assert not list((store.path / "tables" / "failures").glob(".*"))

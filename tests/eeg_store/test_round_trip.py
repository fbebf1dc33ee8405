"""What is written is what is read, by our reader, by plain Zarr and by plain Parquet."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zarr
from eeg_store import QUALITY_MEASURES, SCALE_UV, SFREQ_HZ, Store, StoreError, WindowReader
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Recordings


@settings(max_examples=20, deadline=None)
@given(data=st.data(), n_channels=st.sampled_from([1, 2, 5, 19, 64, 130, 300]))
def test_any_window_of_any_recording(data: st.DataObject, n_channels: int, recordings: Recordings) -> None:
    channels = tuple(f"C{index}" for index in range(n_channels))
    longest = min(700, 30_000 // n_channels)
    lengths = data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=3), label="lengths")
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "s", {})
        slots = store.reserve([recordings.request(f"r{i}", n, channels) for i, n in enumerate(lengths)])
        windows: list[tuple[str, int, int]] = []
        expected = []
        for slot in slots.values():
            pieces = data.draw(st.lists(st.integers(0, slot.n_seconds), max_size=4), label="pieces")
            recordings.write(store, slot, pieces=pieces)
            signal = recordings.signal(slot.recording, slot.n_seconds, n_channels)
            continuous = signal.transpose(1, 0, 2).reshape(n_channels, -1)
            for _ in range(4):
                n_seconds = data.draw(st.integers(1, min(16, slot.n_seconds)))
                start = data.draw(st.integers(0, (slot.n_seconds - n_seconds) * SFREQ_HZ))
                windows.append((slot.array, slot.first_second * SFREQ_HZ + start, n_seconds))
                stretch = continuous[:, start : start + n_seconds * SFREQ_HZ]
                expected.append(stretch.reshape(n_channels, n_seconds, SFREQ_HZ))
            reader = WindowReader(store)
            np.testing.assert_array_equal(
                reader.read_seconds(slot.array, slot.first_second, slot.n_seconds), signal, strict=True
            )
            np.testing.assert_array_equal(
                reader.read_quality(slot.array, slot.first_second, slot.n_seconds),
                recordings.quality(slot.recording, slot.n_seconds, n_channels),
                strict=True,
            )
        for found, wanted in zip(WindowReader(store).read(windows), expected, strict=True):
            np.testing.assert_array_equal(found, wanted, strict=True)
        assert store.validate() == []


def test_plain_zarr_reads_the_same_signal(filled: Store, recordings: Recordings) -> None:
    root = zarr.open_group(filled.path, mode="r")
    assert root.attrs["format"] == "eeg-store"
    assert root.attrs["version"] == 1
    for row in filled.recordings().to_pylist():
        signal = root[row["array"]]
        assert isinstance(signal, zarr.Array)
        metadata: Any = signal.metadata
        assert metadata.dimension_names == ("second", "channel", "sample")
        attrs: dict[str, Any] = dict(signal.attrs)
        assert attrs["scale_uv"] == SCALE_UV
        assert attrs["unit"] == "µV"
        assert attrs["reference"] == "average"
        assert len(attrs["channels"]) == signal.shape[1]
        first, n = row["first_second"], row["n_seconds"]
        written = recordings.signal(row["recording"], n, row["n_channels"])
        np.testing.assert_array_equal(np.asarray(signal[first : first + n]), written, strict=True)
        ours = WindowReader(filled).read_seconds(row["array"], first, n)
        np.testing.assert_array_equal(np.asarray(signal[first : first + n]), ours, strict=True)
        quality = root[row["array"].replace("/signal", "/quality")]
        assert isinstance(quality, zarr.Array)
        assert quality.attrs["measures"] == list(QUALITY_MEASURES)
        np.testing.assert_array_equal(
            np.asarray(quality[first : first + n]), recordings.quality(row["recording"], n, row["n_channels"])
        )


def test_the_tree_of_groups_can_be_walked_by_zarr(filled: Store) -> None:
    root = zarr.open_group(filled.path, mode="r")
    for array in filled.arrays():
        source = root[array.source]
        assert isinstance(source, zarr.Group)
        montage = source[array.montage]
        assert isinstance(montage, zarr.Group)
        assert set(montage.array_keys()) == {"signal", "quality"}


def test_plain_parquet_reads_the_same_tables(filled: Store) -> None:
    for name, ours in (("recordings", filled.recordings()), ("events", filled.events())):
        plain = pq.read_table(filled.path / "tables" / name)
        assert plain.schema.equals(ours.schema)
        assert sorted(map(str, plain.to_pylist())) == sorted(map(str, ours.to_pylist()))
    filled.record_failure("src", "bad.edf", "empty")
    assert pq.read_table(filled.path / "tables" / "failures").to_pylist() == filled.failures().to_pylist()


def test_a_store_without_recordings_has_tables_without_rows(store: Store) -> None:
    for name, ours in (("recordings", store.recordings()), ("events", store.events()), ("failures", store.failures())):
        plain = pq.read_table(store.path / "tables" / name)
        assert plain.num_rows == ours.num_rows == 0
        assert plain.schema.equals(ours.schema)


def test_a_row_says_what_was_written(filled: Store) -> None:
    table = filled.recordings()
    assert table["source"].to_pylist() == ["other", "src", "src", "src"]
    assert table["file"].to_pylist() == ["s04_d.edf", "s01_a.edf", "s02_b.edf", "s03_c.edf"]
    row = filled.recordings(where=pc.field("recording") == "s01_a").to_pylist()[0]
    assert (row["first_second"], row["n_seconds"], row["subject"], row["session"]) == (0, 700, "s01", None)
    assert row["left_out"] == [{"name": "ECG", "type": "ecg", "reason": "not EEG"}]
    assert filled.recordings(["n_seconds"], pc.field("source") == "other").to_pylist() == [{"n_seconds": 20}]
    events = filled.events(where=pc.field("recording") == "s02_b").to_pylist()
    assert [event["label"] for event in events] == ["start", "lost"]
    assert events[1]["onset_s"] is None


def test_a_pickled_reader_reads(filled: Store, recordings: Recordings) -> None:
    reader = WindowReader(filled)
    array = next(array.path for array in filled.arrays() if array.source == "src")
    before = reader.read([(array, 77, 2)])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).read([(array, 77, 2)]), before)


def test_the_same_recordings_give_the_same_bytes(tmp_path: Path, recordings: Recordings) -> None:
    contents: list[dict[str, bytes]] = []
    for name in ("one", "two"):
        store = Store.create(tmp_path / name, {"a": 1})
        for slot in store.reserve([recordings.request("r", 400), recordings.request("q", 2)]).values():
            recordings.write(store, slot)
        files = (path for path in store.path.rglob("*") if path.is_file())
        contents.append({path.relative_to(store.path).as_posix(): path.read_bytes() for path in files})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (("{array}", -1, 1), "found seconds -1 to 1"),
        (("{array}", 10**9, 1), "expected seconds within 0 to"),
        (("src/none/signal", 0, 1), "opening an array failed"),
        (("{array}", 800 * SFREQ_HZ, 4), "expected a stored chunk"),
    ],
)
def test_what_is_not_stored_is_not_zeros(filled: Store, window: tuple[str, int, int], message: str) -> None:
    array = next(array.path for array in filled.arrays() if array.source == "src")
    with pytest.raises(StoreError, match=message):
        WindowReader(filled).read([(window[0].format(array=array), *window[1:])])


def test_an_array_that_grows_is_followed(filled: Store, recordings: Recordings) -> None:
    reader = WindowReader(filled)
    array = next(array.path for array in filled.arrays() if array.source == "src")
    reader.read_seconds(array, 0, 1)
    slot = filled.reserve([recordings.request("later", 30)])["later"]
    with pytest.raises(StoreError, match="expected a stored shard"):
        reader.read_seconds(array, slot.first_second, 30)
    recordings.write(filled, slot)
    found = reader.read_seconds(array, slot.first_second, 30)
    np.testing.assert_array_equal(found, recordings.signal("later", 30), strict=True)


def test_a_seconds_samples_are_in_the_scale(filled: Store) -> None:
    values: Any = filled.arrays()[0].attrs
    assert values["sfreq_hz"] == SFREQ_HZ == 200
    assert values["scale_uv"] == SCALE_UV == 0.1


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_damaged_bytes_are_never_read_as_signal(
    filled: Store, recordings: Recordings, place: float, damage: str
) -> None:
    """Whatever is damaged, a window is read as it was or not at all."""
    array = next(array for array in filled.arrays() if array.source == "src")
    slot = filled.reserve([recordings.request("hurt", 40)])["hurt"]
    recordings.write(filled, slot)
    file = filled.path / array.path / f"c.{slot.first_second // array.shard_seconds}.0.0"
    data = bytearray(file.read_bytes())
    at = round(place * (len(data) - 1))
    if damage == "flipped":
        data[at] ^= 0x10
    file.write_bytes(data if damage == "flipped" else data[:at] if damage == "cut" else b"")
    n_refused = 0
    for second in range(40):
        try:
            found = WindowReader(filled).read_seconds(array.path, slot.first_second + second, 1)
        except StoreError as error:
            n_refused += "reading failed" in str(error)
        else:
            np.testing.assert_array_equal(found, recordings.signal("hurt", 40)[second : second + 1])
    assert n_refused > 0

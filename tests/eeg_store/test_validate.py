"""Every kind of damage is found and said in one sentence, and none stops the check."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from eeg_store import Store, StoreError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.eeg_store.conftest import Recordings

SENTENCE = re.compile(r"^.+ in .+: expected .+, found .+\. .+\.$", re.DOTALL)
HASH = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, recordings: Recordings) -> Store:
    """Two shards and a bit, a few seconds, a whole shard, and one recording of another source; all with codes."""
    store = Store.create(tmp_path_factory.mktemp("sound") / "data.zarr", {})
    requests = [recordings.request(name, n) for name, n in (("s01_a", 700), ("s02_b", 3), ("s03_c", 288))]
    requests.append(recordings.request("s04_d", 20, ("T7",), source="other"))
    for slot in store.reserve(requests).values():
        recordings.write(store, slot)
    for array in store.arrays():
        store.create_codes(HASH, array.path, {"n_codes": 8})
    for row in store.recordings().to_pylist():
        store.write_codes(HASH, row, np.ones((row["n_seconds"], row["n_channels"]), np.int32))
    assert store.validate() == []
    return store


@pytest.fixture
def with_codes(sound: Store, tmp_path: Path) -> Store:
    return Store.open(shutil.copytree(sound.path, tmp_path / "data.zarr"), "a")


def _file(store: Store, pattern: str) -> Path:
    return sorted(store.path.glob(pattern))[0]


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def _edit_row(store: Store, recording: str, **values: object) -> None:
    path = _file(store, f"tables/recordings/{recording}-*.parquet")
    table = pq.read_table(path)
    row = {**table.to_pylist()[0], **values}
    pq.write_table(pa.Table.from_pylist([row], schema=table.schema), path)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def _attribute(name: str, value: object) -> Callable[[Store], object]:
    return lambda s: _edit(
        _file(s, "src/*/signal/zarr.json"), lambda metadata: metadata["attributes"].__setitem__(name, value)
    )


def _metadata(array: str, name: str, value: object) -> Callable[[Store], object]:
    return lambda s: _edit(_file(s, f"{array}/zarr.json"), lambda metadata: metadata.__setitem__(name, value))


DAMAGE: dict[str, tuple[Callable[[Store], object], str]] = {
    "a lost shard": (lambda s: _file(s, "src/*/signal/c.1.0.0").unlink(), "signal is lost"),
    "a lost quality chunk": (lambda s: _file(s, "src/*/quality/c.0.0.0").unlink(), "quality is lost"),
    "a lost codes chunk": (lambda s: _file(s, "src/*/codes/*/c.0.0").unlink(), "checksum is wrong in codes"),
    "a flipped bit in signal": (lambda s: _flip(_file(s, "src/*/signal/c.0.0.0"), 5000), "signal is damaged"),
    "a flipped bit in a shard's index": (lambda s: _flip(_file(s, "src/*/signal/c.0.0.0"), -10), "signal is damaged"),
    "a flipped bit in quality": (lambda s: _flip(_file(s, "src/*/quality/c.0.0.0"), 500), "quality is damaged"),
    "an empty shard": (lambda s: _file(s, "src/*/signal/c.0.0.0").write_bytes(b""), "signal is damaged"),
    "a truncated shard": (
        lambda s: _file(s, "src/*/signal/c.0.0.0").write_bytes(_file(s, "src/*/signal/c.0.0.0").read_bytes()[:9999]),
        "signal is damaged",
    ),
    "another recording's shard": (
        lambda s: shutil.copy(_file(s, "src/*/signal/c.0.0.0"), _file(s, "src/*/signal/c.1.0.0")),
        "the signal checksum is wrong",
    ),
    "a lost array": (lambda s: shutil.rmtree(_file(s, "src/*/signal")), "an array is missing"),
    "a lost source": (lambda s: shutil.rmtree(s.path / "src"), "an array is missing"),
    "a lost quality array": (lambda s: shutil.rmtree(_file(s, "src/*/quality")), "reading JSON failed"),
    "a lost group": (lambda s: (s.path / "src" / "zarr.json").unlink(), "reading JSON failed"),
    "metadata that is not JSON": (lambda s: _file(s, "src/*/signal/zarr.json").write_text("{"), "reading JSON failed"),
    "metadata that is a list": (lambda s: _file(s, "src/*/signal/zarr.json").write_text("[]"), "a JSON object"),
    "another data type": (_metadata("src/*/signal", "data_type", "uint16"), "data_type is wrong"),
    "other dimensions": (_metadata("src/*/quality", "dimension_names", ["a", "b", "c"]), "dimension_names is wrong"),
    "another fill value": (_metadata("src/*/codes/*", "fill_value", 0), "fill_value is wrong"),
    "no shape": (_metadata("src/*/signal", "shape", None), "expected contract version 1"),
    "a shorter array": (
        lambda s: _edit(_file(s, "src/*/signal/zarr.json"), lambda m: m["shape"].__setitem__(0, 288)),
        "a place is wrong",
    ),
    "another scale": (_attribute("scale_uv", 1.0), "attributes is wrong"),
    "another unit": (_attribute("unit", "mV"), "attributes is wrong"),
    "other channels": (_attribute("channels", ["A", "B", "C", "D", "E"]), "do not fit the montage's name"),
    "no channels": (_attribute("channels", []), "expected contract version 1"),
    "another reference": (_attribute("reference", "Cz"), "do not fit the montage's name"),
    "a truncated row": (
        lambda s: _file(s, "tables/recordings/s0*").write_bytes(_file(s, "tables/recordings/s0*").read_bytes()[:900]),
        "reading a table failed",
    ),
    "a row file that is not Parquet": (
        lambda s: (s.path / "tables" / "events" / "x.parquet").write_text("hello"),
        "reading a table failed",
    ),
    "a row file of other columns": (
        lambda s: pq.write_table(pa.table({"a": [1]}), s.path / "tables" / "recordings" / "x.parquet"),
        "expected the columns of docs/store.md",
    ),
    "no table of no rows": (lambda s: (s.path / "tables/failures/schema.parquet").unlink(), "a file of no rows"),
    "a copied row": (
        lambda s: shutil.copy(_file(s, "tables/recordings/s01*"), s.path / "tables" / "recordings" / "copy.parquet"),
        "a recording is not unique",
    ),
    "a row beside its shards": (lambda s: _edit_row(s, "s03_c", first_second=1153), "a place is wrong"),
    "a row beyond its array": (lambda s: _edit_row(s, "s03_c", first_second=288 * 900), "a place is wrong"),
    "a row before its array": (lambda s: _edit_row(s, "s03_c", first_second=-288), "a place is wrong"),
    "a row on another recording": (lambda s: _edit_row(s, "s03_c", first_second=0), "two recordings overlap"),
    "a row of another array": (lambda s: _edit_row(s, "s03_c", array="src/none/signal"), "an array is missing"),
    "a row of another source": (lambda s: _edit_row(s, "s03_c", source="other"), "do not fit the array"),
    "a row of other channels": (lambda s: _edit_row(s, "s03_c", n_channels=3), "do not fit the array"),
    "a row without segments": (lambda s: _edit_row(s, "s03_c", segments=[]), "segments are wrong"),
    "a wrong checksum": (lambda s: _edit_row(s, "s03_c", quality_sha256="0"), "the quality checksum is wrong"),
    "a lost row with events": (lambda s: _file(s, "tables/recordings/s01*").unlink(), "a recording is missing"),
    "an event outside": (lambda s: _edit_row(s, "s02_b", n_seconds=0), "an event lies outside"),
    "no slots": (lambda s: (s.path / "tables" / "slots.json").unlink(), "a slot is wrong"),
    "slots that are not JSON": (lambda s: (s.path / "tables" / "slots.json").write_text("x"), "reading JSON failed"),
    "another spec": (
        lambda s: _edit(s.path / "zarr.json", lambda m: m["attributes"].__setitem__("spec", {"x": 1})),
        "spec_hash is wrong",
    ),
    "a truncated mark": (
        lambda s: _file(s, "tables/codes/*/s01*").write_bytes(b"PAR1"),
        "reading a table failed",
    ),
    "another tokenizer's codes": (
        lambda s: _edit(
            _file(s, "src/*/codes/*/zarr.json"), lambda m: m["attributes"].__setitem__("tokenizer_hash", "f" * 64)
        ),
        "the tokenizer's hash is wrong",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(with_codes: Store, kind: str) -> None:
    damage, expected = DAMAGE[kind]
    damage(with_codes)
    problems = with_codes.validate()
    assert any(expected in problem for problem in problems), problems
    for problem in problems:
        assert SENTENCE.match(problem), problem


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_garbage_in_any_file_stops_the_check_or_passes_it(data: st.DataObject, with_codes: Store) -> None:
    files = sorted(path for path in with_codes.path.rglob("*") if path.is_file() and path.name != ".lock")
    files = [path for path in files if path != with_codes.path / "zarr.json"]
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=40).filter(lambda g: whole[place : place + len(g)] != g))
    try:
        path.write_bytes(whole[:place] + garbage + whole[place + len(garbage) :])
        problems = with_codes.validate()
        assert all(SENTENCE.match(problem) for problem in problems)
        if path.name.startswith("c."):
            assert problems, "a changed byte of data went by"
    finally:
        path.write_bytes(whole)


def test_holes_and_failures_are_no_problem(filled: Store, recordings: Recordings) -> None:
    filled.reserve([recordings.request("hole", 600)])
    filled.record_failure("src", "hole.edf", "cut short")
    assert filled.validate() == []


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"format": "other"}, "expected format 'eeg-store', found format 'other'"),
        ({"version": 2}, "expected version 1, found 2"),
    ],
)
def test_what_is_not_ours_is_not_opened(store: Store, attributes: dict[str, object], message: str) -> None:
    _edit(store.path / "zarr.json", lambda metadata: metadata["attributes"].update(attributes))
    with pytest.raises(StoreError, match=message):
        Store.open(store.path)

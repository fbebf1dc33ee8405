"""Checking a whole store against contract version 1: one sentence a problem, and damage never stops the check."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from eeg_store import tables
from eeg_store.arrays import SignalArray, read_metadata
from eeg_store.contract import SFREQ_HZ, StoreError, sentence, spec_hash
from eeg_store.files import slug
from eeg_store.shards import shard_file
from eeg_store.slots import Slot, SlotBook
from eeg_store.validate_arrays import check_arrays
from eeg_store.windows import WindowReader

if TYPE_CHECKING:
    from eeg_store.store import Store

_BUILD_AGAIN = "Remove its row and build again, or restore the file from a copy"
Rows = list[dict[str, Any]]
_Read = Callable[[str, int, int], npt.NDArray[Any]]


def validate(store: Store) -> list[str]:
    """Return one sentence for each problem: structure, attributes, columns, places, checksums. None if it is sound."""
    problems = list(_check_root(store))
    arrays = check_arrays(store.path, problems)
    rows = _read_table(store, "recordings", tables.RECORDINGS, problems)
    events = _read_table(store, "events", tables.EVENTS, problems)
    _read_table(store, "failures", tables.FAILURES, problems)
    has_targets = (store.path / "tables" / "targets").is_dir()
    targets = _read_table(store, "targets", tables.TARGETS, problems) if has_targets else []
    target_hashes = {row["recording"]: row["targets_sha256"] for row in targets}
    problems += _check_slots(store, rows)
    problems += _check_places(rows, arrays)
    problems += _check_events(events, rows)
    reader = WindowReader(store)
    for row in rows:
        array = arrays.get(row["array"])
        if array is not None and _lies_in(row, array):
            problems += _check_data(store, reader, array, row, target_hashes.get(row["recording"]))
    problems += _check_codes(store, reader, rows, arrays)
    return problems


def _check_root(store: Store) -> Iterator[str]:
    try:
        found = read_metadata(store.path)["attributes"]
        if spec_hash(found["spec"]) != found["spec_hash"]:
            where, expected = store.path / "zarr.json", spec_hash(found["spec"])
            yield sentence("spec_hash is wrong", where, expected, found["spec_hash"], "Restore the spec or its hash")
    except StoreError as error:
        yield str(error)
    except (KeyError, TypeError) as error:
        where = store.path / "zarr.json"
        yield sentence("reading metadata failed", where, "spec and spec_hash", repr(error), "Restore it from a copy")


def _read_table(store: Store, name: str, schema: pa.Schema, problems: list[str]) -> Rows:
    """Read every file of a table, each by itself, and check that its name is its recording's."""
    folder = store.path / "tables" / name
    rows: Rows = []
    empty = folder / tables.EMPTY_TABLE
    for path in [empty, *tables.row_files(folder)]:
        try:
            found = tables.read_file(path, schema).to_pylist()
        except FileNotFoundError:
            problems.append(
                sentence("reading a table failed", path, "a file of no rows", "none", "Restore it from a copy")
            )
        except StoreError as error:
            problems.append(str(error))
        else:
            rows += found
            for recording in {row["recording"] for row in found if "recording" in row}:
                if path.name != f"{slug(recording)}.parquet":
                    expected = f"{slug(recording)}.parquet"
                    problems.append(sentence("a file name is wrong", path, expected, path.name, "Remove the copy"))
    return rows


def _check_slots(store: Store, rows: Rows) -> Iterator[str]:
    try:
        book = SlotBook.read(store.path)
    except StoreError as error:
        yield str(error)
        return
    for row in rows:
        slot = Slot(row["recording"], row["array"], row["first_second"], row["n_seconds"])
        if book.slots.get(slot.recording) != slot:
            where = f"recording {slot.recording!r}"
            found = book.slots.get(slot.recording)
            yield sentence("a slot is wrong", where, slot, found, "Restore tables/slots.json from a copy")


def _lies_in(row: dict[str, Any], array: SignalArray) -> bool:
    stop = row["first_second"] + row["n_seconds"]
    starts_shard = row["first_second"] % array.shard_seconds == 0
    return bool(row["first_second"] >= 0 and row["n_seconds"] > 0 and stop <= array.n_seconds and starts_shard)


def _check_places(rows: Rows, arrays: dict[str, SignalArray]) -> Iterator[str]:
    """Check that rows are unique, fit their arrays, and share no shard."""
    owners: dict[tuple[str, int], str] = {}
    seen = set()
    for row in rows:
        where = f"recording {row['recording']!r}"
        if row["recording"] in seen:
            yield sentence("a recording is not unique", where, "one row", "another one", "Remove one of them")
        seen.add(row["recording"])
        array = arrays.get(row["array"])
        if array is None:
            yield sentence("an array is missing", where, row["array"], "no sound array", "Restore it from a copy")
            continue
        if not _lies_in(row, array):
            expected = f"whole shards of {array.shard_seconds} s within 0 to {array.n_seconds} s of {array.path}"
            found = f"{row['n_seconds']} s from second {row['first_second']}"
            yield sentence("a place is wrong", where, expected, found, _BUILD_AGAIN)
            continue
        for shard in Slot("", array.path, row["first_second"], row["n_seconds"]).shards(array.shard_seconds):
            owner = owners.setdefault((array.path, shard), row["recording"])
            if owner != row["recording"]:
                yield sentence(
                    "two recordings overlap", where, "shards of its own", f"shard {shard} of {owner!r}", _BUILD_AGAIN
                )
        yield from _check_row(row, array, where)


def _check_row(row: dict[str, Any], array: SignalArray, where: str) -> Iterator[str]:
    expected = (array.source, len(array.channels), len(array.channels))
    found = (row["source"], row["n_channels"], len(row["original_names"]))
    if expected != found:
        what = "source, n_channels and names"
        yield sentence(f"{what} do not fit the array", where, expected, found, _BUILD_AGAIN)
    wrong = tables.wrong_segments(row["segments"], row["n_seconds"])
    if wrong:
        expected_segments = f"segments that follow one another over {row['n_seconds']} s"
        yield sentence("segments are wrong", where, expected_segments, wrong, _BUILD_AGAIN)


def _check_events(events: Rows, rows: Rows) -> Iterator[str]:
    n_seconds = {row["recording"]: row["n_seconds"] for row in rows}
    for recording in sorted({event["recording"] for event in events} - set(n_seconds)):
        where = f"events of {recording!r}"
        yield sentence("a recording is missing", where, "its row", "none", "Build again, or call Store.remove_orphans")
    for event in events:
        length = n_seconds.get(event["recording"])
        if length is not None and tables.is_outside(event["onset_s"], length):
            where = f"events of {event['recording']!r}"
            yield sentence("an event lies outside", where, f"0 to below {length} s", event["onset_s"], _BUILD_AGAIN)


def _check_data(
    store: Store, reader: WindowReader, array: SignalArray, row: dict[str, Any], targets_sha256: str | None
) -> Iterator[str]:
    """Read a recording's signal, quality and targets shard by shard and compare the checksums."""
    streams: list[tuple[str, str, _Read, str, int]] = [
        ("signal", array.path, reader.read_seconds, row["signal_sha256"], 3),
        ("quality", array.quality_path, reader.read_quality, row["quality_sha256"], 3),
    ]
    where = f"recording {row['recording']!r}"
    if store.target_names(array):
        if targets_sha256 is None:
            yield sentence("the targets' checksum is missing", where, "a row in tables/targets", "none", _BUILD_AGAIN)
        else:
            streams.append(("targets", array.targets_path, partial(_read_target_seconds, reader), targets_sha256, 3))
    for name, path, read, expected, n_dims in streams:
        shards = Slot("", path, row["first_second"], row["n_seconds"]).shards(array.shard_seconds)
        lost = [shard_file(store.path / path, shard, n_dims) for shard in shards]
        lost = [file for file in lost if not file.is_file()]
        if lost:
            yield sentence(f"{name} is lost", where, f"{len(shards)} shards", f"no {lost[0]}", _BUILD_AGAIN)
            continue
        sha256 = hashlib.sha256()
        try:
            for start in range(0, row["n_seconds"], array.shard_seconds):
                n = min(array.shard_seconds, row["n_seconds"] - start)
                sha256.update(read(array.path, row["first_second"] + start, n).data)
        except StoreError as error:
            yield sentence(f"{name} is damaged", where, "readable shards", str(error).rstrip("."), _BUILD_AGAIN)
            continue
        if sha256.hexdigest() != expected:
            yield sentence(f"the {name} checksum is wrong", where, expected, sha256.hexdigest(), _BUILD_AGAIN)


def _read_target_seconds(reader: WindowReader, path: str, first_second: int, n_seconds: int) -> npt.NDArray[Any]:
    (targets,) = reader.read_targets([(path, first_second * SFREQ_HZ, n_seconds)])
    return np.ascontiguousarray(targets.swapaxes(0, 1))


def _check_codes(store: Store, reader: WindowReader, rows: Rows, arrays: dict[str, SignalArray]) -> Iterator[str]:
    places = {row["recording"]: (row["array"], row["first_second"], row["n_seconds"]) for row in rows}
    for file in sorted((store.path / "tables" / "codes").glob("*/*.parquet")):
        action = f"Remove {file} and encode again"
        try:
            marks = tables.read_file(file, tables.CODES).to_pylist()
        except (StoreError, FileNotFoundError) as error:
            yield str(error)
            continue
        for mark in marks:
            where = f"codes {file.parent.name} of {mark['recording']!r}"
            place = (mark["array"], mark["first_second"], mark["n_seconds"])
            if places.get(mark["recording"]) != place:
                yield sentence("a mark is wrong", where, places.get(mark["recording"]), place, action)
                continue
            if mark["array"] not in arrays:
                continue
            try:
                values = reader.read_codes(file.parent.name, [place])[0]
            except StoreError as error:
                yield sentence("codes are damaged", where, "readable chunks", str(error).rstrip("."), action)
                continue
            found = hashlib.sha256(values.data).hexdigest()
            if found != mark["codes_sha256"]:
                yield sentence("the checksum is wrong", where, mark["codes_sha256"], found, action)

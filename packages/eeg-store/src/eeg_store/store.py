"""The store: create, open, reserve places for recordings, and query what is committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eeg_store import arrays, codes, contract, tables
from eeg_store.arrays import SignalArray
from eeg_store.channels import VOCABULARY_NAME
from eeg_store.contract import StoreError, sentence
from eeg_store.files import is_partial, locked, slug
from eeg_store.shards import remove_shards
from eeg_store.slots import SLOTS_FILE, Slot, SlotBook, SlotRequest
from eeg_store.snapshot import read_rows

Mode = Literal["r", "a"]


class Store:
    """A patch store on disk (docs/store.md). It holds no open file, so it may be sent to other processes."""

    def __init__(self, path: Path, mode: Mode, attributes: Mapping[str, Any]) -> None:
        self.path = path
        self.mode = mode
        self._attributes = attributes
        self._only: frozenset[str] | None = None

    @classmethod
    def create(cls, path: str | Path, spec: dict[str, Any]) -> Self:
        """Make an empty store. `spec` is the JSON of all that shapes its data. Raise StoreError if something is there.

        What a killed `create` leaves behind (tables without rows, no `zarr.json`) is taken over.
        """
        path = Path(path).absolute()
        if path.exists() and not (path.is_dir() and _is_unfinished(path)):
            action = "Open it with Store.open, or choose another path"
            raise StoreError(
                sentence("creating a store failed", path, "no such path, or an empty folder", "more", action)
            )
        attributes = {
            "format": contract.FORMAT,
            "version": contract.VERSION,
            "vocabulary": VOCABULARY_NAME,
            "spec": spec,
            "spec_hash": contract.spec_hash(spec),
        }
        for name, schema in tables.FOLDERS.items():
            tables.create_folder(path / "tables" / name, schema)
        arrays.write_metadata(path, arrays.group_metadata(attributes))
        return cls(path, "a", attributes)

    @classmethod
    def open(cls, path: str | Path, mode: Mode = "r") -> Self:
        """Open a store to read ("r") or to add to ("a"). Raise StoreError: absent, not a store, another version."""
        path = Path(path).absolute()
        if not (path / "zarr.json").is_file():
            action = "Check the path, or build the store first"
            raise StoreError(sentence("opening a store failed", path, "a folder with a zarr.json", "none", action))
        attributes = arrays.read_metadata(path).get("attributes")
        found = attributes if isinstance(attributes, dict) else {}
        if found.get("format") != contract.FORMAT or not isinstance(found.get("spec"), dict):
            action = "Give the path of a store that eeg-ingest has built"
            what = f"format {found.get('format')!r}"
            raise StoreError(sentence("opening a store failed", path, f"format {contract.FORMAT!r}", what, action))
        if found.get("version") != contract.VERSION:
            action = "Use the release of eeg-store that wrote it, or build again"
            what = f"{found.get('version')!r}"
            raise StoreError(sentence("opening a store failed", path, f"version {contract.VERSION}", what, action))
        store = cls(path, mode, found)
        if mode == "a" and (path / SLOTS_FILE).exists():
            with locked(path):  # finishes what a killed `reserve` has begun
                SlotBook.read(path).grow_arrays(path)
        return store

    def only(self, recordings: Collection[str]) -> Self:
        """Return the store, to read, as if no others than these recordings were ever committed to it.

        Those that it lacks are passed over. `recordings` and `events` obey; `failures`, arrays and codes are the same.
        """
        narrowed = type(self)(self.path, "r", self._attributes)
        narrowed._only = frozenset(recordings)
        return narrowed

    @property
    def spec(self) -> dict[str, Any]:
        """What shaped the data: filters, rate, sources."""
        return dict(self._attributes["spec"])

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the spec's canonical JSON."""
        return str(self._attributes["spec_hash"])

    def update_spec(self, spec: dict[str, Any]) -> None:
        """Replace the spec, atomically."""
        self.check_writable()
        attributes = {**self._attributes, "spec": spec, "spec_hash": contract.spec_hash(spec)}
        arrays.write_metadata(self.path, arrays.group_metadata(attributes))
        self._attributes = attributes

    @property
    def expected(self) -> dict[str, Any]:
        """What each source was said to hold (subjects, hours, ...), by its name; it shapes no data."""
        return dict(self._attributes.get("expected", {}))

    def update_expected(self, expected: dict[str, Any]) -> None:
        """Replace what the sources are expected to hold, atomically; the spec and its hash stay."""
        self.check_writable()
        attributes = {**self._attributes, "expected": contract.plain_json(expected)}
        arrays.write_metadata(self.path, arrays.group_metadata(attributes))
        self._attributes = attributes

    def check_writable(self) -> None:
        """Raise StoreError if the store was opened for reading."""
        if self.mode != "a":
            action = 'Open it with Store.open(path, mode="a")'
            raise StoreError(sentence("writing failed", self.path, 'mode "a"', f'mode "{self.mode}"', action))

    def arrays(self) -> list[SignalArray]:
        """Return all signal arrays, sorted by path."""
        found = sorted(self.path.glob("*/*/signal/zarr.json"))
        return [self.array(file.parent.relative_to(self.path).as_posix()) for file in found]

    def array(self, path: str) -> SignalArray:
        """Return the signal array at `<source>/<montage>/signal`. Raise StoreError if there is none."""
        return arrays.read_signal_array(self.path, path)

    def target_names(self, array: SignalArray) -> tuple[str, ...]:
        """Return the names of the targets in time beside a signal array, none if it has no targets."""
        folder = self.path / array.targets_path
        if not (folder / "zarr.json").exists():
            return ()
        return tuple(arrays.read_metadata(folder)["attributes"]["targets"])

    def recordings(self, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Return the rows of the committed recordings that fit `where`, sorted by source and file."""
        table = self._rows("recordings").sort_by([("source", "ascending"), ("file", "ascending")])
        if self._only is not None:
            table = table.filter(pc.field("recording").isin(pa.array(sorted(self._only), pa.string())))
        return _select(table, columns, where)

    def events(self, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Return the events of committed recordings that fit `where`, in the recordings' order and then as written."""
        events = self._rows("events")
        order = self.recordings(["recording"])["recording"].combine_chunks()
        position = pc.index_in(events["recording"], order)
        events = events.append_column("_position", position).filter(pc.is_valid(position))
        events = events.take(pc.sort_indices(events, [("_position", "ascending")])).drop_columns(["_position"])
        return _select(events, columns, where)

    def failures(self, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Return the failures that fit `where`, sorted by source and file."""
        table = self._rows("failures").sort_by([("source", "ascending"), ("file", "ascending")])
        return _select(table, columns, where)

    def is_committed(self, recording: str) -> bool:
        """Whether the recording has its row, without reading any table."""
        return (self.path / "tables" / "recordings" / f"{slug(recording)}.parquet").exists()

    def reserve(self, requests: Sequence[SlotRequest]) -> dict[str, Slot]:
        """Give every recording whole shards of its own, appended in the order of the requests. Raise StoreError.

        The same request again gets the same slot. A kill at any moment leaves the slots whole; the arrays catch up at
        the next `open(mode="a")`.
        """
        self.check_writable()
        names = [request.recording for request in requests]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise StoreError(sentence("reserving failed", self.path, "each recording once", twice, "Rename them"))
        with locked(self.path):
            book = SlotBook.read(self.path)
            unknown = [array.path for array in self.arrays() if array.path not in book.arrays]
            if unknown:
                where = self.path / SLOTS_FILE
                raise StoreError(
                    sentence("reserving failed", where, "every array", f"no {unknown}", "Restore the file")
                )
            if book.reserve(requests, self.is_committed):
                book.write(self.path)
            book.grow_arrays(self.path)
        return {name: book.slots[name] for name in names}

    def record_failure(self, source: str, file: str, reason: str) -> None:
        """Add or replace the reason why a file is not in the store."""
        self.check_writable()
        row = {"source": source, "file": file, "reason": reason}
        tables.write_rows(self._failure_file(source, file), [row], tables.FAILURES)

    def clear_failure(self, source: str, file: str) -> None:
        """Take a file off the failures, if it is there."""
        self.check_writable()
        self._failure_file(source, file).unlink(missing_ok=True)

    def remove_orphans(self) -> None:
        """Remove what killed writers have left: partial files, events without a row, shards of slots without a row.

        Call it while nobody writes to the store.
        """
        self.check_writable()
        for path in self.path.rglob(".*.partial"):
            if is_partial(path):
                path.unlink()
        committed = {path.name for path in tables.row_files(self.path / "tables" / "recordings")}
        for name in ("events", "targets"):
            for path in tables.row_files(self.path / "tables" / name):
                if path.name not in committed:
                    path.unlink()
        places = set(
            zip(*(self.recordings([name])[name].to_pylist() for name in ("array", "first_second")), strict=True)
        )
        book = SlotBook.read(self.path)
        for slot in book.slots.values():
            if (slot.array, slot.first_second) not in places:
                array = self.array(slot.array)
                self.remove_shards(array, slot.shards(array.shard_seconds))

    def remove_shards(self, array: SignalArray, shards: range) -> None:
        """Remove the signal, quality and targets of shards that no committed recording owns."""
        self.check_writable()
        for path in (array.path, array.quality_path, array.targets_path):
            if (self.path / path / "zarr.json").exists():
                remove_shards(self.path / path, shards)

    def validate(self) -> list[str]:
        """Check the whole store, checksums included. Return one sentence for each problem; none if it is sound."""
        from eeg_store.validate import validate  # noqa: PLC0415  # only it needs zarr, which is slow to import

        return validate(self)

    def create_codes(self, tokenizer_hash: str, array_path: str, attrs: Mapping[str, Any]) -> None:
        """Make the array of a tokenizer's codes beside a signal array, unless it is there. Raise StoreError.

        `attrs` say what the codes mean: `n_codes` (codes are 0 to n_codes - 1) and the grid of windows.
        """
        self.check_writable()
        with locked(self.path):
            codes.create_codes(self.path, self.array(array_path), tokenizer_hash, attrs)

    def write_codes(self, tokenizer_hash: str, recording_row: tables.Row, values: npt.NDArray[np.int32]) -> None:
        """Write the codes of a recording: int32 (n_seconds, C), -1 where there is none. Raise StoreError, OSError.

        The recording counts as done once all is on disk. Different recordings may be written by different processes.
        """
        self.check_writable()
        if not self.is_committed(recording_row["recording"]):
            action = "Write codes only for rows of Store.recordings()"
            what = "none"
            where = f"recording {recording_row['recording']!r}"
            raise StoreError(sentence("writing codes failed", where, "a committed recording", what, action))
        array = self.array(recording_row["array"])
        with locked(self.path):
            arrays.grow(self.path / array.codes_path(tokenizer_hash), array.n_seconds)
        codes.write_codes(self.path, array, tokenizer_hash, recording_row, values)

    def codes_done(self, tokenizer_hash: str) -> set[str]:
        """Return the recordings whose codes of this tokenizer are complete."""
        folder = codes.marks_folder(self.path, tokenizer_hash)
        if not folder.is_dir():
            return set()
        return set(read_rows(folder, tables.CODES, keep_snapshot=self.mode == "a")["recording"].to_pylist())

    def code_sets(self) -> dict[str, dict[str, Any]]:
        """Return the attributes given to `create_codes` that all arrays share, by the tokenizer's hash."""
        return codes.code_sets(self.path, self.arrays())

    def _rows(self, name: str) -> pa.Table:
        return read_rows(self.path / "tables" / name, tables.FOLDERS[name], keep_snapshot=self.mode == "a")

    def _failure_file(self, source: str, file: str) -> Path:
        return self.path / "tables" / "failures" / f"{slug(f'{source}/{file}')}.parquet"


def _select(table: pa.Table, columns: Sequence[str] | None, where: pc.Expression | None) -> pa.Table:
    table = table if where is None else table.filter(where)
    return table if columns is None else table.select(list(columns))


def _is_unfinished(path: Path) -> bool:
    """Whether a folder is empty or holds no more than a killed `create` leaves."""
    entries = [entry for entry in path.iterdir() if not is_partial(entry)]
    return all(entry.name == "tables" for entry in entries) and not (path / SLOTS_FILE).exists()

"""The tables: their exact columns, and folders of small Parquet files that any Parquet reader takes as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eeg_store.contract import StoreError, sentence
from eeg_store.files import write_atomic

# A folder holds this file of no rows from the start, so that readers find the columns before the first recording.
EMPTY_TABLE = "schema.parquet"

Row = Mapping[str, Any]


def _text(name: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.string(), nullable=nullable)


def _whole(name: str) -> pa.Field:
    return pa.field(name, pa.int64(), nullable=False)


def _real(name: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.float64(), nullable=nullable)


_LEFT_OUT = pa.struct([_text("name"), _text("type", nullable=True), _text("reason")])
_SEGMENT = pa.struct([_whole("first_second"), _whole("n_seconds"), _real("original_onset_s"), _real("dropped_s")])

RECORDINGS = pa.schema(
    [
        _text("recording"),
        _text("source"),
        _text("subject", nullable=True),
        _text("session", nullable=True),
        _text("run", nullable=True),
        _text("file"),
        _text("format"),
        _text("array"),
        _whole("first_second"),
        _whole("n_seconds"),
        _whole("n_channels"),
        _real("original_sfreq_hz"),
        _real("original_duration_s"),
        _real("line_freq_hz", nullable=True),
        _real("band_low_hz"),
        _real("band_high_hz"),
        _real("original_highpass_hz", nullable=True),
        _real("original_lowpass_hz", nullable=True),
        _text("original_unit", nullable=True),
        _text("reference", nullable=True),
        pa.field("original_names", pa.list_(pa.string()), nullable=False),
        pa.field("left_out", pa.list_(_LEFT_OUT), nullable=False),
        pa.field("segments", pa.list_(_SEGMENT), nullable=False),
        _text("content_hash"),
        _text("fingerprint"),
        _whole("n_bytes"),
        _text("signal_sha256"),
        _text("quality_sha256"),
        _text("licence", nullable=True),
        pa.field("warnings", pa.list_(pa.string()), nullable=False),
    ]
)
EVENTS = pa.schema(
    [
        _text("recording"),
        _real("onset_s", nullable=True),
        _real("duration_s"),
        _text("label"),
        _real("original_onset_s"),
    ]
)
FAILURES = pa.schema([_text("source"), _text("file"), _text("reason")])
CODES = pa.schema(
    [_text("recording"), _text("array"), _whole("first_second"), _whole("n_seconds"), _text("codes_sha256")]
)
TARGETS = pa.schema([_text("recording"), _text("targets_sha256")])
FOLDERS = {"recordings": RECORDINGS, "events": EVENTS, "failures": FAILURES}


def encode_rows(rows: Iterable[Row], schema: pa.Schema, where: object) -> bytes:
    """Return rows as a Parquet file of exactly `schema`. Raise StoreError that names every wrong column and its row."""
    rows = list(rows)
    problems = []
    for index, row in enumerate(rows):
        unknown = sorted(set(row) - set(schema.names))
        missing = [field.name for field in schema if not field.nullable and row.get(field.name) is None]
        problems += [f"row {index}: unknown column {name}" for name in unknown]
        problems += [f"row {index}: no value for {name}" for name in missing]
    if not problems:
        try:
            return _encode(pa.Table.from_pylist(rows, schema=schema))
        except (pa.ArrowException, OverflowError) as error:
            problems.append(str(error))
    expected, action = "the columns of docs/store.md", "Correct the values of the row"
    raise StoreError(sentence("writing rows failed", where, expected, "; ".join(problems), action))


def _encode(table: pa.Table) -> bytes:
    """Return a Parquet file; equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    # Files of a few rows: dictionaries, statistics and the Arrow schema would be most of their size and reading time.
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False, store_schema=False)
    return bytes(sink.getvalue())


def write_rows(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    """Write one file of a table atomically. Raise StoreError, OSError."""
    write_atomic(path, encode_rows(rows, schema, path))


def create_folder(folder: Path, schema: pa.Schema) -> None:
    """Make a table of no rows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / EMPTY_TABLE, [], schema)


def create_folder_once(folder: Path, schema: pa.Schema) -> None:
    """Make a table of no rows, unless it is there."""
    if not (folder / EMPTY_TABLE).exists():
        create_folder(folder, schema)


def row_files(folder: Path) -> list[Path]:
    """Return the files of a table that hold rows, in the order of their names."""
    names = (path for path in folder.glob("*.parquet") if path.name != EMPTY_TABLE and not path.name.startswith("."))
    return sorted(names)


def read_file(path: Path, schema: pa.Schema) -> pa.Table:
    """Read one file of a table. Raise FileNotFoundError, or StoreError if it is damaged or has other columns."""
    try:
        table = pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
        if isinstance(error, FileNotFoundError):
            raise
        raise StoreError(
            sentence(
                "reading a table failed",
                path,
                "a Parquet file",
                error,
                "Restore the file, or remove it and build again",
            )
        ) from error
    if not table.schema.equals(schema):
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        action = "Restore the file, or remove it and build again"
        raise StoreError(sentence("reading a table failed", path, "the columns of docs/store.md", found, action))
    return table


def wrong_segments(segments: Iterable[Row], n_seconds: int) -> str | None:
    """Return what is wrong with a recording's segments, which must follow one another from 0 to `n_seconds`."""
    stop = 0
    for segment in segments:
        if segment["first_second"] != stop or segment["n_seconds"] < 0:
            return f"{segment['n_seconds']} s from second {segment['first_second']} where second {stop} comes next"
        stop += segment["n_seconds"]
    return None if stop == n_seconds else f"{stop} s"


def is_outside(onset_s: float | None, n_seconds: int) -> bool:
    """Whether an event's place is outside of its recording. NaN is outside; no place at all is not."""
    return onset_s is not None and not 0 <= onset_s < n_seconds

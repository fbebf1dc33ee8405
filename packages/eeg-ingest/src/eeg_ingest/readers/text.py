"""Text files of numbers, read in blocks of whole lines by pyarrow: memory does not depend on their size."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from eeg_ingest.reader_settings import SEPARATORS, TextLayout
from eeg_ingest.recording import IngestError

_BLOCK_BYTES = 8 * 2**20
_LONGEST_LINE = 2**20
_START_BYTES = 2**18
_MISSING = ["", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "null", "None", "?"]
_SPACES = re.compile(rb"[ \t]+")


@dataclass
class TextFile:
    """A text file whose layout is known. `columns` are its columns in order; `warnings` is complete after reading."""

    path: Path
    layout: TextLayout
    columns: tuple[str, ...]
    n_lines_before: int
    texts: frozenset[str]
    warnings: list[str] = field(default_factory=list)

    def check(self, numbers: Iterable[str], texts: Iterable[str] = ()) -> None:
        """Raise IngestError unless the columns `numbers` and `texts` are there, and the former hold numbers."""
        for name in (*numbers, *texts):
            if name not in self.columns:
                found = ", ".join(filter(None, self.columns))
                raise IngestError(
                    f"{self.path.name} has no column {name!r}: expected one of {found}. Correct the source's keys."
                )
        for name in numbers:
            if name in self.texts:
                raise IngestError(
                    f"{self.path.name} cannot be read: expected numbers in column {name!r}, found texts. Correct the "
                    "source's keys, or the file."
                )

    def blocks(self, names: Sequence[str]) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
        """Read the named columns: float64 (NaN where a cell is empty), or texts where a column holds texts.

        Raises IngestError with the line of a row that has other cells than the rest, and of a cell that is no number.
        """
        line = self.n_lines_before + 1
        with _open(self.path) as file:
            _skip_lines(file, self.n_lines_before)
            for block in _whole_lines(file):
                rows = self._rows(block, line)
                if rows:
                    yield self._parse(rows, names, line)
                line += block.count(b"\n")

    def _rows(self, block: bytes, line: int) -> bytes:
        """Return a block without comments, and without a last line that was cut short."""
        if self.layout.comment and self.layout.comment.encode() in block:
            mark = self.layout.comment.encode()
            # an empty line in place of each, so that lines keep their numbers
            kept = [b"" if row.lstrip().startswith(mark) else row for row in block.split(b"\n")]
            block = b"\n".join(kept)
        if self.layout.separator == "space":
            block = b"\n".join(_SPACES.sub(b" ", row).strip() for row in block.split(b"\n"))
        if not block.endswith(b"\n"):  # the last line of the file
            start = block.rfind(b"\n") + 1
            n_cells = len(self._cells(block[start:]))
            if block[start:].strip() and n_cells < len(self.columns):
                found = f"{n_cells} of {len(self.columns)} cells"
                number = line + block.count(b"\n")
                self.warnings.append(f"line {number}, the last, was cut short ({found}) and is left out")
                block = block[:start]
        return block if block.strip() else b""

    def _parse(self, rows: bytes, names: Sequence[str], line: int) -> dict[str, npt.NDArray[Any]]:
        keys = [str(index) for index in range(len(self.columns))]  # names may be empty or doubled
        places = {name: keys[self.columns.index(name)] for name in names}
        types = {place: pa.string() if name in self.texts else pa.float64() for name, place in places.items()}
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(rows),
                arrow_csv.ReadOptions(column_names=keys, use_threads=False, block_size=max(len(rows), 1)),
                arrow_csv.ParseOptions(delimiter=SEPARATORS[self.layout.separator]),
                arrow_csv.ConvertOptions(
                    column_types=types,
                    include_columns=list(places.values()),
                    null_values=_MISSING,
                    decimal_point=self.layout.decimal,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._first_mistake(rows, names, line, error) from error
        return {
            name: np.array([text.strip(" '\"") if text else "" for text in table[place].to_pylist()], object)
            if name in self.texts
            else table[place].to_numpy()
            for name, place in places.items()
        }

    def _first_mistake(self, rows: bytes, names: Sequence[str], line: int, error: Exception) -> IngestError:
        """Find the first line that pyarrow could not read: it does not say which."""
        where = f"{self.path.name} cannot be read"
        for number, row in enumerate(rows.split(b"\n"), line):
            if not row.strip():
                continue
            cells = self._cells(row)
            if len(cells) != len(self.columns):
                return IngestError(
                    f"{where}: expected {len(self.columns)} cells on line {number}, found {len(cells)}. "
                    "Correct the file, or `reader` of the source."
                )
            for name in names:
                text = cells[self.columns.index(name)].strip()
                if name not in self.texts and not _is_number(text, self.layout.decimal):
                    return IngestError(
                        f"{where}: expected a number in column {name!r} on line {number}, found {text[:40]!r}. "
                        "Correct the file, or `reader` of the source."
                    )
        return IngestError(f"{where}: expected rows of cells, found: {error}. Correct the file.")

    def _cells(self, row: bytes) -> list[str]:
        return split_cells(row, self.layout)


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return text in _MISSING
    return "_" not in text


def split_cells(row: bytes, layout: TextLayout) -> list[str]:
    """Return the cells of one line, stripped."""
    text = row.decode("utf-8", errors="replace").strip("\r\n")
    if layout.separator == "space":
        return text.split()
    reader = csv.reader(io.StringIO(text), delimiter=SEPARATORS[layout.separator])
    return [cell.strip() for cell in next(reader, [])]


def open_text(path: Path, layout: TextLayout, columns: Sequence[str] | None = None) -> TextFile:
    """Find the columns of a text file in its header row, or take `columns`; the first rows say which hold texts.

    Raises IngestError if it is no text, has no rows, or other columns than named.
    """
    with _open(path) as file:
        n_before = _skip_lines(file, layout.skip_lines)
        row, n_lines = _next_row(file, layout, path)
        if columns is None:
            columns = split_cells(row, layout)
            n_before += n_lines
            if _is_row(columns, layout):
                raise IngestError(
                    f"{path.name} cannot be read: expected the names of its columns on line {n_before}, found numbers. "
                    "Give `columns` in `reader` of the source."
                )
            row, n_lines = _next_row(file, layout, path)
        n_before += n_lines - 1
        start = row + file.read(_START_BYTES)
    columns, first = list(columns), split_cells(row, layout)
    while len(columns) < len(first) and not first[len(columns)]:  # a separator at the line's end
        columns.append("")
    if len(columns) != len(first):
        raise IngestError(
            f"{path.name} cannot be read: expected {len(columns)} columns ({few(columns)}), found {len(first)} on line "
            f"{n_before + 1}. Correct `reader` of the source."
        )
    doubled = sorted({name for name in columns if name and columns.count(name) > 1})
    if doubled:
        raise IngestError(
            f"{path.name} cannot be read: expected each column once, found {few(doubled)} more often. "
            "Name the columns in `reader` of the source."
        )
    return TextFile(path, layout, tuple(columns), n_before, _texts(start, columns, layout))


def _is_row(names: Sequence[str], layout: TextLayout) -> bool:
    """Whether what should name the columns is a row of numbers: not if they count the columns, from 0 or 1."""
    numbers = [name for name in names if name and _is_number(name, layout.decimal)]
    counted = [str(number) for number in range(len(numbers) + 1)]
    return len(numbers) > len(list(filter(None, names))) / 2 and numbers not in (counted[:-1], counted[1:])


def count_cells(path: Path, layout: TextLayout) -> int:
    """Return how many cells the first row has, without empty ones at its end. Raises IngestError if there is none."""
    with _open(path) as file:
        _skip_lines(file, layout.skip_lines)
        row, _ = _next_row(file, layout, path)
    cells = split_cells(row, layout)
    return max((number for number, cell in enumerate(cells, 1) if cell), default=0)


def _texts(start: bytes, columns: Sequence[str], layout: TextLayout) -> frozenset[str]:
    """The columns whose first rows hold something else than numbers."""
    rows = start.split(b"\n")
    rows = rows[:-1] or rows  # the last may be cut
    mark = layout.comment.encode() if layout.comment else None
    cells = [split_cells(row, layout) for row in rows[:200] if not (mark and row.lstrip().startswith(mark))]
    return frozenset(
        name
        for index, name in enumerate(columns)
        if any(not _is_number(row[index], layout.decimal) for row in cells if index < len(row))
    )


def few(names: Sequence[str]) -> str:
    """List names for a message, the first eight of many."""
    return f"{', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open plain or gzipped text. Raises IngestError for damaged gzip."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        try:
            file = cast("BinaryIO", gzip.GzipFile(fileobj=plain)) if zipped else plain
            if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                file.seek(0)
            yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IngestError(f"{path.name} is damaged: {error}. Fetch it again.") from error


def _skip_lines(file: BinaryIO, count: int) -> int:
    return sum(1 for _ in range(count) if file.readline(_LONGEST_LINE))


def _next_row(file: BinaryIO, layout: TextLayout, path: Path) -> tuple[bytes, int]:
    """Return the next line that is no comment and not empty, and how many lines that took."""
    count = 0
    while row := file.readline(_LONGEST_LINE):
        count += 1
        if b"\x00" in row or len(row) == _LONGEST_LINE:
            raise IngestError(f"{path.name} cannot be read: expected lines of text, found binary data. Fetch it again.")
        if row.strip() and not (layout.comment and row.lstrip().startswith(layout.comment.encode())):
            return row, count
    raise IngestError(f"{path.name} cannot be read: expected rows of numbers, found none. Fetch it again.")


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block + file.readline()

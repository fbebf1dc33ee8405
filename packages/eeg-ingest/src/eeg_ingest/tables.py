"""Label tables beside the recordings: CSV and TSV, as datasets write them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eeg_ingest.recording import IngestError

NOT_AVAILABLE = ("", "n/a", "N/A", "NaN", "nan")  # the empty cell, and how BIDS and pandas write it
TSE_COLUMNS = ("channel", "start_time", "stop_time", "label", "confidence")  # as the .csv that NEDC writes since 2022
NO_SECONDS = (*NOT_AVAILABLE, "None")  # and how SeizeIt writes an end that nobody saw


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, stripped. `lines` are the rows' line numbers in the file, for messages."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> int:
        """Return the index of a column; IngestError where the table lacks it."""
        if name not in self.columns:
            found = ", ".join(self.columns) or "an empty table"
            raise IngestError(
                f"The label table {self.path} cannot be used: expected a column {name!r}, found {found}. "
                "Correct the label's columns in sources.yaml."
            )
        return self.columns.index(name)

    def seconds(self, row: int, column: int) -> float:
        """Return a cell as seconds; IngestError where it is not a finite number."""
        text = self.rows[row][column]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise IngestError(
                f"The label table {self.path} cannot be used: expected seconds in column {self.columns[column]!r} on "
                f"line {self.lines[row]}, found {text!r}. Correct the table."
            )
        return value


def read_table(path: Path, columns: tuple[str, ...] | None) -> Table:
    """Read a table; lines that start with # are comments, the separator is the tab, comma or semicolon of the header.

    `columns` names the columns of a table without a header row. NEDC's older .tse tables have none, and blanks between
    cells: their columns are `TSE_COLUMNS`, the channel TERM (all). Raises IngestError where it cannot be read.
    """
    try:
        state = path.stat()
        return _read(path, columns, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise _unreadable(path, error) from None


def read_flags(path: Path, columns: Sequence[str]) -> npt.NDArray[np.int8]:
    """Read columns of 0 and 1, (columns, rows). Raises IngestError where they are missing or hold anything else."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
            separator = max("\t,;", key=header.count)
            names = Table(path, tuple(cell.strip() for cell in header.split(separator)), (), ())
            places = [names.column(name) for name in columns]
            flags = np.loadtxt(file, dtype=np.float32, delimiter=separator, usecols=places, ndmin=2)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:  # also of bytes that are no UTF-8
        raise IngestError(
            f"The label table {path} cannot be read: expected columns of 0 and 1, found: {error}. Correct the table."
        ) from None
    if not np.isin(flags, (0, 1)).all():
        row, column = np.argwhere(~np.isin(flags, (0, 1)))[0].tolist()
        raise IngestError(
            f"The label table {path} cannot be used: expected 0 or 1 in column {columns[column]!r}, found "
            f"{flags[row, column]:g} on line {row + 2}. Correct the table."
        )
    return np.ascontiguousarray(flags.T, dtype=np.int8)


def _unreadable(path: Path, error: OSError) -> IngestError:
    return IngestError(
        f"The label table {path} cannot be read: expected a readable file, found: {error.strerror}. "
        "Correct the table's path or its permissions."
    )


@lru_cache(maxsize=8)  # one table often serves every recording of a source
def _read(path: Path, columns: tuple[str, ...] | None, mtime_ns: int, size: int) -> Table:  # noqa: ARG001
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise IngestError(
            f"The label table {path} cannot be read: expected UTF-8 text, found the byte "
            f"{error.object[error.start]:#04x} at {error.start}. Convert the table to UTF-8."
        ) from None
    kept = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if columns is None and kept and kept[0][1].startswith("version = tse"):
        columns, kept = TSE_COLUMNS, [(n, ",".join(["TERM", *line.split()])) for n, line in kept[1:]]
    first = kept[0][1] if kept else ""
    separator = max("\t,;", key=first.count)  # the earlier one where none occurs: a single column
    reader = csv.reader(io.StringIO("\n".join(line for _, line in kept)), delimiter=separator)
    try:
        cells = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise IngestError(
            f"The label table {path} cannot be read: expected rows of cells, found: {error}. Correct the table."
        ) from None
    lines = [n for n, _ in kept]
    if columns is None:
        columns, cells, lines = tuple(cells[0]) if cells else (), cells[1:], lines[1:]
    width = len(columns)
    rows = tuple(tuple((row + [""] * width)[:width]) for row in cells)
    return Table(path, columns, rows, tuple(lines))

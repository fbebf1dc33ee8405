"""`metrics.jsonl`: one JSON object a step, and what a curve is drawn from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from eeg_tokenizer.checkpoint import CheckpointError, SaveError


class MetricsLog:
    """Appends records to a file of JSON lines; a resumed run first forgets the steps that it will repeat."""

    def __init__(self, path: Path, *, last_step: int, silent: bool = False) -> None:
        """Open `path`, keeping the whole records up to `last_step`; a silent log leaves the file alone."""
        self._file: TextIO | None = None
        if silent:
            return
        if path.exists():
            os.truncate(path, _bytes_until(path, last_step))
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record. NaN and infinities are not JSON and are refused.

        Raises:
            SaveError: no space; the file keeps the records before.
        """
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(record, allow_nan=False) + "\n")
        except OSError as error:
            raise SaveError(
                f"Cannot write the record of step {record['step']} in {self._file.name}: expected room, found {error}. "
                "The last checkpoint is kept; free some space and repeat the command with --resume."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # of a full disk, which `write` has told of
                self._file.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a run, oldest first; a last line that a killed run left half-written is passed over."""
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield _record(line, path)


def _record(line: bytes, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        record = error
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        raise CheckpointError(
            f"Cannot read {path}: expected a JSON object with a step in each line, found {record!r:.80}. Restore it "
            "from a copy, or remove it to go on without the curves so far."
        )
    return record


def last_record(path: Path) -> dict[str, Any]:
    """Return the newest record of a run with the newest held-out scores, or nothing where no step was taken.

    Where steps were skipped at the end, their loss is that of the step before them.
    """
    newest: dict[str, Any] = {}
    held_out: dict[str, Any] = {}
    if path.exists():
        for record in read_metrics(path):
            newest = {**newest, **record} if "not_finite" in record else record
            held_out = record.get("held_out", held_out)
    return {**newest, "held_out": held_out} if held_out else newest


def _bytes_until(path: Path, last_step: int) -> int:
    """Return how many bytes hold the whole records of steps up to `last_step`."""
    n_bytes = 0
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n") or _record(line, path)["step"] > last_step:
                break
            n_bytes += len(line)
    return n_bytes

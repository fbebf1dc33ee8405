"""Blocks of Emobrain: `x.bdf.mrk` has the samples of their starts and ends, one table for all has their emotions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.events import FileLabels, missing_labels
from eeg_ingest.recording import Event, IngestError, Recording

_CLASSES = "IAPS_Classes_EEG_fNIRS.txt"
_SESSIONS = 3


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Return the blocks of the recording at `path`. Raises IngestError where the table is unclear."""
    marks, table = _beside(path.parent, f"{path.name}.mrk"), _beside(path.parent.parent / "Common", _CLASSES)
    absent = next((file for file in (marks, table) if not file.is_file()), None)
    if absent is not None:
        return missing_labels(absent.name)
    samples = [int(match[1]) for line in _lines(marks) if (match := re.match(r"\s*(\d+)(?![\w.])", line))]
    if samples[-1:] == samples[-2:-1]:  # the last mark is written twice
        samples = samples[:-1]
    labels = _emotions(table, path.name, int(groups["session"] or 0))
    if len(samples) != 2 * len(labels):
        warning = (
            f"{path.name}.mrk has {len(samples)} marks, not the starts and ends of {len(labels)} blocks: no labels"
        )
        return FileLabels(warnings=(warning,), known=False)
    rate_hz = recording.sfreq_hz
    blocks = zip(samples[::2], samples[1::2], labels, strict=True)
    return FileLabels(tuple(Event(start / rate_hz, (end - start) / rate_hz, label) for start, end, label in blocks))


def _emotions(table: Path, name: str, session: int) -> list[str]:
    """The column of the session: a word for each of its blocks."""
    rows = [re.split(r"[\s,;]+", line.strip()) for line in _lines(table) if line.strip()]
    if not 1 <= session <= _SESSIONS or any(len(row) != _SESSIONS for row in rows):
        raise IngestError(
            f"The labels of {name} cannot be read: expected {_SESSIONS} columns in {table}, one for each session, "
            f"found session {session} and rows of {sorted({len(row) for row in rows})} words. Fetch the table again."
        )
    return [row[session - 1] for row in rows]


def _beside(folder: Path, name: str) -> Path:
    """The file of this name in any case, which differs between the files of the archive."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return next((file for file in inside if file.name.casefold() == name.casefold()), folder / name)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()

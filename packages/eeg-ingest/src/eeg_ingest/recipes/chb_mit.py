"""Seizures of the CHB-MIT database: seconds in `chb01-summary.txt`, a block for each file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.events import FileLabels, missing_labels
from eeg_ingest.recording import Event, IngestError, Recording

_BLOCK = re.compile(r"^\s*File Name:\s*(\S+)\s*$", re.MULTILINE)
_COUNT = re.compile(r"Number of Seizures in File:\s*(\d+)")
_EDGE = re.compile(r"Seizure\s*\d*\s*(Start|End) Time:\s*(\d+)\s*sec", re.IGNORECASE)


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Return the seizures of the recording at `path`. Raises IngestError where the summary is unclear."""
    summary = path.parent / f"{groups['subject']}-summary.txt"
    if not summary.is_file():
        return missing_labels(summary.name)
    parts = _BLOCK.split(summary.read_text(encoding="utf-8", errors="replace"))
    blocks = dict(zip(parts[1::2], parts[2::2], strict=True))
    if path.name not in blocks:
        return FileLabels(warnings=(f"{summary.name} does not speak of {path.name}",), known=False)
    block = blocks[path.name]
    edges = _EDGE.findall(block)
    starts = [int(second) for kind, second in edges if kind.lower() == "start"]
    ends = [int(second) for kind, second in edges if kind.lower() == "end"]
    declared = _COUNT.search(block)
    count = int(declared[1]) if declared else len(starts)
    if not count == len(starts) == len(ends) or any(end <= start for start, end in zip(starts, ends, strict=True)):
        raise IngestError(
            f"The summary {summary} cannot be used: expected {count} seizures with start and end for "
            f"{path.name}, found starts {starts} and ends {ends}. Correct the summary."
        )
    return FileLabels(tuple(Event(s, e - s, "seizure") for s, e in zip(starts, ends, strict=True)))

"""Events of MoBI: what the experiment's conductor wrote into `conductor.txt`, on the clock of the samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.events import FileLabels
from eeg_ingest.recording import Event, Recording

_ROW = re.compile(r"\s*(\d+(?:\.\d*)?)\s+(\S.*?)\s*")  # time in seconds and event; two lines of header lie above


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Return the events of the trial at `path`, as "conductor ...": their words are not known."""
    file = path.with_name("conductor.txt")
    if not file.is_file():
        return FileLabels(warnings=(f"no {file.name} with it",), known=False)
    rows = map(_ROW.fullmatch, file.read_text(encoding="utf-8", errors="replace").splitlines())
    return FileLabels(
        tuple(Event(float(row[1]) - recording.clock_zero_s, 0.0, f"conductor {row[2]}") for row in rows if row)
    )

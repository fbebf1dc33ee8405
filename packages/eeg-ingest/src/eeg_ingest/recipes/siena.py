"""Seizures of the Siena Scalp EEG Database: clock times in `Seizures-list-PN00.txt`, written by hand.

Labels and separators vary (`Seizure start time: 19.58.36`, `Start time: 19:58:36`), seizures of one file share its
start, times pass midnight, and some names are mistyped (`PNO6-1.edf`, `PN01.edf`, `PN11-.edf`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from eeg_ingest.events import FileLabels, missing_labels
from eeg_ingest.recording import Event, IngestError, Recording

_NAME = re.compile(r"file(\s*name)?\s*:?\s*(?P<name>PN\S*)", re.IGNORECASE)
_TIME = re.compile(r"(?P<what>.*?)[:\s](?P<h>\d{1,2})\s*[.:]\s*(?P<m>\d{2})\s*[.:]\s*(?P<s>\d{2})(?!\d)")
_DAY_S = 24 * 3600
# The list has an end an hour after the recording's own, in a seizure of a minute: the hour is mistyped.
_MISTYPED_ENDS = {("PN00-3", "19.29.29"): "18.29.29"}


@dataclass(frozen=True)
class _Seizure:
    """One entry of a list. `start_s` counts from the recording's start."""

    stem: str
    start_s: int
    duration_s: int
    warning: str | None


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Return the seizures of the recording at `path`. Raises IngestError where the list is unclear."""
    table = path.parent / f"Seizures-list-{groups['subject']}.txt"
    if not table.is_file():
        return missing_labels(table.name)
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [seizure for seizure in _seizures(table, lines) if seizure.stem == _stem(path.name)]
    if not found:
        return FileLabels(warnings=(f"{table.name} names no seizure of {path.name}",), known=False)
    events = tuple(Event(seizure.start_s, seizure.duration_s, "seizure") for seizure in found)
    return FileLabels(events, warnings=tuple(seizure.warning for seizure in found if seizure.warning))


def _seizures(table: Path, lines: list[str]) -> Iterator[_Seizure]:
    stem = start = None
    registrations: dict[str | None, str] = {}
    for number, line in enumerate(lines, 1):
        named, timed = _NAME.search(line), _TIME.match(line)
        if named:
            stem, start = _stem(named["name"]), None
        if not timed:
            continue
        what, clock = timed["what"].lower(), f"{int(timed['h']):02d}.{timed['m']}.{timed['s']}"
        if "registration" in what:
            registrations |= {stem: clock} if "start" in what else {}
        elif "start" in what:
            start = clock
        elif "end" in what:
            if stem is None or start is None or stem not in registrations:
                raise IngestError(
                    f"The seizure list {table} cannot be used: expected a file name, a registration start and a "
                    f"seizure start before the end on line {number}, found {line.strip()!r}. Correct the list."
                )
            yield _seizure(stem, registrations[stem], start, clock)
            start = None


def _seizure(stem: str, registration: str, start: str, end: str) -> _Seizure:
    corrected = _MISTYPED_ENDS.get((stem, end), end)
    start_s = (_clock_s(start) - _clock_s(registration)) % _DAY_S  # a time before the start is of the next day
    duration_s = (_clock_s(corrected) - _clock_s(start)) % _DAY_S
    warning = f"the end of a seizure is {corrected}: the list's {end} is mistyped" if corrected != end else None
    return _Seizure(stem, start_s, duration_s, warning)


def _stem(name: str) -> str:
    """Return the recording that a name means: `PNO6-1.edf` is PN06-1, and `PN01.edf`, the only one of PN01, PN01-1."""
    stem = re.sub(r"^PNO", "PN0", re.sub(r"(?i)\.edf\W*$", "", name).upper()).rstrip("-")
    return stem if "-" in stem else f"{stem}-1"


def _clock_s(text: str) -> int:
    hours, minutes, seconds = map(int, text.split("."))
    return 3600 * hours + 60 * minutes + seconds

"""The plan: which recordings the sources hold, which are in the store already, and which cannot be ingested and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from eeg_store import Store

from eeg_ingest.duplicates import Fingerprint, fingerprint
from eeg_ingest.files import Failure, FoundFile, advise_release, find_files
from eeg_ingest.outcome import Failed, outcome_of
from eeg_ingest.progress import Progress, log_traceback
from eeg_ingest.readers import recording_files
from eeg_ingest.sources import Source
from eeg_ingest.task import FileTask, Header, hash_contents, read_headers
from eeg_ingest.workers import Workers

HEADERS_PER_TASK = 16
FINGERPRINT_THREADS = 8  # waiting for disks and network file systems
STORED = ["recording", "session", "format", "n_channels", "original_sfreq_hz", "n_seconds"]
HASHES = ["fingerprint", "n_bytes", "content_hash"]


@dataclass(frozen=True)
class Entry:
    """One file of the plan. `reason` says why it failed; a failure of a pattern or folder has no recording."""

    source: str
    file: str
    status: Literal["new", "present", "failed"]
    recording: str | None = None
    reason: str | None = None
    groups: Mapping[str, str | None] = field(default_factory=dict)
    format: str | None = None
    n_channels: int | None = None
    sfreq_hz: float | None = None
    n_seconds: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entry as `plan --json` prints it."""
        return {
            "file": self.file,
            "recording": self.recording,
            **{key: self.groups.get(key) for key in ("subject", "session", "run")},
            "format": self.format,
            "n_channels": self.n_channels,
            "sfreq_hz": self.sfreq_hz,
            "seconds": self.n_seconds,
            "status": self.status,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Plan:
    """All files of the sources, in the order of the sources and then of their paths; and the tasks of the new ones."""

    entries: tuple[Entry, ...]
    new: tuple[tuple[FileTask, Header], ...]

    @property
    def failures(self) -> list[Failure]:
        """What cannot be ingested, as rows of the failures table."""
        return [Failure(e.source, e.file, e.reason) for e in self.entries if e.reason is not None]


def make_plan(sources: Sequence[Source], store: Store | None, workers: Workers) -> Plan:
    """Compare the files of the sources with the store and read the headers of the new ones on the workers."""
    stored = {row["recording"]: row for row in store.recordings([*STORED, *HASHES]).to_pylist()} if store else {}
    tasks, failures = _find(sources)
    reasons = {(failure.source, failure.file): failure.reason for failure in failures}
    present, fresh = [], []
    for task in tasks:
        row = stored.get(task.found.recording)
        if row is None:
            fresh.append(task)
        elif row["session"] != task.groups.get("session"):
            reasons[_key(task.found)] = (
                f"The session has changed since it was ingested: expected {row['session']} as stored, found "
                f"{task.groups.get('session')} by the files that are there now. Restore those, or build a new store."
            )
        elif row["fingerprint"] == task.fingerprint.digest:
            present.append(task)
        else:
            reasons[_key(task.found)] = (
                f"The file has changed since it was ingested: expected the {row['n_bytes']} bytes that were ingested, "
                f"found other content of {task.fingerprint.n_bytes} bytes. Restore the file, or build a new store."
            )
    headers = _read_headers(fresh, workers, reasons)
    healthy = [task for task in fresh if task.found.recording in headers]
    _advise_releases(sources, fresh, [*present, *healthy], reasons)
    for duplicate, first in _duplicates(healthy, stored, workers, reasons).items():
        reasons[_key(duplicate)] = (
            f"The file is a duplicate: expected new content, found the same content as {first}. Leave one of them out."
        )
    new = [(task, headers[task.found.recording]) for task in healthy if _key(task.found) not in reasons]
    entries = [_new_entry(task, header) for task, header in new]
    entries += [_present_entry(task, stored[task.found.recording]) for task in present]
    known = {_key(task.found): task for task in tasks}
    entries += [_failed_entry(*key, reason, known.get(key)) for key, reason in reasons.items()]
    order = {source.name: number for number, source in enumerate(sources)}
    return Plan(tuple(sorted(entries, key=lambda entry: (order[entry.source], entry.file))), tuple(new))


def _key(found: FoundFile) -> tuple[str, str]:
    return found.source, found.file


def _find(sources: Sequence[Source]) -> tuple[list[FileTask], list[Failure]]:
    """Find the recordings of all sources: files that belong to another one (.eeg beside .vhdr) are passed over."""
    tasks: list[FileTask] = []
    failures: list[Failure] = []
    for source in sources:
        first = len(tasks)
        found_files, problems = find_files(source)
        failures += problems
        with (
            ThreadPoolExecutor(FINGERPRINT_THREADS) as pool,
            Progress(f"{source.name}: files", len(found_files)) as bar,
        ):
            looks = []
            for found, look in zip(found_files, pool.map(_look, found_files), strict=True):
                looks.append((found, look))
                bar.advance()
        belonging = {file for _, look in looks if not isinstance(look, Failed) for file in look[0][1:]}
        for found, look in looks:
            groups = source.groups(found.file)
            if str(found.path) in belonging:
                continue
            if isinstance(look, Failed):
                failures.append(Failure(*_key(found), look.reason))
            elif groups is None:
                failures.append(Failure(*_key(found), _unmatched(source)))
            else:
                tasks.append(FileTask(found, source, look[0], groups, look[1]))
        if source.sessions_by is not None:
            tasks[first:] = _with_sessions(tasks[first:], source.sessions_by)
    return tasks, failures


def _advise_releases(
    sources: Sequence[Source],
    fresh: Sequence[FileTask],
    readable: Sequence[FileTask],
    reasons: dict[tuple[str, str], str],
) -> None:
    """Where no file of a source can be read, add to their reasons that those of another release are there, if so."""
    fine = {task.found.source for task in readable}
    advice = {s.name: advise_release(s) for s in sources if s.recipe is not None and s.name not in fine}
    for task in fresh:
        if task.found.source in advice:
            reasons[_key(task.found)] += advice[task.found.source]


def _with_sessions(tasks: Sequence[FileTask], group: str) -> Iterator[FileTask]:
    """Number the sessions of each subject in the order of a named group, such as a date, which is not stored."""
    values: dict[str | None, set[str]] = defaultdict(set)
    for task in tasks:
        values[task.groups.get("subject")].add(task.groups.get(group) or "")
    for task in tasks:
        order = sorted(values[task.groups.get("subject")])
        session = str(1 + order.index(task.groups.get(group) or ""))
        yield replace(task, groups={**task.groups, "session": session})


def _look(found: FoundFile) -> Any:
    def look(found: FoundFile) -> tuple[tuple[str, ...], Fingerprint]:
        files = tuple(str(path) for path in recording_files(found.path))
        return files, fingerprint(files)

    return outcome_of(look, found)


def _unmatched(source: Source) -> str:
    what = source.subject if source.subject is not None else "sub-LABEL of BIDS"
    return (
        f"The subject is not known: expected a path that matches {what}, found one that does not. "
        "Correct subject in sources.yaml, or leave the file out."
    )


def _read_headers(
    tasks: Sequence[FileTask], workers: Workers, reasons: dict[tuple[str, str], str]
) -> dict[str, Header]:
    headers: dict[str, Header] = {}
    with Progress("headers", len(tasks)) as bar:
        for task, outcome in workers.run(read_headers, tasks, batch=HEADERS_PER_TASK):
            bar.advance()
            if isinstance(outcome, Header):
                headers[task.found.recording] = outcome
            else:
                reasons[_key(task.found)] = outcome.reason
                log_traceback(outcome)
    return headers


def _duplicates(
    tasks: Sequence[FileTask],
    stored: Mapping[str, Mapping[str, Any]],
    workers: Workers,
    reasons: dict[tuple[str, str], str],
) -> dict[FoundFile, str]:
    """Find the files whose content another recording has: one in the store, or one that comes first in the plan."""
    alike: dict[tuple[int, str], list[FileTask]] = defaultdict(list)
    held: dict[tuple[int, str], dict[str, str]] = defaultdict(dict)
    for row in stored.values():
        held[row["n_bytes"], row["fingerprint"]][row["content_hash"]] = row["recording"]
    for task in tasks:
        alike[task.fingerprint.n_bytes, task.fingerprint.digest].append(task)
    suspects = [task for key, same in alike.items() if len(same) > 1 or key in held for task in same]
    hashes: dict[str, str] = {}
    with Progress("hashes", len(suspects)) as bar:
        for task, outcome in workers.run(hash_contents, suspects):
            bar.advance()
            if isinstance(outcome, str):
                hashes[task.found.recording] = outcome
            else:
                reasons[_key(task.found)] = outcome.reason
                log_traceback(outcome)
    duplicates: dict[FoundFile, str] = {}
    first = {digest: recording for contents in held.values() for digest, recording in contents.items()}
    for task in tasks:
        digest = hashes.get(task.found.recording)
        if digest in first:
            duplicates[task.found] = first[digest]
        elif digest is not None:
            first[digest] = task.found.recording
    return duplicates


def _new_entry(task: FileTask, header: Header) -> Entry:
    found = task.found
    return Entry(
        source=found.source,
        file=found.file,
        status="new",
        recording=found.recording,
        groups=task.groups,
        format=header.format,
        n_channels=len(header.channels),
        sfreq_hz=header.sfreq_hz,
        n_seconds=header.n_seconds,
    )


def _present_entry(task: FileTask, row: Mapping[str, Any]) -> Entry:
    found = task.found
    return Entry(
        source=found.source,
        file=found.file,
        status="present",
        recording=found.recording,
        groups=task.groups,
        format=row["format"],
        n_channels=row["n_channels"],
        sfreq_hz=row["original_sfreq_hz"],
        n_seconds=row["n_seconds"],
    )


def _failed_entry(source: str, file: str, reason: str, task: FileTask | None) -> Entry:
    recording = task.found.recording if task else None
    return Entry(source, file, "failed", recording, reason, task.groups if task else {})

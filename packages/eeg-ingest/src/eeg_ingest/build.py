"""The build: put every new recording of the sources into the store, one task each, whatever happens to the others."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eeg_store import SlotRequest, Store

from eeg_ingest.errors import StoppedError, UsageError
from eeg_ingest.outcome import Failed, StoreFailed, StoreWriteError, writing_store
from eeg_ingest.plan import Plan, make_plan
from eeg_ingest.progress import Progress
from eeg_ingest.sources import Source
from eeg_ingest.spec import extend_spec, spec_of
from eeg_ingest.task import IngestTask, ingest
from eeg_ingest.workers import Workers


@dataclass(frozen=True)
class BuildResult:
    """What a build did: recordings that it put into the store, that were there, and files that failed."""

    ingested: int
    present: int
    failed: int
    seconds: float


def build(sources: Sequence[Source], path: Path, workers: Workers) -> BuildResult:
    """Bring the store at `path` up to date with the sources.

    Recordings that the store holds are not read again. Raises UsageError or StoreError where the store cannot be used
    or workers cannot be had, and StoppedError where workers are lost or the store can no longer be written (a full
    disk): then nothing is half-visible, and the same command goes on.
    """
    start = time.monotonic()
    done = 0
    try:
        if path.exists() and not path.is_dir():
            raise UsageError(
                f"{path} cannot be built: expected a store or no such path, found a file. Correct --store."
            )
        with writing_store():
            path.mkdir(parents=True, exist_ok=True)
        with _only_builder(path):
            with writing_store():
                store = _open(sources, path)
                _keep_expected(store, sources)
                store.remove_orphans()
            plan = make_plan(sources, store, workers)
            present = sum(entry.status == "present" for entry in plan.entries)
            with writing_store():
                tasks = _reserve(store, plan)
                failures = _Failures(store, sources, plan)
            for outcome in _ingest(tasks, workers, failures):
                if isinstance(outcome, StoreFailed):
                    raise StoreWriteError(outcome.reason)
                done += 1
            if failures.in_task:
                with writing_store():
                    store.remove_orphans()
    except StoreWriteError as error:
        raise StoppedError(
            f"The build stopped, writing {path} failed: expected space and permission to write, found: {error}. "
            f"The store is valid (recordings added: {done}); free space and run the same command again."
        ) from error
    return BuildResult(done, present, failures.count, time.monotonic() - start)


def _open(sources: Sequence[Source], path: Path) -> Store:
    """Open the store at `path` and add new sources to its spec, or make it."""
    if not (path / "zarr.json").exists():
        return Store.create(path, spec_of(sources))
    store = Store.open(path, mode="a")
    spec = extend_spec(store.spec, sources, path)
    if spec != store.spec:
        store.update_spec(spec)
    return store


def _keep_expected(store: Store, sources: Sequence[Source]) -> None:
    """Keep in the store what is expected of its sources, for the audit."""
    expected = {name: facts for name, facts in store.expected.items() if name not in {s.name for s in sources}}
    expected |= {s.name: s.expected.model_dump(mode="json", exclude_none=True) for s in sources if s.expected}
    if expected != store.expected:
        store.update_expected(expected)


@contextmanager
def _only_builder(store: Path) -> Iterator[None]:
    """Keep other builds out of the store; the kernel frees the lock of a killed one."""
    folder = os.open(store, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(
            f"{store} cannot be built: expected no other build of it, found one that is running. "
            "Wait for it, or stop it."
        ) from None
    finally:
        os.close(folder)


def _reserve(store: Store, plan: Plan) -> list[IngestTask]:
    """Give every new recording its place, in the order of the plan, before any work starts."""
    requests = [
        SlotRequest(
            recording=task.found.recording,
            source=task.source.name,
            channels=header.channels,
            reference=header.reference,
            n_seconds=header.n_seconds,
            licence=task.source.licence,
        )
        for task, header in plan.new
    ]
    slots = store.reserve(requests) if requests else {}
    return [IngestTask(task, slots[task.found.recording], store) for task, _ in plan.new]


def _ingest(tasks: Sequence[IngestTask], workers: Workers, failures: _Failures) -> Iterator[int | StoreFailed]:
    """Yield the seconds of each recording that is now in the store; one that failed becomes a row of failures."""
    hours = sum(task.slot.n_seconds for task in tasks) / 3600
    ingested = failed = 0
    with Progress("recordings", hours, "h") as bar:
        for task, outcome in workers.run(ingest, tasks):
            if isinstance(outcome, Failed):
                failed += 1
                bar.log(outcome)
                with writing_store():
                    failures.record(task.file.found.source, task.file.found.file, outcome.reason)
            else:
                ingested += isinstance(outcome, int)
                yield outcome
            bar.advance(task.slot.n_seconds / 3600, f"{ingested} of {len(tasks)} recordings, {failed} failed")


class _Failures:
    """The failures table, changed only where this build finds something new."""

    def __init__(self, store: Store, sources: Sequence[Source], plan: Plan) -> None:
        self._store = store
        self._held = {(row["source"], row["file"]): row["reason"] for row in store.failures().to_pylist()}
        self.in_task = 0
        now = {(failure.source, failure.file): failure.reason for failure in plan.failures}
        self._planned = len(now)
        trying = {(task.found.source, task.found.file) for task, _ in plan.new}
        names = {source.name for source in sources}
        for source, file in self._held:
            if source in names and (source, file) not in now and (source, file) not in trying:
                store.clear_failure(source, file)
        for (source, file), reason in now.items():
            self._write(source, file, reason)

    @property
    def count(self) -> int:
        """Files of these sources that failed."""
        return self._planned + self.in_task

    def record(self, source: str, file: str, reason: str) -> None:
        """Record a recording that failed while it was ingested."""
        self.in_task += 1
        self._write(source, file, reason)

    def _write(self, source: str, file: str, reason: str) -> None:
        if self._held.get((source, file)) != reason:
            self._store.record_failure(source, file, reason)

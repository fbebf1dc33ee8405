"""The build: put every new recording of the sources into the store, one task each, whatever happens to the others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eeg_store import Slot, SlotRequest, Store
from eeg_store.slots import SlotBook

from eeg_ingest.errors import StoppedError, UsageError
from eeg_ingest.outcome import Failed, StoreFailed, StoreWriteError, writing_store
from eeg_ingest.parts import BuildLock, Part, busy, forget_plan, read_plan, write_plan
from eeg_ingest.plan import Plan, make_plan
from eeg_ingest.progress import SourceProgress, log_traceback
from eeg_ingest.sources import Source
from eeg_ingest.spec import extend_spec, spec_of
from eeg_ingest.task import FileTask, IngestTask, ingest
from eeg_ingest.workers import Workers


@dataclass(frozen=True)
class BuildResult:
    """What a build did: recordings that it put into the store, that were there, and files that failed."""

    ingested: int
    present: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class _Work:
    """What a build has to do, and what was there before."""

    store: Store
    tasks: list[IngestTask]
    present: int
    failures: _Failures


def build(sources: Sequence[Source], path: Path, workers: Workers, part: Part | None = None) -> BuildResult:
    """Bring the store at `path` up to date with the sources, or do one part of that.

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
            if [entry for entry in path.iterdir() if entry.name != "tables"] and not (path / "tables").is_dir():
                _open(sources, path)  # says what this folder is, before anything is written into it
            (path / "tables").mkdir(exist_ok=True)  # the locks lie in it
        with BuildLock(path, part) as lock:
            with lock.planning():
                work = _prepare(sources, path, workers, part, alone=lock.try_alone())
                lock.share()
            for outcome in _ingest(work.tasks, workers, work.failures):
                if isinstance(outcome, StoreFailed):
                    raise StoreWriteError(outcome.reason)
                done += 1
            with lock.planning(), writing_store():
                if lock.try_alone() and (part is not None or work.failures.count):
                    _tidy(sources, work.store, part)
                lock.leave()  # before another part looks who is there
    except StoreWriteError as error:
        raise StoppedError(
            f"The build stopped, writing {path} failed: expected space and permission to write, found: {error}. "
            f"The store is valid (recordings added: {done}); free space and run the same command again."
        ) from error
    return BuildResult(done, work.present, work.failures.count, time.monotonic() - start)


def _prepare(sources: Sequence[Source], path: Path, workers: Workers, part: Part | None, *, alone: bool) -> _Work:
    """Plan and reserve, before any work starts; a part takes the plan that another one has left."""
    with writing_store():
        store = _open(sources, path) if alone else Store.open(path, mode="a")
        if alone:
            _keep_expected(store, sources)
            store.remove_orphans()
    failures = _Failures(store)
    planned = None if part is None else read_plan(store.path, sources, part)
    if part is not None and planned is not None:
        mine = part.of(planned)
        slots = SlotBook.read(store.path).slots
        new = [task for task in mine if not store.is_committed(task.found.recording)]
        return _Work(store, _tasks(new, slots, store), len(mine) - len(new), failures)
    if part is None and not alone:
        raise UsageError(busy(path))
    if not alone:
        raise UsageError(
            f"Part {part} of {path} cannot be built: expected the sources and the number of parts of those that run, "
            "found others. Give the same, or wait for them."
        )
    plan = make_plan(sources, store, workers)
    new = [task for task, _ in plan.new]
    with writing_store():
        slots = _reserve(store, plan)
        failures.settle(sources, plan)
        if part is None:
            forget_plan(store.path)
        else:
            write_plan(store.path, sources, part, new)
    mine = new if part is None else part.of(new)
    present = sum(entry.status == "present" for entry in plan.entries)
    return _Work(store, _tasks(mine, slots, store), present, failures)


def _tidy(sources: Sequence[Source], store: Store, part: Part | None) -> None:
    """Remove what failed recordings left and, after the last part, the plan. Nobody else builds."""
    store.remove_orphans()
    if part is not None:
        failed = {(row["source"], row["file"]) for row in store.failures(["source", "file"]).to_pylist()}
        planned = [task.found for task in read_plan(store.path, sources, part) or ()]
        if all(store.is_committed(found.recording) or (found.source, found.file) in failed for found in planned):
            forget_plan(store.path)


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


def _reserve(store: Store, plan: Plan) -> dict[str, Slot]:
    """Give every new recording its place, in the order of the plan, before any work starts."""
    requests = [
        SlotRequest(
            recording=task.found.recording,
            source=task.source.name,
            channels=header.channels,
            reference=header.reference,
            n_seconds=header.n_seconds,
            licence=task.source.licence,
            targets=task.source.targets.named_units if task.source.targets else (),
        )
        for task, header in plan.new
    ]
    return store.reserve(requests) if requests else {}


def _tasks(files: Sequence[FileTask], slots: Mapping[str, Slot], store: Store) -> list[IngestTask]:
    """Tasks in the order of the sources; the largest of each come first, so that none is worked on alone at the end."""
    places = {name: place for place, name in enumerate(dict.fromkeys(file.source.name for file in files))}
    ordered = sorted(files, key=lambda file: (places[file.source.name], -file.fingerprint.n_bytes))
    return [IngestTask(file, slots[file.found.recording], store) for file in ordered]


def _ingest(tasks: Sequence[IngestTask], workers: Workers, failures: _Failures) -> Iterator[int | StoreFailed]:
    """Yield the seconds of each recording that is now in the store; one that failed becomes a row of failures."""
    with SourceProgress([(task.file.source.name, task.slot.n_seconds / 3600) for task in tasks]) as progress:
        for task, outcome in workers.run(ingest, tasks):
            if isinstance(outcome, Failed):
                log_traceback(outcome)
                with writing_store():
                    failures.record(task.file.found.source, task.file.found.file, outcome.reason)
            else:
                yield outcome
            progress.advance(task.file.source.name, task.slot.n_seconds / 3600, failed=isinstance(outcome, Failed))


class _Failures:
    """The failures table, changed only where this build finds something new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held = {(row["source"], row["file"]): row["reason"] for row in store.failures().to_pylist()}
        self.count = 0

    def settle(self, sources: Sequence[Source], plan: Plan) -> None:
        """Record what the plan found, and clear the failures whose cause is gone."""
        now = {(failure.source, failure.file): failure.reason for failure in plan.failures}
        trying = {(task.found.source, task.found.file) for task, _ in plan.new}
        names = {source.name for source in sources}
        for source, file in self._held:
            if source in names and (source, file) not in now and (source, file) not in trying:
                self._store.clear_failure(source, file)
        for (source, file), reason in now.items():
            self.record(source, file, reason)

    def record(self, source: str, file: str, reason: str) -> None:
        """Count a file of these sources that failed, and write why where that is new."""
        self.count += 1
        if self._held.get((source, file)) != reason:
            self._store.record_failure(source, file, reason)

"""Parts of one build, each a process of its own, on any node and in any order, without a scheduler.

The first part plans and reserves for all and leaves its plan in the store; the others take it. Locks of the kernel
keep them apart: a killed part frees its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from eeg_store.files import read_json, write_json

from eeg_ingest.duplicates import Fingerprint
from eeg_ingest.errors import UsageError
from eeg_ingest.files import FoundFile
from eeg_ingest.outcome import writing_store
from eeg_ingest.sources import Source
from eeg_ingest.task import FileTask

PLAN_FILE = Path("tables") / ".parts.json"  # hidden from readers of tables


@dataclass(frozen=True)
class Part:
    """Part `number` of `count`, from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3/20`. Raises UsageError."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        number, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(
                f"--parts cannot be used: expected a part and the number of parts, such as 3/20, found {text!r}. "
                "Number the parts from 1."
            )
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, tasks: Sequence[FileTask]) -> Sequence[FileTask]:
        """Return this part's share: every `count`-th, so that neighbours, which are alike, are spread."""
        return tasks[self.number - 1 :: self.count]


class BuildLock:
    """Who may write the store: one undivided build, or any number of different parts. The kernel frees it."""

    def __init__(self, store: Path, part: Part | None) -> None:
        self._store, self._part = store, part
        self._open = ExitStack()
        self._running: int | None = None

    def __enter__(self) -> Self:
        if self._part is None and not _try_lock(self._descriptor("build"), fcntl.LOCK_EX):
            raise UsageError(busy(self._store))
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Let go of everything."""
        self._open.close()

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Hold what one process does at a time: planning, and tidying up at the end. A part waits for the others."""
        if self._part is None:
            yield  # held all the time
            return
        with ExitStack() as held:
            descriptor = self._descriptor("build", held)
            if not _try_lock(descriptor, fcntl.LOCK_EX):
                print(f"Part {self._part} waits for the part that plans.", file=sys.stderr, flush=True)  # noqa: T201
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def try_alone(self) -> bool:
        """Within `planning`: return whether no other part runs. If one does, what was shared is lost."""
        if self._running is None:
            if not self._file("parts").exists():
                return True
            self._running = self._descriptor("parts")
        return _try_lock(self._running, fcntl.LOCK_EX)

    def share(self) -> None:
        """Within `planning`: let other parts in. Raises UsageError if this one runs already."""
        if self._part is None:
            return
        if self._running is None:
            self._running = self._descriptor("parts")
        fcntl.flock(self._running, fcntl.LOCK_SH)
        if not _try_lock(self._descriptor(f"part-{self._part.number}"), fcntl.LOCK_EX):
            raise UsageError(
                f"Part {self._part} of {self._store} cannot be built: expected it to run once, found it running. "
                "Wait for it, or stop it."
            )

    def _file(self, name: str) -> Path:
        return self._store / "tables" / f".{name}.lock"

    def _descriptor(self, name: str, held: ExitStack | None = None) -> int:
        """Open a file to lock; for writing, without which NFS refuses the lock."""
        with writing_store():
            descriptor = os.open(self._file(name), os.O_RDWR | os.O_CREAT, 0o666)
        (held or self._open).callback(os.close, descriptor)
        return descriptor


def busy(store: Path) -> str:
    """The message where another build has the store."""
    return (
        f"{store} cannot be built: expected no other build of it, found one that is running. Wait for it, or stop it."
    )


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_plan(store: Path, sources: Sequence[Source], part: Part, tasks: Sequence[FileTask]) -> None:
    """Leave the plan of all parts in the store."""
    rows = [
        {
            "source": task.source.name,
            "file": task.found.file,
            "files": task.files,
            "groups": dict(task.groups),
            "n_bytes": task.fingerprint.n_bytes,
            "fingerprint": task.fingerprint.digest,
        }
        for task in tasks
    ]
    write_json(store / PLAN_FILE, {"parts": part.count, "sources": _digest(sources), "recordings": rows})


def read_plan(store: Path, sources: Sequence[Source], part: Part) -> list[FileTask] | None:
    """Return the plan that another part left, in its order; None where it is of other parts or sources, or is not."""
    if not (store / PLAN_FILE).exists():
        return None
    plan = read_json(store / PLAN_FILE)
    if (plan["parts"], plan["sources"]) != (part.count, _digest(sources)):
        return None
    by_name = {source.name: source for source in sources}
    return [_task(by_name[row["source"]], row) for row in plan["recordings"]]


def forget_plan(store: Path) -> None:
    """Remove the plan and the locks of parts. Call it while no other part runs."""
    for file in [store / PLAN_FILE, *(store / "tables").glob(".part*.lock")]:
        file.unlink(missing_ok=True)


def _task(source: Source, row: dict[str, Any]) -> FileTask:
    found = FoundFile(source.name, row["file"], source.path / row["file"])
    fingerprint = Fingerprint(row["n_bytes"], row["fingerprint"])
    return FileTask(found, source, tuple(row["files"]), row["groups"], fingerprint)


def _digest(sources: Sequence[Source]) -> str:
    return hashlib.sha256("\n".join(source.model_dump_json() for source in sources).encode()).hexdigest()

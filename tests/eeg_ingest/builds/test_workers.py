"""Tasks on worker processes: in batches, bounded, and whatever becomes of their workers; here and on a cluster."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eeg_ingest.duplicates import Fingerprint
from eeg_ingest.errors import StoppedError, UsageError
from eeg_ingest.files import FoundFile
from eeg_ingest.outcome import Failed, outcome_of
from eeg_ingest.recording import IngestError
from eeg_ingest.sources import Source
from eeg_ingest.task import FileTask
from eeg_ingest.workers import Workers

if TYPE_CHECKING:
    from tests.eeg_ingest.builds.conftest import Cluster


def test_every_item_gets_its_outcome(workers: Workers) -> None:
    def double(items: Sequence[int]) -> list[int]:
        return [2 * item for item in items]

    assert dict(workers.run(double, range(100), batch=16)) == {item: 2 * item for item in range(100)}
    assert list(workers.run(double, [])) == []


def test_an_item_that_crashes_its_worker_twice_fails_and_no_other(workers: Workers, tmp_path: Path) -> None:
    """Also the items of its batch and one that crashes once only get their outcomes."""

    def crash(items: Sequence[int]) -> list[int]:
        for item in items:
            mark = tmp_path / str(item)
            if item in (3, 30) or (item == 17 and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return [2 * item for item in items]

    outcomes = dict(workers.run(crash, range(40), batch=4))
    failed = {item: outcome for item, outcome in outcomes.items() if isinstance(outcome, Failed)}
    assert failed.keys() == {3, 30}
    assert all("crashed the worker process twice" in outcome.reason for outcome in failed.values())
    assert {item: outcomes[item] for item in outcomes.keys() - failed} == {
        i: 2 * i for i in range(40) if i not in failed
    }
    assert (tmp_path / "17").exists()


def test_a_reader_that_hangs_costs_its_recording(workers: Workers) -> None:
    """In C code, where no other thread runs and no signal is heard: here, while all signals but the alarm wait."""

    def read(items: Sequence[FileTask]) -> list[Any]:
        from eeg_ingest import task, time_limit  # noqa: PLC0415  # in the worker

        def open_as(source: Any, path: Path, line_freq_hz: Any) -> Any:
            if path.name == "hangs":
                signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGALRM})
                time.sleep(300)
            raise IngestError(f"{path.name} was read.")

        time_limit.LEAST_S, task.open_as = 2, open_as
        return task.read_headers(items)

    source = Source.model_validate({"name": "lab", "path": "."})
    tasks = [
        FileTask(FoundFile("lab", name, Path(name)), source, (name,), {}, Fingerprint(0, ""))
        for name in ("first", "hangs", "last")
    ]
    outcomes = {task.found.file: outcome.reason for task, outcome in workers.run(read, tasks, batch=16)}
    assert outcomes["first"] == "first was read."
    assert outcomes["last"] == "last was read."
    assert "or keeps it for 5 min and a second for each MB. Leave it out" in outcomes["hangs"]


def test_no_more_tasks_wait_on_the_cluster_than_it_has_threads(workers: Workers) -> None:
    """The coordinator's memory and what a crash touches stay bounded: nothing is submitted that cannot run."""
    consumed = 0

    def items() -> Iterator[int]:
        yield from range(50)

    def stamp(batch: Sequence[int]) -> list[float]:
        return [time.monotonic() for _ in batch]

    for _, ran_at in workers.run(stamp, list(items())):
        consumed += 1
        if consumed == 10:
            break_at = time.monotonic()
            time.sleep(0.5)
        if consumed == 13:
            assert ran_at > break_at + 0.4  # it was not run while nobody asked for results
            break
    assert consumed == 13


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "memory ran out"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (IngestError("no file M\udcfcller.eeg"), "no file M\\udcfcller.eeg"),  # the failures table holds UTF-8 only
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_every_error_is_a_failure_with_its_reason(error: Exception, reason: str) -> None:
    def task(item: int) -> int:
        raise error

    outcome = outcome_of(task, 0)
    assert isinstance(outcome, Failed)
    assert reason in outcome.reason
    assert (outcome.trace is not None) == isinstance(error, ZeroDivisionError)


def test_a_build_on_a_running_cluster(
    cluster: Cluster, cli: Any, tmp_path: Path, write_edf: Callable[..., Path], write_sources: Any
) -> None:
    for number in range(3):
        write_edf(tmp_path / "eeg" / f"{number}.edf", number)
    sources = write_sources(tmp_path / "sources.yaml", tmp_path / "eeg")
    finished = cli("build", "--sources", sources, "--scheduler", cluster.address, "--json", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "Dashboard: http://127.0.0.1:" in finished.stderr
    assert json.loads(finished.stdout)["ingested"] == 3
    assert cluster.scheduler.poll() is None  # it is not ours to stop


def test_a_cluster_that_is_lost(cluster: Cluster) -> None:
    def slow(items: Sequence[int]) -> list[int]:
        time.sleep(0.1)
        return list(items)

    def lose(workers: Workers) -> None:
        for _ in workers.run(slow, range(600)):
            cluster.scheduler.kill()

    with Workers(1, cluster.address) as workers, pytest.raises(StoppedError, match="found the connection closed"):
        lose(workers)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:notaport"])
def test_a_scheduler_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eeg_ingest.workers.CONNECT_SECONDS", 1)
    with pytest.raises(UsageError, match=f"The scheduler {address} cannot be used"), Workers(1, address) as workers:
        list(workers.run(list, [1]))


def test_a_worker_with_another_release(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eeg_ingest.workers.RELEASE", "999.0")
    with (
        pytest.raises(UsageError, match=r"expected eeg-ingest 999\.0 on it, found 0\."),
        Workers(1, cluster.address) as workers,
    ):
        list(workers.run(list, [1]))

"""Builds that are killed, at random moments and in every way, end where an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from eeg_ingest.build import build
from eeg_ingest.errors import UsageError
from eeg_ingest.sources import load_sources
from eeg_ingest.workers import Workers
from eeg_store import Store

if TYPE_CHECKING:
    from tests.eeg_ingest.builds.conftest import Cluster

N_FILES = 12
N_KILLS = 12
NAMES = tuple(f"{row}{column}" for row in ("F", "C", "P", "T") for column in ("3", "4", "5", "6", "7", "8"))

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_edf: Callable[..., Path], write_sources: Any) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    for number in range(N_FILES):
        marks = ((1.0 + number, 2.0, "mark"),)
        write_edf(folder / "eeg" / f"{number:02d}.edf", number, seconds=150 + number, names=NAMES, annotations=marks)
    (folder / "eeg" / "copy.edf").write_bytes((folder / "eeg" / "03.edf").read_bytes())
    (folder / "eeg" / "empty.edf").touch()
    write_sources(folder / "sources.yaml", folder / "eeg")
    return folder


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, workers: Workers, contents: Any) -> dict[str, str]:
    store = corpus / "undisturbed.zarr"
    assert build(load_sources(corpus / "sources.yaml"), store, workers).ingested == N_FILES
    hashes: dict[str, str] = contents(store)
    return hashes


@pytest.fixture
def start(corpus: Path) -> Iterator[Start]:
    """Start a build of the corpus as the leader of a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start_build(store: Path, where: tuple[str, str] = ("--workers", "1")) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("eeg-ingest")), "build", *where]
        process = subprocess.Popen(
            [*command, "--sources", str(corpus / "sources.yaml"), "--store", str(store)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield start_build
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _wait_for_recordings(store: Path, process: subprocess.Popen[str], count: int) -> None:
    """Wait until the build has stored some recordings, or ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if len(list((store / "tables" / "recordings").glob("eeg*.parquet"))) >= count:
            return
        time.sleep(0.01)


def test_sigkill_at_random_moments(corpus: Path, start: Start, undisturbed: dict[str, str], contents: Any) -> None:
    """The whole process group, at moments spread over the start and over the work, until ten and two have hit it."""
    rng = random.Random(20)
    kills = in_the_work = rounds = 0
    while kills < N_KILLS:
        store = corpus / f"killed{rounds}.zarr"
        rounds += 1
        finished = False
        while not finished:
            process = start(store)
            if kills < N_KILLS:
                if rng.random() < 0.7:  # most moments of a short build are its start: go on to where it writes
                    _wait_for_recordings(store, process, _stored(store) + rng.randrange(3))
                    time.sleep(rng.uniform(0, 0.3))
                else:
                    time.sleep(rng.uniform(0, 3))
                hit = process.poll() is None
                kills += hit
                before = _stored(store)
                if hit:
                    os.killpg(process.pid, signal.SIGKILL)
                    in_the_work += 0 < before < N_FILES
            process.communicate()
            finished = process.returncode != -signal.SIGKILL
        assert process.returncode == 1  # two bad files
        assert contents(store) == undisturbed
    assert in_the_work >= 3
    assert Store.open(store).validate() == []


def _stored(store: Path) -> int:
    return len(list((store / "tables" / "recordings").glob("eeg*.parquet")))


def test_a_killed_coordinator_takes_its_workers_along(corpus: Path, start: Start, tmp_path: Path) -> None:
    process = start(tmp_path / "data.zarr")
    _wait_for_recordings(tmp_path / "data.zarr", process, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_a_killed_worker_costs_a_retry(
    start: Start, tmp_path: Path, undisturbed: dict[str, str], contents: Any
) -> None:
    process = start(tmp_path / "data.zarr")
    for count in (1, 5):
        _wait_for_recordings(tmp_path / "data.zarr", process, count)
        for worker in _workers_of(process):
            worker.kill()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, err
    assert f"{N_FILES} ingested, 0 present, 2 failed" in out
    assert "Traceback" not in err
    assert contents(tmp_path / "data.zarr") == undisturbed


def test_a_worker_that_is_killed_while_it_starts_is_replaced(
    start: Start, tmp_path: Path, undisturbed: dict[str, str], contents: Any
) -> None:
    process = start(tmp_path / "data.zarr")
    while not (workers := _workers_of(process)):
        time.sleep(0.01)
    workers[0].kill()
    out, err = process.communicate(timeout=100)
    assert f"{N_FILES} ingested, 0 present, 2 failed" in out
    assert "Traceback" not in err
    assert contents(tmp_path / "data.zarr") == undisturbed


def _workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_scheduler_that_is_killed_is_told_in_a_line(cluster: Cluster, start: Start, tmp_path: Path) -> None:
    process = start(tmp_path / "data.zarr", ("--scheduler", cluster.address))
    _wait_for_recordings(tmp_path / "data.zarr", process, 1)
    cluster.scheduler.kill()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1, err
    assert "eeg-ingest: The work stopped: expected the scheduler to run until the end" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_workers_of_a_cluster_that_die(
    cluster: Cluster, start: Start, tmp_path: Path, undisturbed: dict[str, str], contents: Any
) -> None:
    """One dies and comes back, the other one's node is lost for good."""
    process = start(tmp_path / "data.zarr", ("--scheduler", cluster.address))
    _wait_for_recordings(tmp_path / "data.zarr", process, 1)
    for child in psutil.Process(cluster.workers[0].pid).children(recursive=True):
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    _wait_for_recordings(tmp_path / "data.zarr", process, 4)
    os.killpg(cluster.workers[1].pid, signal.SIGKILL)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, err
    assert f"{N_FILES} ingested, 0 present, 2 failed" in out
    assert "Traceback" not in err
    assert contents(tmp_path / "data.zarr") == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_in_order(corpus: Path, workers: Workers, start: Start, tmp_path: Path, number: int) -> None:
    process = start(tmp_path / "data.zarr")
    _wait_for_recordings(tmp_path / "data.zarr", process, 1)
    process.send_signal(signal.SIGSTOP)  # or it may be done before it is told to stop
    children = psutil.Process(process.pid).children(recursive=True)
    with pytest.raises(UsageError, match="expected no other build of it, found one that is running"):
        build(load_sources(corpus / "sources.yaml"), tmp_path / "data.zarr", workers)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "")
    assert "Stopped. What is stored is valid; the same command goes on." in err
    assert "Traceback" not in err
    assert not psutil.wait_procs(children, timeout=20)[1]
    store = Store.open(tmp_path / "data.zarr")
    assert 0 < len(store.recordings()) <= N_FILES
    assert store.validate() == []

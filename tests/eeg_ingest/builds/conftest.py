"""Small corpora of EDF files, and ways to run the command line on them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
import pytest
import yaml
from eeg_ingest.workers import Workers

NAMES = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")

WriteEdf = Callable[..., Path]
WriteSources = Callable[..., Path]
RunCli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def write_edf() -> WriteEdf:
    """Write an EDF+ file of pink-ish noise; equal arguments give equal bytes."""

    def write(
        path: Path,
        seed: int = 0,
        *,
        seconds: int = 4,
        sfreq_hz: int = 200,
        names: tuple[str, ...] = NAMES,
        annotations: tuple[tuple[float, float, str], ...] = (),
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        signals_uv = 20 * rng.standard_normal((len(names), seconds * sfreq_hz))
        signals_uv += 10 * np.cumsum(rng.standard_normal(signals_uv.shape), axis=1) / sfreq_hz**0.5
        with pyedflib.EdfWriter(str(path), len(names), file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
            writer.setStartdatetime("01 Jan 2020 00:00:00")
            writer.setSignalHeaders(
                [
                    {
                        "label": name,
                        "dimension": "uV",
                        "sample_frequency": sfreq_hz,
                        "physical_min": -3200,
                        "physical_max": 3200,
                        "digital_min": -32768,
                        "digital_max": 32767,
                        "transducer": "",
                        "prefilter": "",
                    }
                    for name in names
                ]
            )
            writer.writeSamples(list(signals_uv))
            for onset_s, duration_s, label in annotations:
                writer.writeAnnotation(onset_s, duration_s, label)
        return path

    return write


@pytest.fixture(scope="session")
def write_sources() -> WriteSources:
    """Write a sources.yaml of the given sources; a path alone stands for a source of that folder's name."""

    def write(path: Path, *sources: Path | dict[str, Any]) -> Path:
        listed = [{"name": s.name, "path": str(s)} if isinstance(s, Path) else s for s in sources]
        path.write_text(yaml.safe_dump({"sources": listed}), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """One worker process for all builds of a module."""
    with Workers(1) as started:
        yield started


@dataclass(frozen=True)
class Cluster:
    """A scheduler and its workers, each a process of its own, as `dask scheduler` and `dask worker` start them."""

    address: str
    scheduler: subprocess.Popen[str]
    workers: list[subprocess.Popen[str]]


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one worker, or of as many as the test is parametrized with."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": environment}
    host = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0"]

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("dask")), *arguments, *host]
        return subprocess.Popen(command, text=True, start_new_session=True, **options)

    scheduler = start("scheduler", "--port", "0")
    workers = [start("worker", "--nworkers", "1", "--nthreads", "1") for _ in range(getattr(request, "param", 1))]
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        yield Cluster(json.loads(file.read_text())["address"], scheduler, workers)
    finally:
        for process in (*workers, scheduler):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def cli() -> RunCli:
    """Run `eeg-ingest` as a user does."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [*options.pop("prefix", ()), str(Path(sys.executable).with_name("eeg-ingest")), *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=120, env=environment, **options
        )

    return run


@pytest.fixture(scope="session")
def unprivileged(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command words under which file permissions count, also for root."""
    secret = tmp_path_factory.mktemp("permissions") / "secret"
    secret.touch(mode=0)
    for prefix in ([], ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]):
        found = subprocess.run([*prefix, "cat", secret], check=False, capture_output=True) if _exists(prefix) else None
        if found and b"Permission denied" in found.stderr:
            return prefix
    pytest.skip("this user may read every file, and setpriv cannot take that away")


def _exists(prefix: list[str]) -> bool:
    return not prefix or shutil.which(prefix[0]) is not None


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, str]]:
    """Hash every file below a folder."""

    def hashes(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return hashes


@pytest.fixture(scope="session")
def stamps() -> Callable[[Path], dict[str, tuple[int, int, int]]]:
    """The inode, size and time of change of everything below a folder."""

    def states(folder: Path) -> dict[str, tuple[int, int, int]]:
        found = {str(path.relative_to(folder)): path.stat() for path in sorted(folder.rglob("*"))}
        return {name: (state.st_ino, state.st_size, state.st_mtime_ns) for name, state in found.items()}

    return states

"""Parts of a build: as processes on one store, killed and repeated, they end where the undivided build does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eeg_ingest import build as building
from eeg_ingest.build import build
from eeg_ingest.errors import UsageError
from eeg_ingest.parts import BuildLock, Part
from eeg_ingest.sources import load_sources
from eeg_ingest.summary import summarize
from eeg_ingest.workers import Workers
from eeg_store import Store

N_FILES = 13
N_FAILED = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_edf: Callable[..., Path], write_sources: Any) -> Path:
    """Two sources; an empty file and a copy, which the plan finds, and volts, which only reading the samples shows."""
    folder = tmp_path_factory.mktemp("parts")
    for number in range(N_FILES):
        name = folder / ("rest" if number < 5 else "task") / f"{number:02d}.edf"
        write_edf(name, number, seconds=200 + number, annotations=((1.0 + number, 2.0, "mark"),))
    (folder / "rest" / "copy.edf").write_bytes((folder / "rest" / "03.edf").read_bytes())
    (folder / "rest" / "empty.edf").touch()
    volts = write_edf(folder / "task" / "volts.edf", 99, seconds=20)
    content = volts.read_bytes().replace(b"-3200   ", b"-3200000").replace(b" 3200    ", b" 3200000 ")
    volts.write_bytes(content.replace(b"3200    ", b"3200000 "))
    write_sources(folder / "sources.yaml", folder / "rest", folder / "task")
    return folder


@pytest.fixture(scope="module")
def undivided(corpus: Path, workers: Workers, contents: Any) -> dict[str, str]:
    store = corpus / "undivided.zarr"
    result = build(load_sources(corpus / "sources.yaml"), store, workers)
    assert (result.ingested, result.failed) == (N_FILES, N_FAILED)
    hashes: dict[str, str] = contents(store)
    return hashes


def _stored(store: Path) -> int:
    return len(list((store / "tables" / "recordings").glob("*edf*.parquet")))


def test_parts_at_once_one_of_them_killed(corpus: Path, undivided: dict[str, str], contents: Any) -> None:
    store = corpus / "processes.zarr"

    def start(number: int) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("eeg-ingest")), "build", "--workers", "1"]
        command += ["--parts", f"{number}/3", "--sources", str(corpus / "sources.yaml"), "--store", str(store)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    parts = {number: start(number) for number in (1, 2, 3)}
    try:
        deadline = time.monotonic() + 60
        while _stored(store) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(parts[2].pid, signal.SIGKILL)
        seen = summarize(Store.open(store))
        assert 2 <= seen["recordings"] < N_FILES
        parts[2].communicate()
        parts[2] = start(2)
        out = {number: part.communicate(timeout=100) for number, part in parts.items()}
    finally:
        for part in parts.values():
            if part.poll() is None:
                os.killpg(part.pid, signal.SIGKILL)
                part.communicate()
    assert all("Traceback" not in err for _, err in out.values())
    # The part that plans reports the two files that the plan refused, the part of volts.edf that one.
    assert {part.returncode for part in parts.values()} <= {0, 1}
    assert contents(store) == undivided
    assert Store.open(store).validate() == []


def test_parts_one_after_another_share_one_plan(
    corpus: Path, workers: Workers, undivided: dict[str, str], contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, store = load_sources(corpus / "sources.yaml"), corpus / "sequence.zarr"
    results = [build(sources, store, workers, Part(4, 4))]
    assert 0 < results[0].ingested == _stored(store) < N_FILES
    with monkeypatch.context() as patch:
        patch.setattr(building, "make_plan", None)  # nobody reads the headers again
        results += [build(sources, store, workers, Part(number, 4)) for number in (2, 4, 1, 3)]
    assert results[2].present == results[0].ingested
    assert sum(result.ingested for result in results) == N_FILES
    assert sum(result.failed for result in results) == N_FAILED
    assert contents(store) == undivided
    again = build(sources, store, workers, Part(1, 4))
    assert (again.ingested, again.present, again.failed) == (0, N_FILES, N_FAILED)
    assert contents(store) == undivided


def test_more_parts_than_recordings(corpus: Path, workers: Workers, tmp_path: Path, write_sources: Any) -> None:
    (tmp_path / "eeg").mkdir()
    (tmp_path / "eeg" / "a.edf").write_bytes((corpus / "rest" / "00.edf").read_bytes())
    sources = load_sources(write_sources(tmp_path / "sources.yaml", tmp_path / "eeg"))
    results = [build(sources, tmp_path / "data.zarr", workers, Part(number, 3)) for number in (3, 2, 1)]
    assert [result.ingested for result in results] == [0, 0, 1]


def test_an_undivided_build_finishes_what_parts_began(
    corpus: Path, workers: Workers, undivided: dict[str, str], contents: Any
) -> None:
    sources, store = load_sources(corpus / "sources.yaml"), corpus / "mixed.zarr"
    build(sources, store, workers, Part(1, 3))
    build(sources, store, workers)
    assert contents(store) == undivided


def test_other_sources_or_another_count_are_planned_anew_where_nobody_runs(
    corpus: Path, workers: Workers, tmp_path: Path, write_sources: Any
) -> None:
    rest = load_sources(write_sources(tmp_path / "sources.yaml", corpus / "rest"))
    both = load_sources(corpus / "sources.yaml")
    store = tmp_path / "data.zarr"
    build(rest, store, workers, Part(1, 2))
    with BuildLock(store, Part(2, 2)) as other:
        with other.planning():
            other.share()
        for sources, part, message in (
            (both, Part(1, 2), "expected the sources and the number of parts of those that run"),
            (rest, Part(1, 3), "expected the sources and the number of parts of those that run"),
            (rest, Part(2, 2), "expected it to run once, found it running"),
            (rest, None, "expected no other build of it, found one that is running"),
        ):
            with pytest.raises(UsageError, match=message):
                build(sources, store, workers, part)
        build(rest, store, workers, Part(1, 2))
    results = [build(both, store, workers, Part(number, 3)) for number in (1, 2, 3)]
    assert _stored(store) == N_FILES
    assert results[0].ingested + results[1].ingested + results[2].ingested == N_FILES - 3


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/2/3", "-1/2"])
def test_a_part_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected a part and the number of parts, such as 3/20"):
        Part.parse(text)

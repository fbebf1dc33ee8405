"""Killed at 20 random moments and resumed, a training ends as if nothing had happened: bit for bit."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eeg_tokenizer.meter import TIMED
from eeg_tokenizer.metrics import read_metrics

from tests.labram_model import mortal

KILLS = 20
LONGEST_S = 1.0  # that a process lives, if it does not end before
FEW = {"n_subjects": 4, "rounds": 2, "channels": ("FZ", "PZ")}


class Mortals:
    """Trainings that can be killed; see `mortal`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask, self._hear, self._log = process.stdin, process.stdout, log

    def run(self, kind: str, options: dict[str, Any], *, lives_s: float = math.inf) -> bool:
        """Run a training, killed after so many seconds; return whether it came to its end."""
        self._ask.write(json.dumps([kind, options]) + "\n")
        self._ask.flush()
        child = int(self._hear.readline())
        killer = threading.Timer(min(lives_s, threading.TIMEOUT_MAX), lambda: os.kill(child, signal.SIGKILL))
        killer.start()
        status = int(self._hear.readline())
        killer.cancel()
        killer.join()
        assert status in (0, -signal.SIGKILL), self._log.read_text()
        return status == 0


@pytest.fixture
def mortals(tmp_path: Path) -> Iterator[Mortals]:
    log = tmp_path / "stderr.txt"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, mortal.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        ) as process,
    ):
        yield Mortals(process, log)
        process.kill()


def traces(run: Path) -> dict[str, Any]:
    """Return all that a run leaves of its training: weights, optimizer, best weights, and the curve of every step."""
    files = [*run.glob("*.safetensors"), *run.glob("best/*.safetensors"), *run.glob("checkpoints/*/*.safetensors")]
    contents: dict[str, Any] = {str(file.relative_to(run)): file.read_bytes() for file in files}
    contents["curve"] = [
        {name: value for name, value in record.items() if name not in TIMED}
        for record in read_metrics(run / "metrics.jsonl")
    ]
    return contents


def kill_often(mortals: Mortals, kind: str, options: dict[str, Any], folder: Path) -> None:
    whole = folder / "undisturbed"
    assert mortals.run(kind, {**options, "output": str(whole)})
    expected = traces(whole)
    seed = time.time_ns()
    moments = random.Random(seed)
    kills = 0
    run = folder / "run-0"
    while kills < KILLS:
        if not mortals.run(
            kind, {**options, "output": str(run), "resume": True}, lives_s=moments.uniform(0.02, LONGEST_S)
        ):
            kills += 1
            continue
        assert traces(run) == expected, f"{run}, moments of seed {seed}"
        run = folder / f"run-{kills}"
    mortals.run(kind, {**options, "output": str(run), "resume": True})
    assert traces(run) == expected, f"{run}, moments of seed {seed}"


def test_a_tokenizer(make_store: Callable[..., Path], tmp_path: Path, mortals: Mortals) -> None:
    options = {"store": str(make_store(FEW)), "steps": 16, "n_codes": 16, "batch_size": 4, "checkpoint_every": 1}
    kill_often(mortals, "tokenizer", options, tmp_path)


def test_a_pretraining(make_store: Callable[..., Path], tmp_path: Path, mortals: Mortals) -> None:
    store = str(make_store(FEW))
    tokenizer = tmp_path / "tokenizer"
    assert mortals.run(
        "tokenizer", {"store": store, "output": str(tokenizer), "steps": 2, "n_codes": 16, "batch_size": 4}
    )
    kill_often(
        mortals, "pretraining", {"store": store, "tokenizer": str(tokenizer), "steps": 24, "batch_size": 4}, tmp_path
    )

"""The pipelines run from end to end in quick mode: nothing is said about how well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from eeg_tokenizer import checkpoint
from eeg_tokenizer.metrics import read_metrics

from tests.integration.conftest import BIN, ROOT


def run(pipeline: str, output: Path, **variables: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **variables}
    command = [sys.executable, "-m", f"pipelines.{pipeline}.run", "--quick", "--output", str(output)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_convergence(tmp_path: Path) -> None:
    run("convergence", tmp_path)
    assert (tmp_path / "convergence.png").read_bytes().startswith(b"\x89PNG")
    one_pass = checkpoint.load_config(tmp_path / "one-pass")["recipe"]
    assert (one_pass["symmetric"], one_pass["mask_ratio"]) == (False, 0.5)
    assert checkpoint.load_config(tmp_path / "base")["size"] == "base"
    steps = {
        name: len(list(read_metrics(tmp_path / name / "metrics.jsonl")))
        for name in ("one-pass", "tiny-mask-0.5-two-passes")
    }
    assert steps["one-pass"] == 2 * steps["tiny-mask-0.5-two-passes"]  # half the passes in each


def test_real(tmp_path: Path, eeg_data: Path) -> None:
    printed = run("real", tmp_path, EEG_TEST_DATA=str(eeg_data))
    scores = {score["recipe"]: score for score in json.loads((tmp_path / "scores.json").read_text())}
    assert list(scores) == ["improved", "paper, our rates"]
    gamma = [f"{score['tokenizer']['vs_mean']['phase']['gamma']:.2f}" for score in scores.values()]
    assert f"| phase, gamma: error, that of the mean = 1 | {' | '.join(gamma)} |" in printed
    recipe = checkpoint.load_config(tmp_path / "runs/paper-our-rates-0/tokenizer")["recipe"]
    assert (recipe["lr"], recipe["phase"]) == (pytest.approx(1e-3), "angle")
    assert (tmp_path / "embeddings.parquet").stat().st_size > 0

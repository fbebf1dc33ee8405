"""Two processes with half of the batch each train as one does, and so do parts of a batch: losses to 1e-5."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.distributed import Place
from eeg_tokenizer.metrics import read_metrics

from tests.labram_model import jobs
from tests.processes import run_twice

ALONE = Place(torch.device("cpu"))
COMPILER = shutil.which("g++") is not None


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All jobs, run by two processes."""
    folder = tmp_path_factory.mktemp("together")
    left_out = (() if jobs.GOLDEN.is_dir() else ("golden",)) + (() if COMPILER else ("sharded_fast",))
    names = [name for name in jobs.JOBS if not name.startswith(left_out)]
    left = run_twice([sys.executable, jobs.__file__, folder, *names])
    assert left == ["[]\n", "[]\n"], "threads that can abort a process while it ends"
    return folder


def assert_same(run: Path, alone: Path) -> None:
    records = list(zip(read_metrics(run / "metrics.jsonl"), read_metrics(alone / "metrics.jsonl"), strict=True))
    assert len(records) == jobs.PLAN.steps
    for found, expected in records:
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert found["parts"] == pytest.approx(expected["parts"], rel=1e-5)
        for name in expected.keys() & {"accuracy", "codes_in_use", "perplexity"}:
            assert found[name] == pytest.approx(expected[name], rel=1e-4), name
        assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
    expected_weights = checkpoint.load_weights(alone)
    weights = checkpoint.load_weights(run)
    assert weights.keys() == expected_weights.keys()
    for name, value in weights.items():
        if "patch_embed.conv" in name and name.endswith("bias"):
            continue  # a GroupNorm of one filter takes it out again: its gradient is rounding, which Adam blows up
        torch.testing.assert_close(value, expected_weights[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["tokenizer", "masked"])
def test_two_processes_train_as_one_on_padded_mixed_batches(together: Path, tmp_path: Path, name: str) -> None:
    assert_same(together / name, jobs.train(name, tmp_path, ALONE))


@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler")
def test_a_sharded_model_trains_compiled_in_bfloat16_with_activations_computed_again(together: Path) -> None:
    runs = [list(read_metrics(together / name / "metrics.jsonl")) for name in ("sharded_fast", "sharded")]
    for found, expected in zip(*runs, strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)


def test_all_processes_leave_out_a_step_that_one_finds_not_finite(together: Path, tmp_path: Path) -> None:
    runs = together / "poisoned", jobs.train("poisoned", tmp_path, ALONE)
    found, expected = (list(read_metrics(run / "metrics.jsonl")) for run in runs)
    assert ["not_finite" in record for record in found] == [False, True, False, False]
    assert found[1]["not_finite"] == expected[1]["not_finite"]
    for step in (0, 2, 3):
        assert found[step]["loss"] == pytest.approx(expected[step]["loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["tokenizer", "masked"])
def test_parts_of_a_batch_train_as_the_whole(tmp_path: Path, name: str) -> None:
    whole = jobs.train(name, tmp_path / "whole", ALONE)
    assert_same(jobs.train(name, tmp_path / "parts", ALONE, accumulate=4), whole)


def test_a_sharded_model_trains_as_a_whole_one_and_loads_in_one_process(together: Path, tmp_path: Path) -> None:
    alone = jobs.train("sharded", tmp_path, ALONE)
    assert_same(together / "sharded", alone)
    scores = [list(read_metrics(run / "metrics.jsonl"))[-1]["held_out"] for run in (together / "sharded", alone)]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-5)
    model = jobs.masked().model
    checkpoint.load_into(model, checkpoint.load_weights(together / "sharded"), together)


def test_a_sharded_run_that_is_resumed_saves_what_an_undisturbed_one_does(together: Path) -> None:
    run = together / "sharded_resumed"
    for name in ("model", "optimizer"):
        found, expected = (
            (folder / f"{name}.safetensors").read_bytes()
            for folder in (run / "checkpoints" / "step-000000004", run / "undisturbed")
        )
        assert found == expected, name


def test_two_processes_find_the_official_losses(golden: Path, together: Path) -> None:
    for name, key in (("golden_tokenizer", "train_total_loss"), ("golden_masked", "loss")):
        with np.load(golden / f"{name.removeprefix('golden_')}.npz") as vectors:
            expected = float(vectors[key])
        first = next(read_metrics(together / name / "metrics.jsonl"))
        assert first["loss"] == pytest.approx(expected, rel=1e-5), name

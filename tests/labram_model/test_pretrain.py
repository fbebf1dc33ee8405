"""Pre-training takes the codes that there are, trains a tokenizer where there are none, and survives kills."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_store import Store
from eeg_tokenizer import checkpoint, training
from eeg_tokenizer.encode import encode_store
from eeg_tokenizer.run import RunError
from eeg_tokenizer.step import take_step
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from eeg_tokenizer.windows import GRID, cut_grid
from labram_model.errors import LabramError
from labram_model.models import load_masked
from labram_model.pretrain import PretrainOptions, pretrain

StoreMaker = Callable[..., Path]
Kill = Callable[[list[str], Path], None]
FEW = {"n_subjects": 4, "rounds": 1, "channels": ("FZ", "PZ")}


def tokenizer(store: Path, output: Path, seed: int = 0) -> Path:
    train_tokenizer(TrainOptions(store, output, steps=2, n_codes=16, batch_size=4, seed=seed))
    return output


def test_a_store_alone_is_enough(make_store: StoreMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, output = make_store(FEW), tmp_path / "run"
    with caplog.at_level(logging.INFO):
        summary, exit_code = pretrain(PretrainOptions(store, output, steps=3, batch_size=4))
    assert exit_code == 0
    assert "no --tokenizer: training a tokenizer into" in caplog.text
    assert (summary["steps"], summary["codes"]) == (3, "on line")
    assert checkpoint.load_config(output / "tokenizer")["options"]["steps"] == 3
    assert summary["tokenizer"] == checkpoint.content_hash(output / "tokenizer")
    held_out = summary["held_out"]
    assert held_out["chance"] == 1 / summary["n_codes"]
    assert 0 <= held_out["accuracy"] <= 1
    assert 1 / held_out["codes_in_use"] <= held_out["most_frequent"] <= 1
    assert summary["windows"] == {"training": 3, "held_out": 1, "left_out": 0}  # a window of 16 s for each subject
    assert (
        load_masked(output / "best").config == load_masked(output).config
    )  # the lowest held-out loss, a model like any
    model = load_masked(output)
    assert sum(p.numel() for p in model.parameters()) == summary["parameters"]
    assert model.config.cls_position == "slot_0"
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 2, 3]
    assert all(record["loss"] == pytest.approx(sum(record["parts"].values())) for record in records)
    with pytest.raises(LabramError, match="Give --resume to go on with it, or another --output"):
        pretrain(PretrainOptions(store, output, steps=3))


def test_codes_in_the_store_are_used(make_store: StoreMaker, tmp_path: Path) -> None:
    store = make_store(FEW)
    first = tokenizer(store, tmp_path / "first")
    encode_store(store, first)
    summary, _ = pretrain(PretrainOptions(store, tmp_path / "run", steps=2, batch_size=4))
    assert (summary["codes"], summary["n_codes"]) == ("from the store", 16)
    assert summary["tokenizer"] == checkpoint.content_hash(first)
    assert not (tmp_path / "run" / "tokenizer").exists()
    same, _ = pretrain(PretrainOptions(store, tmp_path / "same", tokenizer=first, steps=2, batch_size=4))
    assert (same["codes"], same["model"]) == ("from the store", summary["model"])

    second = tokenizer(store, tmp_path / "second", seed=1)
    on_line, _ = pretrain(PretrainOptions(store, tmp_path / "on line", tokenizer=second, steps=1, batch_size=4))
    assert (on_line["codes"], on_line["tokenizer"]) == ("on line", checkpoint.content_hash(second))
    encode_store(store, second)
    with pytest.raises(LabramError, match=r"expected those of one tokenizer, found \w{16} .*Give --tokenizer"):
        pretrain(PretrainOptions(store, tmp_path / "ambiguous", steps=1))


def test_recordings_without_codes_are_left_out_and_counted(make_store: StoreMaker, tmp_path: Path) -> None:
    path = make_store(FEW)
    store, grid = Store.open(path, mode="a"), cut_grid(Store.open(path))
    montage = grid.montages[0]
    store.create_codes("a" * 64, montage.array, {"n_codes": 4, "grid": GRID, "window_seconds": 16})
    rows = store.recordings().to_pylist()
    for row in rows[:3]:
        store.write_codes("a" * 64, row, np.ones((row["n_seconds"], 2), dtype=np.int32))
    summary, _ = pretrain(PretrainOptions(path, tmp_path / "run", steps=16, batch_size=4))
    assert summary["windows"] == {"training": 2, "held_out": 1, "left_out": 1}
    assert summary["held_out"]["most_frequent"] == 1.0  # every code is a 1
    assert summary["held_out"]["codes_in_use"] == 1
    assert summary["held_out"]["accuracy"] == 1.0


def test_a_run_that_is_killed_twice_ends_as_an_undisturbed_one(
    make_store: StoreMaker, tmp_path: Path, kill_at: Kill
) -> None:
    store, output = make_store(FEW), tmp_path / "killed"
    undisturbed, _ = pretrain(PretrainOptions(store, tmp_path / "whole", steps=6, batch_size=4))
    command = ["pretrain", f"--store={store}", f"--output={output}", "--steps=6", "--batch-size=4"]
    kill_at(command, output / "tokenizer" / "checkpoints" / "step-000000002")
    kill_at([*command, "--resume"], output / "checkpoints" / "step-000000002")
    resumed, _ = pretrain(PretrainOptions(store, output, steps=6, batch_size=4, resume=True))
    assert {**resumed, "output": undisturbed["output"]} == undisturbed
    for model in ("model.safetensors", "tokenizer/model.safetensors"):
        assert (output / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()


def test_a_model_is_not_trained_on_a_tokenizer_that_another_process_has_stopped(
    make_store: StoreMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "take_step", lambda *given, **named: replace(take_step(*given, **named), stop=True))
    summary, exit_code = pretrain(PretrainOptions(make_store(FEW), tmp_path / "run", steps=3, batch_size=4))
    assert (exit_code, summary["steps"], summary["stopped_by"]) == (0, 1, "another process")
    assert not (tmp_path / "run" / "config.json").exists()


def test_one_subject_gives_no_held_out_scores(
    make_store: StoreMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store({**FEW, "n_subjects": 1})
    summary, _ = pretrain(PretrainOptions(store, tmp_path / "run", steps=1, batch_size=1, seed=3))
    assert summary["held_out"] is None
    assert summary["windows"]["held_out"] == 0
    assert "No held-out scores" in caplog.text
    assert torch.isfinite(torch.tensor(summary["loss"]))


def test_two_processes_train_both_models(make_store: StoreMaker, tmp_path: Path) -> None:
    store, output = make_store(FEW), tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--no-python"]
    labram = [str(Path(sys.executable).with_name("labram")), "pretrain", f"--store={store}", f"--output={output}"]
    done = subprocess.run(
        [*torchrun, *labram, "--steps=1", "--batch-size=4", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (document,) = done.stdout.splitlines()  # one of the two processes reports
    assert json.loads(document)["tokenizer"] == checkpoint.content_hash(output / "tokenizer")
    alone, _ = pretrain(PretrainOptions(store, tmp_path / "alone", steps=1, batch_size=4))
    assert json.loads(document)["windows"] == alone["windows"]
    assert json.loads(document)["n_codes"] == alone["n_codes"]


def test_precision_is_recorded_and_must_be_repeated(make_store: StoreMaker, tmp_path: Path) -> None:
    store, output = make_store(FEW), tmp_path / "run"
    options = PretrainOptions(store, output, steps=2, batch_size=4, precision="bf16", recompute=True)
    summary, _ = pretrain(options)
    assert torch.isfinite(torch.tensor(summary["loss"]))
    assert checkpoint.load_config(output)["options"]["precision"] == "bf16"
    assert all(tensor.dtype == torch.float32 for tensor in load_masked(output).state_dict().values())
    with pytest.raises(RunError, match="--precision expected 'bf16', found 'fp32'"):
        pretrain(PretrainOptions(store, output, steps=2, batch_size=4, precision="fp32", resume=True))

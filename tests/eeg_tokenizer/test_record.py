from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from eeg_store import Store
from eeg_tokenizer import record as run_record
from eeg_tokenizer import training
from eeg_tokenizer.distributed import Place
from eeg_tokenizer.machine import git_commit, peak_flops
from eeg_tokenizer.meter import Meter
from eeg_tokenizer.metrics import read_metrics
from eeg_tokenizer.record import RunRecord, read_run
from eeg_tokenizer.schedule import adamw
from eeg_tokenizer.step import Objective, Shares, StepLoss
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from eeg_tokenizer.training import Plan, TrainingError, fit
from torch import Tensor, nn

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Lengths:
    """A batch of windows of so many patches each."""

    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_patches(self) -> int:
        return sum(self.lengths)

    @property
    def n_places(self) -> int:
        return max(self.lengths) * len(self)

    def pin_memory(self) -> Lengths:
        return self

    def to(self, device: torch.device) -> Lengths:
        return self

    def split(self, n: int) -> list[Lengths]:
        parts = (self.lengths[start::n] for start in range(n))  # alike in number, if not in order
        return [Lengths(part) for part in parts if part]


BATCHES = ((4, 4), (4, 2), (1, 4, 1), (3, 3), (8, 1), (2, 5))


PLAN = Plan(steps=len(BATCHES), lr=0.1, min_lr=0.1, warmup_steps=1, checkpoint_every=2, seed=5, most_skipped=0)


def slow_batches(first: int, end: int) -> Generator[Lengths, None, None]:
    for lengths in BATCHES[first:end]:
        time.sleep(0.02)
        yield Lengths(lengths)


class Counting(nn.Linear):
    def training_flops(self, n_windows: int, n_patches: int) -> float:
        return 1000 * n_windows * n_patches


def one_part(loss: Tensor) -> StepLoss:
    return StepLoss(loss, {"loss": loss})


Loss = Callable[[nn.Module, Lengths, int, Shares], StepLoss]


def train(run: Path, loss: Loss | None = None, model: nn.Module | None = None, accumulate: int = 1) -> training.Outcome:
    torch.manual_seed(0)
    model = model or nn.Linear(1, 1)
    run.mkdir(exist_ok=True)

    def plain(trained: nn.Module, batch: Lengths, step: int, shares: Shares) -> StepLoss:
        time.sleep(0.03)
        out: Tensor = trained(torch.ones(1, 1))
        return one_part(out.square().sum())

    return fit(
        model,
        adamw(model, betas=(0.9, 0.99), weight_decay=0.0),
        batches=slow_batches,
        objective=Objective(loss or plain, lambda batch, step: {"loss": torch.tensor(len(batch))}),
        evaluate=None,
        plan=replace(PLAN, accumulate=accumulate),
        place=Place(CPU),
        run=run,
        config={"model": "toy", "options": {"steps": len(BATCHES)}, "data": {"store_digest": "abc"}},
        options={"store": Path("data.zarr"), "lr": None},
    )


@pytest.mark.usefixtures("_without_pages")
def test_padding_and_operations_are_those_of_the_parts(tmp_path: Path) -> None:
    train(tmp_path, model=Counting(1, 1), accumulate=2)
    places = [sum(part.n_places for part in Lengths(lengths).split(2)) for lengths in BATCHES]
    assert places == [8, 6, 6, 6, 9, 7]
    records = list(read_metrics(tmp_path / "metrics.jsonl"))
    for record, lengths, n in zip(records, BATCHES, places, strict=True):
        assert record["padding"] == pytest.approx(1 - sum(lengths) / n, abs=1e-6)
    assert read_run(tmp_path)["totals"]["flops"] == 1000 * sum(places)


@pytest.fixture
def _without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curves", lambda _metrics, _png: None)


def stop_in(step: int) -> Loss:
    def loss(trained: nn.Module, batch: Lengths, now: int, shares: Shares) -> StepLoss:
        if now == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return one_part(trained(torch.ones(1, 1)).square().sum())

    return loss


@pytest.mark.usefixtures("_without_pages")
def test_speeds_padding_and_waits_are_what_was_counted(tmp_path: Path) -> None:
    train(tmp_path)
    records = list(read_metrics(tmp_path / "metrics.jsonl"))
    for record, lengths in zip(records, BATCHES, strict=True):
        assert record["samples_per_s"] * record["step_s"] == pytest.approx(len(lengths), rel=0.01)
        assert record["patches_per_s"] * record["step_s"] == pytest.approx(sum(lengths), rel=0.01)
        assert record["padding"] == pytest.approx(1 - sum(lengths) / (max(lengths) * len(lengths)), abs=1e-6)
        assert 0.02 <= record["loader_wait_s"] <= record["step_s"] - 0.03
    document = read_run(tmp_path)
    totals = document["totals"]
    assert totals["steps"] == 6
    assert totals["windows"] == sum(map(len, BATCHES)) == 13
    assert totals["patches"] == sum(map(sum, BATCHES)) == 42
    places = sum(max(lengths) * len(lengths) for lengths in BATCHES)
    assert totals["padding"] == pytest.approx(1 - 42 / places)
    assert totals["patches_per_s"] == pytest.approx(42 / sum(record["step_s"] for record in records), rel=1e-4)
    assert totals["loader_wait"] == pytest.approx(totals["loader_wait_s"] / totals["step_s"])
    assert totals["peak_memory_bytes"]["resident"] > 100e6
    assert totals["peak_memory_bytes"]["gpu"] is None
    assert (document["state"], document["step"], document["steps"]) == ("done", 6, 6)


@pytest.mark.usefixtures("_without_pages")
def test_a_resumed_run_adds_its_sessions_up(tmp_path: Path) -> None:
    train(tmp_path, stop_in(3))
    stopped = read_run(tmp_path)
    assert (stopped["state"], stopped["step"]) == ("stopped by SIGTERM", 3)
    train(tmp_path)
    document = read_run(tmp_path)
    first, second = document["sessions"]
    assert (first["from_step"], first["to_step"], second["from_step"], second["to_step"]) == (0, 3, 3, 6)
    assert first == stopped["sessions"][0]
    assert document["totals"]["steps"] == 6
    assert document["totals"]["device_hours"] == pytest.approx((first["seconds"] + second["seconds"]) / 3600, rel=1e-3)
    assert second["seconds"] >= 3 * 0.05
    train(tmp_path)  # nothing left to do
    assert read_run(tmp_path) == document


@pytest.mark.usefixtures("_without_pages")
def test_a_failed_run_says_of_what_and_a_damaged_record_stops_no_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(tmp_path, lambda trained, *_: one_part(trained(torch.ones(1, 1)).sum() * torch.nan))
    assert read_run(tmp_path)["state"].startswith("failed: Training stopped at step 1")
    (tmp_path / "run.json").write_text('{"sessions": [')
    assert train(tmp_path).step == 6
    assert read_run(tmp_path)["totals"]["steps"] == 6


def test_hours_count_for_every_device(tmp_path: Path) -> None:
    place = Place(CPU, rank=0, world_size=4)
    with RunRecord(tmp_path, Meter(place), options={}, config={}, step=0, steps=9) as note:
        time.sleep(0.05)
        note.end("done")
    (session,) = read_run(tmp_path)["sessions"]
    assert session["device_hours"] == pytest.approx(4 * session["seconds"] / 3600, rel=1e-2)
    assert session["seconds"] >= 0.05


@pytest.mark.usefixtures("_without_pages")
def test_utilisation_is_of_the_peak_of_all_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path / "unknown", model=Counting(1, 1))
    totals = read_run(tmp_path / "unknown")["totals"]
    places = sum(max(lengths) * len(lengths) for lengths in BATCHES)
    assert (totals["flops"], totals["mfu"]) == (1000 * places, None)
    monkeypatch.setattr(run_record, "peak_flops", lambda _name, _precision: 1e6)
    train(tmp_path / "known", model=Counting(1, 1))
    totals = read_run(tmp_path / "known")["totals"]
    assert totals["mfu"] == pytest.approx(1000 * places / totals["step_s"] / 1e6)
    train(tmp_path / "uncounted")
    assert read_run(tmp_path / "uncounted")["totals"]["mfu"] is None


def test_a_killed_session_is_counted_until_its_last_writing(tmp_path: Path) -> None:
    program = (
        "import os, signal, torch; from pathlib import Path; from eeg_tokenizer.meter import Meter;"
        "from eeg_tokenizer.distributed import Place; from eeg_tokenizer.record import RunRecord;"
        "from test_record import Lengths; meter = Meter(Place(torch.device('cpu')));"
        "note = RunRecord(Path('.'), meter, options={}, config={}, step=0, steps=9).__enter__();"
        "meter.step_done(Lengths((4, 3)), [(2, 8)]); note.advance(1, saved=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{Path(__file__).parent}"}
    killed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_run(tmp_path)["state"] == "running"
    with RunRecord(tmp_path, Meter(Place(CPU)), options={}, config={}, step=1, steps=9):
        pass
    first, _ = read_run(tmp_path)["sessions"]
    assert (first["state"], first["patches"]) == ("killed", 7)


def test_a_tokenizer_s_record_holds_its_options_and_what_it_ran_on(mixed_store: Store, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_tokenizer(TrainOptions(store=mixed_store.path, output=run, steps=2, batch_size=4, n_codes=16, seed=3))
    document: dict[str, Any] = read_run(run)
    config = json.loads((run / "config.json").read_text())
    options = document["options"]
    assert (options["steps"], options["batch_size"], options["seed"], options["size"]) == (2, 4, 3, "tiny")
    assert options["lr"] == config["options"]["lr"] > 0
    assert options["checkpoint_every"] == 1
    assert options["store"] == str(mixed_store.path)
    assert document["recipe"] == config["recipe"]
    assert document["data"] == config["data"]
    (session,) = document["sessions"]
    assert session["versions"]["torch"] == torch.__version__
    assert session["machine"]["torch_threads"] == torch.get_num_threads()
    assert session["peak_flops"] is None  # nobody vouches for that of a CPU
    commit = git_commit()
    assert session["git"] == commit
    if commit is not None:
        assert len(commit["commit"]) == 40


def test_peaks_are_of_the_gpu_that_the_driver_names() -> None:
    assert peak_flops("NVIDIA H200", "bf16") == 989e12
    assert peak_flops("NVIDIA H100 80GB HBM3", "fp32") == 67e12
    assert peak_flops("NVIDIA H100 PCIe", "bf16") == 756e12
    assert peak_flops("AMD EPYC", "bf16") is None

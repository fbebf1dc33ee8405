from __future__ import annotations

import json
import math
import os
import signal
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_tokenizer import checkpoint, training
from eeg_tokenizer.distributed import Place
from eeg_tokenizer.meter import TIMED
from eeg_tokenizer.metrics import last_record, read_metrics
from eeg_tokenizer.plots import draw_curves, read_curves
from eeg_tokenizer.run import RunError, only_writer
from eeg_tokenizer.schedule import adamw, learning_rate
from eeg_tokenizer.step import Objective, Shares, StepLoss
from eeg_tokenizer.stop import stop_on_signal
from eeg_tokenizer.training import Outcome, Plan, TrainingError, fit
from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

PLAN = Plan(steps=12, lr=0.05, min_lr=0.01, warmup_steps=3, checkpoint_every=5, seed=7, clip_grad=1.0)


@dataclass(frozen=True)
class Numbers:
    """A batch of a toy problem."""

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_patches(self) -> int:
        return 3 * len(self)

    @property
    def n_places(self) -> int:
        return 4 * len(self)

    def pin_memory(self) -> Numbers:
        return self

    def to(self, device: torch.device) -> Numbers:
        return Numbers(self.values.to(device))

    def split(self, n: int) -> list[Numbers]:
        return [Numbers(part) for part in self.values.tensor_split(n)]


def batches(first: int, end: int) -> Generator[Numbers, None, None]:
    for step in range(first, end):
        yield Numbers(torch.from_numpy(np.random.default_rng(step).standard_normal((8, 3), dtype=np.float32)))


Loss = Callable[[nn.Module, Numbers, int, Shares], StepLoss]


def loss_of(model: nn.Module, batch: Numbers, step: int, shares: Shares) -> StepLoss:
    """Two parts, whose means go over different numbers of rows."""
    error = (model(batch.values) - batch.values.sum(1, keepdim=True)).square()
    chosen = batch.values[:, :1] > 0.3
    some = (error * chosen).sum() / chosen.sum().clamp_min(1)
    loss = error.mean() * shares["error"] + some * shares["some"]
    return StepLoss(loss, {"error": error.mean(), "some": some}, {"accuracy": chosen.float().mean()})


def counts(batch: Numbers, step: int) -> dict[str, Tensor]:
    n = torch.tensor(len(batch))
    return {"error": n, "some": (batch.values[:, 0] > 0.3).sum(), "accuracy": n}


def train(
    run: Path,
    plan: Plan = PLAN,
    loss: Loss = loss_of,
    *,
    drop: float = 0.5,
    learn: Callable[[list[Any]], dict[str, float]] | None = None,
    held_out: Callable[[nn.Module], float] = lambda bare: float(bare(torch.ones(1, 3))),
) -> Outcome:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(drop), nn.Linear(8, 1))
    run.mkdir(exist_ok=True)
    return fit(
        model,
        adamw(model, betas=(0.9, 0.99), weight_decay=0.01),
        batches=batches,
        objective=Objective(loss, counts, learn),
        evaluate=lambda bare: {"loss": held_out(bare), "bands": {"alpha": math.nan}},
        plan=plan,
        place=Place(torch.device("cpu")),
        run=run,
        config={"model": "toy"},
        first_record={"windows": {"training": 8}},
    )


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the second that drawing takes, where it is not what is tested."""
    monkeypatch.setattr(training, "draw_curves", lambda _metrics, _png: None)


def records(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMED} for line in lines]


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def stop_at(step: int, number: signal.Signals, times: int = 1) -> Loss:
    def loss(model: nn.Module, batch: Numbers, now: int, shares: Shares) -> StepLoss:
        for _ in range(times if now == step else 0):
            os.kill(os.getpid(), number)
        return loss_of(model, batch, now, shares)

    return loss


def test_the_schedule_is_the_official_cosine_after_a_rise() -> None:
    steps, warmup = 50, 10
    rates = [learning_rate(s, steps=steps, peak=5e-5, floor=1e-5, warmup_steps=warmup) for s in range(steps)]
    assert rates[:warmup] == pytest.approx([5e-5 * (s + 1) / warmup for s in range(warmup)])
    official = [1e-5 + 0.5 * (5e-5 - 1e-5) * (1 + math.cos(math.pi * i / 40)) for i in range(40)]
    assert rates[warmup:] == pytest.approx(official)
    assert learning_rate(0, steps=1, peak=1.0, floor=0.1, warmup_steps=1) == 1.0


def test_only_matrices_decay_and_layers_may_learn_slower() -> None:
    model = VQNSP(TOKENIZER_SIZES["tiny"])
    model.to_code.requires_grad_(False)
    optimizer = adamw(
        model, betas=(0.9, 0.99), weight_decay=0.3, lr_scale=lambda name: 0.5 if name.startswith("encoder") else 1.0
    )
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    names = dict(model.named_parameters())
    assert set(group_of) == {id(p) for name, p in names.items() if not name.startswith("to_code")}
    for name, parameter in names.items():
        if id(parameter) in group_of:
            kept = name.endswith(("bias", "cls_token", "pos_embed", "time_embed")) or "norm" in name
            assert group_of[id(parameter)]["weight_decay"] == (0.0 if kept else 0.3), name
            assert group_of[id(parameter)]["lr_scale"] == (0.5 if name.startswith("encoder") else 1.0)


def test_every_step_has_one_record_and_every_fifth_a_checkpoint(tmp_path: Path) -> None:
    outcome = train(tmp_path)
    assert outcome.step == 12
    assert outcome.exit_code == 0
    written = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [record["step"] for record in written] == list(range(1, 13))
    for record in written:
        assert record["loss"] == pytest.approx(record["parts"]["error"] + record["parts"]["some"])
        assert 0 <= record["accuracy"] <= 1
        expected = learning_rate(record["step"] - 1, steps=12, peak=0.05, floor=0.01, warmup_steps=3)
        assert record["lr"] == pytest.approx(expected)
        assert record["grad_norm"] > 0
        assert record["samples_per_s"] > 0
    assert [record["step"] for record in written if "held_out" in record] == [5, 10, 12]
    assert written[4]["held_out"]["bands"] == {"alpha": None}  # what is not finite has no place in JSON
    assert written[0]["windows"] == {"training": 8}
    assert last_record(tmp_path / "metrics.jsonl") == outcome.record == written[-1]
    assert sorted(path.name[-2:] for path in (tmp_path / "checkpoints").iterdir()) == ["10", "12"]
    assert weights(tmp_path) == (tmp_path / "checkpoints/step-000000012/model.safetensors").read_bytes()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 1), (signal.SIGINT, 4), (signal.SIGTERM, 5)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path, number: signal.Signals, step: int) -> None:
    train(tmp_path / "undisturbed")
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    outcome = train(tmp_path / "run", loss=stop_at(step, number))
    assert (outcome.step, outcome.stopped_by) == (step, number.name)
    assert outcome.exit_code == (130 if number is signal.SIGINT else 0)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert train(tmp_path / "run").step == 12
    assert weights(tmp_path / "run") == weights(tmp_path / "undisturbed")
    assert records(tmp_path / "run") == records(tmp_path / "undisturbed")


@pytest.mark.usefixtures("without_curves")
def test_a_second_sigterm_asks_for_the_same(tmp_path: Path) -> None:
    """A batch system signals every process, and torchrun passes on what it gets itself."""
    unexpected: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: unexpected.append(number))
    try:
        outcome = train(tmp_path, loss=stop_at(3, signal.SIGTERM, times=2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (outcome.step, outcome.stopped_by, unexpected) == (3, "SIGTERM", [])
    assert checkpoint.latest_step(tmp_path) == tmp_path / "checkpoints" / "step-000000003"


@pytest.mark.usefixtures("without_curves")
def test_a_sigterm_before_the_first_step_is_not_lost(tmp_path: Path) -> None:
    with stop_on_signal(signal.SIGTERM):
        os.kill(os.getpid(), signal.SIGTERM)
        outcome = train(tmp_path)
    assert (outcome.step, outcome.stopped_by, outcome.exit_code) == (1, "SIGTERM", 0)
    assert train(tmp_path).step == 12


@pytest.mark.usefixtures("without_curves")
def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    train(tmp_path)
    before = (weights(tmp_path), (tmp_path / "metrics.jsonl").read_bytes())
    assert train(tmp_path).step == 12
    assert (weights(tmp_path), (tmp_path / "metrics.jsonl").read_bytes()) == before


@pytest.mark.usefixtures("without_curves")
def test_records_after_the_last_checkpoint_and_half_lines_are_written_anew(tmp_path: Path) -> None:
    train(tmp_path / "undisturbed")
    train(tmp_path / "run", loss=stop_at(5, signal.SIGTERM))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss": 99.0}\n{"step": 7, "lo')
    train(tmp_path / "run")
    assert records(tmp_path / "run") == records(tmp_path / "undisturbed")


def poisoned(steps: range, broken: str, healthy: Loss = loss_of) -> Loss:
    """Return a loss whose batches of these steps are poison."""

    def loss(model: nn.Module, batch: Numbers, step: int, shares: Shares) -> StepLoss:
        good = healthy(model, batch, step, shares)
        if step not in steps:
            return good
        # The square root at 0 is finite, its slope is not.
        part = good.parts["error"]
        bad = {"loss": part * math.nan, "gradient": (part * 0).sqrt()}[broken]
        return replace(good, loss=bad, parts={**good.parts, "error": bad})

    return loss


@pytest.mark.usefixtures("without_curves")
def test_two_trainings_do_not_write_one_run(tmp_path: Path) -> None:
    train(tmp_path, replace(PLAN, steps=12, checkpoint_every=5), stop_at(5, signal.SIGTERM))
    before = records(tmp_path)
    with only_writer(tmp_path, Place(torch.device("cpu"))):
        with pytest.raises(RunError, match="expected no other process that does, found one"):
            train(tmp_path)
        with only_writer(tmp_path, Place(torch.device("cpu"), rank=1, world_size=2)):
            pass  # the others of one training write nothing
    assert records(tmp_path) == before
    train(tmp_path)
    assert len(records(tmp_path)) == 12


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_poisoned_batch_is_skipped_and_counted(tmp_path: Path, broken: str) -> None:
    train(tmp_path / "short", replace(PLAN, steps=12, checkpoint_every=5), stop_at(5, signal.SIGTERM))
    states: list[int] = []
    hook = register_optimizer_step_pre_hook(lambda *_: states.append(1))
    try:
        outcome = train(tmp_path / "run", loss=poisoned(range(6, 11), broken))
    finally:
        hook.remove()
    assert len(states) == 7  # of 12 steps
    written = records(tmp_path / "run")
    assert [record.get("skipped") for record in written] == [None] * 5 + [1, 2, 3, 4, 5, 5, 5]
    assert written[7]["not_finite"] == (["loss", "error", "grad_norm"] if broken == "loss" else ["grad_norm"])
    assert "loss" not in written[7]
    train(tmp_path / "resumed", loss=poisoned(range(6, 11), broken, stop_at(10, signal.SIGTERM)))
    for name in ("model", "optimizer"):  # nothing was learned between steps 5 and 10
        tensors = [
            (tmp_path / run / "checkpoints" / step / f"{name}.safetensors").read_bytes()
            for run, step in (("short", "step-000000005"), ("resumed", "step-000000010"))
        ]
        assert tensors[0] == tensors[1]
    assert outcome.record["loss"] == written[-1]["loss"]
    train(tmp_path / "resumed", loss=poisoned(range(6, 11), broken))
    assert records(tmp_path / "resumed") == written
    assert weights(tmp_path / "resumed") == weights(tmp_path / "run")


@pytest.mark.usefixtures("without_curves")
def test_what_gradients_do_not_teach_is_learned_from_whole_good_steps_alone(tmp_path: Path) -> None:
    lessons: list[list[Any]] = []

    def loss(model: nn.Module, batch: Numbers, step: int, shares: Shares) -> StepLoss:
        return replace(poisoned(range(6, 8), "loss")(model, batch, step, shares), lesson=(step, len(batch)))

    def learn(of_step: list[Any]) -> dict[str, float]:
        lessons.append(of_step)
        return {"taught": 1.0}

    train(tmp_path, replace(PLAN, accumulate=2), loss, learn=learn)
    assert lessons == [[(step, 4), (step, 4)] for step in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)]
    assert [record.get("taught") for record in records(tmp_path)] == [1.0] * 5 + [None] * 2 + [1.0] * 5


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize(("every", "keep"), [(5, 2), (4, 1)])  # the second would save amid the skipped steps
def test_a_run_that_went_astray_is_stopped_and_keeps_its_last_good_checkpoint(
    tmp_path: Path, every: int, keep: int
) -> None:
    plan = replace(PLAN, most_skipped=3, checkpoint_every=every, keep=keep)
    for _ in range(2):  # also where it is resumed
        with pytest.raises(TrainingError, match=r"at step 10: .*found 4 steps in a row.*: loss, error, grad_norm"):
            train(tmp_path, plan, poisoned(range(7, 100), "loss"))
        last = checkpoint.latest_step(tmp_path)
        assert last is not None
        assert last.name == f"step-00000000{every}"
        assert [record["step"] for record in records(tmp_path)] == list(range(1, 11))
        assert all(tensor.isfinite().all() for tensor in checkpoint.load_weights(last).values())


@pytest.mark.usefixtures("without_curves")
def test_parts_of_a_batch_teach_what_the_whole_does(tmp_path: Path) -> None:
    for accumulate in (1, 3):
        train(tmp_path / str(accumulate), replace(PLAN, accumulate=accumulate), drop=0.0)
    whole, parts = (records(tmp_path / run) for run in "13")
    for one, other in zip(whole, parts, strict=True):
        assert other["parts"] == pytest.approx(one["parts"], rel=1e-5)
        assert other["accuracy"] == pytest.approx(one["accuracy"])
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


@pytest.mark.usefixtures("without_curves")
def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    losses = {2: 3.0, 4: math.nan, 6: 1.0, 8: 2.0, 10: 1.5, 12: 2.5}
    plan = replace(PLAN, checkpoint_every=2, keep=3, keep_best=True)
    scored: list[float] = []

    def held_out(_: nn.Module) -> float:
        scored.append(losses[2 * len(scored) + 2])
        return scored[-1]

    train(tmp_path, plan, held_out=held_out)
    kept = [f"step-{step:09d}" for step in (8, 10, 12)]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == kept
    best = checkpoint.load_config(tmp_path / "best")
    assert (best["model"], best["best"]["step"], best["best"]["held_out"]["loss"]) == ("toy", 6, 1.0)

    train(tmp_path / "six", replace(plan, keep_best=False), stop_at(6, signal.SIGTERM))
    sixth = checkpoint.load_weights(tmp_path / "six" / "checkpoints" / kept[0].replace("8", "6"))
    assert all(torch.equal(value, sixth[name]) for name, value in checkpoint.load_weights(tmp_path / "best").items())


@pytest.mark.usefixtures("without_curves")
def test_gradients_are_clipped(tmp_path: Path) -> None:
    norms: list[float] = []

    def look(optimizer: Optimizer, *_: Any) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))

    hook = register_optimizer_step_pre_hook(look)
    try:
        train(tmp_path / "clipped", replace(PLAN, clip_grad=1e-3))
        train(tmp_path / "free", replace(PLAN, clip_grad=None))
    finally:
        hook.remove()
    assert norms[:12] == pytest.approx([1e-3] * 12, rel=1e-3)
    assert [record["grad_norm"] for record in records(tmp_path / "free")] == pytest.approx(norms[12:], rel=1e-5)
    assert min(record["grad_norm"] for record in records(tmp_path / "clipped")) > 1e-3


def test_the_curves_hold_what_the_records_hold(tmp_path: Path) -> None:
    train(tmp_path)
    curves = read_curves(tmp_path / "metrics.jsonl")
    assert curves["loss"].shape == (2, 12)
    assert curves["held_out/loss"][0].tolist() == [5, 10, 12]
    image = (tmp_path / "curves.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    long = tmp_path / "long.jsonl"
    long.write_text("".join(json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, 3001)))
    draw_curves(long, tmp_path / "long.png")
    assert (tmp_path / "long.png").stat().st_size > 10_000

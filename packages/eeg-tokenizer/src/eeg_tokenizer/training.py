"""The training loop that the tokenizer, the masked pre-training and the fine-tuning share."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from eeg_tokenizer import checkpoint
from eeg_tokenizer.distributed import Place, mean_over_ranks, wait_for_all
from eeg_tokenizer.meter import Counted, Meter
from eeg_tokenizer.metrics import MetricsLog, last_record
from eeg_tokenizer.plots import draw_curves
from eeg_tokenizer.progress import Progress
from eeg_tokenizer.record import DONE, RunRecord
from eeg_tokenizer.schedule import learning_rate, set_learning_rate
from eeg_tokenizer.stop import StopRequest, stop_on_signal

logger = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A run that cannot go on, because its numbers are no longer finite."""


class OnDevice(Counted, Protocol):
    """A batch, as far as the loop knows it."""

    def to(self, device: torch.device, /) -> Self:
        """Return the batch on `device`."""
        ...


BatchT = TypeVar("BatchT", bound=OnDevice)


@dataclass(frozen=True)
class StepLoss:
    """What one batch gives.

    Attributes:
        loss: scalar, to be minimised.
        parts: the named parts of the loss, for the record.
        measures: other numbers for the record: accuracy, codes in use.
    """

    loss: Tensor
    parts: Mapping[str, float | Tensor] = field(default_factory=dict)
    measures: Mapping[str, float | Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        steps: optimizer steps in all, those before a resumption included.
        lr: highest learning rate; see `schedule.learning_rate`.
        min_lr: the learning rate at the end.
        warmup_steps: steps over which the rate rises.
        checkpoint_every: steps between two checkpoints; the last step always has one. Held-out data is scored then.
        seed: of all that is random inside a step (masks, drop path, k-means).
        clip_grad: the largest gradient norm; None leaves gradients as they are.
    """

    steps: int
    lr: float
    min_lr: float
    warmup_steps: int
    checkpoint_every: int
    seed: int
    clip_grad: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: after which step, with which last record, and the signal that stopped it early."""

    step: int
    record: dict[str, Any]
    signal: signal.Signals | None

    @property
    def exit_code(self) -> int:
        """0, also after SIGTERM (a batch system asks so for a checkpoint); 130 after SIGINT, as shells expect."""
        return 130 if self.signal is signal.SIGINT else 0


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    batches: Callable[[int, int], Generator[BatchT, None, None]],
    loss_of: Callable[[nn.Module, BatchT], StepLoss],
    evaluate: Callable[[nn.Module], dict[str, Any]] | None,
    plan: Plan,
    place: Place,
    run: Path,
    config: Mapping[str, Any],
    first_record: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train until `plan.steps`, from the run's last checkpoint where it has one.

    A step depends on its number (batch, seed, rate) and on the weights before it, and on nothing else, so a run that
    was killed and resumed ends where an undisturbed one ends: bit for bit on a CPU with the same number of threads.

    Args:
        model: on `place.device`.
        optimizer: from `schedule.adamw`.
        batches: gives this process's batches of steps first..end-1, counted from 0, as `BatchLoader.batches`.
        loss_of: the loss of a batch; its model is `model`, wrapped where several processes train.
        evaluate: scores `model` on held-out data; called in `eval` mode, without gradients, by the first process.
        plan: how long and how fast.
        place: this process's device and rank.
        run: the output directory, made by `run.start_run`.
        config: what goes into `config.json` of every checkpoint.
        first_record: more entries for the record of step 1.
        options: what the run was asked for, for `run.json`.

    Raises:
        TrainingError: the loss or its gradient is not finite. The last checkpoint stays.
        OSError: a file of the run could not be written (`SaveError` for a checkpoint). The last checkpoint stays.
        CheckpointError: the last checkpoint is damaged.
    """
    done = _resume(model, optimizer, run, plan, place)
    trained = _for_all_ranks(model, place)
    first, path = done, run / "metrics.jsonl"
    meter: Meter[BatchT] = Meter(place, getattr(model, "training_flops", None))
    asked = {**(options or {}), **asdict(plan)}
    with (
        stop_on_signal() as stop,
        MetricsLog(path, last_step=done, silent=not place.writes) as log,
        Progress("training", plan.steps, done=done, unit="step", silent=not place.writes) as progress,
        RunRecord(run, meter, options=asked, config=config, step=done, steps=plan.steps) as note,
        closing(meter.batches(batches(done, plan.steps))) as stream,
    ):
        for step, batch in enumerate(stream, start=done + 1):
            numbers = _step(
                trained, optimizer, batch=batch, loss_of=loss_of, plan=plan, place=place, step=step, stop=stop
            )
            done, stopping = step, numbers.pop("stop") > 0
            record = _record(step, numbers | meter.step_done(batch))
            if step == 1:
                record |= dict(first_record or {})
            scheduled = step % plan.checkpoint_every == 0 or step == plan.steps
            if scheduled and evaluate is not None and place.writes:
                record["held_out"] = _evaluate(model, evaluate)
            log.write(record)
            if (scheduled or stopping) and place.writes:
                checkpoint.save_step(run, step, model, optimizer, config)
            note.advance(step, saved=scheduled or stopping)
            progress.advance(note=f"loss {record['loss']:.4g}")
            if stopping:
                break
        stopped = f"stopped by {stop.signal.name if stop.signal else 'another process'}"
        note.end(DONE if done == plan.steps else stopped)
    if place.writes and done > first:
        draw_curves(path, run / "curves.png")
    wait_for_all(place)  # whoever goes on from here may read what the first process wrote
    return Outcome(done, last_record(path) if place.writes else {}, stop.signal)


def _step(
    trained: nn.Module,
    optimizer: Optimizer,
    *,
    batch: BatchT,
    loss_of: Callable[[nn.Module, BatchT], StepLoss],
    plan: Plan,
    place: Place,
    step: int,
    stop: StopRequest,
) -> dict[str, float]:
    """Take optimizer step number `step` (from 1) and return its numbers, averaged over the processes."""
    lr = learning_rate(step - 1, steps=plan.steps, peak=plan.lr, floor=plan.min_lr, warmup_steps=plan.warmup_steps)
    set_learning_rate(optimizer, lr)
    _seed(plan.seed, step, place.rank)
    trained.train()
    optimizer.zero_grad(set_to_none=True)
    result = loss_of(trained, batch.to(place.device))
    result.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    grad_norm = nn.utils.clip_grad_norm_(trained.parameters(), math.inf if plan.clip_grad is None else plan.clip_grad)
    numbers = {"loss": float(result.loss.detach())}
    numbers |= {f"parts/{name}": float(value) for name, value in result.parts.items()}
    numbers |= {name: float(value) for name, value in result.measures.items()}
    numbers |= {"lr": lr, "grad_norm": float(grad_norm), "stop": float(stop.signal is not None)}
    numbers = mean_over_ranks(numbers, place)
    broken = [f"{name} {value}" for name, value in numbers.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            f"Training stopped at step {step}: expected finite numbers, found {', '.join(broken)}. "
            "The last checkpoint is kept; look at the data or start anew with a lower --lr."
        )
    optimizer.step()
    return numbers


def _resume(model: nn.Module, optimizer: Optimizer, run: Path, plan: Plan, place: Place) -> int:
    """Load the run's last checkpoint where it has one, and return the steps done."""
    last = checkpoint.latest_step(run)
    if last is None:
        return 0
    done = checkpoint.load_step(last, model, optimizer)
    if place.writes:
        checkpoint.publish(run, last)  # a kill may have come between the two
        logger.info("Going on with %s after step %d of %d.", run, done, plan.steps)
    return done


def _for_all_ranks(model: nn.Module, place: Place) -> nn.Module:
    if place.world_size == 1:
        return model
    return DistributedDataParallel(model, device_ids=[place.device] if place.device.type == "cuda" else None)


def _seed(seed: int, step: int, rank: int) -> None:
    """Make torch's random numbers of a step a function of its number, so that no generator state has to be kept."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))


@torch.no_grad()
def _evaluate(model: nn.Module, evaluate: Callable[[nn.Module], dict[str, Any]]) -> dict[str, Any]:
    model.eval()
    scores = evaluate(model)
    model.train()
    return scores


def _record(step: int, numbers: Mapping[str, float]) -> dict[str, Any]:
    """Return the line of `metrics.jsonl` for a step."""
    parts = {name.removeprefix("parts/"): value for name, value in numbers.items() if name.startswith("parts/")}
    rest = {name: value for name, value in numbers.items() if not name.startswith("parts/")}
    return {"step": step, "loss": rest.pop("loss"), "parts": parts, **rest}

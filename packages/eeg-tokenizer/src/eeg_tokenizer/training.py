"""The training loop that the tokenizer, the masked pre-training and the fine-tuning share."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from eeg_tokenizer import checkpoint
from eeg_tokenizer.checkpoint import CheckpointError, Progressed
from eeg_tokenizer.distributed import Place, from_first, wait_for_all
from eeg_tokenizer.loader import pinned
from eeg_tokenizer.meter import Meter
from eeg_tokenizer.metrics import MetricsLog, last_record
from eeg_tokenizer.plots import draw_curves
from eeg_tokenizer.progress import Progress
from eeg_tokenizer.record import DONE, RunRecord
from eeg_tokenizer.run import only_writer
from eeg_tokenizer.schedule import learning_rate, set_learning_rate
from eeg_tokenizer.sharding import is_sharded
from eeg_tokenizer.step import BatchT, Objective, Taken, take_step
from eeg_tokenizer.stop import stop_on_signal

logger = logging.getLogger(__name__)

MOST_SKIPPED = 10  # steps in a row: a bad batch is passed over, a run that went astray is not


class TrainingError(RuntimeError):
    """A run that cannot go on, because its numbers are no longer finite."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        steps: optimizer steps in all, those before a resumption included.
        lr: highest learning rate; see `schedule.learning_rate`.
        min_lr: the learning rate at the end.
        warmup_steps: steps over which the rate rises.
        checkpoint_every: steps between two checkpoints; the last step always has one, any other only if it was not
            skipped. Held-out data is scored then.
        seed: of all that is random inside a step (masks, drop path, revived codes).
        clip_grad: the largest gradient norm; None leaves gradients as they are.
        accumulate: parts in which a process takes its share of a batch, one after the other.
        keep: the last checkpoints that stay.
        keep_best: whether the weights with the lowest held-out loss stay too, in `best`.
        most_skipped: steps in a row whose numbers may be not finite; one more ends the run.
    """

    steps: int
    lr: float
    min_lr: float
    warmup_steps: int
    checkpoint_every: int
    seed: int
    clip_grad: float | None = None
    accumulate: int = 1
    keep: int = checkpoint.KEPT
    keep_best: bool = False
    most_skipped: int = MOST_SKIPPED


@dataclass(frozen=True)
class Outcome:
    """How a run ended: after which step, with which last record, and what stopped it, in all processes, or None.

    It is the name of a signal, or "another process" where that one had the signal.
    """

    step: int
    record: dict[str, Any]
    stopped_by: str | None

    @property
    def exit_code(self) -> int:
        """0, also after SIGTERM (a batch system asks so for a checkpoint); 130 after SIGINT, as shells expect."""
        return 130 if self.stopped_by == signal.SIGINT.name else 0


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    batches: Callable[[int, int], Generator[BatchT, None, None]],
    objective: Objective[BatchT],
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
    A step whose loss or gradient is not finite is skipped: weights, optimizer and codebook stay as they are.

    Args:
        model: on `place.device`; where `sharding.shard` divided it, `optimizer` was made afterwards.
        optimizer: from `schedule.adamw`.
        batches: gives this process's batches of steps first..end-1, counted from 0, as `BatchLoader.batches`.
        objective: what is learned.
        evaluate: scores `model` on held-out data; called in `eval` mode, without gradients, by the first process, and
            by all where the model is sharded. Its "loss" is what `plan.keep_best` goes by.
        plan: how long and how fast.
        place: this process's device and rank.
        run: the output directory, made by `run.start_run`.
        config: what goes into `config.json` of every checkpoint.
        first_record: more entries for the record of step 1.
        options: what the run was asked for, for `run.json`.

    Raises:
        RunError: another process trains there.
        TrainingError: more than `plan.most_skipped` steps in a row were not finite. The last checkpoint stays.
        OSError: a file of the run could not be written (`SaveError`). The last checkpoint stays.
        CheckpointError: the last checkpoint is damaged.
    """
    with only_writer(run, place):
        done = _resume(model, optimizer, run, plan, place)
        trained = _for_all_ranks(model, place)
        writer = _Writer(model, optimizer, evaluate=evaluate, plan=plan, place=place, run=run, config=config)
        first, path, stopped_by = done.step, run / "metrics.jsonl", None
        meter: Meter[BatchT] = Meter(place, getattr(model, "training_flops", None))
        asked = {**(options or {}), **asdict(plan)}
        with (
            stop_on_signal(signal.SIGTERM, signal.SIGINT) as stop,
            MetricsLog(path, last_step=first, silent=not place.writes) as log,
            Progress("training", plan.steps, done=first, unit="step", silent=not place.writes) as progress,
            RunRecord(run, meter, options=asked, config=config, step=first, steps=plan.steps) as note,
            closing(meter.batches(_on_the_way(batches(first, plan.steps), place))) as stream,
        ):
            for step, batch in enumerate(stream, start=first + 1):
                lr = _set_rate(optimizer, plan, step)
                taken = take_step(
                    trained,
                    optimizer,
                    batch,
                    objective,
                    step=step,
                    seed=plan.seed,
                    accumulate=plan.accumulate,
                    clip_grad=plan.clip_grad,
                    stop=stop,
                    place=place,
                )
                done = _after(done, taken)
                record = _record(done, taken, lr) | meter.step_done(batch, taken.shapes)
                if step == 1:
                    record |= dict(first_record or {})
                scheduled = step % plan.checkpoint_every == 0 or step == plan.steps
                if scheduled and (scores := writer.evaluate()):
                    record["held_out"] = scores
                log.write(record)
                if done.in_a_row > plan.most_skipped:
                    raise TrainingError(_astray(done, taken))
                # Amid skipped steps the weights may be ruined, and would take the place of the last good ones.
                saved = taken.stop or step == plan.steps or (scheduled and not done.in_a_row)
                if saved:
                    writer.save(done, record.get("held_out"))
                note.advance(step, saved=saved)
                progress.advance(
                    note=f"skipped, {done.skipped} so far" if taken.not_finite else f"loss {taken.loss:.4g}"
                )
                if taken.stop:
                    stopped_by = stop.signal.name if stop.signal else "another process"
                    break
            note.end(DONE if done.step == plan.steps else f"stopped by {stopped_by}")
        if place.writes and done.step > first:
            draw_curves(path, run / "curves.png")
        wait_for_all(place)  # whoever goes on from here may read what the first process wrote
        return Outcome(done.step, last_record(path) if place.writes else {}, stopped_by)


class _Writer:
    """Scores the model and writes its checkpoints. All processes call it; those of an undivided model wait for none."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        evaluate: Callable[[nn.Module], dict[str, Any]] | None,
        plan: Plan,
        place: Place,
        run: Path,
        config: Mapping[str, Any],
    ) -> None:
        self._model, self._optimizer, self._evaluate = model, optimizer, evaluate
        self._plan, self._place, self._run, self._config = plan, place, run, config
        self._takes_part = place.writes or is_sharded(model)

    @torch.no_grad()
    def evaluate(self) -> dict[str, Any] | None:
        """Return the held-out scores, None where one is not finite; nothing where there is nothing to score."""
        if self._evaluate is None or not self._takes_part:
            return None
        self._model.eval()
        scores = self._evaluate(self._model)
        self._model.train()
        return _finite(scores)

    def save(self, done: Progressed, scores: Mapping[str, Any] | None) -> None:
        """Write the checkpoint of a step, and the best weights where its held-out loss is the lowest so far."""
        if not self._takes_part:
            return
        tensors = checkpoint.snapshot(self._model, self._optimizer)
        if not self._place.writes:
            return
        if scores and self._plan.keep_best and self._is_best(scores["loss"]):
            chosen = {"step": done.step, "held_out": dict(scores)}
            checkpoint.save_best(self._run, tensors.weights, {**self._config, "best": chosen})
        checkpoint.save_step(self._run, done, tensors, self._config, keep=self._plan.keep)

    def _is_best(self, loss: float | None) -> bool:
        """Whether no loss before was lower; a step that a resumed run repeats ties with itself, and is written anew."""
        if loss is None:
            return False
        try:
            before = checkpoint.load_config(self._run / checkpoint.BEST)["best"]["held_out"]["loss"]
        except CheckpointError:
            return True  # none yet
        return loss <= float(before)


def _finite(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores, nested or not, with None where one is not finite, as JSON has no word for it."""
    return {
        name: _finite(value) if isinstance(value, Mapping) else value if math.isfinite(value) else None
        for name, value in scores.items()
    }


def _set_rate(optimizer: Optimizer, plan: Plan, step: int) -> float:
    lr = learning_rate(step - 1, steps=plan.steps, peak=plan.lr, floor=plan.min_lr, warmup_steps=plan.warmup_steps)
    set_learning_rate(optimizer, lr)
    return lr


def _after(done: Progressed, taken: Taken) -> Progressed:
    if not taken.not_finite:
        return replace(done, step=done.step + 1, in_a_row=0)
    return Progressed(done.step + 1, done.skipped + 1, done.in_a_row + 1)


def _astray(done: Progressed, taken: Taken) -> str:
    return (
        f"Training stopped at step {done.step}: expected finite numbers, found {done.in_a_row} steps in a row without, "
        f"all of them skipped (not finite in the last: {', '.join(taken.not_finite)}). "
        "The last checkpoint is kept; look at the data or start anew with a lower --lr."
    )


def _resume(model: nn.Module, optimizer: Optimizer, run: Path, plan: Plan, place: Place) -> Progressed:
    """Load the run's last checkpoint where it has one, and return how far it had come."""
    found = checkpoint.latest_step(run)
    name = from_first(None if found is None else found.name, place)  # the others may see the folder later
    if name is None:
        return Progressed(0)
    last = run / "checkpoints" / name
    try:
        done = checkpoint.load_step(last, model, optimizer)
    except CheckpointError as error:
        raise CheckpointError(f"{error} Remove {last} to go on from the checkpoint before.") from error
    if place.writes:
        checkpoint.publish(run, last)  # a kill may have come between the two
        logger.info("Going on with %s after step %d of %d.", run, done.step, plan.steps)
    return done


def _on_the_way(stream: Generator[BatchT, None, None], place: Place) -> Generator[BatchT, None, None]:
    return pinned(stream) if place.device.type == "cuda" else stream


def _for_all_ranks(model: nn.Module, place: Place) -> nn.Module:
    if place.world_size == 1 or is_sharded(model):
        return model
    devices = [place.device] if place.device.type == "cuda" else None
    # Buffers are the codebook's, which `learn` keeps equal on all processes.
    return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)


def _record(done: Progressed, taken: Taken, lr: float) -> dict[str, Any]:
    """Return the line of `metrics.jsonl` for a step; one that was skipped has no loss, but says why."""
    record: dict[str, Any] = {"step": done.step}
    if taken.not_finite:
        record["not_finite"] = list(taken.not_finite)
    else:
        parts = taken.parts if len(taken.parts) > 1 else {}
        record |= {"loss": taken.loss, "parts": dict(parts), **taken.rest}
    if done.skipped:
        record["skipped"] = done.skipped
    return record | {"lr": lr}

"""Fine-tuning for classification and regression (paper, section 2.5 and Table 5)."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from eeg_store import Store
from eeg_tokenizer import checkpoint
from eeg_tokenizer.batch_plan import BatchPlan, FixedBatches
from eeg_tokenizer.checkpoint import KEPT
from eeg_tokenizer.compute import choose_compute
from eeg_tokenizer.distributed import Place, join
from eeg_tokenizer.loader import BatchLoader
from eeg_tokenizer.metrics import read_metrics
from eeg_tokenizer.page import write_page
from eeg_tokenizer.run import fixed_recordings, place_of, recording_checksums, start_run
from eeg_tokenizer.sampling import Permutations
from eeg_tokenizer.schedule import adamw
from eeg_tokenizer.step import Objective, Shares, StepLoss
from eeg_tokenizer.stop import stop_on_signal
from eeg_tokenizer.training import Outcome, Plan, fit
from eeg_tokenizer.windows import data_digest
from torch import Tensor, nn

from labram_model import models
from labram_model.classifier import Classifier
from labram_model.errors import LabramError
from labram_model.evaluate import score_split
from labram_model.goal import Goal, goal_of
from labram_model.labelled import Labelled, labelled_windows
from labram_model.labelled_batches import LabelledBatch, LabelledReader
from labram_model.split import Division, divide
from labram_model.target_values import name_targets
from labram_model.task import SPLITS, Task, load_task
from labram_model.weights import model_folder

logger = logging.getLogger(__name__)

BETAS = (0.9, 0.999)
FEWEST_CHECKS = 10  # how often a run of few steps is scored on the validation subjects
RESULT = "result.json"


@dataclass(frozen=True)
class FinetuneOptions:
    """What `labram finetune` is asked for.

    Attributes:
        checkpoint: a pre-trained or fine-tuned model, whose head is left out, as a directory or an official file; None
            for the same model from random weights.
        size: of the model from random weights; None is "base" on a GPU and "tiny" on a CPU.
        steps: at most so many optimizer steps; None for all epochs of the task. Warm-up and decay shrink with them.
        allow_inexact, accumulate, keep: see `eeg_tokenizer.train.TrainOptions`.
        seed: of the head, of random weights, of batches and drop path. The split has its own, in the task.
        precision, compiled, recompute: see `compute.choose_compute`.
    """

    store: Path
    task: Path
    output: Path
    checkpoint: Path | None = None
    size: str | None = None
    steps: int | None = None
    seed: int = 0
    resume: bool = False
    device: str = "auto"
    precision: str | None = None
    compiled: bool | None = None
    recompute: bool = False
    allow_inexact: bool = False
    accumulate: int = 1
    keep: int = KEPT


def finetune(options: FinetuneOptions) -> tuple[dict[str, Any], int]:
    """Fine-tune, keep the weights with the best validation score, and score the test subjects with them, once.

    Returns:
        The result, as `result.json` of the output holds it, and the exit code of the process.

    Raises:
        LabramError: a wrong task, a store that cannot serve it, a checkpoint of another kind.
        StoreError, CheckpointError, RunError, TrainingError, OSError: as the parts that raise them say.
    """
    task, whole_store = load_task(options.task), Store.open(options.store)
    with stop_on_signal(signal.SIGTERM), join(options.device) as place:
        store = fixed_recordings(
            whole_store, options.output, place, resume=options.resume, allow_inexact=options.allow_inexact
        )
        task = name_targets(task, store)
        labelled = labelled_windows(store, task)
        division = divide(task.split, labelled, list(task.event_labels))
        readers = {name: LabelledReader(store, division.windows[name], task) for name in SPLITS}
        goal = goal_of(task, {name: reader.labels for name, reader in readers.items()})
        torch.manual_seed(options.seed)
        size, begun_with, model = _model(options, task, goal.n_outputs, place.device)
        batch_size, plan = _plan(options, task, len(readers["train"]), place)
        compute = choose_compute(
            options.precision, compiled=options.compiled, recompute=options.recompute, device=place.device
        )
        compute.prepare(model)
        document = _document(
            options, task, store, model, division, goal=goal, size=size, begun_with=begun_with, plan=plan
        )
        document["options"] |= compute.recorded()
        document["place"] = place_of(place, accumulate=plan.accumulate)
        if place.writes:
            document = start_run(
                options.output,
                document,
                resume=options.resume,
                recordings=recording_checksums(store),
                allow_inexact=options.allow_inexact,
            )
        selection = Selection(options.output / "best", document, readers["val"], goal, place.device)
        recipe = task.training
        decay = _layer_decay(options, task)
        outcome = fit(
            model,
            adamw(model, betas=BETAS, weight_decay=recipe.weight_decay, lr_scale=layer_scale(model, decay)),
            batches=BatchLoader(
                readers["train"].read,
                BatchPlan(Permutations(len(readers["train"]), (options.seed,)), FixedBatches(batch_size)),
                rank=place.rank,
                world_size=place.world_size,
            ).batches,
            objective=labelled_objective(goal),
            evaluate=selection,
            plan=plan,
            place=place,
            run=options.output,
            config=document,
            options=asdict(options),
        )
        if not place.writes:
            return {}, outcome.exit_code
        result = _result(options, task, document, labelled, outcome, goal=goal)
        if outcome.stopped_by is None:
            best = selection.best_model()
            checkpoint.publish(options.output, selection.folder)
            result["train"] = goal.count(readers["train"].windows)
            result |= {name: score_split(best, readers[name], goal, place.device) for name in ("val", "test")}
            checkpoint.save_document(options.output / RESULT, result)
        write_page(options.output)
    return result, outcome.exit_code


def labelled_objective(goal: Goal) -> Objective[LabelledBatch]:
    """Return what a task teaches: its loss, a mean over the windows of a batch like all that is measured."""

    def loss(model: nn.Module, batch: LabelledBatch, _step: int, shares: Shares) -> StepLoss:
        of_batch = goal.loss(model(batch.windows), batch.labels)
        return replace(of_batch, loss=of_batch.loss * shares["loss"], parts={"loss": of_batch.loss})

    def counts(batch: LabelledBatch, _step: int) -> dict[str, Tensor]:
        return dict.fromkeys(("loss", "accuracy"), torch.tensor(len(batch), device=batch.labels.device))

    return Objective(loss, counts)


class Selection:
    """Scores the validation windows and keeps the best weights so far, by the goal's own score."""

    def __init__(
        self, folder: Path, document: dict[str, Any], reader: LabelledReader, goal: Goal, device: torch.device
    ) -> None:
        """Keep the best weights in `folder`, which a resumed run has already."""
        self.folder = folder
        self._document, self._reader, self._goal, self._device = document, reader, goal, device
        kept = (folder / "config.json").exists()
        self._best = float(checkpoint.load_config(folder)["val"][goal.monitor]) if kept else -math.inf

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Return the scores of `model`, and keep its weights if none before were better (a few subjects soon tie)."""
        scores: dict[str, float] = score_split(model, self._reader, self._goal, self._device)["scores"]
        if scores[self._goal.monitor] >= self._best:
            self._best = scores[self._goal.monitor]
            checkpoint.save_model(self.folder, model, {**self._document, "val": scores})
        return scores

    def best_model(self) -> Classifier:
        """Return the model with the best weights, in `eval` mode."""
        return models.load_finetuned(self.folder).to(self._device)


def layer_scale(model: Classifier, decay: float) -> Callable[[str], float]:
    """Return the factor on the learning rate for each parameter's name: `decay` once more for each layer further down.

    As in the official code the head, `fc_norm` and the time embedding learn at the full rate, the last block at
    `decay`, and the temporal encoder, cls and the position embedding at `decay ** (layers + 1)`.
    """
    n_layers = model.config.layers

    def scale(name: str) -> float:
        part = name.removeprefix("backbone.")
        if part.startswith("blocks."):
            return decay ** (n_layers - int(part.split(".")[1]))
        if part.startswith(("patch_embed.", "cls_token", "pos_embed")):
            return decay ** (n_layers + 1)
        return 1.0

    return scale


def _model(
    options: FinetuneOptions, task: Task, n_outputs: int, device: torch.device
) -> tuple[str, str | None, Classifier]:
    """Return the size's name, the hash of the pre-trained model, and the model, with its weights or random ones."""
    if options.checkpoint is None:
        size, config = models.backbone_config(options.size, device)
        logger.info("No --checkpoint: fine-tuning a model of size %s from random weights.", size)
        return size, None, Classifier(replace(config, drop_path=task.training.drop_path), n_outputs).to(device)
    if options.size is not None:
        raise LabramError(
            "Cannot choose the size of a pre-trained model: expected --checkpoint or --size, found both. Leave out one."
        )
    with model_folder(options.checkpoint) as folder:
        backbone = models.load_backbone(folder)
        size = checkpoint.load_config(folder)["size"]
        begun_with = checkpoint.content_hash(folder)
    model = Classifier.from_backbone(backbone, n_outputs, drop_path=task.training.drop_path)
    return size, begun_with, model.to(device)


def _layer_decay(options: FinetuneOptions, task: Task) -> float:
    """Return the decay of the task; random weights, which have nothing to keep, decay only where the task says so."""
    asked_for = "layer_decay" in task.training.model_fields_set
    return task.training.layer_decay if options.checkpoint or asked_for else 1.0


def _plan(options: FinetuneOptions, task: Task, n_windows: int, place: Place) -> tuple[int, Plan]:
    """Return the batch size, which is at most all windows, and the schedule."""
    recipe = task.training
    batch_size = max(place.world_size, min(recipe.batch_size, n_windows) // place.world_size * place.world_size)
    per_epoch = math.ceil(n_windows / batch_size)
    steps = min(options.steps or math.inf, recipe.epochs * per_epoch)
    return batch_size, Plan(
        steps=int(steps),
        lr=recipe.lr,
        min_lr=recipe.min_lr,
        warmup_steps=round(steps * min(1.0, recipe.warmup_epochs / recipe.epochs)),
        checkpoint_every=min(per_epoch, math.ceil(steps / FEWEST_CHECKS)),
        seed=options.seed,
        accumulate=options.accumulate,
        keep=options.keep,
    )


def _document(
    options: FinetuneOptions,
    task: Task,
    store: Store,
    model: Classifier,
    division: Division,
    *,
    goal: Goal,
    size: str,
    begun_with: str | None,
    plan: Plan,
) -> dict[str, Any]:
    """Return `config.json`: the model, what it learns from, and the options that a resumed run must repeat."""
    told = task.model_dump(mode="json")
    return {
        **models.finetuned_document(model, goal.kind, goal.described()),
        "size": size,
        "task": told,
        "split": {name: list(subjects) for name, subjects in division.subjects.items()},
        "subjects_in_several_splits": division.shared_subjects,
        "options": {
            "checkpoint": begun_with,
            "size": size,
            "steps": plan.steps,
            "seed": options.seed,
            "layer_decay": _layer_decay(options, task),
            **{f"task.{key}": value for key, value in told.items()},
        },
        "data": {"store_digest": data_digest(store)},
    }


def _result(
    options: FinetuneOptions,
    task: Task,
    document: dict[str, Any],
    labelled: Labelled,
    outcome: Outcome,
    *,
    goal: Goal,
) -> dict[str, Any]:
    """Return what is known before the best weights are scored."""
    checks = [record for record in read_metrics(options.output / "metrics.jsonl") if "held_out" in record]
    best = max(checks, key=lambda record: (record["held_out"][goal.monitor], record["step"]), default=None)
    return {
        "output": str(options.output),
        "task": task.name,
        **goal.described(),
        "pretrained": document["options"]["checkpoint"],
        "size": document["size"],
        "seed": options.seed,
        "steps": outcome.step,
        "stopped_by": outcome.stopped_by,
        "chosen": {"by": f"val {goal.monitor}", "step": best and best["step"]},
        "split_by": task.split.by,
        "split": document["split"],
        "subjects_in_several_splits": document["subjects_in_several_splits"],
        "windows_left_out_not_finite": labelled.left_out_not_finite,
        **({"windows_left_out_without_target": labelled.left_out_without_target} if task.targets else {}),
    }

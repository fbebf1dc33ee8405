"""The scores of a fine-tuned model on one split of its task."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from eeg_store import Store
from eeg_tokenizer.distributed import join
from eeg_tokenizer.windows import data_digest
from torch import nn

from labram_model import models
from labram_model.errors import LabramError
from labram_model.goal import Classification, Goal, goal_in
from labram_model.labelled import LabelledWindow, labelled_windows
from labram_model.labelled_batches import LabelledReader, predict
from labram_model.split import divide, windows_of
from labram_model.target_values import name_targets
from labram_model.task import Task, load_task
from labram_model.weights import model_folder

logger = logging.getLogger(__name__)

_FREE_KEYS = {"name", "training"}  # of a task: they do not change which windows are scored


def evaluate(store_path: Path, task_path: Path, path: Path, *, split: str, device: str) -> dict[str, Any]:
    """Score the model in `path` on what was its `split` when it was fine-tuned.

    An imported model was fine-tuned elsewhere, on a split that is not known: it is scored on the task's own.

    Raises:
        LabramError: a model of another kind or of another task, a store without the split's subjects.
        StoreError, CheckpointError: as the parts that raise them say.
    """
    store = Store.open(store_path)
    task = name_targets(load_task(task_path), store)
    with model_folder(path) as folder, join(device) as place:
        config = models.expect_kind(folder, *models.FINETUNED)
        if "task" in config:
            _check_task(task, config["task"], task_path, path)
            if data_digest(store) != config["data"]["store_digest"]:
                logger.warning("The store %s is not as it was when the model in %s was fine-tuned.", store_path, path)
            windows = _windows_then(task, config, split, store, path)
            goal = goal_in(config["config"])
        else:
            windows, goal = _windows_now(task, config, split, store, path)
        model = models.load_finetuned(folder).to(place.device)
        scored = score_split(model, LabelledReader(store, windows, task), goal, place.device)
    return {
        "checkpoint": str(path),
        "task": task.name,
        **goal.described(),
        "split": split,
        **scored,
    }


def _windows_then(task: Task, config: dict[str, Any], split: str, store: Store, path: Path) -> Sequence[LabelledWindow]:
    """Return the windows of the subjects that the model had in this split."""
    labelled = labelled_windows(store, task)
    subjects = config["split"][split]
    windows = labelled.of(subjects) if task.split.by == "subject" else windows_of(task.split, split, labelled)
    found = {window.subject for window in windows}
    if missing := [subject for subject in subjects if subject not in found]:
        raise LabramError(
            f"Cannot score {split} in {store.path}: expected windows of the {len(subjects)} subjects that the model in "
            f"{path} had there, found none of {', '.join(missing)}. Give the store that it was fine-tuned on."
        )
    return windows


def _windows_now(
    task: Task, config: dict[str, Any], split: str, store: Store, path: Path
) -> tuple[Sequence[LabelledWindow], Goal]:
    """Return the windows of the task's own split, and what the model predicts, which must fit the task."""
    goal = goal_in(config["config"])
    if isinstance(goal, Classification):
        expected: Sequence[str] = goal.classes
        fits = len(expected) == len(task.classes or ())
        goal = Classification(tuple(task.classes or ()))  # the file may not have told their names
    else:
        expected = list(config["config"]["targets"])
        fits = expected == list(task.targets or ())
    if not fits:
        raise LabramError(
            f"Cannot use the task {task.name} with {path}: expected {len(expected)} outputs ({', '.join(expected)}), "
            f"found {', '.join(task.classes or task.targets or ())}. Give the task that it was fine-tuned on."
        )
    division = divide(task.split, labelled_windows(store, task), list(task.event_labels))
    logger.warning("%s does not tell on which subjects it was trained: they may be among those of %s.", path, split)
    return division.windows[split], goal


def score_split(model: nn.Module, reader: LabelledReader, goal: Goal, device: torch.device) -> dict[str, Any]:
    """Return scores, chance and more of the reader's windows, and how many there are of what.

    Raises:
        LabramError: a class without windows, targets that do not vary.
    """
    return {**goal.score(predict(model, reader, device), reader.labels), **goal.count(reader.windows)}


def _check_task(task: Task, begun: dict[str, Any], path: Path, folder: Path) -> None:
    told = task.model_dump(mode="json")
    differing = [
        f"{key} {begun.get(key)!r} (found {value!r})"
        for key, value in told.items()
        if key not in _FREE_KEYS and value != begun.get(key)
    ]
    if differing:
        raise LabramError(
            f"Cannot use the task {path} with the model in {folder}: expected {'; '.join(differing)}. "
            "Give the task that it was fine-tuned on."
        )

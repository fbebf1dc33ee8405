"""The scores of a fine-tuned model on one split of its task."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from eeg_store import Store
from eeg_tokenizer.distributed import join
from eeg_tokenizer.windows import data_digest
from torch import nn

from labram_model import models
from labram_model.errors import LabramError
from labram_model.goal import Goal, goal_in
from labram_model.labelled import labelled_windows
from labram_model.labelled_batches import LabelledReader, predict
from labram_model.split import windows_of
from labram_model.target_values import name_targets
from labram_model.task import Task, load_task

logger = logging.getLogger(__name__)

_FREE_KEYS = {"name", "training"}  # of a task: they do not change which windows are scored


def evaluate(store_path: Path, task_path: Path, folder: Path, *, split: str, device: str) -> dict[str, Any]:
    """Score the model in `folder` on what was its `split` when it was fine-tuned.

    Raises:
        LabramError: a model of another kind or of another task, a store without the split's subjects.
        StoreError, CheckpointError: as the parts that raise them say.
    """
    config = models.expect_kind(folder, *models.FINETUNED)
    store = Store.open(store_path)
    task = name_targets(load_task(task_path), store)
    _check_task(task, config["task"], task_path, folder)
    if data_digest(store) != config["data"]["store_digest"]:
        logger.warning("The store %s is not as it was when the model in %s was fine-tuned.", store_path, folder)
    labelled = labelled_windows(store, task)
    subjects = config["split"][split]
    windows = labelled.of(subjects) if task.split.by == "subject" else windows_of(task.split, split, labelled)
    found = {window.subject for window in windows}
    if missing := [subject for subject in subjects if subject not in found]:
        raise LabramError(
            f"Cannot score {split} in {store_path}: expected windows of the {len(subjects)} subjects that the model in "
            f"{folder} had there, found none of {', '.join(missing)}. Give the store that it was fine-tuned on."
        )
    reader = LabelledReader(store, windows, task)
    goal = goal_in(config["config"])
    with join(device) as place:
        model = models.load_finetuned(folder).to(place.device)
        scored = score_split(model, reader, goal, place.device)
    return {
        "checkpoint": str(folder),
        "task": task.name,
        **goal.described(),
        "split": split,
        **scored,
    }


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

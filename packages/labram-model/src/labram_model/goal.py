"""What a model is fine-tuned for: telling classes apart, or the values of targets. Each has its loss and its scores.

Shape legend: B batch, W windows, K classes, T targets.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from eeg_tokenizer.step import StepLoss
from torch import Tensor

from labram_model import models
from labram_model.classifier import n_outputs
from labram_model.errors import LabramError
from labram_model.labelled import LabelledWindow
from labram_model.labelled_batches import Labels, classification_loss, probabilities
from labram_model.scores import FloatArray, classification_scores, regression_scores
from labram_model.task import Task

logger = logging.getLogger(__name__)


class Goal(Protocol):
    """What fine-tuning and evaluation must know of a task's kind."""

    @property
    def kind(self) -> str:
        """The kind of the model, in its `config.json`."""
        ...

    @property
    def monitor(self) -> str:
        """The score by which the weights are chosen."""
        ...

    @property
    def n_outputs(self) -> int:
        """The outputs of the head."""
        ...

    def described(self) -> dict[str, Any]:
        """Return what the outputs mean, for `config.json` and `result.json`."""
        ...

    def loss(self, outputs: Tensor, labels: Tensor) -> StepLoss:
        """Return the loss of a batch: means over its windows."""
        ...

    def score(self, outputs: FloatArray, labels: Labels) -> dict[str, Any]:
        """Return `scores`, `chance` and what else is told of a split. Raise LabramError where none is defined."""
        ...

    def count(self, windows: Sequence[LabelledWindow]) -> dict[str, Any]:
        """Return how many `windows` and `subjects` there are."""
        ...


@dataclass(frozen=True)
class Classification:
    """One of K classes, by AUROC of two and Cohen's kappa of more; labels (B,) are the classes' indices."""

    classes: tuple[str, ...]
    label_smoothing: float = 0.0
    kind = models.CLASSIFIER

    @property
    def monitor(self) -> str:
        """The score by which the weights are chosen."""
        return "auroc" if len(self.classes) == 2 else "cohen_kappa"

    @property
    def n_outputs(self) -> int:
        """The outputs of the head."""
        return n_outputs(len(self.classes))

    def described(self) -> dict[str, Any]:
        """Return what the outputs mean."""
        return {"classes": list(self.classes)}

    def loss(self, outputs: Tensor, labels: Tensor) -> StepLoss:
        """Return the (binary) cross-entropy of logits (B, K), or (B, 1) of two classes, and the accuracy."""
        guess = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)
        accuracy = (guess == labels).float().mean()
        return StepLoss(classification_loss(outputs, labels, self.label_smoothing), measures={"accuracy": accuracy})

    def score(self, outputs: FloatArray, labels: Labels) -> dict[str, Any]:
        """Return scores, chance and confusion matrix of logits (W, K). Raises as `classification_scores`."""
        return classification_scores(labels.astype(np.int64), probabilities(torch.from_numpy(outputs)).numpy())

    def count(self, windows: Sequence[LabelledWindow]) -> dict[str, Any]:
        """Return how many windows and how many subjects there are of each class."""
        of_class = Counter(window.label for window in windows)
        subjects = Counter(label for label, _ in {(window.label, window.subject) for window in windows})
        return {
            "windows": {name: of_class[index] for index, name in enumerate(self.classes)},
            "subjects": {name: subjects[index] for index, name in enumerate(self.classes)},
        }


@dataclass(frozen=True)
class Regression:
    """The values of T targets, by R2; labels (B, T) are divided by `scale`, as all that is told of them.

    `training_mean` (T) is what one would say without looking at the signal.
    """

    targets: tuple[str, ...]
    scale: float
    training_mean: tuple[float, ...]
    kind = models.REGRESSOR
    monitor = "r2"

    @property
    def n_outputs(self) -> int:
        """The outputs of the head."""
        return len(self.targets)

    def described(self) -> dict[str, Any]:
        """Return what the outputs mean."""
        return {"targets": list(self.targets), "scale": self.scale, "training_mean": list(self.training_mean)}

    def loss(self, outputs: Tensor, labels: Tensor) -> StepLoss:
        """Return the mean squared error of (B, T)."""
        return StepLoss(F.mse_loss(outputs, labels))

    def score(self, outputs: FloatArray, labels: Labels) -> dict[str, Any]:
        """Return scores, chance and the scores of each target. Raises as `regression_scores`."""
        scored = regression_scores(labels.astype(np.float64), outputs, np.array(self.training_mean))
        return scored | {"per_target": dict(zip(self.targets, scored["per_target"], strict=True))}

    def count(self, windows: Sequence[LabelledWindow]) -> dict[str, Any]:
        """Return how many windows and subjects there are."""
        return {"windows": len(windows), "subjects": len({window.subject for window in windows})}


def goal_of(task: Task, labels: Mapping[str, Labels]) -> Goal:
    """Return the goal of a task, its targets written out, whose splits have these labels.

    Raises:
        LabramError: no target varies in a split, so that no score would be defined.
    """
    if task.targets is None:
        return Classification(tuple(task.classes or ()), task.training.label_smoothing)
    for split, values in labels.items():
        constant = _constant(task.targets, values)
        if len(constant) == len(task.targets):
            raise LabramError(
                f"Cannot regress {', '.join(constant)}: expected targets that vary in {split}, found none. "
                "Correct targets, or the split."
            )
        if constant:
            logger.warning("Of targets that do not vary in %s no R2 is known: %s.", split, ", ".join(constant))
    mean = labels["train"].mean(axis=0, dtype=np.float64)
    return Regression(tuple(task.targets), task.scale or 1.0, tuple(mean.tolist()))


def goal_in(config: Mapping[str, Any]) -> Goal:
    """Return the goal of a fine-tuned model, from `config` of its `config.json`."""
    if "targets" in config:
        return Regression(tuple(config["targets"]), config["scale"], tuple(config["training_mean"]))
    return Classification(tuple(config["classes"]))


def _constant(names: Sequence[str], values: npt.NDArray[Any]) -> list[str]:
    return [name for name, varies in zip(names, np.ptp(values, axis=0) > 0, strict=True) if not varies]

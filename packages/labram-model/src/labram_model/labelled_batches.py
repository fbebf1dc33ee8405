"""Batches of windows with their classes or targets, and what a model says of them.

Shape legend: B batch, W windows, K classes, T targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from eeg_store import Store, WindowReader
from eeg_store.channels import slot_of
from eeg_tokenizer.batches import MODEL_UNIT_UV, Batch, Sample, collate
from torch import Tensor, nn

from labram_model.labelled import LabelledWindow
from labram_model.target_values import TargetReader
from labram_model.task import Task

Labels = npt.NDArray[Any]  # int64 (W,): classes; float32 (W, T): targets
SCORING_BATCH = 64  # fixed, so that scores do not depend on the batch size of the training


@dataclass(frozen=True)
class LabelledBatch:
    """Windows, and their classes (B,) int64 or targets (B, T) float32."""

    windows: Batch
    labels: Tensor

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def n_patches(self) -> int:
        """Patches of all windows, without padding."""
        return self.windows.n_patches

    @property
    def n_places(self) -> int:
        """Patches with the padding."""
        return self.windows.n_places

    def pin_memory(self) -> Self:
        """Return the same batch in page-locked memory, as `Batch.pin_memory`."""
        return type(self)(self.windows.pin_memory(), self.labels.pin_memory())

    def to(self, device: torch.device, /) -> Self:
        """Return the batch on `device`."""
        return type(self)(self.windows.to(device), self.labels.to(device, non_blocking=True))

    def split(self, n: int, /) -> list[Self]:
        """Return the batch in `n` parts, as `Batch.split`."""
        windows = self.windows.split(n)
        labels = torch.split(self.labels, [len(part) for part in windows])
        return [type(self)(*part) for part in zip(windows, labels, strict=True)]


class LabelledReader:
    """Reads labelled windows from a store; windows may start at any sample."""

    def __init__(self, store: Store, windows: Sequence[LabelledWindow], task: Task) -> None:
        """Read `windows`, which `task` (its targets written out) gave; those of a recording stand together."""
        self.windows = windows
        self.labels: Labels = (
            np.array([window.label for window in windows], dtype=np.int64)
            if task.targets is None
            else TargetReader(store, task).read(windows)
        )
        self._window_s = task.window_s
        self._reader = WindowReader(store)
        self._rows: dict[str, npt.NDArray[np.int64]] = {}
        self._slots: dict[str, npt.NDArray[np.int64]] = {}
        self._scale: dict[str, float] = {}
        for path in {window.array for window in windows}:
            array = store.array(path)
            found = [(row, slot) for row, name in enumerate(array.channels) if (slot := slot_of(name)) is not None]
            self._rows[path] = np.array([row for row, _ in found], dtype=np.int64)
            self._slots[path] = np.array([slot for _, slot in found], dtype=np.int64)
            self._scale[path] = array.attrs["scale_uv"] / MODEL_UNIT_UV

    def __len__(self) -> int:
        return len(self.windows)

    def read(self, indices: npt.NDArray[np.int64]) -> LabelledBatch:
        """Return the windows (B,) of these indices.

        Raises:
            StoreError: the store is damaged.
        """
        chosen = [self.windows[index] for index in indices.tolist()]
        signals = self._reader.read([(window.array, window.start_sample, self._window_s) for window in chosen])
        samples = [
            Sample(
                signal=signal[self._rows[window.array]],
                scale=self._scale[window.array],
                channel=self._slots[window.array],
                window=index,
            )
            for index, window, signal in zip(indices.tolist(), chosen, signals, strict=True)
        ]
        return LabelledBatch(collate(samples), torch.from_numpy(self.labels[indices]))


@torch.no_grad()
def predict(model: nn.Module, reader: LabelledReader, device: torch.device) -> npt.NDArray[np.float64]:
    """Return the outputs (W, K or T) of all windows; `model` must be in `eval` mode."""
    n_windows = len(reader.windows)
    parts = [
        model(reader.read(np.arange(first, min(first + SCORING_BATCH, n_windows))).windows.to(device)).double()
        for first in range(0, n_windows, SCORING_BATCH)
    ]
    return np.concatenate([part.cpu().numpy() for part in parts])


def probabilities(logits: Tensor) -> Tensor:
    """Turn logits (B, K), or (B, 1) for two classes, into float64 probabilities (B, K)."""
    logits = logits.double()
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return logits.softmax(1)


def classification_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return binary cross-entropy of logits (B, 1), or smoothed cross-entropy of (B, K) (paper, Table 5)."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype))
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)

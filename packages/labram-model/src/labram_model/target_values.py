"""The targets in time of windows: which there are, and their values at a window's last sample.

Shape legend: W windows, T targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from eeg_store import SFREQ_HZ, Store, WindowReader

from labram_model.errors import LabramError
from labram_model.task import Task

if TYPE_CHECKING:
    from labram_model.labelled import LabelledWindow

_BLOCK_S = 600  # of targets that are in memory at once


def name_targets(task: Task, store: Store) -> Task:
    """Return the task with `targets: all` written out in the store's order.

    Raises:
        LabramError: a source without the targets; `all` where sources have different ones.
    """
    if task.targets is None:
        return task
    rows = store.recordings(columns=["source", "array"]).to_pylist()
    paths = sorted({row["array"] for row in rows if task.sources is None or row["source"] in task.sources})
    held = {path: store.target_names(store.array(path)) for path in paths}
    different = sorted(set(held.values()))
    if task.targets == "all" and len(different) > 1:
        raise LabramError(
            f"Unclear targets in {store.path}: expected the same in all sources for `targets: all`, found "
            f"{' and '.join(', '.join(names) or 'none' for names in different)}. Name them, or choose with `sources`."
        )
    wanted = different[0] if task.targets == "all" and different else task.targets
    for path, names in held.items():
        if missing := [name for name in wanted if name not in names]:
            raise LabramError(
                f"No such targets in {path}: expected {', '.join(missing)}, found {', '.join(names) or 'no targets'}. "
                "Correct targets, or choose with `sources` those that have them."
            )
        if not names:
            raise LabramError(f"No targets in {path}: expected some, found none. Declare targets in sources.yaml.")
    return task.model_copy(update={"targets": wanted})


class TargetReader:
    """Reads the targets of windows as a model learns them: at the window's last sample, divided by the task's scale."""

    def __init__(self, store: Store, task: Task) -> None:
        """Read from `store` what `task`, with its targets written out, wants."""
        self._store, self._reader = store, WindowReader(store)
        self._names, self._scale = list(task.targets or ()), np.float32(task.scale or 1.0)
        self._length = task.window_s * SFREQ_HZ
        self._columns: dict[str, list[int]] = {}

    def read(self, windows: Sequence[LabelledWindow]) -> npt.NDArray[np.float32]:
        """Return (W, T), NaN where a window has no target. The windows of a recording must stand together."""
        values = np.full((len(windows), len(self._names)), np.nan, np.float32)
        first = 0
        for _, members in groupby(windows, key=lambda window: window.recording):
            of_recording = list(members)
            values[first : first + len(of_recording)] = self._of_recording(of_recording)
            first += len(of_recording)
        return values / self._scale

    def known(self, windows: Sequence[LabelledWindow]) -> npt.NDArray[np.bool_]:
        """Return for each window (W,) whether it has all targets."""
        return np.array(np.isfinite(self.read(windows)).all(axis=1))

    def _of_recording(self, windows: Sequence[LabelledWindow]) -> npt.NDArray[np.float32]:
        path = windows[0].array
        last = np.array([window.start_sample for window in windows], dtype=np.int64) + self._length - 1
        second, sample = np.divmod(last, SFREQ_HZ)
        values = np.full((len(windows), len(self._names)), np.nan, np.float32)
        stop = int(second.max()) + 1
        for first in range(int(second.min()), stop, _BLOCK_S):
            inside = (second >= first) & (second < first + _BLOCK_S)
            if inside.any():
                (block,) = self._reader.read_targets([(path, first * SFREQ_HZ, min(_BLOCK_S, stop - first))])
                values[inside] = block[self._columns_of(path)][:, second[inside] - first, sample[inside]].T
        return values

    def _columns_of(self, path: str) -> list[int]:
        if path not in self._columns:
            held = self._store.target_names(self._store.array(path))
            self._columns[path] = [held.index(name) for name in self._names]
        return self._columns[path]

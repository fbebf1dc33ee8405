"""Small trees that look like published datasets, built into a store with nothing but a recipe and a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from eeg_ingest.build import build
from eeg_ingest.recipe import load_recipe, write_task
from eeg_ingest.sources import load_sources
from eeg_ingest.workers import Workers
from eeg_store import SCALE_UV, Store, WindowReader
from labram_model.labelled import labelled_windows
from labram_model.split import divide
from labram_model.task import load_task

from tests.integration.mne_reference import filter_with_mne

Array = npt.NDArray[np.float64]
EDGE_SAMPLES = 5 * 200  # of short recordings: nothing but how both go on beyond the ends differs there


class InProcess(Workers):
    """Runs tasks in this process, one after the other."""

    def __init__(self) -> None:
        super().__init__(1)

    def run(
        self, task: Callable[[Sequence[Any]], list[Any]], items: Sequence[Any], *, batch: int = 1
    ) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, task([item])[0]


@dataclass(frozen=True)
class Ingested:
    """A store of one recipe's mimic."""

    store: Store

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The recordings by their file."""
        return {row["file"]: row for row in self.store.recordings().to_pylist()}

    @property
    def failures(self) -> dict[str, str]:
        return {row["file"]: row["reason"] for row in self.store.failures().to_pylist()}

    def channels(self, file: str) -> list[str]:
        return list(self.store.array(self.rows[file]["array"]).channels)

    def events(self, file: str) -> list[tuple[float, float, str]]:
        """Onset on the file's clock, duration and label of each event."""
        found = [e for e in self.store.events().to_pylist() if e["recording"] == self.rows[file]["recording"]]
        return sorted((round(e["original_onset_s"], 4), round(e["duration_s"], 4), e["label"]) for e in found)

    def labels(self, file: str) -> list[str]:
        return [label for _, _, label in self.events(file)]

    def signal_uv(self, file: str) -> Array:
        """The stored signal (C, S) at 200 Hz."""
        row = self.rows[file]
        seconds = WindowReader(self.store).read_seconds(row["array"], row["first_second"], row["n_seconds"])
        return seconds.transpose(1, 0, 2).reshape(seconds.shape[1], -1).astype(np.float64) * SCALE_UV

    def classes(self, task: str) -> dict[str, set[tuple[str, str]]]:
        """The subject and the event's label of each window of a task of the recipe, in each of its splits."""
        path = self.store.path.with_suffix(".task.yaml")
        source = next(iter(self.rows.values()))["source"]
        path.write_text(write_task(load_recipe(source), task), encoding="utf-8")
        loaded = load_task(path)
        division = divide(loaded.split, labelled_windows(self.store, loaded), list(loaded.event_labels))
        return {
            split: {(window.subject.partition("/")[2], window.event_label) for window in windows}
            for split, windows in division.windows.items()
        }

    def assert_is(self, file: str, wanted_uv: Array, sfreq_hz: int) -> None:
        """The stored signal is what MNE makes of `wanted_uv` (C, S), read from the file by other means."""
        row, stored = self.rows[file], self.signal_uv(file)
        wanted = filter_with_mne(wanted_uv, sfreq_hz, row["line_freq_hz"])
        assert stored.shape == wanted.shape
        inside = slice(EDGE_SAMPLES, stored.shape[1] - EDGE_SAMPLES)
        error = np.sqrt(np.square(stored[:, inside] - wanted[:, inside]).mean(axis=1))
        assert error.max() < 0.04, error
        assert wanted[:, inside].std() > 1


def ingest(recipe: str, path: Path, **keys: Any) -> Ingested:
    """Build the dataset at `path` with its recipe alone; the store must be sound."""
    sources = path.with_name(f"{path.name}.yaml")
    sources.write_text(yaml.safe_dump({"sources": [{"recipe": recipe, "path": str(path), **keys}]}), encoding="utf-8")
    store = path.with_name(f"{path.name}.zarr")
    build(load_sources(sources), store, InProcess())
    ingested = Ingested(Store.open(store))
    assert ingested.store.validate() == []
    return ingested


def eeg_uv(seed: int, n_channels: int, n_samples: int, sfreq_hz: float) -> Array:
    """(C, S): noise that falls with frequency, 10 Hz, mains, and an offset of each channel."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples) / sfreq_hz
    walk = np.cumsum(rng.standard_normal((n_channels, n_samples)), axis=1)
    walk -= np.linspace(0, 1, n_samples) * walk[:, -1:]
    walk *= 20 / walk.std()
    tones = 15 * np.sin(2 * np.pi * 10 * time_s) + 5 * np.sin(2 * np.pi * 50 * time_s)
    offsets = rng.uniform(-200, 200, (n_channels, 1))
    return np.asarray(walk + tones * rng.uniform(0.5, 1.5, (n_channels, 1)) + offsets)

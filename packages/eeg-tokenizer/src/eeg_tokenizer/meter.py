"""How fast a training goes and what it waits for, measured around the loop's batches."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch

from eeg_tokenizer.distributed import Place, mean_over_ranks

TIMED = (
    "samples_per_s",
    "patches_per_s",
    "tflops_per_s",
    "step_s",
    "loader_wait_s",
)  # what differs between two equal runs


class Counted(Protocol):
    """A batch whose windows and patches can be counted."""

    def __len__(self) -> int: ...

    @property
    def n_patches(self) -> int:
        """Patches that are signal."""
        ...

    @property
    def n_places(self) -> int:
        """Patches with the padding."""
        ...


BatchT = TypeVar("BatchT", bound=Counted)


@dataclass
class Totals:
    """What a session of a run took, over all processes; times are those of the first process.

    Attributes:
        steps: optimizer steps, those included that a resumed run takes a second time.
        windows: trained on.
        patches: trained on, without padding.
        places: patches with the padding.
        step_s: seconds of the steps, the wait for batches included; neither scoring nor saving.
        loader_wait_s: seconds of them in which the step had no batch yet.
        flops: floating-point operations of the model as its `training_flops` counts them; 0 of a model that has none.
    """

    steps: int = 0
    windows: int = 0
    patches: int = 0
    places: int = 0
    step_s: float = 0.0
    loader_wait_s: float = 0.0
    flops: float = 0.0


@dataclass
class Meter(Generic[BatchT]):
    """Hands the batches of a stream on and measures each step: from the asking for a batch to `step_done`."""

    place: Place
    flops_of: Callable[[int, int], float] | None = None  # of B windows of N patches, with the padding
    totals: Totals = field(default_factory=Totals)
    _asked_s: float = 0.0
    _waited_s: float = 0.0

    def batches(self, stream: Generator[BatchT, None, None]) -> Generator[BatchT, None, None]:
        """Yield the batches of `stream`, and close it at the end."""
        with closing(stream):
            while True:
                self._asked_s = time.perf_counter()
                batch = next(stream, None)
                if batch is None:
                    return
                self._waited_s = time.perf_counter() - self._asked_s
                yield batch

    def step_done(self, batch: BatchT, shapes: Sequence[tuple[int, int]]) -> dict[str, float]:
        """End the step of a batch and return its speeds over all processes, each of which must call.

        `shapes` are the parts in which it was taken: windows, and patches with the padding, of each. The first step of
        a session has the start of the loader in its wait.

        Returns:
            `samples_per_s` (windows), `patches_per_s` (without padding), `padding` (share of the patches), `step_s`,
            `loader_wait_s` and, of a model that counts them, `tflops_per_s`.
        """
        own = {"windows": len(batch), "patches": batch.n_patches, "places": sum(places for _, places in shapes)}
        if self.flops_of is not None:
            own["flops"] = round(sum(self.flops_of(windows, places // windows) for windows, places in shapes))
        counts = {name: round(mean * self.place.world_size) for name, mean in mean_over_ranks(own, self.place).items()}
        windows, patches, places = counts["windows"], counts["patches"], counts["places"]
        step_s = time.perf_counter() - self._asked_s
        totals = self.totals
        totals.steps += 1
        totals.windows += windows
        totals.patches += patches
        totals.places += places
        totals.step_s += step_s
        totals.loader_wait_s += self._waited_s
        totals.flops += counts.get("flops", 0)
        told = {"tflops_per_s": round(counts["flops"] / step_s / 1e12, 6)} if "flops" in counts else {}
        return told | {
            "samples_per_s": round(windows / step_s, 3),
            "patches_per_s": round(patches / step_s, 1),
            "padding": round(1 - patches / places, 6),
            "step_s": round(step_s, 6),
            "loader_wait_s": round(self._waited_s, 6),
        }

    def peak_memory_bytes(self) -> dict[str, int | None]:
        """Return the most memory of this process so far: resident, and of the GPU as torch allocated it."""
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        on_gpu = torch.cuda.max_memory_allocated(self.place.device) if self.place.device.type == "cuda" else None
        return {"resident": resident * (1 if sys.platform == "darwin" else 1024), "gpu": on_gpu}

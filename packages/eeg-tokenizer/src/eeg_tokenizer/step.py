"""One optimizer step, with the same result however its batch is divided over processes and parts.

Every part of a loss is a mean, over patches here and over windows there. A process or a part of a batch that holds few
of them must count for little, so what each mean goes over is counted first, over all of the batch, and the gradients
are those of the mean over the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from eeg_tokenizer.distributed import Place, sum_over_ranks
from eeg_tokenizer.meter import Counted
from eeg_tokenizer.stop import StopRequest


class Divisible(Counted, Protocol):
    """A batch, as far as a step knows it."""

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory, from which it goes to a GPU at several times the speed."""
        ...

    def to(self, device: torch.device, /) -> Self:
        """Return the batch on `device`."""
        ...

    def split(self, n: int, /) -> Sequence[Self]:
        """Return the batch in `n` parts of nearly equal numbers of windows, in order; fewer where it has fewer."""
        ...


BatchT = TypeVar("BatchT", bound=Divisible)


Shares = Mapping[str, Tensor]


@dataclass(frozen=True)
class StepLoss:
    """What a batch, or a part of one, gives.

    Attributes:
        loss: scalar with gradient, to be minimised: the sum of `parts`, each times its share of the whole batch.
        parts: the named parts of the loss, each a mean over this batch.
        measures: other means for the record, such as an accuracy.
        lesson: what `Objective.learn` takes of it.
    """

    loss: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    measures: Mapping[str, Tensor] = field(default_factory=dict)
    lesson: Any = None


@dataclass(frozen=True)
class Objective(Generic[BatchT]):
    """What is learned.

    Attributes:
        loss: gives the loss of a batch in a step (from 1), whose model may be wrapped for several processes. Of what
            each part and measure is a mean of, the batch has the given shares (scalars) of all that the step has.
        counts: says over how many things each part and each measure of `loss` is a mean, of the same batch and step.
        learn: learns what gradients do not teach (a codebook) from the lessons of a step, on all processes at once,
            and returns numbers for the record. A step that is skipped teaches nothing.
    """

    loss: Callable[[nn.Module, BatchT, int, Shares], StepLoss]
    counts: Callable[[BatchT, int], Mapping[str, Tensor]]
    learn: Callable[[list[Any]], Mapping[str, float]] | None = None


@dataclass(frozen=True)
class Taken:
    """A step: its numbers over all processes, and the names of those that are not finite, for which it was skipped.

    Attributes:
        loss: the sum of `parts`.
        parts: the parts of the loss.
        rest: measures, what `Objective.learn` said, and the gradient's norm.
        stop: whether a process was asked to stop.
        not_finite: empty where the weights have learned.
        shapes: windows, and patches with the padding, of each part in which this process took its batch.
    """

    loss: float
    parts: Mapping[str, float]
    rest: Mapping[str, float]
    stop: bool
    not_finite: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]


def take_step(
    trained: nn.Module,
    optimizer: Optimizer,
    batch: BatchT,
    objective: Objective[BatchT],
    *,
    step: int,
    seed: int,
    accumulate: int,
    clip_grad: float | None,
    stop: StopRequest,
    place: Place,
) -> Taken:
    """Take optimizer step number `step` (from 1), unless its loss or gradient is not finite.

    Args:
        trained: the model, wrapped where several processes train it.
        optimizer: with its learning rate set.
        batch: this process's share of the step's batch.
        objective: what is learned.
        step: its number; with `seed` and the process's rank it decides all that torch draws in it.
        seed: of the run.
        accumulate: parts that this process takes its share in, one after the other; less memory, the same result.
        clip_grad: the largest gradient norm; None leaves gradients as they are.
        stop: whether this process was asked to stop; read at the end.
        place: this process's rank.
    """
    seed_torch(seed, step, place.rank)
    trained.train()
    optimizer.zero_grad(set_to_none=True)
    parts = batch.to(place.device).split(accumulate)
    counts = [objective.counts(part, step) for part in parts]
    totals = sum_over_ranks({name: torch.stack([count[name] for count in counts]).sum() for name in counts[0]}, place)
    numbers: dict[str, Tensor] = {}
    lessons: list[Any] = []
    for part, count in zip(parts, counts, strict=True):
        shares = {name: count[name] / totals[name].clamp_min(1) for name in count}
        with _gradients_shared(trained, now=part is parts[-1]):
            result = objective.loss(trained, part, step, shares)
            # The gradients of several processes will be averaged, where they should be added up.
            (result.loss * place.world_size).backward()  # type: ignore[no-untyped-call]
        for name, value in {**result.parts, **result.measures}.items():
            numbers[name] = numbers.get(name, 0.0) + value.detach().double() * shares[name]
        lessons.append(result.lesson)
    grad_norm = nn.utils.clip_grad_norm_(trained.parameters(), math.inf if clip_grad is None else clip_grad)
    grad_norm = grad_norm.full_tensor() if isinstance(grad_norm, DTensor) else grad_norm
    found = _floats(numbers | {"stop": torch.tensor(float(stop.signal is not None))}, place)
    stopping = found.pop("stop") > 0
    losses = {name: found.pop(name) for name in result.parts}
    rest = found | {"grad_norm": float(grad_norm)}
    total = math.fsum(losses.values())
    not_finite = tuple(name for name, value in {"loss": total, **losses, **rest}.items() if not math.isfinite(value))
    if not_finite:
        optimizer.zero_grad(set_to_none=True)
    else:
        optimizer.step()
        if objective.learn is not None:
            rest |= objective.learn(lessons)
    shapes = tuple((len(part), part.n_places) for part in parts)
    return Taken(total, losses, rest, stopping, not_finite, shapes)


def seed_torch(seed: int, step: int, rank: int) -> None:
    """Make torch's random numbers of a step a function of its number, so that no generator state has to be kept."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))


def _gradients_shared(trained: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Add gradients up over the processes `now`, or leave them to a later part of the batch."""
    if isinstance(trained, FSDPModule):
        trained.set_requires_gradient_sync(now)
    elif isinstance(trained, DistributedDataParallel) and not now:
        return trained.no_sync()
    return nullcontext()


def _floats(numbers: Mapping[str, Tensor], place: Place) -> dict[str, float]:
    """Return the sum of each number over the processes; the only time that a step waits for the device."""
    device = place.device
    summed = sum_over_ranks({name: value.to(device, torch.float64) for name, value in numbers.items()}, place)
    return dict(zip(summed, torch.stack(list(summed.values())).tolist(), strict=True))

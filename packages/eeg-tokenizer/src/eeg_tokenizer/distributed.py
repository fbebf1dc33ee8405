"""One process, or one of many under torchrun."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


class DeviceError(ValueError):
    """The device asked for is not on this machine."""


@dataclass(frozen=True)
class Place:
    """Where this process computes, and which of the processes it is."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda".

    Raises:
        DeviceError: an unknown name, or "cuda" where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"Unknown device in --device: expected auto, cpu or cuda, found {name!r}.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceError("No GPU for --device cuda: expected a CUDA device, found none. Use --device cpu.")
    return torch.device("cuda", local_rank) if available and name != "cpu" else torch.device("cpu")


@contextmanager
def join(device: str) -> Iterator[Place]:
    """Choose the device and, where torchrun set WORLD_SIZE, join its processes until the block ends.

    Within another such block the processes are joined already: they cannot part and meet a second time.

    Raises:
        DeviceError: as `choose_device`.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    keep_freed_memory()
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    elif "OMP_NUM_THREADS" not in os.environ:
        # Torch counts the machine's cores; a container or a batch system may have given this process fewer.
        torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
    if world_size == 1:
        yield Place(chosen)
        return
    joined = dist.is_initialized()
    if not joined:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Place(chosen, dist.get_rank(), dist.get_world_size())
    finally:
        if not joined:
            dist.destroy_process_group()
            # A group that is still referred to keeps its threads, and one of them that lets go of a tensor
            # while Python ends aborts the process.
            gc.collect()


def log_to_stderr() -> None:
    """Print log messages on stderr: all of the first of torchrun's processes, warnings of the others."""
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)


def keep_freed_memory() -> None:
    """Let this process keep what it frees: memory that glibc gave back comes again as fresh pages.

    These take a quarter of a training step on a CPU (docs/performance.md), and most of the reading of a batch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def wait_for_all(place: Place) -> None:
    """Return when every process has come here."""
    if place.world_size > 1:
        dist.barrier()


def sum_over_ranks(values: Mapping[str, Tensor], place: Place) -> dict[str, Tensor]:
    """Add up each scalar over the processes; every process must call it with the same names in the same order."""
    if place.world_size == 1:
        return dict(values)
    total = torch.stack([value.to(place.device, torch.float64) for value in values.values()])
    dist.all_reduce(total)
    return dict(zip(values, total.unbind(), strict=True))


def mean_over_ranks(values: Mapping[str, float], place: Place) -> dict[str, float]:
    """Average each number over the processes; every process must call it with the same names."""
    total = sum_over_ranks({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}, place)
    return {name: float(value) / place.world_size for name, value in total.items()}


def from_first(value: Any, place: Place) -> Any:
    """Return the first process's `value`, which JSON can hold, in every process."""
    if place.world_size == 1:
        return value
    text = json.dumps(value).encode()
    length = torch.tensor(len(text), device=place.device)
    dist.broadcast(length, src=0)
    message = torch.zeros(int(length), dtype=torch.uint8, device=place.device)
    if place.rank == 0:
        message.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
    dist.broadcast(message, src=0)
    return json.loads(bytes(message.tolist()))

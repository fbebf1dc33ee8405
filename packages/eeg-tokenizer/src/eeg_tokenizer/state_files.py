"""Files of other programs that hold a state dict: PyTorch's (`.pth`, `.pt`) and safetensors. Nothing in them is run."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from eeg_tokenizer.checkpoint import CheckpointError

ENTRIES = ("model", "module", "state_dict")  # where training programs keep the state dict; the first that is there
PARALLEL_PREFIX = "module."  # of a model that was saved inside DistributedDataParallel


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file, on the CPU.

    A PyTorch file may hold tensors, plain values, and the `argparse.Namespace` of the official checkpoints.

    Raises:
        CheckpointError: no such file, another kind of file, or one that would need more than that to be read.
    """
    if not path.is_file():
        raise CheckpointError(f"Cannot read {path}: expected a file, found nothing there. Correct the path.")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(content, Mapping):
        content = next((content[entry] for entry in ENTRIES if isinstance(content.get(entry), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        found = "an empty one" if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(
            f"Cannot read {path}: expected a state dict, found {found}. Give a checkpoint of a model."
        )
    if other := [str(name) for name, value in content.items() if not isinstance(name, str) or not _is_plain(value)]:
        raise CheckpointError(
            f"Cannot read {path}: expected tensors alone or below one of {', '.join(ENTRIES)}, found other values in "
            f"{', '.join(other)}. Give a checkpoint of a model."
        )
    wrapped = all(name.startswith(PARALLEL_PREFIX) for name in content)
    return {name.removeprefix(PARALLEL_PREFIX) if wrapped else name: value for name, value in content.items()}


def write_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict as the official code reads it, below "model", by one rename.

    Raises:
        OSError: no space, no permission; what was there before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with beside.open("wb") as file:
            torch.save({"model": {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}}, file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor with its numbers in memory: not sparse, not of the device `meta`."""
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def _read_torch(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        needed = named[1] if named else "something else"
        raise CheckpointError(
            f"Cannot read {path}: expected tensors and plain values, found {needed}, "
            "which only code could build. Save the state dict alone, where you trust the file."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"Cannot read {path}: expected a file that torch.save wrote, found a damaged or another one "
            f"({error or type(error).__name__}). Fetch it again."
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"Cannot read {path}: expected safetensors, found {error}. Fetch it again.") from error
    return tensors

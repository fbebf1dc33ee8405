"""Checkpoints: safetensors and JSON, written beside and renamed, so that a killed or full machine keeps the last one.

A run's directory:

    config.json          what the model is, and the options of the run
    model.safetensors    the weights of the latest checkpoint
    recordings.json      the recordings that the run began with, and the checksum of each
    metrics.jsonl        one JSON object a step
    curves.png           drawn at the end
    best/                config.json and model.safetensors of the checkpoint with the lowest held-out loss
    checkpoints/step-000000100/{config.json, model.safetensors, optimizer.safetensors, state.json}
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from eeg_tokenizer.sharding import divided_like, whole

KEPT = 2
BEST = "best"
_CONFIG, _MODEL, _OPTIMIZER, _STATE = "config.json", "model.safetensors", "optimizer.safetensors", "state.json"


class CheckpointError(ValueError):
    """A checkpoint that is absent, damaged, or of another run."""


class SaveError(OSError):
    """A checkpoint that could not be written; the one before is whole."""


def save_model(folder: Path, model: nn.Module, config: Mapping[str, Any]) -> None:
    """Write `config.json` and `model.safetensors` into `folder`, each by one rename.

    Raises:
        OSError: no space, no permission; what was there before stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, whole(model.state_dict()), config)


def save_weights(folder: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write whole tensors as `save_model` does."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _MODEL, safetensors.torch.save(dict(weights)))
    save_config(folder, config)


def save_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `config.json` into `folder` by one rename."""
    save_document(folder / _CONFIG, config)


def save_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object by one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(document, indent=2, allow_nan=False).encode())


def load_config(folder: Path) -> dict[str, Any]:
    """Return `config.json` of a run or a checkpoint.

    Raises:
        CheckpointError: no such file, or not a JSON object.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"No model in {folder}: expected a file {_CONFIG}, found none. Give the directory of a trained model."
        )
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"Cannot read {path}: expected JSON, found {error}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"Cannot read {path}: expected a JSON object, found {type(config).__name__}.")
    return config


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of `model.safetensors`, on the CPU.

    Raises:
        CheckpointError: no such file, or not safetensors.
    """
    return _load_tensors(folder / _MODEL)


def content_hash(folder: Path) -> str:
    """Return the sha256 of a model's weights and configuration: the name under which its codes are stored.

    Options of the training do not enter: the same weights give the same codes.

    Raises:
        CheckpointError: as `load_config` and `load_weights`.
    """
    config = load_config(folder)
    digest = hashlib.sha256(json.dumps([config.get("model"), config.get("config")], sort_keys=True).encode())
    try:
        with (folder / _MODEL).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except FileNotFoundError as error:
        raise CheckpointError(f"No weights in {folder}: expected a file {_MODEL}, found none.") from error
    return digest.hexdigest()


@dataclass(frozen=True)
class Progressed:
    """How far a run has come: steps done, those of them that were skipped, and those skipped in a row at the end."""

    step: int
    skipped: int = 0
    in_a_row: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The whole tensors of a model and its optimizer, on the CPU, named after the model's parameters."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def snapshot(model: nn.Module, optimizer: Optimizer) -> Snapshot:
    """Return the tensors to save; all processes call it together where the model is sharded."""
    return Snapshot(whole(model.state_dict()), _optimizer_tensors(model, optimizer))


def save_best(run: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write the run's best weights so far into `best`, a directory that loads like a run.

    Raises:
        SaveError: no space, no permission; all checkpoints stay whole.
    """
    try:
        save_weights(run / BEST, weights, config)
    except OSError as error:
        raise SaveError(
            f"Cannot save the best weights in {run / BEST}: expected room and permission to write, found {error}. "
            "The checkpoints are kept; free some space and repeat the command with --resume."
        ) from error


def save_step(run: Path, done: Progressed, tensors: Snapshot, config: Mapping[str, Any], *, keep: int = KEPT) -> Path:
    """Write the checkpoint of a step, make it the run's latest model, and remove all but the last `keep`.

    Raises:
        SaveError: no space, no permission; the checkpoint before stays whole.
    """
    step = done.step
    folder = run / "checkpoints" / f"step-{step:09d}"
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        save_weights(beside, tensors.weights, config)
        write_whole(beside / _OPTIMIZER, safetensors.torch.save(tensors.optimizer))
        write_whole(beside / _STATE, json.dumps(asdict(done)).encode())
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
        _sync_folder(folder.parent)
        publish(run, folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise SaveError(
            f"Cannot save step {step} in {folder}: expected room and permission to write, found {error}. "
            "A checkpoint before is kept; free some space and repeat the command with --resume."
        ) from error
    for old in _steps(run)[:-keep]:
        shutil.rmtree(old)
    return folder


def publish(run: Path, folder: Path) -> None:
    """Make a checkpoint's weights those of the run."""
    write_whole(run / _MODEL, (folder / _MODEL).read_bytes())


def latest_step(run: Path) -> Path | None:
    """Return the folder of a run's last whole checkpoint, or None."""
    steps = _steps(run)
    return steps[-1] if steps else None


def load_step(folder: Path, model: nn.Module, optimizer: Optimizer) -> Progressed:
    """Put model and optimizer back as they were, and return how far the run had come.

    Raises:
        CheckpointError: files absent or damaged, or tensors that this model does not have.
    """
    load_into(model, load_weights(folder), folder)
    named = _load_tensors(folder / _OPTIMIZER)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        prefix = f"{names[id(parameter)]}:"
        state[index] = {
            key.removeprefix(prefix): divided_like(value.clone(), parameter)
            for key, value in named.items()
            if key.startswith(prefix)
        }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    try:
        return Progressed(**json.loads((folder / _STATE).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"Cannot read {folder / _STATE}: expected the step that the checkpoint is of, found {error}."
        ) from error


def load_into(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a model that must have exactly these tensors.

    Raises:
        CheckpointError: a tensor too many, too few, or of another shape; all are named.
    """
    own = model.state_dict()
    wrong = [f"no {name}" for name in own.keys() - weights.keys()]
    wrong += [f"an unknown {name}" for name in weights.keys() - own.keys()]
    wrong += [
        f"{name} of shape {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"Cannot load the weights in {source}: expected the {len(own)} tensors of this model, "
            f"found {'; '.join(sorted(wrong))}. Give the checkpoint of a model with the same configuration."
        )
    model.load_state_dict({name: divided_like(value, own[name]) for name, value in weights.items()})


def _steps(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Name the optimizer's tensors after the parameters, so that the order of the groups does not matter."""
    return whole(
        {
            f"{name}:{key}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state.get(parameter, {}).items()
        }
    )


def _load_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"No weights in {path.parent}: expected a file {path.name}, found none.")
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"Cannot read {path}: expected safetensors, found {error}.") from error
    return tensors


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside, bring it to the disk, and rename it over `path`: a reader finds the old or the new one.

    Raises:
        OSError: no space, no permission, with `path` named; what was there before stays.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        error.filename = str(path)  # the system names none where the disk is full
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The output directory of a run: who may use it, and on which recordings."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from eeg_store import Store

from eeg_tokenizer import checkpoint
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.distributed import Place, from_first

logger = logging.getLogger(__name__)

_MARKS = ("config.json", "model.safetensors", "metrics.jsonl", "checkpoints")
_RECORDINGS = "recordings.json"
_LOCK = ".lock"
_LABELS = {"options": "--", "recipe": "--set ", "data": "", "place": ""}
_OF_THE_WEIGHTS = {"size", "codes", "code_dim", "tokenizer", "checkpoint"}  # options without which they mean nothing
_SHOWN = 3  # recordings named in a message


class RunError(ValueError):
    """An output directory that this run may not use."""


def place_of(place: Place, **others: Any) -> dict[str, Any]:
    """Return what `config["place"]` says: where a run computes, as far as its last bits depend on it."""
    on_gpu = place.device.type == "cuda"
    return {
        "processes": place.world_size,
        "device": torch.cuda.get_device_name(place.device) if on_gpu else platform.machine(),
        "threads": None if on_gpu else torch.get_num_threads(),
        "instructions": None if on_gpu else torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        **others,
    }


def fixed_recordings(store: Store, run: Path, place: Place, *, resume: bool, allow_inexact: bool = False) -> Store:
    """Return the store with the recordings that the run began with, or begins with now, the same in all processes.

    What is added to the store meanwhile changes neither a running epoch nor a resumed one. Where recordings of the run
    are gone or changed, an inexact resumption takes those that there are now; `start_run` refuses any other.
    """
    now = recording_checksums(store)
    begun = _begun_with(run) if resume else None
    if begun is not None and not (allow_inexact and _lost(begun, now)):
        now = {name: now[name] for name in begun if name in now}
    return store.only(from_first(sorted(now), place))


def recording_checksums(store: Store) -> dict[str, str]:
    """Return a checksum of each committed recording: of its place, length, signal and quality."""
    columns = ["recording", "array", "first_second", "n_seconds", "signal_sha256", "quality_sha256"]
    return {row["recording"]: _sha256(row) for row in store.recordings(columns=columns).to_pylist()}


def start_run(
    run: Path,
    config: Mapping[str, Any],
    *,
    resume: bool,
    recordings: Mapping[str, str] | None = None,
    allow_inexact: bool = False,
) -> dict[str, Any]:
    """Make the output directory with its `config.json`, or check that the run in it is this one.

    Args:
        run: the output directory.
        config: `config["options"]` are the options that change the result, `config["recipe"]` the fields of the recipe
            where there is one, `config["data"]` names the data and `config["place"]` where it is computed; all must be
            those of the run that is resumed.
        resume: go on with the run that the directory holds; where it holds none, begin.
        recordings: the checksums of the recordings that the run may use (`recording_checksums`).
        allow_inexact: go on where the data, the place or options have changed, though the run then ends otherwise than
            an undisturbed one.

    Returns:
        The configuration to save with the weights. `inexact` in it lists the resumptions that were not exact.

    Raises:
        RunError: the directory holds a run and `resume` is False; or that run had other options, data or place, all
            named, and `allow_inexact` is False or the weights could not go on so.
    """
    recordings = recordings or {}
    if not any((run / mark).exists() for mark in _MARKS):
        _save(run, config, recordings)
        return dict(config)
    if not resume:
        raise RunError(
            f"Cannot write a run into {run}: expected an empty directory, found a run. "
            "Give --resume to go on with it, or another --output."
        )
    begun = checkpoint.load_config(run)
    past = begun.get("inexact", [])
    differing = _differences(begun, config)
    lost = _lost(_begun_with(run) or {}, recordings)
    found = [*differing.values(), *lost]
    if not found:
        return {**config, "inexact": past} if past else dict(config)
    final = sorted(name for name in differing if name.removeprefix("options.") in _OF_THE_WEIGHTS)
    if final or not allow_inexact:
        advice = "" if final else "; or add --allow-inexact, and the result will not be that of an undisturbed run"
        raise RunError(
            f"Cannot resume the run in {run}: {'; '.join(found)}. "
            f"Repeat the command as the run was begun, or give another --output{advice}."
        )
    last = checkpoint.latest_step(run)
    step = 0 if last is None else int(last.name.removeprefix("step-"))
    if step > config["options"].get("steps", step):
        raise RunError(
            f"Cannot resume the run in {run}: expected --steps of at least the {step} that it has done, found "
            f"{config['options']['steps']}. Ask for more, or give another --output."
        )
    logger.warning("Going on with %s after step %d, but not exactly: %s.", run, step, "; ".join(found))
    config = {**config, "inexact": [*past, {"after_step": step, "differences": found}]}
    _save(run, config, recordings)
    return config


@contextmanager
def only_writer(run: Path, place: Place) -> Iterator[None]:
    """Hold the lock of a run while this process writes it; the system frees the lock of one that dies.

    Two jobs with one --output, as where a batch system has begun a job anew whose processes still live, would write
    over each other's checkpoints.

    Raises:
        RunError: another process holds it.
    """
    if not place.writes:
        yield
        return
    with (run / _LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"Cannot train in {run}: expected no other process that does, found one. Wait for its end or stop it, "
                "and give --resume."
            ) from None
        yield


def _save(run: Path, config: Mapping[str, Any], recordings: Mapping[str, str]) -> None:
    checkpoint.save_document(run / _RECORDINGS, recordings)
    checkpoint.save_config(run, config)  # last: a run that has it has its recordings


def _begun_with(run: Path) -> dict[str, str] | None:
    """Return the checksums of the recordings that a run began with; None where there is no run."""
    path = run / _RECORDINGS
    if not (run / "config.json").exists() or not path.exists():
        return None
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"Cannot read {path}: expected a JSON object, found {error}.") from error


def _differences(begun: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Say for every option and fact of data and place that differs what it was and what it is."""
    return {
        f"{kind}.{name}": f"{label}{_shown(kind, name)} expected {was!r}, found {now!r}"
        for kind, label in _LABELS.items()
        for name in sorted({*begun.get(kind, {}), *config.get(kind, {})})
        for was, now in ((begun.get(kind, {}).get(name), config.get(kind, {}).get(name)),)
        if was != now and not (kind == "recipe" and name in config["options"])  # --lr is told once
    }


def _shown(kind: str, name: str) -> str:
    return name if kind == "recipe" else name.replace("_", "-")


def _lost(begun: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say which recordings of a run are no longer in the store, or no longer the same."""
    gone = [name for name in begun if name not in now]
    changed = [name for name, checksum in begun.items() if now.get(name, checksum) != checksum]
    return [
        f"{len(names)} of its recordings {what} ({_some(names)})"
        for names, what in ((gone, "are gone"), (changed, "have changed"))
        if names
    ]


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _sha256(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()

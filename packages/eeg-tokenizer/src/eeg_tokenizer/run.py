"""The output directory of a run: who may use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eeg_tokenizer import checkpoint

_MARKS = ("config.json", "model.safetensors", "metrics.jsonl", "checkpoints")


class RunError(ValueError):
    """An output directory that this run may not use."""


def start_run(run: Path, config: Mapping[str, Any], *, resume: bool) -> None:
    """Make the output directory with its `config.json`, or check that the run in it is this one.

    Args:
        run: the output directory.
        config: `config["options"]` are the options that change the result, `config["recipe"]` the fields of the recipe
            where there is one, and `config["data"]` names the data; all must be those of the run that is resumed.
        resume: go on with the run that the directory holds; where it holds none, begin.

    Raises:
        RunError: the directory holds a run and `resume` is False; or that run had other options or data, all named.
    """
    if not any((run / mark).exists() for mark in _MARKS):
        checkpoint.save_config(run, config)
        return
    if not resume:
        raise RunError(
            f"Cannot write a run into {run}: expected an empty directory, found a run. "
            "Give --resume to go on with it, or another --output."
        )
    begun = checkpoint.load_config(run)
    differing = [
        f"{label}{name if kind == 'recipe' else name.replace('_', '-')} expected {was!r}, found {now!r}"
        for kind, label in (("options", "--"), ("recipe", "--set "), ("data", ""))
        for name in sorted({*begun.get(kind, {}), *config.get(kind, {})})
        for was, now in ((begun.get(kind, {}).get(name), config.get(kind, {}).get(name)),)
        if was != now and not (kind == "recipe" and name in config["options"])  # --lr is told once
    ]
    if differing:
        raise RunError(
            f"Cannot resume the run in {run}: {'; '.join(differing)}. "
            "Repeat the command as the run was begun, or give another --output."
        )

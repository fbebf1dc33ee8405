"""All runs beneath some directories, read as far as they can be: half-written, running and damaged ones too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from eeg_tokenizer import checkpoint
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.metrics import last_record
from eeg_tokenizer.record import RUN_FILE, RUNNING, read_run
from eeg_tokenizer.run import RunError

V = TypeVar("V")

_STALE_AFTER_S = 300  # a running session writes every half minute, but for one long step
_MARKS = {RUN_FILE, "metrics.jsonl", "checkpoints"}
_INSIDE = {"checkpoints", "best"}  # folders of a run that hold models of their own


@dataclass(frozen=True)
class Run:
    """A run as its files tell it.

    Attributes:
        path: its directory.
        kind: of the model: "vqnsp", "masked", "classifier", "regressor"; None where `config.json` does not tell.
        state: "done", "running", "stopped by SIGTERM", "failed: ...", "broken off" or "unknown".
        step, steps: done and planned.
        options: options, fields of the recipe, data and machine under flat names.
        numbers: last loss and measures, held-out scores ("held_out.loss"), totals ("totals.patches_per_s") and the
            scores of the test subjects ("test.auroc").
        problems: what could not be read.
    """

    path: Path
    kind: str | None
    state: str
    step: int | None
    steps: int | None
    options: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the run for `--json`."""
        return asdict(self) | {"path": str(self.path)}


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Return the runs in and beneath `folders`, sorted by kind and path.

    Raises:
        RunError: a folder that is not there, or no run in any of them.
    """
    absent = [str(folder) for folder in folders if not folder.is_dir()]
    if absent:
        raise RunError(f"Cannot look for runs in {', '.join(absent)}: expected a directory, found none. Name another.")
    paths = dict.fromkeys(path for folder in folders for path in _runs_beneath(folder))
    if not paths:
        raise RunError(
            f"No runs in {', '.join(map(str, folders))}: expected a training's --output ({', '.join(sorted(_MARKS))}), "
            "found none. Name a directory that holds runs."
        )
    return sorted((read(path) for path in paths), key=lambda run: (_rank(run.kind), str(run.path)))


def read(path: Path) -> Run:
    """Read a run; what is damaged becomes one of its problems."""
    problems: list[str] = []
    config = _tried(problems, lambda: checkpoint.load_config(path))
    record = _tried(problems, lambda: read_run(path))
    last = _tried(problems, lambda: last_record(path / "metrics.jsonl"))
    result = _tried(problems, lambda: _result(path))
    sessions = record.get("sessions") or [{}]
    try:
        return Run(
            path=path,
            kind=_of_type(str, config.get("model", record.get("model"))),
            state=_state(record),
            step=_of_type(int, last.get("step", record.get("step"))),
            steps=_of_type(int, record.get("steps", config.get("options", {}).get("steps"))),
            options={
                **flat({**record.get("options", {}), **config.get("options", {})}),
                **flat({name: config.get(name) or {} for name in ("recipe", "data")}),
                **flat({name: sessions[-1].get(name) or {} for name in ("machine", "versions", "git")}),
            },
            numbers={
                name: value
                for name, value in flat({**last, "totals": record.get("totals", {}), **result}).items()
                if isinstance(value, int | float) and not isinstance(value, bool) and name != "step"
            },
            problems=problems,
        )
    except (AttributeError, TypeError, KeyError, ValueError) as error:  # JSON, but of another shape
        return Run(path, None, "unknown", None, None, problems=[*problems, f"files of another shape: {error!r}"])


def differing_options(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the options that are not the same in all runs, each with its values; where a run lies is none of them."""
    names = dict.fromkeys(name for run in runs for name in run.options if name not in ("output", "resume"))
    values = {name: [run.options.get(name) for run in runs] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


def shared_numbers(runs: Sequence[Run]) -> dict[str, list[float | None]]:
    """Return the numbers that at least two of the runs have."""
    names = dict.fromkeys(name for run in runs for name in run.numbers)
    values = {name: [run.numbers.get(name) for run in runs] for name in names}
    return {name: found for name, found in values.items() if sum(value is not None for value in found) > 1}


def _runs_beneath(folder: Path) -> Iterator[Path]:
    for path, inside, names in os.walk(folder):
        if not _MARKS.isdisjoint((*names, *inside)):
            yield Path(path)
        inside[:] = sorted(name for name in inside if name not in _INSIDE and not name.endswith(".zarr"))


def _of_type(kind: type[V], value: Any) -> V | None:
    """Return a value that is of this type, or null.

    Raises:
        TypeError: it is of another.
    """
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, found {value!r:.80}")
    return value


def _rank(kind: str | None) -> int:
    order = ("vqnsp", "masked", "classifier", "regressor")
    return order.index(kind) if kind in order else len(order)


def _state(record: Mapping[str, Any]) -> str:
    if "state" not in record:
        return "unknown"
    if record["state"] != RUNNING:
        return str(record["state"])
    updated = datetime.fromisoformat(record["sessions"][-1]["updated"])
    stale = (datetime.now(UTC) - updated).total_seconds() > _STALE_AFTER_S
    return "broken off" if stale else RUNNING


def _result(path: Path) -> dict[str, Any]:
    """Return the scores of the test subjects, where a fine-tuning has them."""
    file = path / "result.json"
    return {"test": json.loads(file.read_bytes())["test"]["scores"]} if file.is_file() else {}


def _tried(problems: list[str], read_file: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_file()
    except (CheckpointError, ValueError, KeyError, TypeError, OSError) as error:
        problems.append(str(error) if str(error) else type(error).__name__)
        return {}
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under names joined by dots."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found

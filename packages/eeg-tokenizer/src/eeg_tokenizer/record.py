"""`run.json`: what a run was asked for, what it ran on, and what it took, over all sessions of a run that was resumed.

It is written at the start, at every checkpoint, at least every half minute, and at the end, each time by one rename;
so of a killed session at most half a minute and a step are missing from it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eeg_tokenizer.checkpoint import CheckpointError, write_whole
from eeg_tokenizer.machine import describe_machine, git_commit, peak_flops, versions
from eeg_tokenizer.meter import Meter, Totals

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
WRITE_EVERY_S = 30.0
RUNNING, DONE, KILLED = "running", "done", "killed"


class RunRecord:
    """Keeps `run.json` of a run up to date from the first process; in the others it does nothing."""

    def __init__(
        self,
        run: Path,
        meter: Meter[Any],
        *,
        options: Mapping[str, Any],
        config: Mapping[str, Any],
        step: int,
        steps: int,
    ) -> None:
        """Begin a session after `step`; one that has no step left to take leaves the record alone.

        Args:
            run: the directory of the run.
            meter: measures the steps.
            options: all options of the run.
            config: what `config.json` holds; its options, defaults filled in, go before those in `options`.
            step: the steps done before.
            steps: the steps in all.
        """
        self._path, self._meter = run / RUN_FILE, meter
        place = meter.place
        self._silent = not place.writes or step >= steps
        if self._silent:
            return
        self._before = _sessions(self._path)
        self._facts: dict[str, Any] = {
            "model": config.get("model"),
            "options": {name: _plain(value) for name, value in {**options, **config.get("options", {})}.items()},
            "recipe": config.get("recipe"),
            "data": config.get("data"),
            "steps": steps,
        }
        machine = describe_machine(place.device, place.world_size)
        self._peak = peak_flops(machine["device_name"], str(config.get("options", {}).get("precision", "fp32")))
        self._began_s = time.perf_counter()
        self._written_s = 0.0
        self._session: dict[str, Any] = {
            "began": _now(),
            "from_step": step,
            "to_step": step,
            "state": RUNNING,
            "machine": machine,
            "versions": versions(),
            "git": git_commit(),
        }

    def advance(self, step: int, *, saved: bool) -> None:
        """Note that a step is done, and write where it was saved or the last writing is half a minute old."""
        if self._silent:
            return
        self._session["to_step"] = step
        if saved or time.perf_counter() - self._written_s > WRITE_EVERY_S:
            self._write()

    def end(self, state: str) -> None:
        """Say how the session ends: "done", or what stopped it."""
        if not self._silent:
            self._session["state"] = state

    def __enter__(self) -> Self:
        if not self._silent:
            self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._silent:
            return
        if error is not None:
            self._session["state"] = f"failed: {error or type(error).__name__}"
        if not isinstance(error, OSError):  # of a full disk: what is there stays
            self._write()

    def _write(self) -> None:
        elapsed_s = time.perf_counter() - self._began_s
        self._written_s = time.perf_counter()
        self._session |= {
            "updated": _now(),
            "seconds": round(elapsed_s, 6),
            "device_hours": elapsed_s * self._session["machine"]["processes"] / 3600,
            "peak_memory_bytes": self._meter.peak_memory_bytes(),
            "peak_flops": self._peak,
            **asdict(self._meter.totals),
        }
        sessions = [*self._before, self._session]
        document = {
            **self._facts,
            "state": self._session["state"],
            "step": self._session["to_step"],
            "totals": summed(sessions),
            "sessions": sessions,
        }
        write_whole(self._path, json.dumps(document, indent=2, allow_nan=False).encode())


def summed(sessions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all sessions took together, and their speeds: counts divided by the seconds of the steps.

    `mfu` is the share of the devices' peak (`machine.peak_flops`) that the model's operations took, padding included.
    """
    names = [*asdict(Totals()), "device_hours"]
    total = {name: sum(session.get(name, 0) for session in sessions) for name in names}
    # What all devices could have computed in the time of the steps; unknown if it is of one session.
    peaks = [each["peak_flops"] and each["peak_flops"] * each["machine"]["processes"] for each in sessions]
    possible = sum(peak * each["step_s"] for peak, each in zip(peaks, sessions, strict=True)) if all(peaks) else None
    step_s, places = total["step_s"], total["places"]
    memory = [session["peak_memory_bytes"] for session in sessions]
    on_gpu = [each["gpu"] for each in memory if each["gpu"] is not None]
    return total | {
        "samples_per_s": total["windows"] / step_s if step_s else None,
        "patches_per_s": total["patches"] / step_s if step_s else None,
        "padding": 1 - total["patches"] / places if places else None,
        "mfu": total["flops"] / possible if possible and total["flops"] else None,
        "loader_wait": total["loader_wait_s"] / step_s if step_s else None,
        "peak_memory_bytes": {"resident": max(each["resident"] for each in memory), "gpu": max(on_gpu, default=None)},
    }


def read_run(run: Path) -> dict[str, Any]:
    """Return `run.json` of a run; nothing where there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = run / RUN_FILE
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict) or not isinstance(document.get("sessions"), list):
            raise ValueError("something else")
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read {path}: expected a JSON object with sessions, found {error}. "
            "Remove it to go on without the record of earlier sessions."
        ) from error
    return document


def _sessions(path: Path) -> list[dict[str, Any]]:
    """Return the sessions before. One that was killed still says that it runs, until another follows it."""
    try:
        sessions: list[dict[str, Any]] = read_run(path.parent).get("sessions", [])
    except ValueError as error:  # the record is no reason to give up a training
        logger.warning("The record of the sessions before is lost: %s", error)
        return []
    return [session | ({"state": KILLED} if session["state"] == RUNNING else {}) for session in sessions]


def _plain(value: Any) -> Any:
    """Return an option as JSON holds it; a path as the user gave it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

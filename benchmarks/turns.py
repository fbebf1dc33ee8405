"""What the benchmarks share: subjects that take turns, each turn a process of its own, and how results are shown."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def take_turns(
    script: str, subjects: Mapping[str, Sequence[str]], repeats: int, environment: Mapping[str, Mapping[str, str]]
) -> dict[str, list[dict[str, float]]]:
    """Run `script --turn ARGUMENTS` of each subject, one after another, `repeats` times over.

    A turn prints its numbers as JSON on its last line; `wall_s` and `cpu_s` of the whole process are added.
    """
    turns: dict[str, list[dict[str, float]]] = {subject: [] for subject in subjects}
    for _ in range(repeats):
        for subject, arguments in subjects.items():
            command = [sys.executable, script, "--turn", *arguments]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run(
                command,
                env={**os.environ, **environment.get(subject, {})},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            wall_s, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            lines = done.stdout.splitlines()
            turns[subject].append({"wall_s": wall_s, "cpu_s": cpu_s, **(json.loads(lines[-1]) if lines else {})})
    return turns


def least(turns: Sequence[Mapping[str, float]], key: str) -> float:
    """The least of all turns: other jobs only ever add to it."""
    return min(turn[key] for turn in turns)


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and how busy it was."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a Markdown table; the keys of the first row are its head."""
    print(f"\n{title}\n\n| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print(
            "| "
            + " | ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values())
            + " |"
        )
    print(flush=True)

"""Commands of a run: printed before they run, timed, and fatal where they fail."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run(*command: object, accept: tuple[int, ...] = (0,)) -> None:
    """Print a command, run it, and show what it says; exit codes other than those accepted end the run."""
    _call(command, capture=False, accept=accept)


def result(*command: object) -> dict[str, Any]:
    """Print a command, run it, and return its JSON result."""
    loaded: dict[str, Any] = json.loads(_call((*command, "--json"), capture=True, accept=(0,)))
    return loaded


def _call(command: tuple[object, ...], *, capture: bool, accept: tuple[int, ...]) -> str:
    words = [str(word) for word in command]
    print(f"\n$ {shlex.join(words)}", flush=True)
    began = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode not in accept:
        sys.exit(f"{words[0]} {words[1]} ended with exit code {done.returncode}.")
    print(f"({time.monotonic() - began:.0f} s)", flush=True)
    return done.stdout or ""

"""The benchmarks run: nothing is said about speed here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.integration.conftest import ROOT


def run(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--quick", "--repeats", "1", "--json", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_ingest() -> None:
    found = run("ingest.py", "--only", "signal", "day")
    assert found["signal"][0]["peer/ours"] > 0
    assert found["day"][0]["hours"] == 1 / 60
    assert found["day"][0]["most private MB of a worker"] > 50


def test_store() -> None:
    found = run("store.py")
    assert [row["channels"] for row in found["sizes"]] == [62, 64]
    assert all(row["official/store"] > 5 for row in found["sizes"])
    assert all(row["windows/s"] > 0 for row in found["rates"])


def test_training() -> None:
    found = run("training.py")  # which ends with a message where both steps do not find the same loss
    assert len(found["tiny"]) == 8
    assert all(row["samples/s"] > 0 for row in found["tiny"])

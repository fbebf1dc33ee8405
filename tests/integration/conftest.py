"""One store of all real recordings, built once by the command that a user runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eeg_ingest.sources import Source, load_sources
from eeg_store import Store

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Built:
    """A store and what `eeg-ingest build --json` said of it."""

    path: Path
    store: Store
    exit_code: int
    result: dict[str, Any]


REAL_SOURCES = ROOT / "pipelines/real/sources.yaml"


@pytest.fixture(scope="session")
def real_sources(eeg_data: Path) -> dict[str, Source]:
    """The entries of pipelines/real/sources.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EEG_TEST_DATA", str(eeg_data))
        return {source.name: source for source in load_sources(REAL_SOURCES)}


@pytest.fixture(scope="session")
def real_store(eeg_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    path = tmp_path_factory.mktemp("real") / "data.zarr"
    command = [*map(str, (BIN / "eeg-ingest", "build", "--sources", REAL_SOURCES, "--store", path)), "--json"]
    environment = {**os.environ, "EEG_TEST_DATA": str(eeg_data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    return Built(path, Store.open(path), done.returncode, json.loads(done.stdout))

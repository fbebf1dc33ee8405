"""Where the tests find real recordings and reference vectors; both are optional and neither is part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable, ROOT / default))
    if not path.is_dir():
        pytest.skip(f"no folder {path}; set {variable}")
    return path.resolve()


@pytest.fixture(scope="session")
def eeg_data() -> Path:
    """Real recordings (`EEG_TEST_DATA`)."""
    return _folder("EEG_TEST_DATA", "../shared/eeg")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Reference vectors of the official model (`EEG_GOLDEN`)."""
    return _folder("EEG_GOLDEN", "../shared/golden")

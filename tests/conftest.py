"""Where the tests find real recordings and reference vectors; both are optional and neither is part of the project."""

from __future__ import annotations

import os
import sys
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


@pytest.fixture(autouse=True)
def _no_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the page of a training, which takes two seconds, but where a test is about it."""
    if request.node.get_closest_marker("pages") is None:
        for name in ("eeg_tokenizer.train", "labram_model.pretrain", "labram_model.finetune"):
            if name in sys.modules:
                monkeypatch.setattr(sys.modules[name], "write_page", lambda run: run)

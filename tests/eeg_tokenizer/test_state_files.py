"""Files of others: what is read, what is refused, and that nothing in them is run."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.state_files import read_state, write_state

STATE = {"a.weight": torch.arange(3.0), "b": torch.ones(2, 2)}


class Trap:
    """Makes a folder when it is unpickled as pickle does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"model": STATE, "optimizer": {"state": {}}, "epoch": 3, "args": argparse.Namespace(lr=1e-3, out="x")},
        {"module": STATE},
        {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
    ],
)
def test_state_dicts_are_found(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "a.pth")
    found = read_state(tmp_path / "a.pth")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "a.safetensors")
    assert read_state(tmp_path / "a.safetensors").keys() == STATE.keys()


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": STATE, "args": Trap(tmp_path / "sprung")}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"found posix\.mkdir"):
        read_state(tmp_path / "a.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pth", None, "found nothing there"),
        ("a.pth", b"", "a damaged or another one"),
        ("a.pth", b"hello", "Cannot read"),
        ("a.pth", pickle.dumps(Path("a"), protocol=2), "found pathlib"),
        ("a.safetensors", b"hello", "expected safetensors"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_state(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {},
        {"epoch": 1},
        {"model": {"a": torch.ones(1), "b": 2}},
        {"model": {1: torch.ones(1)}},
        {"model": {"b": torch.ones(1).to_sparse()}},
        {"model": {"b": torch.ones(1, device="meta")}},
    ],
)
def test_files_without_tensors_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"expected a state dict|other values in (epoch|b|1)\b"):
        read_state(tmp_path / "a.pth")


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path / "a.pth", STATE)
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:300])
    with pytest.raises(CheckpointError, match="a damaged or another one"):
        read_state(tmp_path / "a.pth")

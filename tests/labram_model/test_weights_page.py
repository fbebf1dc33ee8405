"""Every command of docs/weights.md, on small models with official names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_tokenizer.cli import app as tokenizer_app
from labram_model.cli import app
from typer.testing import CliRunner

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
FILES = {"labram-base": "masked", "vqnsp": "tokenizer", "finetuned": "finetune"}


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found


def test_every_command_works(
    golden: Path, tmp_path: Path, make_store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store({"n_subjects": 4, "rounds": 1})  # data.zarr
    monkeypatch.chdir(tmp_path)
    task = "{name: t, classes: {slow: [slow], fast: [fast]}, window_s: 2, training: {epochs: 1, warmup_epochs: 0}}"
    Path("task.yaml").write_text(task, encoding="utf-8")
    for name, vectors in FILES.items():
        with np.load(golden / f"{vectors}.npz") as arrays:
            state = {key[6:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("state.")}
        if name == "finetuned":
            state |= {"head.weight": torch.ones(1, 100), "head.bias": torch.zeros(1)}
        torch.save({"model": state}, f"{name}.pth")
    for line in "".join(blocks("bash")).splitlines():
        program, *arguments = shlex.split(re.sub(r"--steps \d+", "--steps 2", line))
        result = CliRunner().invoke({"labram": app, "eeg-tokenizer": tokenizer_app}[program], arguments)
        assert result.exit_code == 0, (line, result.stderr)
    first, back = (torch.load(name, weights_only=True)["model"] for name in ("labram-base.pth", "back.pth"))
    assert all(torch.equal(first[name], back[name]) for name in first | back)
    for text in blocks("python"):
        exec(compile(text, "docs/weights.md", "exec"), {})
    assert Path("to-publish/README.md").is_file()

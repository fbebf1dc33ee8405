"""The commands: one JSON document on stdout, messages on stderr, exit codes, and no traceback for a user's mistake."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from labram_model import reports
from labram_model.cli import app
from typer.testing import CliRunner, Result

StoreMaker = Callable[..., Path]
FEW = {"n_subjects": 4, "rounds": 1, "channels": ("FZ", "PZ")}
TASK = "{name: rhythm, classes: {slow: [slow], fast: [fast]}, window_s: 2}"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def document(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_full_disk_is_told_with_the_file(
    make_store: StoreMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store, file = make_store(FEW), tmp_path / "tokenizer" / "recordings.json"
    monkeypatch.setattr(os, "fsync", full)
    result = run("pretrain", "--store", store, "--output", tmp_path, "--steps", 1)
    told = f"[Errno 28] No space left on device: '{file}'. Put it right and repeat the command."
    assert result.exit_code == 1
    assert f"Error: Cannot read or write a file: {told}" in result.stderr.splitlines()
    assert not list(file.parent.iterdir())


@pytest.mark.pages
def test_from_a_store_to_scores(make_store: StoreMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = make_store(FEW)
    task = tmp_path / "task.yaml"
    task.write_text(TASK, encoding="utf-8")
    pretrained = document("pretrain", "--store", store, "--steps", 2, "--batch-size", 4)
    assert pretrained["output"] == "pretrained"  # the default, in the working directory
    begun = ("--store", store, "--task", task)
    tuned = document("finetune", *begun, "--checkpoint", "pretrained", "--output", "tuned", "--steps", 2, "--seed", 5)
    assert (tuned["seed"], tuned["steps"], tuned["pretrained"]) == (5, 2, pretrained["model"])
    scored = document("evaluate", *begun, "--checkpoint", "tuned", "--split", "val")
    assert scored["scores"] == tuned["val"]["scores"]
    text = run("evaluate", *begun, "--checkpoint", "tuned").stdout
    assert f"{tuned['test']['scores']['balanced_accuracy']:.4f}  0.5000" in text

    assert run("pretrain", "--store", store, "--steps", 2, "--batch-size", 4).exit_code == 2
    again = document("pretrain", "--store", store, "--steps", 2, "--batch-size", 4, "--resume")
    assert again == pretrained

    told = document("info", "tuned")
    assert (told["kind"], told["size"], told["classes"]) == ("classifier", "tiny", ["slow", "fast"])
    told = document("info", "pretrained")
    assert (told["kind"], told["tokenizer"], told["steps"]) == ("masked", pretrained["tokenizer"], 2)
    assert (told["parameters"], told["content_hash"]) == (pretrained["parameters"], pretrained["model"])
    assert told["run"]["state"] == "done"
    digest = told["trained_on"]
    found = document("runs", ".", "--compare", "--html")
    kinds = {run["path"]: run["kind"] for run in found["runs"]}
    assert kinds == {"pretrained/tokenizer": "vqnsp", "pretrained": "masked", "tuned": "classifier"}
    assert found["numbers"]["loss"][1] == pretrained["loss"]
    assert found["runs"][2]["numbers"]["test.auroc"] == tuned["test"]["scores"]["auroc"]
    assert found["differing_options"]["seed"] == [0, 0, 5]
    page = (tmp_path / "pretrained" / "report.html").read_text()
    assert all(f"<h2>{title}</h2><img" in page for title in ("Masked-code accuracy", "Most used codes"))
    text = run("runs", "pretrained", "--compare").stdout
    assert "held_out.perplexity" in text
    assert run("runs", store).exit_code == 2
    told = document("info", "pretrained/tokenizer")
    assert (told["kind"], told["content_hash"]) == ("vqnsp", pretrained["tokenizer"])
    told = document("info", store)
    assert (told["kind"], told["digest"], told["recordings"]) == ("store", digest, 4)
    assert told["sources"] == [{"name": "lab", "recordings": 4, "subjects": 4, "hours": 64 / 3600}]
    for path in ("tuned", "pretrained", store):
        assert "kind: " in run("info", path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain"], "Missing option '--store'"),
        (["pretrain", "--store", "absent.zarr"], "opening a store failed in"),
        (["pretrain", "--store", "data.zarr", "--steps", "0"], "greater than or equal to 1"),
        (
            ["pretrain", "--store", "data.zarr", "--size", "small"],
            "'small' is not one of 'tiny', 'base', 'large', 'huge'",
        ),
        (["pretrain", "--store", "data.zarr", "--tokenizer", "absent"], "No model in absent"),
        (["finetune", "--store", "data.zarr", "--task", "absent.yaml"], "Cannot read the task absent.yaml"),
        (
            ["finetune", "--store", "data.zarr", "--task", "wrong.yaml"],
            "window_ss: unknown key; did you mean window_s?",
        ),
        (["finetune", "--store", "data.zarr", "--task", "task.yaml", "--checkpoint", "absent"], "No model in absent"),
        (["evaluate", "--store", "data.zarr", "--task", "task.yaml", "--checkpoint", "absent"], "No model in absent"),
        (["embed", "x.edf", "-o", "out.parquet", "--checkpoint", "absent"], "No model in absent"),
        (
            ["embed", "x.edf", "-o", "o", "--checkpoint", "c", "--line-freq-hz", "55"],
            "expected auto, 50 or 60, found 55",
        ),
        (["info", "absent"], "expected a model's directory (config.json) or a store (zarr.json), found nothing there"),
        (["info", "."], "found neither"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    make_store: StoreMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if "data.zarr" in arguments:
        make_store(FEW)
    Path("task.yaml").write_text(TASK, encoding="utf-8")
    Path("wrong.yaml").write_text(TASK.replace("window_s", "window_ss"), encoding="utf-8")
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not Path("pretrained").exists()
    assert not Path("finetuned").exists()


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_sigterm_saves_and_ends_with_0_and_the_run_goes_on(
    make_store: StoreMaker, tmp_path: Path, command: str
) -> None:
    store, task, output = make_store(FEW), tmp_path / "task.yaml", tmp_path / "run"
    task.write_text(TASK, encoding="utf-8")
    steps = {"pretrain": 300, "finetune": 40}[command]
    begin = [command, "--store", store, "--output", output, "--steps", steps]
    metrics = output / "metrics.jsonl"
    if command == "pretrain":
        tokenizer = tmp_path / "tokenizer"
        train_tokenizer(TrainOptions(store, tokenizer, steps=2, n_codes=16, batch_size=4))
        begin += ["--batch-size", 4, "--tokenizer", tokenizer]
    else:
        begin += ["--task", task]

    def send() -> None:
        while not metrics.exists() or not metrics.read_bytes():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    stopped = document(*begin)
    sender.join()
    assert stopped["stopped_by"] == "SIGTERM"
    assert 0 < stopped["steps"] < steps
    assert (output / f"checkpoints/step-{stopped['steps']:09d}").is_dir()
    if command == "finetune":
        assert document(*begin, "--resume")["stopped_by"] is None


def test_help_tells_the_defaults() -> None:
    text = " ".join(run("pretrain", "--help").stdout.split())
    for default in (
        "[default: pretrained]",
        "[default: 50 epochs]",
        "[default: 512 on GPUs, else 32]",
        "[default: base on",
    ):
        assert default in text
    assert "Exit codes: 0 done" in run("--help").stdout


def test_a_run_whose_steps_were_all_skipped_is_reported() -> None:
    summary = {"stopped_by": None, "output": "run", "size": "tiny", "parameters": 5, "steps": 3, "loss": None}
    assert "loss unknown" in reports.pretrained({**summary, "n_codes": 4, "codes": "on line", "held_out": None})

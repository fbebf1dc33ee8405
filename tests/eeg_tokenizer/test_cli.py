from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from eeg_store import Store
from eeg_tokenizer import checkpoint
from eeg_tokenizer.cli import app
from eeg_tokenizer.metrics import read_metrics
from typer.testing import CliRunner

MakeStore = Callable[..., Store]
SMALL = ("--codes", "16", "--code-dim", "4", "--batch-size", "2", "--device", "cpu", "--steps")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def lab(make_store: MakeStore) -> Store:
    return make_store(*({"name": f"r{i}", "subject": str(i), "segments": (20,), "seed": i} for i in range(2)))


def test_train_and_encode_speak_to_people_and_to_programs(lab: Store, tmp_path: Path) -> None:
    output = tmp_path / "tokenizer"
    trained = run("train", "--store", lab.path, "--output", output, *SMALL, 2, "--json")
    assert trained.exit_code == 0, trained.stderr
    summary = json.loads(trained.stdout)
    assert summary["steps"] == 2
    assert 1 <= summary["held_out"]["codes_in_use"] <= 16
    assert (output / "curves.png").exists()
    assert "2/2" in trained.stderr
    encoded = run("encode", "--store", lab.path, "--tokenizer", output, "--device", "cpu")
    assert encoded.exit_code == 0, encoded.stderr
    assert encoded.stdout == (
        f"Wrote 120 codes for 2 recordings (0 had theirs) under tokenizer {summary['tokenizer'][:16]}.\n"
    )
    again = run("encode", "--store", lab.path, "--tokenizer", output, "--device", "cpu", "--json")
    assert json.loads(again.stdout)["recordings_before"] == 2
    finished = run("train", "--store", lab.path, "--output", output, *SMALL, 2, "--resume")
    assert finished.exit_code == 0
    assert finished.stdout.startswith(f"Tokenizer in {output}: 2 steps, loss ")
    assert "Held-out subjects: loss" in finished.stdout


def test_a_run_is_neither_overwritten_nor_continued_with_other_options(lab: Store, tmp_path: Path) -> None:
    begin = ("train", "--store", lab.path, "--output", tmp_path, *SMALL)
    assert run(*begin, 1).exit_code == 0
    weights = (tmp_path / "model.safetensors").read_bytes()
    for arguments, message in [
        ((*begin, 1), "found a run. Give --resume"),
        ((*begin, 2, "--resume"), "--steps expected 1, found 2."),
        (
            (*begin, 1, "--resume", "--lr", 0.5, "--seed", 3),
            "--lr expected 0.001, found 0.5; --seed expected 0, found 3.",
        ),
    ]:
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert refused.stdout == ""
    assert (tmp_path / "model.safetensors").read_bytes() == weights


def test_a_store_that_grew_leaves_the_run_as_it_was(make_store: MakeStore, tmp_path: Path) -> None:
    labs = [{"name": name, "subject": name, "segments": (20,), "seed": seed} for seed, name in enumerate("bda")]
    before, after = make_store(*labs[:2]), make_store(*labs[:2], labs[2], {"name": "c", "channels": ("O1", "O2")})
    for output, stores in (("undisturbed", [before, before]), ("grown", [before, after])):
        train = ("train", "--output", tmp_path / output, *SMALL, 4, "--checkpoint-every", 2)
        assert run(*train, "--store", stores[0].path).exit_code == 0
        for trace in ("checkpoints/step-000000004", "best"):  # as if it had been killed after step 2
            shutil.rmtree(tmp_path / output / trace)
        assert run(*train, "--store", stores[1].path, "--resume").exit_code == 0
    weights = [(tmp_path / output / "model.safetensors").read_bytes() for output in ("undisturbed", "grown")]
    assert weights[0] == weights[1]


def test_another_store_is_refused_with_all_differences_or_accepted_and_recorded(
    make_store: MakeStore, tmp_path: Path
) -> None:
    labs = [{"name": name, "subject": name, "segments": (20,), "seed": seed} for seed, name in enumerate("abc")]
    before, after = make_store(*labs), make_store({**labs[0], "seed": 9}, labs[1])
    train = ("train", "--output", tmp_path, "--resume", *SMALL)
    assert run(*train, 1, "--store", before.path).exit_code == 0
    refused = run(*train, 2, "--store", after.path, "--accumulate", 2)
    assert refused.exit_code == 2
    for difference in (
        "--steps expected 1, found 2",
        "store-digest expected",
        "accumulate expected 1, found 2",
        "1 of its recordings are gone (c)",
        "1 of its recordings have changed (a)",
        "--allow-inexact",
    ):
        assert difference in refused.stderr
    accepted = run(*train, 2, "--store", after.path, "--accumulate", 2, "--allow-inexact")
    assert accepted.exit_code == 0, accepted.stderr
    for config in (tmp_path / "config.json", tmp_path / "checkpoints/step-000000002/config.json"):
        (resumption,) = json.loads(config.read_text())["inexact"]
        assert resumption["after_step"] == 1
        assert "1 of its recordings are gone (c)" in resumption["differences"]
    assert run(*train, 2, "--store", after.path, "--accumulate", 2).exit_code == 0  # it is this run now
    other = run(*train, 2, "--store", after.path, "--accumulate", 2, "--codes", 8, "--allow-inexact")
    assert other.exit_code == 2
    assert "--codes expected 16, found 8" in other.stderr


def test_one_subject_is_trained_on_and_nobody_held_out(
    make_store: MakeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store({"name": "a", "subject": "01"})
    trained = run("train", "--store", store.path, "--output", tmp_path, *SMALL, 1, "--json")
    assert json.loads(trained.stdout)["held_out"] is None
    assert "at least two known subjects" in caplog.text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--steps", "0"), "--steps"),
        (("--size", "giant"), "expected tiny or base, found 'giant'"),
        (("--device", "tpu"), "expected auto, cpu or cuda, found 'tpu'"),
        (("--lr", "0"), "--lr"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_wrong_options_are_named(lab: Store, tmp_path: Path, option: tuple[str, ...], message: str) -> None:
    refused = run("train", "--store", lab.path, "--output", tmp_path / "run", *SMALL, 1, *option)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(lab: Store, tmp_path: Path) -> None:
    refused = run("train", "--store", lab.path, "--output", tmp_path, *SMALL, 1, "--device", "cuda")
    assert refused.exit_code == 2
    assert "expected a CUDA device, found none. Use --device cpu." in refused.stderr


def test_stores_that_cannot_be_used_are_named(make_store: MakeStore, tmp_path: Path) -> None:
    empty, silent = make_store(), make_store({"name": "a", "channels": ("EXG1",)})
    for store, message in [
        (tmp_path / "none.zarr", "none.zarr: expected"),
        (empty.path, "found 0 recordings"),
        (silent.path, "found 1 recordings, 0 of them with such a channel"),
    ]:
        refused = run("train", "--store", store, "--output", tmp_path / "run", *SMALL, 1)
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert not (tmp_path / "run").exists()
    refused = run("encode", "--store", empty.path, "--tokenizer", tmp_path)
    assert refused.exit_code == 2
    assert f"No model in {tmp_path}" in refused.stderr


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends(lab: Store, tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    def send() -> None:
        while not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_bytes():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    stopped = run("train", "--store", lab.path, "--output", tmp_path, *SMALL, 500, "--json")
    sender.join()
    assert stopped.exit_code == exit_code
    summary = json.loads(stopped.stdout)
    assert summary["stopped_by"] == number.name
    assert 0 < summary["steps"] < 500
    assert (tmp_path / f"checkpoints/step-{summary['steps']:09d}").is_dir()


def test_a_full_disk_is_a_message_and_the_run_goes_on_later(lab: Store, tmp_path: Path) -> None:
    begin = ("train", "--store", lab.path, "--output", tmp_path, *SMALL, 2, "--checkpoint-every", 1)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
    try:
        failed = run(*begin)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert failed.exit_code == 1
    assert "Cannot save" in failed.stderr
    assert "File too large" in failed.stderr
    assert not list((tmp_path / "checkpoints").glob("*"))
    assert run(*begin, "--resume").exit_code == 0


@pytest.mark.parametrize(("room_for_records", "message"), [(True, "Cannot save"), (False, "Cannot write the record")])
def test_a_disk_that_fills_up_leaves_the_checkpoint_before(
    lab: Store, tmp_path: Path, room_for_records: bool, message: str
) -> None:
    metrics = tmp_path / "metrics.jsonl"
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        n_steps = 0
        while n_steps < 9 or n_steps % 9 not in (2, 3, 4, 5):  # between two checkpoints
            time.sleep(0.002)
            n_steps = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        room = 100_000 if room_for_records else metrics.stat().st_size + 10
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))

    filler = threading.Thread(target=fill)
    filler.start()
    try:
        failed = run("train", "--store", lab.path, "--output", tmp_path, *SMALL, 400, "--checkpoint-every", 9)
    finally:
        filler.join()
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert failed.exit_code == 1
    assert message in failed.stderr
    assert "--resume" in failed.stderr
    last = checkpoint.latest_step(tmp_path)
    assert last is not None
    n_tensors = len(checkpoint.load_weights(last))
    assert n_tensors == len(checkpoint.load_weights(tmp_path)) > 10
    assert not [path for path in last.parent.iterdir() if path.name.startswith(".")]
    step = int(last.name.removeprefix("step-"))
    steps = [record["step"] for record in read_metrics(metrics)]
    assert step < steps[-1] <= step + 9

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_store import Store
from eeg_tokenizer import checkpoint
from eeg_tokenizer.batch_plan import BatchOptions
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.encode import load_tokenizer
from eeg_tokenizer.loader import StoredWindows
from eeg_tokenizer.meter import TIMED
from eeg_tokenizer.metrics import read_metrics
from eeg_tokenizer.objective import score, start_heads
from eeg_tokenizer.official import OfficialStateError
from eeg_tokenizer.run import RunError
from eeg_tokenizer.spectrum import BANDS_HZ, spectrum_targets
from eeg_tokenizer.train import TrainOptions, TrainResult, train_tokenizer
from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP
from eeg_tokenizer.windows import cut_windows, hold_out

STEPS = 12
CHILD = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def small(store: Store, output: Path, **others: Any) -> TrainOptions:
    chosen = {"steps": STEPS, "n_codes": 32, "code_width": 8, "batch_size": 4, "checkpoint_every": 3, "device": "cpu"}
    return TrainOptions(store=store.path, output=output, **{**chosen, **others})


SMALL = ("--codes", "32", "--code-dim", "8", "--batch-size", "4", "--checkpoint-every", "3", "--device", "cpu")


def command(store: Store, output: Path, *others: str, steps: int = STEPS) -> list[str]:
    """Return the arguments that say what `small` says, and --resume."""
    paths = ["--store", str(store.path), "--output", str(output)]
    return ["train", *paths, *SMALL, "--steps", str(steps), "--resume", *others]


def records(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k not in TIMED} for record in read_metrics(run / "metrics.jsonl")]


@pytest.fixture(scope="module")
def trained(mixed_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A run that nothing disturbed, with one thread as its killed twins have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("undisturbed")
    result = train_tokenizer(small(mixed_store, run))
    torch.set_num_threads(before)
    return run, result


def test_the_tokenizer_learns_and_says_how_well(trained: tuple[Path, TrainResult], mixed_store: Store) -> None:
    run, result = trained
    summary = result.summary
    assert result.exit_code == 0
    assert summary["steps"] == STEPS
    written = records(run)
    assert written[-1]["loss"] < written[0]["loss"]
    assert set(written[0]["parts"]) == {"amplitude", "phase", "commitment"}
    assert written[0]["loss"] == pytest.approx(sum(written[0]["parts"].values()), rel=1e-5)
    assert written[0]["windows"] == summary["windows"]
    training, held_out = hold_out(cut_windows(mixed_store, stride_seconds=1), share=0.1, seed=0)
    assert held_out is not None
    assert summary["windows"] == {"training": len(training), "held_out": len(held_out), "left_out": 0}
    assert [record["step"] for record in written if "held_out" in record] == [3, 6, 9, 12]


def test_the_heads_start_at_the_mean_spectrum(mixed_store: Store) -> None:
    stored = StoredWindows(mixed_store, cut_windows(mixed_store, stride_seconds=4))
    parts = [stored.read(part) for part in np.array_split(np.arange(len(stored.windows)), 3)]
    torch.manual_seed(0)
    model = VQNSP(TOKENIZER_SIZES["tiny"])
    start_heads(model, parts)
    for name, head in model.heads.items():
        targets = [spectrum_targets(batch.patches, batch.valid)[name][batch.valid] for batch in parts]
        mean = torch.cat(targets).double().mean(0)
        predicted = head(torch.zeros(1, model.config.decoder.width))  # tanh(0) is 0, so only the last bias is left
        torch.testing.assert_close(predicted[0].double(), mean, rtol=1e-4, atol=1e-5)


def test_the_codebook_keeps_up_with_the_encoder(mixed_store: Store, tmp_path: Path) -> None:
    for name, lr, decay in [("improved", 5e-5, 0.99), ("improved", 0.1, 0.5), ("paper", 0.1, 0.99)]:
        output = tmp_path / f"{name}-{lr}"
        train_tokenizer(small(mixed_store, output, lr=lr, steps=1, recipe=name))
        assert checkpoint.load_config(output)["config"]["decay"] == pytest.approx(decay)


def test_the_paper_recipe_gives_a_tokenizer_of_the_official_kind(mixed_store: Store, tmp_path: Path) -> None:
    result = train_tokenizer(small(mixed_store, tmp_path, recipe="paper", steps=2))
    assert set(result.summary["held_out"]["vs_mean"]["phase"]) == {"all", *BANDS_HZ}
    model = load_tokenizer(tmp_path, torch.device("cpu")).model
    state = model.to_official()
    assert state["decode_task_layer_angle.2.weight"].shape[0] == 200
    assert VQNSP.from_official(state, heads=5).config.targets == model.config.targets
    assert model.quantizer.revive_after is None


def test_an_improved_tokenizer_has_no_official_form(trained: tuple[Path, TrainResult]) -> None:
    model = load_tokenizer(trained[0], torch.device("cpu")).model
    assert model.config.targets.widths == {"amplitude": 101, "phase": 202}
    with pytest.raises(OfficialStateError, match="Train with --recipe paper"):
        model.to_official()


def test_a_run_goes_on_with_its_own_recipe_only(mixed_store: Store, tmp_path: Path) -> None:
    train_tokenizer(small(mixed_store, tmp_path, steps=1, changes=("phase_power=0.5",)))
    recorded = checkpoint.load_config(tmp_path)
    assert recorded["options"]["recipe"] == "improved"
    assert recorded["recipe"]["phase_power"] == 0.5
    with pytest.raises(RunError, match=r"--set phase_power expected 0\.5, found 1\.0"):
        train_tokenizer(small(mixed_store, tmp_path, steps=1, resume=True))


def test_a_resumption_that_cannot_be_says_what_to_do(mixed_store: Store, tmp_path: Path) -> None:
    train_tokenizer(small(mixed_store, tmp_path, steps=2))
    with pytest.raises(RunError, match="expected --steps of at least the 2 that it has done, found 1"):
        train_tokenizer(small(mixed_store, tmp_path, steps=1, resume=True, allow_inexact=True))
    last = checkpoint.latest_step(tmp_path)
    assert last is not None
    (last / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .* Remove {last} to go on"):
        train_tokenizer(small(mixed_store, tmp_path, steps=2, resume=True))
    shutil.rmtree(last)
    assert train_tokenizer(small(mixed_store, tmp_path, steps=2, resume=True)).summary["steps"] == 2


def test_a_short_run_keeps_many_codes_in_use(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store(*({"name": f"r{i}", "subject": str(i), "seed": i, "segments": (40,)} for i in range(3)))
    held_out = train_tokenizer(small(store, tmp_path, steps=30, batch_size=4)).summary["held_out"]
    assert held_out["codes_in_use"] > 16
    assert held_out["perplexity"] > 8


def test_the_held_out_scores_are_those_of_the_saved_model(
    trained: tuple[Path, TrainResult], mixed_store: Store
) -> None:
    run, result = trained
    model = load_tokenizer(run, torch.device("cpu")).model
    _, held_out = hold_out(cut_windows(mixed_store, stride_seconds=1), share=0.1, seed=0)
    assert held_out is not None
    stored = StoredWindows(mixed_store, held_out)
    scores = score(model, [stored.read(torch.arange(len(held_out)).numpy())])
    assert scores["loss"] == pytest.approx(result.summary["held_out"]["loss"], rel=1e-4)
    codes = model.encode(stored.read(torch.arange(len(held_out)).numpy()))
    assert scores["codes_in_use"] == len(set(codes.flatten().tolist()))
    share = torch.bincount(codes.flatten(), minlength=32).double() / codes.numel()
    assert scores["perplexity"] == pytest.approx(float(torch.distributions.Categorical(share).perplexity()), rel=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_a_run_killed_at_random_ends_as_an_undisturbed_one(
    trained: tuple[Path, TrainResult], mixed_store: Store, tmp_path: Path
) -> None:
    run, steps = tmp_path / "run", random.randint(1, STEPS - 2)
    program = [sys.executable, "-m", "eeg_tokenizer.cli", *command(mixed_store, run)]
    with subprocess.Popen(program, env=CHILD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        wait_for_steps(run, child, steps)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert train_tokenizer(small(mixed_store, run, resume=True)).summary["steps"] == STEPS
    assert_same(run, trained[0])


DIES_WHILE_SAVING = """
import os, signal
from eeg_tokenizer import checkpoint, cli
write_whole = checkpoint.write_whole
def die(path, data):
    if path.parent.name == ".step-000000006.tmp" and path.name == "optimizer.safetensors":
        os.kill(os.getpid(), signal.SIGKILL)
    write_whole(path, data)
checkpoint.write_whole = die
cli.main()
"""


@pytest.mark.usefixtures("one_thread")
def test_a_run_killed_while_it_saves_ends_as_an_undisturbed_one(
    trained: tuple[Path, TrainResult], mixed_store: Store, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    program = [sys.executable, "-c", DIES_WHILE_SAVING, *command(mixed_store, run)]
    child = subprocess.run(program, env=CHILD, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert [path.name for path in (run / "checkpoints").glob("step-*")] == ["step-000000003"]
    assert len(records(run)) == 6
    train_tokenizer(small(mixed_store, run, resume=True))
    assert_same(run, trained[0])


def test_two_processes_train_as_one(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store(*({"name": f"r{i}", "subject": str(i), "seed": i, "segments": (30,)} for i in range(3)))
    one = train_tokenizer(small(store, tmp_path / "one", steps=4))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = {**CHILD, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    program = [sys.executable, "-m", "eeg_tokenizer.cli", *command(store, tmp_path / "two", "--json", steps=4)]
    children = [
        subprocess.Popen(
            program,
            env={**torchrun, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    said = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    two = json.loads(said[0][0])
    assert said[1][0] == b""  # the first process speaks for all
    assert [b"Training a tiny tokenizer" in messages for _, messages in said] == [True, False]
    assert two["held_out"]["loss"] == pytest.approx(one.summary["held_out"]["loss"], rel=1e-3)
    for alone, together in zip(records(tmp_path / "one"), records(tmp_path / "two"), strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert together["grad_norm"] == pytest.approx(alone["grad_norm"], rel=1e-2)


def wait_for_steps(run: Path, child: subprocess.Popen[bytes], steps: int) -> None:
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline:
        if (run / "metrics.jsonl").exists() and len(records(run)) >= min(steps, STEPS - 1):
            return
        time.sleep(0.01)
    raise AssertionError(f"the run ended, or took no step {steps}, before it could be stopped: {child.poll()}")


def assert_same(run: Path, undisturbed: Path) -> None:
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert checkpoint.content_hash(run) == checkpoint.content_hash(undisturbed)
    optimizers = [
        (path / "checkpoints/step-000000012/optimizer.safetensors").read_bytes() for path in (run, undisturbed)
    ]
    assert optimizers[0] == optimizers[1]
    assert records(run) == records(undisturbed)


def test_a_run_takes_the_windows_asked_for_and_is_resumed_with_them_alone(mixed_store: Store, tmp_path: Path) -> None:
    asked = BatchOptions(where="source == 'lab' or n_channels > 1", weights="lab=1,clinic=3", tokens=512)
    options = small(mixed_store, tmp_path / "run", steps=3, batch_size=None, batches=asked)
    summary = train_tokenizer(options).summary
    everything = len(cut_windows(mixed_store, stride_seconds=1))
    assert 0 < summary["windows"]["training"] + summary["windows"]["held_out"] < everything
    with pytest.raises(RunError, match=r"--weights expected 'lab=1,clinic=3', found None; --where expected"):
        train_tokenizer(replace(options, resume=True, batches=BatchOptions(tokens=512)))
    with pytest.raises(RunError, match="--batch-size or --tokens, found both"):
        train_tokenizer(small(mixed_store, tmp_path / "other", batches=asked))

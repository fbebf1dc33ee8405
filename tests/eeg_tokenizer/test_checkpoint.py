from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.checkpoint import CheckpointError, Progressed
from eeg_tokenizer.run import RunError, start_run
from eeg_tokenizer.schedule import adamw
from torch import nn
from torch.optim import Optimizer

CONFIG = {
    "model": "toy",
    "config": {"width": 4},
    "options": {"lr": 0.1, "batch_size": 8},
    "data": {"store_digest": "a"},
}


def toy(seed: int = 0, width: int = 4) -> tuple[nn.Module, Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 1))
    optimizer = adamw(model, betas=(0.9, 0.99), weight_decay=0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    return model, optimizer


def train(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(torch.randn(16, 3)).square().mean().backward()
        optimizer.step()


def state(model: nn.Module) -> dict[str, list[object]]:
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


def save(run: Path, step: int, model: nn.Module, optimizer: Optimizer, keep: int = 2) -> Path:
    return checkpoint.save_step(run, Progressed(step), checkpoint.snapshot(model, optimizer), CONFIG, keep=keep)


def test_a_loaded_checkpoint_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = toy()
    train(model, optimizer, 5)
    folder = save(tmp_path, 5, model, optimizer)
    train(model, optimizer, 5)
    again, its_optimizer = toy(seed=1)
    assert checkpoint.load_step(folder, again, its_optimizer) == Progressed(5)
    for group in its_optimizer.param_groups:
        assert group["lr"] == 0.1
    train(again, its_optimizer, 5)
    assert state(again) == state(model)


def test_a_run_holds_its_latest_model_and_the_last_two_checkpoints(tmp_path: Path) -> None:
    model, optimizer = toy()
    for step in (1, 2, 1000):
        train(model, optimizer, 1)
        save(tmp_path, step, model, optimizer)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-000000002", "step-000001000"]
    assert checkpoint.latest_step(tmp_path) == tmp_path / "checkpoints" / "step-000001000"
    for name, tensor in safetensors.torch.load_file(tmp_path / "model.safetensors").items():
        assert torch.equal(tensor, model.state_dict()[name])
    assert checkpoint.load_config(tmp_path / "checkpoints" / "step-000001000") == CONFIG


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = toy()
    save(tmp_path, 1, model, optimizer)
    before = state(model)
    real = os.fsync

    def full(descriptor: int) -> None:
        if "optimizer" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    train(model, optimizer, 1)
    with pytest.raises(checkpoint.SaveError, match=r"Cannot save step 2 in .*No space left.*--resume"):
        save(tmp_path, 2, model, optimizer)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000001"]
    again, its_optimizer = toy(seed=1)
    last = checkpoint.latest_step(tmp_path)
    assert last is not None
    assert checkpoint.load_step(last, again, its_optimizer) == Progressed(1)
    assert state(again) == before


def test_what_a_kill_left_half_written_is_passed_over(tmp_path: Path) -> None:
    model, optimizer = toy()
    whole = save(tmp_path, 1, model, optimizer)
    shutil.copytree(whole, whole.with_name(".step-000000002.tmp"))
    assert checkpoint.latest_step(tmp_path) == whole
    save(tmp_path, 2, model, optimizer)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_the_content_hash_follows_weights_and_configuration_only(tmp_path: Path) -> None:
    model, _ = toy()
    changed = {**CONFIG, "config": {"width": 5}}
    retrained = {**CONFIG, "options": {"lr": 0.2}}
    hashes = []
    for name, a_model, config in [
        ("a", model, CONFIG),
        ("b", model, retrained),
        ("c", model, changed),
        ("d", toy(1)[0], CONFIG),
    ]:
        checkpoint.save_model(tmp_path / name, a_model, config)
        hashes.append(checkpoint.content_hash(tmp_path / name))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert all(len(value) == 64 for value in hashes)


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    model, optimizer = toy(width=5)
    folder = save(tmp_path, 1, model, optimizer)
    with pytest.raises(CheckpointError, match=r"0\.weight of shape \(5, 3\) instead of \(4, 3\)"):
        checkpoint.load_step(folder, *toy())
    other = nn.Linear(3, 4)
    with pytest.raises(CheckpointError, match=r"an unknown 0\.bias.*no bias; no weight"):
        checkpoint.load_step(folder, other, adamw(other, betas=(0.9, 0.99), weight_decay=0.0))


@pytest.mark.parametrize(
    ("name", "damage"), [("model.safetensors", b"not tensors"), ("config.json", b"{"), ("config.json", b"[]")]
)
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: bytes) -> None:
    checkpoint.save_model(tmp_path, toy()[0], CONFIG)
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(CheckpointError, match=f"{name}: expected"):
        checkpoint.load_weights(tmp_path) if name == "model.safetensors" else checkpoint.load_config(tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    for load in (checkpoint.load_config, checkpoint.load_weights, checkpoint.content_hash):
        with pytest.raises(CheckpointError, match=str(tmp_path)):
            load(tmp_path)


def test_a_run_begins_once_and_is_resumed_with_its_own_options(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    start_run(run, CONFIG, resume=False)
    assert json.loads((run / "config.json").read_text()) == CONFIG
    with pytest.raises(RunError, match=r"found a run\. Give --resume"):
        start_run(run, CONFIG, resume=False)
    start_run(run, CONFIG, resume=True)
    with pytest.raises(RunError, match=r"--batch-size expected 8, found 16; --lr expected 0\.1, found 0\.2\."):
        start_run(run, {**CONFIG, "options": {"lr": 0.2, "batch_size": 16}}, resume=True)
    with pytest.raises(RunError, match="store-digest expected 'a', found 'b'"):
        start_run(run, {**CONFIG, "data": {"store_digest": "b"}}, resume=True)


def test_resuming_where_nothing_is_begins(tmp_path: Path) -> None:
    start_run(tmp_path, CONFIG, resume=True)
    assert checkpoint.load_config(tmp_path) == CONFIG

"""Fine-tuning learns what can be learned, tests once, and goes on after a kill as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from eeg_tokenizer import checkpoint, training
from eeg_tokenizer.backbone import SIZES
from eeg_tokenizer.run import RunError
from eeg_tokenizer.step import take_step
from labram_model import finetune as finetune_module
from labram_model import reports
from labram_model.classifier import Classifier
from labram_model.errors import LabramError
from labram_model.evaluate import evaluate
from labram_model.finetune import FinetuneOptions, finetune, layer_scale
from labram_model.labelled_batches import classification_loss, probabilities
from labram_model.masked import MaskedModel
from labram_model.models import masked_document

StoreMaker = Callable[..., Path]
Kill = Callable[[list[str], Path], None]
TWO_STATES = """
name: rhythm
classes: {slow: [slow], fast: [fast]}
window_s: 2
training: {batch_size: 16, lr: 2.0e-3}
"""
THREE_STATES = TWO_STATES.replace("fast: [fast]", "fast: [fast], none: [none]")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task.yaml"
    path.write_text(TWO_STATES, encoding="utf-8")
    return path


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A pre-trained model, as far as fine-tuning can tell."""
    torch.manual_seed(0)
    model = MaskedModel(SIZES["tiny"], 8)
    folder = tmp_path / "pretrained"
    checkpoint.save_model(folder, model, {**masked_document(model), "size": "tiny"})
    return folder


def test_states_of_different_rhythm_are_told_apart(make_store: StoreMaker, task: Path, tmp_path: Path) -> None:
    store = make_store({}, {"name": "other", "channels": ("F3", "F4", "O1", "O2")})
    output = tmp_path / "run"
    result, exit_code = finetune(FinetuneOptions(store, task, output, steps=50))
    assert exit_code == 0
    assert result["test"]["chance"]["balanced_accuracy"] == 0.5
    assert result["test"]["scores"]["balanced_accuracy"] > 0.9
    assert result["test"]["scores"]["auroc"] > 0.9
    assert json.loads((output / "result.json").read_text()) == result
    members = [subject for part in result["split"].values() for subject in part]
    assert sorted(members) == sorted(f"{lab}/S{number:02d}" for lab in ("lab", "other") for number in range(6))
    for part, subjects in result["split"].items():
        assert result[part]["subjects"] == {"slow": len(subjects), "fast": len(subjects)}
        assert result[part]["windows"] == {"slow": 12 * len(subjects), "fast": 12 * len(subjects)}
    assert sum(map(sum, result["test"]["confusion"])) == 24 * len(result["split"]["test"])

    for part in ("val", "test"):
        scored = evaluate(store, task, output, split=part, device="auto")
        assert {name: scored[name] for name in result[part]} == result[part]
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    checks = {record["step"]: record["held_out"]["auroc"] for record in records if "held_out" in record}
    assert len(checks) >= 5
    assert checks[result["chosen"]["step"]] == max(checks.values())
    assert result["val"]["scores"]["auroc"] == max(checks.values())
    assert (output / "curves.png").stat().st_size > 1000


def test_a_split_within_subjects_is_told_and_scored_again(make_store: StoreMaker, task: Path, tmp_path: Path) -> None:
    by_event = "split: {by: event, train: ['1..2'], val: ['3..4'], test: ['5..6']}"
    task.write_text(TWO_STATES + by_event, encoding="utf-8")
    store, output = make_store({"n_subjects": 2}), tmp_path / "run"
    result, _ = finetune(FinetuneOptions(store, task, output, steps=5))
    assert (result["split_by"], result["subjects_in_several_splits"]) == ("event", ["lab/S00", "lab/S01"])
    assert result["test"]["windows"] == {"slow": 8, "fast": 8}
    scored = evaluate(store, task, output, split="test", device="auto")
    assert scored["confusion"] == result["test"]["confusion"]
    assert "2 subjects are in several splits (by event)" in reports.finetuned(result)


def test_three_classes_from_a_pretrained_model(
    make_store: StoreMaker, task: Path, pretrained: Path, tmp_path: Path
) -> None:
    task.write_text(THREE_STATES, encoding="utf-8")
    store = make_store({"states": ("slow", "fast", "none"), "rounds": 2})
    result, _ = finetune(FinetuneOptions(store, task, tmp_path / "run", checkpoint=pretrained, steps=2))
    assert result["pretrained"] == checkpoint.content_hash(pretrained)
    assert result["chosen"]["by"] == "val cohen_kappa"
    assert set(result["test"]["scores"]) == {"balanced_accuracy", "cohen_kappa", "weighted_f1"}
    assert result["test"]["chance"]["balanced_accuracy"] == pytest.approx(1 / 3)
    begun, ended = checkpoint.load_weights(pretrained), checkpoint.load_weights(tmp_path / "run")
    changed = (ended["backbone.cls_token"] - begun["backbone.cls_token"]).abs().max()
    assert 0 < changed < 1e-3  # started from those weights
    with pytest.raises(LabramError, match="expected --checkpoint or --size, found both"):
        finetune(FinetuneOptions(store, task, tmp_path / "x", checkpoint=pretrained, size="base", steps=1))


def test_a_killed_run_ends_as_an_undisturbed_one(
    make_store: StoreMaker, task: Path, tmp_path: Path, kill_at: Kill
) -> None:
    store, output = make_store({"n_subjects": 4, "rounds": 1}), tmp_path / "killed"
    undisturbed, _ = finetune(FinetuneOptions(store, task, tmp_path / "whole", steps=8))
    command = ["finetune", f"--store={store}", f"--task={task}", f"--output={output}", "--steps=8"]
    kill_at(command, output / "checkpoints" / "step-000000003")
    assert not (output / "result.json").exists()
    resumed, _ = finetune(FinetuneOptions(store, task, output, steps=8, resume=True))
    assert {**resumed, "output": undisturbed["output"]} == undisturbed
    assert (output / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (output, tmp_path / "whole")
    ]
    assert len(losses[0]) == 8
    assert losses[0] == losses[1]
    with pytest.raises(RunError, match="Give --resume to go on with it, or another --output"):
        finetune(FinetuneOptions(store, task, output, steps=8))
    with pytest.raises(RunError, match="--steps expected 8, found 9"):
        finetune(FinetuneOptions(store, task, output, steps=9, resume=True))


def test_a_run_that_another_process_has_stopped_is_not_scored(
    make_store: StoreMaker, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "take_step", lambda *given, **named: replace(take_step(*given, **named), stop=True))
    result, exit_code = finetune(
        FinetuneOptions(make_store({"n_subjects": 4, "rounds": 1}), task, tmp_path / "run", steps=8)
    )
    assert (exit_code, result["steps"], result["stopped_by"]) == (0, 1, "another process")
    assert "test" not in result
    assert not (tmp_path / "run" / "result.json").exists()
    assert "Stopped by another process" in reports.finetuned(result)


def test_a_sigterm_after_the_last_step_lets_the_run_end(
    make_store: StoreMaker, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unexpected: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: unexpected.append(number))
    try:
        monkeypatch.setattr(finetune_module, "write_page", lambda _: os.kill(os.getpid(), signal.SIGTERM))
        _, exit_code = finetune(
            FinetuneOptions(make_store({"n_subjects": 4, "rounds": 1}), task, tmp_path / "run", steps=2)
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (exit_code, unexpected) == (0, [])
    assert (tmp_path / "run" / "result.json").exists()


def test_evaluate_wants_the_model_s_own_task_and_subjects(
    make_store: StoreMaker, task: Path, pretrained: Path, tmp_path: Path
) -> None:
    store, output = make_store({"n_subjects": 4, "rounds": 1}), tmp_path / "run"
    finetune(FinetuneOptions(store, task, output, steps=1))
    with pytest.raises(LabramError, match=r"expected a model of kind classifier \(labram finetune\) or .* masked"):
        evaluate(store, task, pretrained, split="test", device="auto")
    other = make_store({"n_subjects": 1, "name": "elsewhere"}, name="other.zarr")
    with pytest.raises(LabramError, match=r"found none of lab/S0\d"):
        evaluate(other, task, output, split="train", device="auto")
    task.write_text(TWO_STATES.replace("window_s: 2", "window_s: 1"), encoding="utf-8")
    with pytest.raises(LabramError, match=r"expected window_s 2 \(found 1\)"):
        evaluate(store, task, output, split="test", device="auto")


def test_layer_decay_is_the_official_one() -> None:
    # optim_factory.py: scales 0.65 ** (13 - i) for layers i = 0..13; time_embed is not named there and so is the last.
    model = Classifier(SIZES["base"], 3)
    scale = layer_scale(model, 0.65)
    found = {name: scale(name) for name, _ in model.named_parameters()}
    assert found["backbone.patch_embed.conv1.weight"] == pytest.approx(0.65**13)
    assert found["backbone.pos_embed"] == found["backbone.cls_token"] == pytest.approx(0.65**13)
    assert found["backbone.blocks.0.attn.qkv.weight"] == pytest.approx(0.65**12)
    assert found["backbone.blocks.11.gamma_1"] == pytest.approx(0.65)
    assert found["backbone.time_embed"] == found["fc_norm.weight"] == found["head.bias"] == 1.0


def test_two_classes_are_trained_by_binary_cross_entropy() -> None:
    logits, labels = torch.tensor([[0.3], [-1.2]]), torch.tensor([1, 0])
    expected = -torch.log(torch.sigmoid(torch.tensor([0.3, 1.2]))).mean()
    assert classification_loss(logits, labels, 0.1) == pytest.approx(float(expected))
    assert probabilities(logits)[:, 1].tolist() == pytest.approx(
        [1 / (1 + 2.718281828**-0.3), 1 / (1 + 2.718281828**1.2)]
    )
    three = torch.tensor([[1.0, 0.0, -1.0]])
    log_p = three.log_softmax(1)[0]
    smoothed = -(0.9 * log_p[2] + 0.1 * log_p.mean())  # Szegedy et al. 2016
    assert classification_loss(three, torch.tensor([2]), 0.1) == pytest.approx(float(smoothed))

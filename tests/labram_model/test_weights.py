"""Official files and braindecode's into our directories and back: same numbers, same tensors, every misfit named."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.encode import encode_store, load_tokenizer
from eeg_tokenizer.state_files import read_state, write_state
from labram_model.classifier import Classifier
from labram_model.embed import load_embedder
from labram_model.errors import LabramError
from labram_model.evaluate import evaluate
from labram_model.finetune import FinetuneOptions, finetune
from labram_model.info import describe
from labram_model.models import load_finetuned, load_masked
from labram_model.pretrain import PretrainOptions, pretrain
from labram_model.weights import export_weights, import_weights
from torch import Tensor

State = dict[str, Tensor]
CPU = torch.device("cpu")
TASK = "{name: rhythm, classes: {slow: [slow], fast: [fast]}, window_s: 2}"


def official_file(path: Path, state: State) -> Path:
    """Write a file as the official `utils.save_model` does."""
    arguments = argparse.Namespace(lr=5e-4, model="labram", dist_url="env://")
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 49, "scaler": {}, "args": arguments}, path)
    return path


def golden_vectors(golden: Path, name: str) -> tuple[State, State, Batch]:
    with np.load(golden / f"{name}.npz") as arrays:
        vectors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    state = {key.removeprefix("state."): value for key, value in vectors.items() if key.startswith("state.")}
    slots = vectors["input_chans"][1:].numpy()
    return vectors, state, collate([Sample(x, 1.0, slots, window=i) for i, x in enumerate(vectors["x"].numpy())])


def same(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype for name in expected
    )


@torch.no_grad()
def test_golden_numbers_through_files_and_directories(golden: Path, tmp_path: Path) -> None:
    for name in ("masked", "finetune", "tokenizer"):
        vectors, state, batch = golden_vectors(golden, name)
        import_weights(official_file(tmp_path / f"{name}.pth", state), tmp_path / "first" / name)
        export_weights(tmp_path / "first" / name, tmp_path / f"{name}-back.pth")
        assert same(torch.load(tmp_path / f"{name}-back.pth", weights_only=True)["model"], state)
        import_weights(tmp_path / f"{name}-back.pth", tmp_path / name)
        folder = tmp_path / name
        if name == "masked":
            masked = load_masked(folder)
            logits = masked.logits(batch, vectors["mask"])
            torch.testing.assert_close(logits[vectors["mask"]], vectors["logits_masked"], rtol=0, atol=1e-5)
            torch.testing.assert_close(logits[~vectors["mask"]], vectors["logits_complement"], rtol=0, atol=1e-5)
            loss = masked(batch, vectors["targets"], vectors["mask"]).loss
            torch.testing.assert_close(loss, vectors["loss"], rtol=1e-5, atol=0)
        elif name == "finetune":
            logits = load_finetuned(folder)(batch)
            torch.testing.assert_close(logits, vectors["logits"], rtol=0, atol=1e-5)
        else:
            for path in (folder, tmp_path / "tokenizer.pth"):
                assert torch.equal(load_tokenizer(path, CPU).model.encode(batch), vectors["codes"])


def official_shapes(golden: Path, beginning: str) -> dict[str, list[int]]:
    kinds = json.loads((golden / "official_keys.json").read_text())
    shapes: dict[str, list[int]] = next(value for kind, value in kinds.items() if kind.startswith(beginning))
    return shapes


@pytest.mark.parametrize(
    ("beginning", "kind", "size"),
    [
        ("labram_base_patch200_1600", "masked", "base"),
        ("labram_large_patch200_200", "classifier", "large"),
        ("vqnsp_encoder_base", "vqnsp", "base"),
    ],
)
def test_full_size_files_come_back_to_the_bit(
    golden: Path, tmp_path: Path, beginning: str, kind: str, size: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = official_shapes(golden, beginning)
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if kind == "vqnsp":
        state["quantize.embedding.initted"] = torch.ones(1)
    if kind == "masked":
        state["logit_scale"] = torch.tensor(2.5)  # as in the released file
    told = import_weights(official_file(tmp_path / "official.pth", state), tmp_path / "model")
    assert (told["kind"], told["size"], told["tensors"]) == (kind, size, len(state))
    assert describe(tmp_path / "model")["size"] == size
    export_weights(tmp_path / "model", tmp_path / "back.pth")
    assert same(read_state(tmp_path / "back.pth"), state)


@torch.no_grad()
def test_fine_tuning_begins_as_the_official_code_does(golden: Path, tmp_path: Path) -> None:
    """It loads what stands under `student.`, all but mask token, final norm and head; cls then takes slot 0."""
    _, pretrained, _ = golden_vectors(golden, "masked")
    _, official, batch = golden_vectors(golden, "finetune")
    taken = {name.removeprefix("student."): value for name, value in pretrained.items() if name.startswith("student.")}
    expected = Classifier.from_official(official | {name: taken[name] for name in official if name in taken}).eval()

    import_weights(official_file(tmp_path / "masked.pth", pretrained), tmp_path / "masked")
    begun = Classifier.from_backbone(load_masked(tmp_path / "masked").backbone, 3).eval()
    begun.fc_norm.load_state_dict(expected.fc_norm.state_dict())
    begun.head.load_state_dict(expected.head.state_dict())
    assert torch.equal(begun(batch), expected(batch))
    begun.backbone.pos_embed[0, 0] += 1
    assert not torch.equal(begun(batch), expected(batch))


def test_every_misfit_is_named_and_nothing_is_written(golden: Path, tmp_path: Path) -> None:
    _, state, _ = golden_vectors(golden, "masked")
    wrong = dict(state)
    del wrong["student.blocks.1.mlp.fc2.bias"], wrong["student.norm.weight"]
    wrong["student.extra"] = torch.zeros(1)
    wrong["lm_head.bias"] = torch.zeros(3)
    wrong["student.cls_token"] = wrong["student.cls_token"] * torch.nan
    wrong["student.mask_token"] = wrong["student.mask_token"].int()
    with pytest.raises(LabramError) as error:
        import_weights(official_file(tmp_path / "wrong.pth", wrong), tmp_path / "model")
    for named in ("missing student.blocks.1.mlp.fc2.bias", "missing student.norm.weight", "unexpected student.extra"):
        assert named in str(error.value)
    assert "lm_head.bias: expected (64,), found (3,)" in str(error.value)
    assert "student.cls_token: expected finite numbers, found others" in str(error.value)
    assert "student.mask_token: expected floating-point numbers, found torch.int32" in str(error.value)
    assert not (tmp_path / "model").exists()

    import_weights(official_file(tmp_path / "right.pth", state), tmp_path / "model")
    with pytest.raises(LabramError, match="expected no model there, found one"):
        import_weights(tmp_path / "right.pth", tmp_path / "model")


def test_classes_are_named_on_import(golden: Path, tmp_path: Path) -> None:
    _, state, _ = golden_vectors(golden, "finetune")
    path = official_file(tmp_path / "finetune.pth", state)
    import_weights(path, tmp_path / "named", classes=["a", "b", "c"])
    assert describe(tmp_path / "named")["classes"] == ["a", "b", "c"]
    assert describe(path)["classes"] == ["class_0", "class_1", "class_2"]
    with pytest.raises(LabramError, match=r"names for its 3 outputs .* found a, b"):
        import_weights(path, tmp_path / "other", classes=["a", "b"])


def test_official_files_in_every_command(golden: Path, tmp_path: Path, make_store: Callable[..., Path]) -> None:
    store = make_store({"n_subjects": 4, "rounds": 1})
    task = tmp_path / "task.yaml"
    task.write_text(TASK, encoding="utf-8")
    states = {name: golden_vectors(golden, name)[1] for name in ("masked", "finetune", "tokenizer")}
    states["finetune"] |= {"head.weight": torch.ones(1, 100), "head.bias": torch.zeros(1)}  # two classes
    files = {name: official_file(tmp_path / f"{name}.pth", state) for name, state in states.items()}

    encoded = encode_store(store, files["tokenizer"], device="cpu")["tokenizer"]
    assert encoded == import_weights(files["tokenizer"], tmp_path / "tokenizer")["content_hash"]
    assert encode_store(store, tmp_path / "tokenizer", device="cpu")["recordings"] == 0  # has its codes by either name
    steps: Any = {"steps": 2, "device": "cpu"}
    trained, _ = pretrain(
        PretrainOptions(store, tmp_path / "run", tokenizer=files["tokenizer"], size="tiny", batch_size=4, **steps)
    )
    assert trained["tokenizer"] == encoded

    tuned, _ = finetune(FinetuneOptions(store, task, tmp_path / "tuned", checkpoint=files["masked"], **steps))
    told = import_weights(files["masked"], tmp_path / "masked")
    assert tuned["pretrained"] == told["content_hash"]
    again, _ = finetune(FinetuneOptions(store, task, tmp_path / "again", checkpoint=tmp_path / "masked", **steps))
    assert again["test"] == tuned["test"]
    finetune(FinetuneOptions(store, task, tmp_path / "further", checkpoint=files["finetune"], **steps))

    two = {"head.weight": torch.stack([torch.zeros(100), torch.ones(100)]), "head.bias": torch.zeros(2)}
    softmax = official_file(tmp_path / "softmax.pth", states["finetune"] | two)  # the same, with an output for each
    with pytest.raises(LabramError, match=rf"the model in {files['tokenizer']}: .* found vqnsp"):
        finetune(FinetuneOptions(store, task, tmp_path / "wrong", checkpoint=files["tokenizer"], **steps))
    scored = evaluate(store, task, files["finetune"], split="test", device="cpu")
    assert evaluate(store, task, softmax, split="test", device="cpu")["scores"] == scored["scores"]
    assert scored["classes"] == ["slow", "fast"]
    assert scored["subjects"] == tuned["test"]["subjects"]
    assert describe(files["masked"])["content_hash"] == told["content_hash"]
    assert load_embedder(tmp_path / "masked").config.cls_position == "first_channel"


def test_our_models_go_out_too(tmp_path: Path, make_store: Callable[..., Path], golden: Path) -> None:
    store = make_store({"n_subjects": 4, "rounds": 1})
    options = PretrainOptions(store, tmp_path / "run", size="tiny", batch_size=4, steps=2, device="cpu", recipe="paper")
    pretrain(options)
    export_weights(tmp_path / "run", tmp_path / "run.pth")
    export_weights(tmp_path / "run" / "tokenizer", tmp_path / "tokenizer.pth")
    import_weights(tmp_path / "run.pth", tmp_path / "back")
    expected = checkpoint.load_weights(tmp_path / "run")
    assert same(checkpoint.load_weights(tmp_path / "back"), expected)
    shapes = official_shapes(golden, "labram_base_patch200_1600")
    tiny = {name for name in shapes if "gamma" not in name and not re.search(r"blocks\.([4-9]|1\d)\.", name)}
    assert read_state(tmp_path / "run.pth").keys() == tiny  # four blocks without layer scale

    pretrain(PretrainOptions(store, tmp_path / "new", size="tiny", batch_size=4, steps=1, device="cpu"))
    with pytest.raises(LabramError, match="Train with --recipe paper"):
        export_weights(tmp_path / "new" / "tokenizer", tmp_path / "new.pth")
    assert not (tmp_path / "new.pth").exists()


def test_write_state_leaves_what_was_there(tmp_path: Path) -> None:
    write_state(tmp_path / "a.pth", {"a": torch.ones(2)})
    with pytest.raises(AttributeError):
        write_state(tmp_path / "a.pth", {"a": "no tensor"})  # type: ignore[dict-item]
    assert torch.equal(read_state(tmp_path / "a.pth")["a"], torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]

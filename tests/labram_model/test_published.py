"""Models as folders and repositories of the hub: the same outputs, no network unless asked for, nothing private."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from eeg_tokenizer import checkpoint
from eeg_tokenizer.backbone import SIZES
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.published import PublishedModel
from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP
from labram_model.classifier import Classifier
from labram_model.masked import MaskedModel
from labram_model.models import CLASSIFIER, finetuned_document, load_finetuned

COMMIT = "0" * 40


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def windows() -> Batch:
    signal = torch.randn(2, 3, 2, 200, generator=torch.Generator().manual_seed(0)).numpy()
    return collate([Sample(window, 1.0, torch.arange(1, 4).numpy(), window=i) for i, window in enumerate(signal)])


@torch.no_grad()
def outputs(model: PublishedModel) -> torch.Tensor:
    batch = windows()
    if isinstance(model, VQNSP):
        return model.encode(batch)
    if isinstance(model, MaskedModel):
        return model.logits(batch, batch.time == 0)
    out: torch.Tensor = model(batch)
    return out


def trained_tokenizer() -> VQNSP:
    model = VQNSP(TOKENIZER_SIZES["tiny"])
    model.quantizer.started.fill_(True)  # its codebook is what it was drawn as
    return model


MODELS = [trained_tokenizer(), MaskedModel(SIZES["tiny"], 16), Classifier(SIZES["tiny"], 4)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_folders(model: PublishedModel, tmp_path: Path) -> None:
    model.eval().save_pretrained(tmp_path, license="cc-by-4.0", data="four nights", metrics={"auroc": 0.75})
    loaded = type(model).from_pretrained(str(tmp_path))
    assert not loaded.training
    assert torch.equal(outputs(loaded), outputs(model))
    _, head, text = (tmp_path / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "cc-by-4.0"
    assert all(shown in text for shown in ("four nights", "| auroc | 0.7500 |", f"{type(model).__name__}.from_pre"))
    shutil.copytree(tmp_path, tmp_path / "again")
    loaded.save_pretrained(tmp_path / "again")
    assert checkpoint.content_hash(tmp_path / "again") == checkpoint.content_hash(tmp_path)
    other = Classifier if isinstance(model, VQNSP) else VQNSP
    with pytest.raises(CheckpointError, match=f"Cannot load a {other.__name__} from .* found"):
        other.from_pretrained(tmp_path)


def test_official_files(tmp_path: Path) -> None:
    model = MaskedModel(SIZES["tiny"], 16)
    torch.save({"model": model.to_official()}, tmp_path / "masked.pth")
    loaded = MaskedModel.from_pretrained(tmp_path / "masked.pth")
    assert loaded.config.cls_position == "first_channel"
    assert torch.equal(loaded.head.weight, model.head.weight)


def test_what_is_published_of_a_run(tmp_path: Path) -> None:
    model = Classifier(SIZES["tiny"], 1)
    document = finetuned_document(model, CLASSIFIER, {"classes": ["wake", "sleep"]})
    private = {"options": {"store": "/home/me"}, "split": {"train": ["lab/S01"]}, "task": {}, "data": {}}
    checkpoint.save_model(tmp_path / "run", model, document | private | {"size": "tiny", "val": {"auroc": 0.9}})
    load_finetuned(tmp_path / "run").save_pretrained(tmp_path / "public")
    found = checkpoint.load_config(tmp_path / "public")
    assert not found.keys() & private.keys()
    assert (found["size"], found["config"]["classes"]) == ("tiny", ["wake", "sleep"])
    card = (tmp_path / "public" / "README.md").read_text()
    assert "to tell wake, sleep apart" in card
    assert "| auroc | 0.9000 |" in card


def test_repositories_come_from_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra `hub` is not installed")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--lab--model"
    MODELS[1].eval().save_pretrained(cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    assert torch.equal(outputs(MaskedModel.from_pretrained("lab/model")), outputs(MODELS[1]))
    with pytest.raises(CheckpointError, match=r"Cannot load lab/other: .* local_files_only=False"):
        MaskedModel.from_pretrained("lab/other")


def test_what_is_neither_a_path_nor_a_repository(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nothing", "nothing"):
        with pytest.raises(CheckpointError, match="No model in"):
            VQNSP.from_pretrained(wrong)


class FakeApi:
    """Stands for `huggingface_hub.HfApi`: takes what is uploaded."""

    done: list[tuple[str, dict[str, Any]]]

    def __init__(self, token: str | None = None) -> None:
        FakeApi.done = [("token", {"token": token})]

    def create_repo(self, repo_id: str, **options: Any) -> str:
        self.done.append((repo_id, options))
        return f"https://hub/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        self.done.append((repo_id, {"files": files, "message": commit_message}))


def test_push_to_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    monkeypatch.setattr(hub, "HfApi", FakeApi)
    url = MODELS[0].push_to_hub("lab/codes", token="secret", license="mit")
    (_, made), (_, created), (repository, uploaded) = FakeApi.done
    assert (url, repository, made["token"]) == ("https://hub/lab/codes", "lab/codes", "secret")
    assert created == {"private": True, "exist_ok": True}
    assert uploaded["files"].keys() == {"config.json", "model.safetensors", "README.md"}
    assert json.loads(uploaded["files"]["config.json"])["model"] == "vqnsp"
    assert b"license: mit" in uploaded["files"]["README.md"]
    assert not any(b"secret" in data for data in uploaded["files"].values())


def test_without_the_extra_a_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"pip install 'eeg-tokenizer\[hub\]'"):
        VQNSP.from_pretrained("lab/codes")
    with pytest.raises(CheckpointError, match=r"pip install 'eeg-tokenizer\[hub\]'"):
        MODELS[0].push_to_hub("lab/codes")

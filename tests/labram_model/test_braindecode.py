"""State dicts of braindecode's Labram: their names load, give what its forward gives, and misfits are named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_store.channels import slot_of
from eeg_tokenizer.batches import Sample, collate
from labram_model.errors import LabramError
from labram_model.info import describe
from labram_model.models import load_backbone, load_finetuned
from labram_model.weights import import_weights
from torch import Tensor

WIDTH, SECONDS = 100, 4
NAMES = ("FZ", "T3", "C3", "T7", "O2", "A1")  # not in the vocabulary's order


def recorded_shapes(*, pooling: str, bias: bool, gains: bool) -> dict[str, tuple[int, ...]]:
    """Return names and shapes as braindecode 1.8.1 has them, for two layers and three outputs."""
    filters = WIDTH // 25
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "position_embedding": (1, 129, WIDTH),
        "temporal_embedding": (1, SECONDS + 1, WIDTH),
        "patch_embed.temporal_conv.conv1.weight": (filters, 1, 1, 15),
        "patch_embed.temporal_conv.conv2.weight": (filters, filters, 1, 3),
        "patch_embed.temporal_conv.conv3.weight": (filters, filters, 1, 3),
        "final_layer.weight": (3, WIDTH),
        "final_layer.bias": (3,),
    }
    for number in (1, 2, 3):
        shapes[f"patch_embed.temporal_conv.conv{number}.bias"] = (filters,)
    norms = [(f"patch_embed.temporal_conv.norm{number}", filters) for number in (1, 2, 3)]
    norms.append(("fc_norm" if pooling == "mean" else "norm", WIDTH))
    for block in ("blocks.0.", "blocks.1."):
        norms += [(f"{block}norm1", WIDTH), (f"{block}norm2", WIDTH)]
        norms += [(f"{block}attn.q_norm", 20), (f"{block}attn.k_norm", 20)]
        shapes[f"{block}attn.qkv.weight"] = (3 * WIDTH, WIDTH)
        shapes[f"{block}attn.proj.weight"], shapes[f"{block}attn.proj.bias"] = (WIDTH, WIDTH), (WIDTH,)
        shapes[f"{block}mlp.0.weight"], shapes[f"{block}mlp.0.bias"] = (4 * WIDTH, WIDTH), (4 * WIDTH,)
        shapes[f"{block}mlp.2.weight"], shapes[f"{block}mlp.2.bias"] = (WIDTH, 4 * WIDTH), (WIDTH,)
        if bias:
            shapes[f"{block}attn.q_bias"] = shapes[f"{block}attn.v_bias"] = (WIDTH,)
        if gains:
            shapes[f"{block}gamma_1"] = shapes[f"{block}gamma_2"] = (WIDTH,)
    return shapes | {f"{name}.{part}": (width,) for name, width in norms for part in ("weight", "bias")}


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.15 for name, shape in shapes.items()}


def labram(**options: Any) -> Any:
    """Return braindecode's model, where it is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("braindecode.models", reason="braindecode is not installed", exc_type=ImportError)
        sizes = {"num_layers": 2, "num_heads": 5, "conv_out_channels": WIDTH // 25, "n_outputs": 3}
        return models.Labram(n_times=SECONDS * 200, n_chans=len(NAMES), **sizes, **options).eval()


CASES = [("cls", False, True), ("mean", False, True), ("mean", True, False)]


@pytest.mark.parametrize(("pooling", "bias", "gains"), CASES)
def test_recorded_names_load(tmp_path: Path, pooling: str, bias: bool, gains: bool) -> None:
    state = drawn(recorded_shapes(pooling=pooling, bias=bias, gains=gains))
    torch.save(state, tmp_path / "labram.pt")
    told = import_weights(tmp_path / "labram.pt", tmp_path / "model", classes=["a", "b", "c"])
    assert (told["from"], told["kind"], told["tensors"]) == ("braindecode", "classifier", len(state))
    model = load_finetuned(tmp_path / "model")
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == sum(map(torch.numel, state.values()))
    assert model.pooling == pooling
    assert torch.equal(model.state_dict()["backbone.blocks.1.mlp.fc2.weight"], state["blocks.1.mlp.2.weight"])
    assert torch.equal(load_backbone(tmp_path / "model").pos_embed, state["position_embedding"])
    assert describe(tmp_path / "labram.pt")["content_hash"] != told["content_hash"]  # names of classes are part of it


@pytest.mark.parametrize(("pooling", "bias", "gains"), CASES)
@torch.no_grad()
def test_outputs_are_those_of_braindecode(tmp_path: Path, pooling: str, bias: bool, gains: bool) -> None:
    shapes = recorded_shapes(pooling=pooling, bias=bias, gains=gains)
    theirs = labram(use_mean_pooling=pooling == "mean", qkv_bias=bias, init_values=0.1 if gains else None)
    assert {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()} == shapes
    theirs.load_state_dict(drawn(shapes))
    torch.save(theirs.state_dict(), tmp_path / "labram.pt")
    import_weights(tmp_path / "labram.pt", tmp_path / "model")
    signal = torch.randn(2, len(NAMES), SECONDS * 200, generator=torch.Generator().manual_seed(1))
    slots = np.array([slot_of(name) for name in NAMES])
    batch = collate([Sample(window.reshape(len(NAMES), SECONDS, 200).numpy(), 1.0, slots) for window in signal])
    ours = load_finetuned(tmp_path / "model")(batch)
    torch.testing.assert_close(ours, theirs(signal, ch_names=list(NAMES)), rtol=0, atol=1e-5)


@torch.no_grad()
def test_two_outputs_stay_two(tmp_path: Path) -> None:
    state = drawn(recorded_shapes(pooling="cls", bias=False, gains=True))
    state |= {"final_layer.weight": state["final_layer.weight"][:2], "final_layer.bias": state["final_layer.bias"][:2]}
    torch.save(state, tmp_path / "labram.pt")
    import_weights(tmp_path / "labram.pt", tmp_path / "model", classes=["wake", "sleep"])
    model = load_finetuned(tmp_path / "model")
    assert torch.equal(model.head.weight, state["final_layer.weight"])
    model.save_pretrained(tmp_path / "published")
    assert torch.equal(load_finetuned(tmp_path / "published").head.bias, state["final_layer.bias"])
    assert describe(tmp_path / "published")["classes"] == ["wake", "sleep"]


def test_every_misfit_is_named_as_the_official_code_names_it(tmp_path: Path) -> None:
    state = drawn(recorded_shapes(pooling="cls", bias=False, gains=True))
    del state["blocks.1.mlp.2.bias"]
    state["patch_embed.segment_patch.patcher.weight"] = torch.zeros(200, 1, 200)  # learned_patcher=True
    torch.save(state, tmp_path / "labram.pt")
    with pytest.raises(LabramError) as error:
        import_weights(tmp_path / "labram.pt", tmp_path / "model")
    assert "missing blocks.1.mlp.fc2.bias" in str(error.value)
    assert "unexpected patch_embed.segment_patch.patcher.weight" in str(error.value)


def test_the_neural_decoder_is_refused_with_the_reason(tmp_path: Path) -> None:
    state = drawn(recorded_shapes(pooling="mean", bias=False, gains=True))
    state = {name: value for name, value in state.items() if "temporal_conv" not in name}
    state |= {"patch_embed.segment_patch.proj.weight": torch.zeros(WIDTH, 64, 1, 200)}
    state |= {"blocks.0.attn.relative_position_bias_table": torch.zeros(10, 5)}
    torch.save(state, tmp_path / "decoder.pt")
    with pytest.raises(LabramError, match=r"neural decoder \(blocks.0.attn.relative_position_bias_table"):
        import_weights(tmp_path / "decoder.pt", tmp_path / "model")

"""The tokenizer against numbers of the official code: to 1e-5, gradient norm and codebook to 1e-4 relative."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.spectrum import spectrum_targets
from eeg_tokenizer.vqnsp import VQNSP
from torch import Tensor

Vectors = dict[str, Tensor]


@pytest.fixture
def vectors(golden: Path) -> Vectors:
    with np.load(golden / "tokenizer.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _state(vectors: Vectors) -> Vectors:
    return {name.removeprefix("state."): value for name, value in vectors.items() if name.startswith("state.")}


def _batch(vectors: Vectors) -> Batch:
    slots = vectors["input_chans"][1:].numpy()
    return collate([Sample(window, 1.0, slots, window=i) for i, window in enumerate(vectors["x"].numpy())])


def _close(found: Tensor, expected: Tensor, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    torch.testing.assert_close(found, expected.reshape(found.shape), rtol=rtol, atol=atol)


def test_evaluation(vectors: Vectors) -> None:
    model = VQNSP.from_official(_state(vectors)).eval()
    batch = _batch(vectors)
    with torch.no_grad():
        out = model(batch)
        decoded = model.decode(model.quantize(batch, None).vectors, batch, None)
    targets = spectrum_targets(batch.patches, None)

    assert torch.equal(out.codes, vectors["codes"])
    assert torch.equal(model.encode(batch), vectors["codes"])
    _close(decoded["amplitude"], vectors["rec_amplitude"], atol=1e-5)
    _close(decoded["phase"], vectors["rec_phase"], atol=1e-5)
    _close(targets["amplitude"], vectors["target_amplitude"], atol=1e-5)
    _close(targets["phase"], vectors["target_phase"], atol=1e-5)
    _close(out.parts["commitment"], vectors["quant_loss"], rtol=1e-5)
    _close(out.parts["amplitude"], vectors["amplitude_loss"], rtol=1e-5)
    _close(out.parts["phase"], vectors["phase_loss"], rtol=1e-5)
    _close(out.loss, vectors["total_loss"], rtol=1e-5)


def test_one_training_step(vectors: Vectors) -> None:
    model = VQNSP.from_official(_state(vectors)).train()
    out = model(_batch(vectors))
    out.loss.backward()
    model.quantizer.learn(out.units.flatten(0, 1), out.codes.flatten())
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None for gradient in gradients)
    norm = torch.stack([gradient.norm() for gradient in gradients if gradient is not None]).norm()

    _close(out.loss.detach(), vectors["train_total_loss"], rtol=1e-5)
    _close(norm, vectors["grad_norm"], rtol=1e-4)
    _close(model.quantizer.codebook, vectors["codebook_after_one_train_forward"], rtol=1e-4, atol=1e-7)


def test_the_official_state_comes_back(vectors: Vectors) -> None:
    state = _state(vectors)
    back = VQNSP.from_official(state).to_official()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) and back[name].dtype == state[name].dtype for name in state)


@pytest.mark.parametrize("layers", [12, 24])
def test_the_full_size_checkpoints_map(golden: Path, layers: int) -> None:
    kinds = json.loads((golden / "official_keys.json").read_text())
    shapes = next(value for kind, value in kinds.items() if kind.startswith("vqnsp") and f"3x200x{layers}" in kind)
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        model = VQNSP.from_official(state)
    assert (model.config.encoder.layers, model.config.encoder.heads, model.config.n_codes) == (layers, 10, 8192)
    assert {name: list(tensor.shape) for name, tensor in model.to_official().items()} == shapes

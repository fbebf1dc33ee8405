"""The official numbers through the other ways that a batch is computed: compiled, and padded beside longer windows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.compute import Compute
from eeg_tokenizer.vqnsp import VQNSP
from labram_model.classifier import Classifier
from labram_model.masked import MaskedModel
from torch import Tensor

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # by torch.compile itself
N = 15  # patches of an official window: 5 channels of 3 s
Read = Callable[[str], tuple[dict[str, Tensor], dict[str, Tensor], Batch]]
compiled = pytest.param(
    True, marks=pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
)


@pytest.fixture(autouse=True)
def _forget_compiled() -> Iterator[None]:
    yield
    torch.compiler.reset()


@pytest.fixture(params=[False, True], ids=["alone", "beside a longer window"])
def read(golden: Path, request: pytest.FixtureRequest) -> Read:
    """Read vectors, state and batch of a file; the official windows come first in the batch."""

    def read(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor], Batch]:
        with np.load(golden / f"{name}.npz") as arrays:
            vectors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        state = {key.removeprefix("state."): value for key, value in vectors.items() if key.startswith("state.")}
        slots = vectors["input_chans"][1:].numpy()
        samples = [Sample(window, 1.0, slots, window=i) for i, window in enumerate(vectors["x"].numpy())]
        if request.param:
            longer = np.random.default_rng(0).standard_normal((9, 4, 200)).astype(np.float32)
            samples.append(Sample(longer, 1.0, np.arange(20, 29), window=len(samples)))
        return vectors, state, collate(samples)

    return read


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.reshape(found.shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize("compile_it", [False, compiled])
@torch.no_grad()
def test_masked_model(read: Read, *, compile_it: bool) -> None:
    vectors, state, batch = read("masked")
    model = MaskedModel.from_official(state).eval()
    Compute(compiled=compile_it).prepare(model)
    mask = torch.zeros_like(batch.valid)
    mask[:2, :N] = vectors["mask"]
    logits = model.logits(batch, mask)[:2, :N]
    close(logits[vectors["mask"]], vectors["logits_masked"])
    close(logits[~vectors["mask"]], vectors["logits_complement"])
    codes = torch.full(batch.valid.shape, -1)  # none for the window that is not official
    codes[:2, :N] = vectors["targets"]
    close(model(batch, codes, mask).loss, vectors["loss"])


@pytest.mark.parametrize("compile_it", [False, compiled])
@torch.no_grad()
def test_classifier(read: Read, *, compile_it: bool) -> None:
    vectors, state, batch = read("finetune")
    model = Classifier.from_official(state).eval()
    Compute(compiled=compile_it).prepare(model)
    close(model.features(batch)[:2], vectors["pooled"])
    close(model(batch)[:2], vectors["logits"])


@pytest.mark.parametrize("compile_it", [False, compiled])
@torch.no_grad()
def test_tokenizer(read: Read, *, compile_it: bool) -> None:
    vectors, state, batch = read("tokenizer")
    model = VQNSP.from_official(state).eval()
    Compute(compiled=compile_it).prepare(model)
    rebuilt = model.reconstruct(batch)
    assert torch.equal(rebuilt.quantized.codes[:2, :N], vectors["codes"].reshape(2, N))
    assert torch.equal(model.encode(batch)[:2, :N], vectors["codes"].reshape(2, N))
    close(rebuilt.predicted["amplitude"][:2, :N], vectors["rec_amplitude"])
    close(rebuilt.predicted["phase"][:2, :N], vectors["rec_phase"])
    close(rebuilt.targets["amplitude"][:2, :N], vectors["target_amplitude"])

"""The official numbers with codes out of a store.

A store keeps int16 steps of 0.1 µV, which the vectors' signal is not made of. So the codes go through the store, which
keeps them exactly, and the signal that the store gives back is replaced by the official one in fp32.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from eeg_store import QUALITY_MEASURES, RecordingWriter, SlotRequest, Store
from eeg_store.channels import VOCABULARY
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.encode import encode_store
from eeg_tokenizer.loader import StoredWindows
from eeg_tokenizer.vqnsp import VQNSP
from eeg_tokenizer.windows import GRID, cut_grid
from labram_model.code_source import choose_codes
from labram_model.masked import MaskedModel
from torch import Tensor

from tests.labram_model.conftest import Lab, recording_row

CPU = torch.device("cpu")
SCALE = 0.001  # of a stored step, in units of the model
Vectors = dict[str, Tensor]


def read_vectors(path: Path) -> tuple[Vectors, Vectors]:
    with np.load(path) as arrays:
        vectors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return vectors, {name.removeprefix("state."): value for name, value in vectors.items() if name.startswith("state.")}


def store_windows(path: Path, vectors: Vectors) -> Store:
    """Write each official window (C, A, 200) as a recording of its length."""
    signal = (vectors["x"] / SCALE).round().to(torch.int16).numpy().transpose(0, 2, 1, 3)
    names = tuple(VOCABULARY[slot - 1] for slot in vectors["input_chans"][1:].tolist())
    lab = Lab(channels=names)
    store = Store.create(path, {"made_by": "tests"})
    labels = [f"lab/S{number:02d}" for number in range(len(signal))]
    slots = store.reserve([SlotRequest(label, "lab", names, None, signal.shape[1]) for label in labels])
    for number, label in enumerate(labels):
        with RecordingWriter(store, slots[label]) as writer:
            writer.append(signal[number], np.zeros((*signal.shape[1:3], len(QUALITY_MEASURES)), dtype=np.float32))
            writer.commit(recording_row(lab, number, signal.shape[1]), [])
    return store


def with_codes(store: Store, tokenizer: str, codes: Tensor, n_codes: int) -> None:
    """Write codes (B, C A), channel by channel, beside the recordings."""
    for number, row in enumerate(store.recordings().to_pylist()):
        attributes = {"n_codes": n_codes, "grid": GRID, "window_seconds": row["n_seconds"]}
        store.create_codes(tokenizer, row["array"], attributes)
        values = codes[number].reshape(-1, row["n_seconds"]).T.to(torch.int32).numpy()
        store.write_codes(tokenizer, row, values)


def exact(batch: Batch, vectors: Vectors) -> Batch:
    """Put the official signal in the place of the stored one, which must be the same but for its rounding."""
    slots = vectors["input_chans"][1:].numpy()
    official = collate([Sample(window, 1.0, slots, window=i) for i, window in enumerate(vectors["x"].numpy())])
    torch.testing.assert_close(batch.patches, official.patches, rtol=0, atol=SCALE * 0.501)
    assert torch.equal(batch.channel, official.channel)
    assert torch.equal(batch.time, official.time)
    return replace(batch, patches=official.patches)


@torch.no_grad()
def test_masked_loss_with_targets_out_of_a_store(golden: Path, tmp_path: Path) -> None:
    vectors, state = read_vectors(golden / "masked.npz")
    store = store_windows(tmp_path / "data.zarr", vectors)
    with_codes(store, "a" * 64, vectors["targets"], 64)
    codes = choose_codes(store, None, CPU, stride_seconds=4)
    read = StoredWindows(store, codes.windows, codes=codes.stored).read(np.arange(2))
    assert torch.equal(codes.of(read), vectors["targets"])
    out = MaskedModel.from_official(state).eval()(exact(read, vectors), codes.of(read), vectors["mask"])
    torch.testing.assert_close(out.loss, vectors["loss"], rtol=1e-5, atol=0)


@torch.no_grad()
def test_codes_that_encoding_wrote(golden: Path, tmp_path: Path) -> None:
    vectors, state = read_vectors(golden / "tokenizer.npz")
    torch.save({"model": state}, tmp_path / "vqnsp.pth")
    store = store_windows(tmp_path / "data.zarr", vectors)
    written = encode_store(store.path, tmp_path / "vqnsp.pth", device="cpu")["tokenizer"]
    read = StoredWindows(store, cut_grid(store), codes=written).read(np.arange(2))
    model = VQNSP.from_official(state).eval()
    assert read.codes is not None
    assert torch.equal(read.codes, model.encode(read))
    assert torch.equal(model.encode(exact(read, vectors)), vectors["codes"])
    assert (read.codes == vectors["codes"]).float().mean() >= 0.9  # rounding moves few, if any

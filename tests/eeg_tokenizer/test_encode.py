from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_store import Store, WindowReader
from eeg_store.channels import slot_of
from eeg_tokenizer import checkpoint
from eeg_tokenizer.batches import Sample, collate
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.encode import encode_store, load_tokenizer
from eeg_tokenizer.loader import StoredWindows
from eeg_tokenizer.objective import start_codebook
from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP, VQNSPConfig
from eeg_tokenizer.windows import cut_grid, cut_windows

from .conftest import MIXED

CPU = torch.device("cpu")


def config(n_codes: int = 64) -> VQNSPConfig:
    tiny = TOKENIZER_SIZES["tiny"]
    return replace(
        tiny, n_codes=n_codes, encoder=replace(tiny.encoder, layers=1), decoder=replace(tiny.decoder, layers=1)
    )


@pytest.fixture(scope="module")
def tokenizer(mixed_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that is not trained, but has a codebook."""
    folder = tmp_path_factory.mktemp("tokenizer")
    torch.manual_seed(0)
    model = VQNSP(config())
    windows = cut_windows(mixed_store, stride_seconds=1)
    start_codebook(model, [StoredWindows(mixed_store, windows).read(np.arange(len(windows)))], seed=0)
    checkpoint.save_model(folder, model, {"model": "vqnsp", "config": asdict(config())})
    return folder


def codes_of(store: Store, content_hash: str) -> dict[str, np.ndarray[Any, Any]]:
    reader = WindowReader(store)
    return {
        row["recording"]: reader.read_codes(content_hash, [(row["array"], row["first_second"], row["n_seconds"])])[0]
        for row in store.recordings().to_pylist()
    }


def test_stored_codes_are_those_of_each_window_alone(make_store: Callable[..., Store], tokenizer: Path) -> None:
    store = make_store(*MIXED)
    summary = encode_store(store.path, tokenizer, device="cpu")
    model, reader = load_tokenizer(tokenizer, CPU).model, WindowReader(store)
    written = codes_of(store, summary["tokenizer"])
    for row in store.recordings().to_pylist():
        channels = store.array(row["array"]).channels
        slots = [slot_of(name) for name in channels]
        usable = [index for index, slot in enumerate(slots) if slot is not None]
        length = min(16, 256 // len(usable))
        expected = np.full((row["n_seconds"], len(channels)), -1)
        for segment in row["segments"]:
            end = segment["first_second"] + segment["n_seconds"]
            for first in range(segment["first_second"], end, length):
                n = min(length, end - first)
                (signal,) = reader.read([(row["array"], (row["first_second"] + first) * 200, n)])
                window = Sample(signal[usable], 0.001, np.array([slots[index] for index in usable]))
                expected[first : first + n, usable] = model.encode(collate([window]))[0].reshape(len(usable), n).T
        # Two codes may be equally near within rounding, which depends on the batch a window is in.
        assert (written[row["recording"]] == expected).mean() > 0.995
        assert ((written[row["recording"]] >= 0) == (expected >= 0)).all()
    assert len(np.unique(np.concatenate([codes.ravel() for codes in written.values()]))) > 10
    assert summary["recordings"] == len(MIXED)
    assert summary["codes"] == sum(int((codes >= 0).sum()) for codes in written.values())


def test_encoding_again_writes_nothing_and_new_recordings_only(
    make_store: Callable[..., Store], tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(*MIXED)
    real, written = Store.write_codes, list[str]()

    def write(self: Store, content_hash: str, row: Any, values: Any) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        real(self, content_hash, row, values)
        written.append(row["recording"])

    with monkeypatch.context() as full:
        full.setattr(Store, "write_codes", write)
        with pytest.raises(OSError, match="No space"):
            encode_store(store.path, tokenizer, device="cpu")
    second = encode_store(store.path, tokenizer, device="cpu")
    assert (second["recordings"], second["recordings_before"]) == (len(MIXED) - 2, 2)
    third = encode_store(store.path, tokenizer, device="cpu")
    assert (third["recordings"], third["codes"]) == (0, 0)
    undisturbed = make_store(*MIXED)
    content_hash = encode_store(undisturbed.path, tokenizer, device="cpu")["tokenizer"]
    assert content_hash == third["tokenizer"]
    expected = codes_of(undisturbed, content_hash)
    for name, codes in codes_of(store, content_hash).items():
        np.testing.assert_array_equal(codes, expected[name])
    assert store.validate() == []


def test_windows_that_are_left_out_have_no_codes(make_store: Callable[..., Store], tokenizer: Path) -> None:
    store = make_store({"name": "a", "segments": (40,), "broken_seconds": [20]})
    summary = encode_store(store.path, tokenizer, device="cpu")
    assert summary["windows_left_out"] == 1
    codes = codes_of(store, summary["tokenizer"])["a"]
    assert np.flatnonzero((codes == -1).any(axis=1)).tolist() == list(range(16, 32))


def test_codes_come_back_through_the_loader(make_store: Callable[..., Store], tokenizer: Path) -> None:
    store = make_store(*MIXED)
    content_hash = encode_store(store.path, tokenizer, device="cpu")["tokenizer"]
    windows = cut_grid(store)
    batch = StoredWindows(store, windows, codes=content_hash).read(np.arange(len(windows)))
    assert batch.codes is not None
    assert ((batch.codes >= 0) == batch.valid).all()
    encoded = load_tokenizer(tokenizer, CPU).model.encode(batch)
    assert (batch.codes == encoded).double().mean() > 0.995
    assert store.code_sets()[content_hash]["n_codes"] == 64


def test_a_second_tokenizer_has_codes_of_its_own(
    make_store: Callable[..., Store], tokenizer: Path, tmp_path: Path
) -> None:
    store = make_store({"name": "a"})
    model = load_tokenizer(tokenizer, CPU).model
    with torch.no_grad():
        model.quantizer.codebook.copy_(model.quantizer.codebook.flip(0))
    checkpoint.save_model(tmp_path, model, checkpoint.load_config(tokenizer))
    first, second = (encode_store(store.path, folder, device="cpu")["tokenizer"] for folder in (tokenizer, tmp_path))
    assert first != second
    np.testing.assert_array_equal(codes_of(store, second)["a"], 63 - codes_of(store, first)["a"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "labram"}, "found 'labram'"),
        ({"config": {}}, "found KeyError"),
        ({"config": asdict(config(65))}, "quantizer.codebook of shape"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tokenizer: Path, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match="No model in"):
        load_tokenizer(tmp_path, CPU)
    model = load_tokenizer(tokenizer, CPU).model
    checkpoint.save_model(tmp_path, model, {**checkpoint.load_config(tokenizer), **wrong})
    with pytest.raises(CheckpointError, match=message):
        load_tokenizer(tmp_path, CPU)

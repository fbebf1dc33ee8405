"""Embeddings of raw files are those of the model on what a store would hold of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyedflib
import pytest
import torch
from eeg_ingest.harmonize import HarmonizedBlock
from eeg_store import QUALITY_MEASURES, Store
from eeg_tokenizer import checkpoint
from eeg_tokenizer.backbone import SIZES
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.loader import StoredWindows
from eeg_tokenizer.windows import cut_grid
from labram_model import embed as module
from labram_model.classifier import Classifier
from labram_model.embed import EmbedOptions, choose_source, embed, embeddings, unbroken_windows
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel
from labram_model.models import CLASSIFIER, finetuned_document, masked_document

LABELS = ("EEG Fp1-REF", "EEG F3-REF", "ECG EKG", "EEG O2-REF", "EEG Cz-REF", "EEG ZZ9-REF")


def write_edf(path: Path, n_seconds: int, seed: int = 0) -> Path:
    """Noise of 20 µV and 50 Hz hum, at 256 Hz."""
    rng, sfreq_hz = np.random.default_rng(seed), 256
    time_s = np.arange(n_seconds * sfreq_hz) / sfreq_hz
    header: dict[str, Any] = {
        "dimension": "uV",
        "sample_frequency": sfreq_hz,
        "physical_min": -500.0,
        "physical_max": 500.0,
        "digital_min": -32768,
        "digital_max": 32767,
    }
    with pyedflib.EdfWriter(str(path), len(LABELS), file_type=pyedflib.FILETYPE_EDF) as writer:
        writer.setSignalHeaders([{**header, "label": label} for label in LABELS])
        hum = 10 * np.sin(2 * np.pi * 50 * time_s)
        writer.writeSamples([np.ascontiguousarray(20 * rng.standard_normal(len(time_s)) + hum) for _ in LABELS])
    return path


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = MaskedModel(SIZES["tiny"], 8)
    checkpoint.save_model(tmp_path / "masked", model, {**masked_document(model), "size": "tiny"})
    return tmp_path / "masked"


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    model = Classifier(SIZES["tiny"], 1)
    document = finetuned_document(model, CLASSIFIER, {"classes": ["slow", "fast"]})
    checkpoint.save_model(tmp_path / "classifier", model, document)
    return tmp_path / "classifier"


def test_a_raw_file_is_embedded_as_from_a_store(tmp_path: Path, masked: Path, classifier: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    edf = write_edf(folder / "S01.edf", n_seconds=37)
    sources = tmp_path / "sources.yaml"
    sources.write_text(f"sources: [{{name: lab, path: {folder}, files: ['*.edf'], line_freq_hz: auto}}]")
    build = ["build", "--sources", str(sources), "--store", str(tmp_path / "data.zarr"), "--workers", "1"]
    built = subprocess.run(
        [Path(sys.executable).with_name("eeg-ingest"), *build], capture_output=True, text=True, check=False, timeout=300
    )
    assert built.returncode == 0, built.stderr
    store = Store.open(tmp_path / "data.zarr")
    stored = StoredWindows(store, cut_grid(store))

    for folder_of_model in (masked, classifier):
        output = tmp_path / "out.parquet"
        summary = embed(EmbedOptions([edf], output, folder_of_model))
        rows = pq.read_table(output).to_pylist()
        assert [(row["file"], row["onset_s"], row["n_seconds"]) for row in rows] == [
            (str(edf), 0.0, 16),
            (str(edf), 16.0, 16),
            (str(edf), 32.0, 5),
        ]
        for index, row in enumerate(rows):
            batch = stored.read(np.array([index]))
            np.testing.assert_allclose(row["embedding"], expected_embedding(folder_of_model, batch), atol=2e-6)
        (described,) = summary["files"]
        assert described["channels"] == ["FP1", "F3", "O2", "CZ"]
        assert {channel["name"] for channel in described["left_out"]} == {"ECG EKG", "EEG ZZ9-REF"}
        assert described["line_freq_hz"] == 50.0
        metadata = json.loads(pq.read_schema(output).metadata[b"labram"])
        assert metadata["files"] == summary["files"]


def expected_embedding(folder: Path, batch: Batch) -> np.ndarray:
    """Straight from the definition: the mean of the patches' outputs, and the norm before a classifier's head."""
    config = checkpoint.load_config(folder)["config"]
    model = MaskedModel(SIZES["tiny"], 8) if "n_codes" in config else Classifier(SIZES["tiny"], 1)
    model.load_state_dict(checkpoint.load_weights(folder))
    model.eval()
    with torch.no_grad():
        mean = model.backbone(batch.patches, batch.channel, batch.time, None)[0, 1:].mean(0)
        out: np.ndarray = (mean if isinstance(model, MaskedModel) else model.fc_norm(mean)).numpy()
    return out


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path, masked: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, last = (write_edf(tmp_path / f"{name}.edf", 20, seed) for seed, name in enumerate(("a", "b")))
    text, absent = tmp_path / "text.edf", tmp_path / "absent.edf"
    text.write_text("not a recording", encoding="utf-8")
    output = tmp_path / "new" / "out.parquet"
    summary = embed(EmbedOptions([first, text, absent, last], output, masked, window_s=4))
    assert [failure["file"] for failure in summary["failures"]] == [str(text), str(absent)]
    assert f"Cannot embed {text}: No EEG format" in caplog.text
    rows = pq.read_table(output).to_pylist()
    assert [(row["file"], row["onset_s"]) for row in rows] == [
        (str(file), float(onset_s)) for file in (first, last) for onset_s in range(0, 20, 4)
    ]
    assert sorted(path.name for path in output.parent.iterdir()) == ["out.parquet"]

    before = output.read_bytes()
    nothing = embed(EmbedOptions([text], output, masked))
    assert (nothing["output"], len(nothing["failures"])) == (None, 1)
    assert output.read_bytes() == before


def test_a_long_file_is_written_in_groups(tmp_path: Path, masked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edf, output = write_edf(tmp_path / "long.edf", 20), tmp_path / "out.parquet"
    embed(EmbedOptions([edf], output, masked, window_s=2))
    whole = pq.read_table(output)
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "ROWS", 3)
    embed(EmbedOptions([edf], output, masked, window_s=2))
    assert pq.ParquetFile(output).num_row_groups == 4
    in_groups = pq.read_table(output)
    assert in_groups["onset_s"].to_pylist() == whole["onset_s"].to_pylist()
    vectors = [np.array(table["embedding"].to_pylist()) for table in (whole, in_groups)]
    np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-6)


def test_windows_keep_clear_of_breaks_and_of_seconds_that_are_not_finite() -> None:
    # Segments of 7 and 4 s that start at 0 and at 100 s of the file's clock; seconds 3 of the first is broken.
    def block(first: int, n: int, segment: int, broken: int | None = None) -> HarmonizedBlock:
        seconds = np.arange(first, first + n, dtype=np.float32)
        steps = np.broadcast_to(10 * (seconds[:, None, None] + 10 * segment), (n, 3, 200)).astype(np.int16)
        quality = np.zeros((n, 3, len(QUALITY_MEASURES)), dtype=np.float32)
        if broken is not None:
            quality[broken, 2, QUALITY_MEASURES.index("non_finite")] = 0.1
        return HarmonizedBlock(steps, 0, quality, segment, 0)

    blocks = [block(0, 5, 0, broken=3), block(5, 2, 0), block(0, 4, 1)]
    windows = list(unbroken_windows(blocks, [0.0, 100.0], [0, 2], 2))
    assert [(window.onset_s, window.signal.shape) for window in windows] == [
        (0.0, (2, 2, 200)),
        (2.0, (2, 1, 200)),
        (4.0, (2, 2, 200)),
        (6.0, (2, 1, 200)),
        (100.0, (2, 2, 200)),
        (102.0, (2, 2, 200)),
    ]
    assert [window.signal[0, :, 0].tolist() for window in windows[2:5]] == [[40, 50], [60], [100, 110]]
    unaffected = list(unbroken_windows(blocks, [0.0, 100.0], [0, 1], 4))  # the broken channel has no place
    assert [(window.onset_s, window.signal.shape[1]) for window in unaffected] == [(0.0, 4), (4.0, 3), (100.0, 4)]


def test_what_cannot_be_embedded_says_why(tmp_path: Path, masked: Path) -> None:
    edf, output = write_edf(tmp_path / "a.edf", 4), tmp_path / "out.parquet"
    with pytest.raises(LabramError, match="Wrong --window-s: expected 1 to 16 seconds, found 17"):
        embed(EmbedOptions([edf], output, masked, window_s=17))
    config = checkpoint.load_config(masked)
    checkpoint.save_config(masked, {**config, "model": "vqnsp"})
    with pytest.raises(LabramError, match=r"expected a model of kind masked \(labram pretrain\) or .* found vqnsp"):
        embed(EmbedOptions([edf], output, masked))


def test_files_are_read_by_the_keys_of_a_source(tmp_path: Path, masked: Path) -> None:
    """A table of text, which says neither its rate nor its unit nor which electrodes its columns are."""
    signal_uv = np.random.default_rng(0).normal(0, 20, (20 * 250, 3))
    for name, scale in (("uv.csv", 1), ("mv.csv", 1e-3)):
        np.savetxt(tmp_path / name, signal_uv * scale, delimiter=",", header="a,b,x", comments="", fmt="%.9f")
    reader = "reader: {format: table, sfreq_hz: 250, names: [a, b]}, channels: {rename: {a: Fz, b: Cz}}"
    sources = tmp_path / "sources.yaml"
    sources.write_text(
        f"sources: [{{name: one, path: ., unit: uV, {reader}}}, {{name: other, path: ., unit: mV, {reader}}}]"
    )
    found = []
    for name, file in (("one", "uv.csv"), ("other", "mv.csv")):
        output = tmp_path / "out.parquet"
        options = EmbedOptions([tmp_path / file], output, masked, source=choose_source(sources, name))
        (described,) = embed(options)["files"]
        assert described["channels"] == ["FZ", "CZ"]
        found.append(np.array(pq.read_table(output)["embedding"].to_pylist()))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)

    with pytest.raises(LabramError, match=r"expected one of one, other of .*, found no --source"):
        choose_source(sources, None)
    with pytest.raises(LabramError, match=r"expected one of one, other of .*, found 'more'"):
        choose_source(sources, "more")
    sources.write_text("sources: [{name: one, path: ., unit: pV}]")
    with pytest.raises(LabramError, match="expected uV, mV, V, nV or auto, found 'pV'"):
        choose_source(sources, None)


def test_padding_does_not_change_an_embedding(masked: Path) -> None:
    model = module.load_embedder(masked)
    patches, channel = torch.randn(2, 6, 200), torch.arange(1, 7).expand(2, 6)
    valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    batch = Batch(patches, channel, torch.zeros(2, 6, dtype=torch.int64), valid, torch.arange(2))
    alone = Batch(
        patches[1:, :4], channel[1:, :4], batch.time[1:, :4], valid[1:, :4], torch.zeros(1, dtype=torch.int64)
    )
    torch.testing.assert_close(embeddings(model, batch)[1:], embeddings(model, alone), atol=1e-5, rtol=0)

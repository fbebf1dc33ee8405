"""Targets in time are read at a window's last sample, learned, scored beside chance, and told as plainly as classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from eeg_store import QUALITY_MEASURES, SFREQ_HZ, RecordingWriter, SlotRequest, Store
from eeg_tokenizer.backbone import SIZES
from eeg_tokenizer.batches import Sample, collate
from labram_model import reports
from labram_model.classifier import Classifier
from labram_model.embed import embeddings, load_embedder
from labram_model.errors import LabramError
from labram_model.evaluate import evaluate
from labram_model.finetune import FinetuneOptions, finetune
from labram_model.info import describe
from labram_model.labelled import labelled_windows
from labram_model.labelled_batches import LabelledReader
from labram_model.split import divide
from labram_model.target_values import name_targets
from labram_model.task import Task

from tests.labram_model.conftest import Lab, recording_row

N_SECONDS = 60
PARTS = {"walk train": (0.0, 30.0), "walk validation": (30.0, 15.0), "walk test": (45.0, 15.0)}
MISSING_S = slice(10, 12)
TARGETS = (("knee", "degree"), ("hip", "degree"), ("flat", "degree"))
KEYS: dict[str, Any] = {
    "name": "angles",
    "targets": ["hip", "knee"],
    "scale": 90,
    "events": ["walk *"],
    "window_s": 1,
    "stride_s": 0.25,
    "split": {"by": "event", "train": ["walk train"], "val": ["walk validation"], "test": ["walk test"]},
    "training": {"batch_size": 32, "lr": 2.0e-3},
}


def write_walkers(path: Path, **sources: tuple[tuple[str, str], ...]) -> Path:
    """Two subjects of each source, whose rhythm is as strong as the knee is bent; two seconds have no knee."""
    store = Store.create(path, {"made_by": "tests"})
    for source, targets in sources.items():
        lab = Lab(name=source, channels=("FZ", "PZ"), n_subjects=2)
        names = [f"{source}/S{number:02d}" for number in range(2)]
        slots = store.reserve(
            [SlotRequest(name, source, lab.channels, None, N_SECONDS, targets=targets) for name in names]
        )
        for number, name in enumerate(names):
            rng = np.random.default_rng(number)
            time_s = np.arange(N_SECONDS * SFREQ_HZ) / SFREQ_HZ
            bent = 0.5 + 0.5 * np.sin(2 * np.pi * time_s / 7 + number)
            noise = rng.standard_normal((2, len(time_s))) * 50
            signal = noise + 600 * bent * np.sin(2 * np.pi * (10 * time_s + rng.random((2, 1))))
            angles = np.stack([60 * bent, 20 - 30 * bent, np.full(len(time_s), 5.0)])[: len(targets)].astype(np.float32)
            angles = angles.reshape(-1, N_SECONDS, SFREQ_HZ).swapaxes(0, 1).copy()
            angles[MISSING_S, :1] = np.nan
            quality = np.zeros((N_SECONDS, 2, len(QUALITY_MEASURES)), dtype=np.float32)
            seconds = signal.reshape(2, N_SECONDS, SFREQ_HZ).swapaxes(0, 1).round().astype(np.int16)
            events = [
                {"onset_s": onset, "original_onset_s": onset, "duration_s": length, "label": label}
                for label, (onset, length) in PARTS.items()
            ]
            with RecordingWriter(store, slots[name]) as writer:
                writer.append(seconds, quality, angles if targets else None)
                writer.commit(recording_row(lab, number, N_SECONDS), events)
    return path


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walkers(tmp_path_factory.mktemp("walkers") / "data.zarr", lab=TARGETS)


def task(store: Path, **keys: Any) -> Task:
    return name_targets(Task.model_validate({**KEYS, **keys}), Store.open(store))


@pytest.mark.parametrize("stride_s", [0.05, 0.005])
def test_a_window_s_value_is_the_target_at_its_last_sample(walkers: Path, stride_s: float) -> None:
    store, asked = Store.open(walkers), task(walkers, window_s=2, stride_s=stride_s)
    found = labelled_windows(store, asked)
    rows = {row["recording"]: row for row in store.recordings().to_pylist()}
    step, length, n_missing = round(stride_s * SFREQ_HZ), 2 * SFREQ_HZ, 0
    for name, row in rows.items():
        angles = np.asarray(zarr.open_array(walkers / row["array"].replace("signal", "targets"), mode="r")[:])
        angles = angles[row["first_second"] : row["first_second"] + N_SECONDS].swapaxes(0, 1).reshape(3, -1)
        own = [window for window in found.windows if window.recording == name]
        assert len({window.array for window in own}) == 1
        starts = np.array([window.start_sample for window in own]) - row["first_second"] * SFREQ_HZ
        cut = [
            start
            for onset, duration in PARTS.values()
            for start in range(round(onset * 200), round((onset + duration) * 200) - length + 1, step)
        ]
        wanted = [start for start in cut if np.isfinite(angles[:2, start + length - 1]).all()]
        n_missing += len(cut) - len(wanted)
        assert starts.tolist() == wanted
        values = LabelledReader(store, own, asked).labels
        np.testing.assert_allclose(values, angles[[1, 0]][:, starts + length - 1].T / 90, rtol=1e-6)
    assert n_missing == found.left_out_without_target == 2 * 2 * SFREQ_HZ / step
    assert found.left_out_not_finite == 0


def test_without_events_windows_are_cut_from_whole_recordings(walkers: Path) -> None:
    asked = task(walkers, events=None, stride_s=None, split={}, targets="all", sources=["lab"])
    assert asked.targets == ("knee", "hip", "flat")
    found = labelled_windows(Store.open(walkers), asked)
    assert (len(found.windows), found.left_out_without_target) == (2 * 58, 2 * 2)
    with pytest.raises(LabramError, match=r"at least 3 subjects for every class, found any target: 2 \(lab/S00"):
        divide(asked.split, found, list(asked.event_labels))


def test_what_the_signal_tells_is_learned(walkers: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "task.yaml", tmp_path / "run"
    path.write_text(json.dumps({**KEYS, "targets": "all"}), encoding="utf-8")
    result, exit_code = finetune(FinetuneOptions(walkers, path, output, steps=60))
    assert exit_code == 0
    assert json.loads((output / "result.json").read_text()) == result
    test = result["test"]
    assert test["scores"]["r2"] > 0.5
    assert test["scores"]["pearson_r"] > 0.8
    assert test["scores"]["rmse"] < test["chance"]["rmse"]
    assert test["chance"]["r2"] <= 0
    assert test["per_target"]["flat"]["r2"] is None
    assert (test["windows"], test["subjects"]) == (2 * 57, 2)
    assert result["train"] == {"windows": 2 * (117 - 8), "subjects": 2}
    assert result["windows_left_out_without_target"] == 2 * 8
    assert (result["targets"], result["scale"], result["chosen"]["by"]) == (["knee", "hip", "flat"], 90, "val r2")
    assert result["subjects_in_several_splits"] == ["lab/S00", "lab/S01"]
    asked = task(walkers, targets="all")
    store = Store.open(walkers)
    training = divide(asked.split, labelled_windows(store, asked), list(asked.event_labels)).windows["train"]
    np.testing.assert_allclose(
        result["training_mean"], LabelledReader(store, training, asked).labels.mean(0), rtol=1e-5
    )

    for part in ("val", "test"):
        scored = evaluate(walkers, path, output, split=part, device="auto")
        assert {name: scored[name] for name in result[part]} == result[part]
    text = " ".join(reports.finetuned(result).split())
    assert "2 subjects are in several splits (by event)" in text
    assert f"R2 {test['scores']['r2']:.4f} {test['chance']['r2']:.4f}" in text
    assert "16 windows without a target are left out." in text
    assert "114 windows of 2 subjects; RMSE of targets divided by 90." in text
    told = describe(output)
    assert (told["kind"], told["targets"], told["scale"]) == ("regressor", ["knee", "hip", "flat"], 90)
    assert "targets: knee, hip, flat" in reports.described(told)
    model = load_embedder(output)
    assert isinstance(model, Classifier)
    sample = Sample(np.ones((2, 1, 200), dtype=np.float32), 1.0, np.array([1, 2]))
    assert embeddings(model, collate([sample])).shape == (1, SIZES["tiny"].width)

    path.write_text(json.dumps({**KEYS, "targets": "all", "scale": 45}), encoding="utf-8")
    with pytest.raises(LabramError, match=r"expected scale 90.0 \(found 45.0\)"):
        evaluate(walkers, path, output, split="test", device="auto")


def test_a_new_model_says_about_zero() -> None:
    torch.manual_seed(0)
    model = Classifier(SIZES["tiny"], 12)
    sample = Sample(np.random.default_rng(0).standard_normal((4, 2, 200)).astype(np.float32), 1.0, np.arange(1, 5))
    assert model(collate([sample])).abs().max() < 0.01


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"targets": ["knee", "toe"]}, r"No such targets in lab/.*: expected toe, found knee, hip, flat\. Correct"),
        ({"events": ["run *"]}, r"expected any target: run \*; found walk t"),
        (
            {"events": ["walk test"], "window_s": 16},
            "No window of any target: expected events of at least window_s = 16 s, found 2 events of 15 to 15 s",
        ),
        ({"sources": ["lap"]}, r"found lap\. Did you mean lab\?"),
    ],
)
def test_a_store_that_cannot_serve_the_task(walkers: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(LabramError, match=message):
        labelled_windows(Store.open(walkers), task(walkers, **keys))


def test_targets_that_differ_are_missing_or_do_not_vary(walkers: Path, tmp_path: Path) -> None:
    none = write_walkers(tmp_path / "none.zarr", lab=())
    mixed = write_walkers(tmp_path / "mixed.zarr", lab=TARGETS, other=TARGETS[:1])
    with pytest.raises(LabramError, match=r"No such targets in lab/.*: expected hip, knee, found no targets"):
        task(none)
    with pytest.raises(LabramError, match=r"No targets in lab/.*: expected some, found none\. Declare targets"):
        task(none, targets="all")
    with pytest.raises(LabramError, match=r"for `targets: all`, found knee and knee, hip, flat\. Name them"):
        task(mixed, targets="all")
    assert task(mixed, targets="all", sources=["other"]).targets == ("knee",)
    path = tmp_path / "task.yaml"
    path.write_text(json.dumps({**KEYS, "targets": ["flat"]}), encoding="utf-8")
    with pytest.raises(LabramError, match="Cannot regress flat: expected targets that vary in train, found none"):
        finetune(FinetuneOptions(walkers, path, tmp_path / "run", steps=1))
    assert not (tmp_path / "run").exists()


def test_targets_that_are_nowhere_known(tmp_path: Path) -> None:
    store = write_walkers(tmp_path / "data.zarr", lab=TARGETS)
    asked = task(store, targets=["knee"], events=["walk train"], split={}, offset_s=10, stride_s=None)
    with pytest.raises(LabramError, match=r"No window has all of the targets knee: .* of 2 windows, found NaN"):
        labelled_windows(Store.open(store), asked)

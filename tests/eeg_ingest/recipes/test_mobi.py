"""MoBI: samples without names, joint angles on a clock of their own, electrodes that were moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from eeg_ingest.recipe import load_recipe, write_task
from eeg_store import WindowReader
from labram_model.finetune import FinetuneOptions, finetune
from labram_model.labelled import labelled_windows
from labram_model.labelled_batches import LabelledReader
from labram_model.target_values import name_targets
from labram_model.task import load_task

from tests.eeg_ingest.recipes.mimic import Array, Ingested, eeg_uv, ingest

LABELS = [
    "Fp1", "Fp2", "AF7", "AF3", "T8", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7",
    "FC5", "FC3", "FC1", "T7", "FC2", "FC4", "FC6", "FT8", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "TP7", "CP5",
    "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO9",
    "PO7", "PO3", "POz", "PO4", "PO8", "PO10", "O1", "Oz", "O2", "TP9", "TP10", "FT9", "FT10",
]  # fmt: skip
JOINTS = ["GHR", "GKR", "GAR", "GHL", "GKL", "GAL", "PHR", "PKR", "PAR", "PHL", "PKL", "PAL"]
FILE = "SL01-T01/eeg.txt"
START_S, N_SAMPLES = 3.5, 140_00
JOINTS_FROM_S, JOINTS_TO_S = 10.0, 130.0


def angle(joint: int, time_s: Array) -> Array:
    return 30 * np.sin(2 * np.pi * 0.5 * time_s + joint)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mobi") / "mobi"
    trial = folder / "SL01-T01"
    trial.mkdir(parents=True)
    time_s = START_S + np.arange(N_SAMPLES) / 100
    values = eeg_uv(0, 64, N_SAMPLES, 100).T.round(1)
    lines = ["64 channels"]
    lines += ["\t".join([f"{t:.2f}", *(f"{v:.1f}" for v in row), ""]) for t, row in zip(time_s, values, strict=True)]
    (folder / FILE).write_text("\r\n".join(lines) + "\r\n")
    joints_s = np.arange(JOINTS_FROM_S, JOINTS_TO_S, 0.01)
    joints_s = joints_s[(joints_s < 59.995) | (joints_s > 61.995)]  # the goniometers fell silent for two seconds
    angles = np.stack([angle(joint, joints_s) for joint in range(12)], axis=1)
    lines = ["6 joints (GHR GKR GAR GHL GKL GAL)\t", "Joint Factor 1\t"]
    lines += ["\t".join([f"{t:.2f}", *(f"{v:.6f}" for v in row), ""]) for t, row in zip(joints_s, angles, strict=True)]
    (trial / "joints.txt").write_text("\r\n".join(lines))
    lines = [f"Header line {number}" for number in range(20)] + ["PhysChn\tName    \tLabelSet\tImpedanceValue"]
    lines += [f"{number}\t{name:8}\t10-20\t---" for number, name in enumerate([*LABELS, "Gnd", "Ref"], 1)]
    (trial / "impedances-before.txt").write_text("\n".join(lines))
    (trial / "conductor.txt").write_text("Conductor\nTime\tEvent\n13.5\tWalk begins\n120.25\tBCI\r\n")
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("mobi", tree)


def test_names_come_from_the_impedances_and_moved_electrodes_have_their_place(ingested: Ingested) -> None:
    assert ingested.failures == {}
    row = ingested.rows[FILE]
    moved = {"T8": "AFZ", "T7": "FCZ"}
    assert ingested.channels(FILE) == [moved.get(name, name.upper()) for name in LABELS[:60]]
    assert [(channel["name"], channel["type"]) for channel in row["left_out"]] == [
        (name, "eog") for name in ("TP9", "TP10", "FT9", "FT10")
    ]


def test_subject_rate_unit_and_no_mains_above_nyquist(ingested: Ingested) -> None:
    row = ingested.rows[FILE]
    assert (row["subject"], row["session"]) == ("01", "01")
    assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (100, "uV", None)
    assert [label for label in ingested.labels(FILE) if not label.startswith("conductor ")] == [
        *("walking train", "walking validation", "walking test")
    ]
    assert "3 of 3 trials end after the recording, which ends at 140 s" in row["warnings"]


def test_the_signal_is_that_of_pandas(tree: Path, ingested: Ingested) -> None:
    frame = pd.read_csv(tree / FILE, sep="\t", skiprows=1, header=None)
    ingested.assert_is(FILE, frame.iloc[:, 1:61].to_numpy().T, 100)


def test_joint_angles_lie_on_the_signals_clock(ingested: Ingested) -> None:
    """Sample k of the store is at START_S + k / 200 of both tables' clock."""
    row = ingested.rows[FILE]
    reader = WindowReader(ingested.store)
    (targets,) = reader.read_targets([(row["array"], row["first_second"] * 200, row["n_seconds"])])
    assert targets.shape == (12, 140, 200)
    time_s = START_S + np.arange(140 * 200) / 200
    known = (time_s >= JOINTS_FROM_S) & (time_s <= JOINTS_TO_S - 0.01) & ~((time_s > 59.992) & (time_s < 61.998))
    for joint in range(12):
        found = targets[joint].ravel()
        np.testing.assert_allclose(found[known], angle(joint, time_s[known]), atol=0.02)
        assert np.isnan(found[~known]).all()
    assert "20 of 140 seconds have no targets" in row["warnings"]


def test_events_of_the_conductor_lie_on_the_signals_clock(ingested: Ingested) -> None:
    events = ingested.store.events().to_pylist()
    said = [(event["onset_s"], event["label"]) for event in events if event["label"].startswith("conductor ")]
    assert said == [(13.5 - START_S, "conductor Walk begins"), (120.25 - START_S, "conductor BCI")]


def test_what_the_targets_are_is_beside_them(ingested: Ingested) -> None:
    array = zarr.open_array(ingested.store.path / ingested.rows[FILE]["array"].replace("signal", "targets"), mode="r")
    assert array.attrs["targets"] == JOINTS
    assert array.attrs["units"] == ["degree"] * 12
    assert array.metadata.to_dict()["dimension_names"] == ("second", "target", "sample")


@pytest.mark.parametrize(("name", "n_targets"), [("joints", 6), ("joints_and_predictions", 12)])
def test_the_tasks_cut_a_window_every_50_ms_where_there_are_angles(
    ingested: Ingested, tmp_path: Path, name: str, n_targets: int
) -> None:
    (tmp_path / "task.yaml").write_text(write_task(load_recipe("mobi"), name), encoding="utf-8")
    task = name_targets(load_task(tmp_path / "task.yaml"), ingested.store)
    assert task.targets == tuple(JOINTS[:n_targets])
    found = labelled_windows(ingested.store, task)
    starts = np.arange(120 * 200, 138 * 200 + 1, 10)  # the walk begins at 120 s, the recording ends at 140 s
    last_s = START_S + (starts + 399) / 200
    known = last_s <= JOINTS_TO_S - 0.01
    first = ingested.rows[FILE]["first_second"] * 200
    assert [window.start_sample - first for window in found.windows] == starts[known].tolist()
    assert found.left_out_without_target == (~known).sum()
    values = LabelledReader(ingested.store, found.windows, task).labels
    wanted = np.stack([angle(joint, last_s[known]) for joint in range(n_targets)], axis=1) / 90
    np.testing.assert_allclose(values, wanted, atol=0.02 / 90)


def test_a_walk_is_learned_from_by_the_recipe_s_task(tree: Path, tmp_path: Path) -> None:
    """The trial of the mimic is short: its parts are, too."""
    shutil.copytree(tree, tmp_path / "mobi")
    parts = load_recipe("mobi").keys["labels"][0] | {"start_s": [10, 60, 90], "stop_s": [59, 90, 120]}
    ingest("mobi", tmp_path / "mobi", labels=[parts])
    task = write_task(load_recipe("mobi"), "joints").replace("stride_s: 0.05", "stride_s: 1")
    (tmp_path / "task.yaml").write_text(task, encoding="utf-8")
    options = FinetuneOptions(tmp_path / "mobi.zarr", tmp_path / "task.yaml", tmp_path / "run", size="tiny", steps=1)
    result, _ = finetune(options)
    assert (result["train"]["windows"], result["val"]["windows"], result["test"]["windows"]) == (46, 29, 29)
    assert result["windows_left_out_without_target"] == 2  # their ends are in the silence of the goniometers
    assert list(result["test"]["per_target"]) == JOINTS[:6]
    assert result["subjects_in_several_splits"] == ["mobi/01"]


def test_a_trial_without_joints_is_refused(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mobi"
    (folder / "SL01-T01").mkdir(parents=True)
    for name in ("eeg.txt", "impedances-before.txt"):
        (folder / "SL01-T01" / name).write_bytes((tree / "SL01-T01" / name).read_bytes())
    assert "expected the table joints.txt beside the recording" in ingest("mobi", folder).failures[FILE]

"""BCI Competition IV-1: int16 counts of 0.1 µV, cues in `mrk` of the calibration only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.eeg_ingest.recipes.mimic import Ingested, eeg_uv, ingest

NAMES = [
    "AF3", "AF4", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "CFC7",
    "CFC5", "CFC3", "CFC1", "CFC2", "CFC4", "CFC6", "CFC8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8",
    "CCP7", "CCP5", "CCP3", "CCP1", "CCP2", "CCP4", "CCP6", "CCP8", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6",
    "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "PO1", "PO2", "O1", "O2",
]  # fmt: skip
CALIB = "BCICIV_1calib_1000Hz_mat/BCICIV_calib_ds1a_1000Hz.mat"
EVAL = "BCICIV_1eval_1000Hz_mat/BCICIV_eval_ds1a_1000Hz.mat"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bci") / "BCICIV_1"
    for seed, file in enumerate((CALIB, EVAL)):
        counts = np.rint(eeg_uv(seed, 59, 24_500, 1000).T / 0.1).astype(np.int16)
        clab = np.array(NAMES, object)[None]
        nfo = {"fs": 1000, "classes": np.array(["left", "foot"], object)[None], "clab": clab, "xpos": np.zeros((59, 1))}
        content = {"cnt": counts, "nfo": nfo}
        if file == CALIB:
            content["mrk"] = {"pos": np.array([[2001, 10_001, 18_001]]), "y": np.array([[1, -1, -1]])}
        (folder / file).parent.mkdir(parents=True)
        scipy.io.savemat(folder / file, content, do_compression=True)
    scipy.io.savemat((folder / EVAL).with_name("BCICIV_eval_ds1a_1000Hz_true_y.mat"), {"true_y": np.zeros((9, 1))})
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("bci_competition_iv_1", tree)


def test_subjects_channels_rate_unit_and_mains(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert [(file, row["subject"], row["session"]) for file, row in ingested.rows.items()] == [
        (CALIB, "a", "calib"),
        (EVAL, "a", "eval"),
    ]
    row = ingested.rows[CALIB]
    assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"], row["n_seconds"]) == (
        1000,
        "uV",
        50,
        24,
    )
    assert [name.upper() for name in NAMES] == [name.upper() for name in ingested.channels(CALIB)]
    assert row["left_out"] == []


def test_the_signal_is_a_tenth_of_a_microvolt_a_count(tree: Path, ingested: Ingested) -> None:
    for file in (CALIB, EVAL):
        ingested.assert_is(file, scipy.io.loadmat(tree / file)["cnt"].T * 0.1, 1000)


def test_cues_count_from_one_and_are_called_as_the_file_says(ingested: Ingested) -> None:
    assert ingested.events(CALIB) == [(2.0, 4.0, "foot"), (10.0, 4.0, "left"), (18.0, 4.0, "left")]
    assert ingested.events(EVAL) == []


def test_the_release_at_100_hz(tmp_path: Path) -> None:
    """Cues count its own samples."""
    folder, file = tmp_path / "BCICIV_1", "BCICIV_1_mat/BCICIV_calib_ds1f.mat"
    (folder / file).parent.mkdir(parents=True)
    counts = np.rint(eeg_uv(3, 59, 2450, 100).T / 0.1).astype(np.int16)
    clab = np.array(NAMES, object)[None]
    nfo = {"fs": 100, "classes": np.array(["left", "foot"], object)[None], "clab": clab}
    mrk = {"pos": np.array([[201, 1001, 1801]]), "y": np.array([[1, -1, -1]])}
    scipy.io.savemat(folder / file, {"cnt": counts, "nfo": nfo, "mrk": mrk}, do_compression=True)
    ingested = ingest("bci_competition_iv_1", folder, release="100hz")
    assert ingested.failures == {}
    row = ingested.rows[file]
    assert (row["subject"], row["session"], row["original_sfreq_hz"], row["n_seconds"]) == ("f", "calib", 100, 24)
    assert [name.upper() for name in NAMES] == [name.upper() for name in ingested.channels(file)]
    ingested.assert_is(file, scipy.io.loadmat(folder / file)["cnt"].T * 0.1, 100)
    assert ingested.events(file) == [(2.0, 4.0, "foot"), (10.0, 4.0, "left"), (18.0, 4.0, "left")]

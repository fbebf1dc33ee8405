"""SPIS: 64 electrodes, three of EOG and a trigger in one matrix, in nanovolts, under a folder with a space."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from tests.eeg_ingest.recipes.mimic import Ingested, eeg_uv, ingest

NAMES = [
    "FP1", "AF7", "AF3", "F1", "F3", "F5", "F7", "FT7", "FC5", "FC3", "FC1", "C1", "C3", "C5", "T7", "TP7", "CP5",
    "CP3", "CP1", "P1", "P3", "P5", "P7", "P9", "PO7", "PO3", "O1", "IZ", "OZ", "POZ", "PZ", "CPZ", "FPZ", "FP2",
    "AF8", "AF4", "AFZ", "FZ", "F2", "F4", "F6", "F8", "FT8", "FC6", "FC4", "FC2", "FCZ", "CZ", "C2", "C4", "C6",
    "T8", "TP8", "CP6", "CP4", "CP2", "P2", "P4", "P6", "P8", "P10", "PO8", "PO4", "O2",
]  # fmt: skip
CLOSED, OPEN = "Pre-SART EEG/S02_restingPre_EC.mat", "Pre-SART EEG/S11_restingPre_EO.mat"
RATE_HZ = 256


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of MATLAB v5, as it is published, and one of v7.3, as the README says."""
    folder = tmp_path_factory.mktemp("spis") / "SPIS"
    (folder / "Pre-SART EEG").mkdir(parents=True)
    for seed, (file, code) in enumerate({CLOSED: 220, OPEN: 200}.items()):
        matrix = eeg_uv(seed, 68, 20 * RATE_HZ + 1, RATE_HZ) * 1000 - 4.5e6
        matrix[67] = 0
        matrix[67, 512:] = code
        if file == CLOSED:
            scipy.io.savemat(folder / file, {"dataRest": matrix}, do_compression=True)
            continue
        with h5py.File(folder / file, "w") as matlab:
            matlab.create_dataset("dataRest", data=matrix.T, chunks=(1024, 68)).attrs["MATLAB_class"] = np.bytes_(
                "double"
            )
    (folder / "Pre-SART EEG/Dataset Description").write_text("see the article")
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("spis", tree)


def test_subjects_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert {file: row["subject"] for file, row in ingested.rows.items()} == {CLOSED: "02", OPEN: "11"}
    for file, row in ingested.rows.items():
        assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (RATE_HZ, "nV", 50)
        assert ingested.channels(file) == NAMES
        assert [(channel["name"], channel["type"]) for channel in row["left_out"]] == [
            (f"EOG{number}", "eog") for number in (1, 2, 3)
        ]


def test_the_signal_is_that_of_scipy_and_h5py(tree: Path, ingested: Ingested) -> None:
    ingested.assert_is(CLOSED, scipy.io.loadmat(tree / CLOSED)["dataRest"][:64] / 1000, RATE_HZ)
    with h5py.File(tree / OPEN) as matlab:
        ingested.assert_is(OPEN, matlab["dataRest"][:, :64].T / 1000, RATE_HZ)


def test_eyes_by_the_file_and_by_the_trigger(ingested: Ingested) -> None:
    assert ingested.events(CLOSED) == [(0, 20, "eyes closed"), (2, 0, "eyes closed")]
    assert ingested.events(OPEN) == [(0, 20, "eyes open"), (2, 0, "eyes open")]

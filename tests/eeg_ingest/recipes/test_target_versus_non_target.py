"""Brain Invaders bi2015a: CSV without a header row, flashes and targets in its last two columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from tests.eeg_ingest.recipes.mimic import Ingested, eeg_uv, ingest

NAMES = [
    "FP1", "FP2", "AFZ", "F7", "F3", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "CZ", "C4", "T8", "CP5", "CP1",
    "CP2", "CP6", "P7", "P3", "PZ", "P4", "P8", "PO7", "O1", "OZ", "O2", "PO8", "PO9", "PO10",
]  # fmt: skip
SESSION, REST = "s_01/subject_01_session_01.csv", "s_01/subject_01_eyesclosed_before.csv"
RATE_HZ = 512


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bi") / "bi2015a"
    (folder / "s_01").mkdir(parents=True)
    for seed, file in enumerate((SESSION, REST)):
        n_samples = 20 * RATE_HZ + 100
        rows = np.zeros((n_samples, 35))
        rows[:, 0] = np.arange(n_samples) / RATE_HZ
        rows[:, 1:33] = (eeg_uv(seed, 32, n_samples, RATE_HZ) - 300_000).T.round(3)  # the amplifier couples DC
        if file == SESSION:
            rows[[1024, 1536, 2048], 33] = 1
            rows[1536, 34] = 1
        pd.DataFrame(rows).to_csv(folder / file, index=False, header=False)
    header = pd.DataFrame([["Time", *NAMES, "Event", "Target"]])
    header.to_csv(folder / "Header.csv", index=False, header=False)
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("target_versus_non_target", tree)


def test_subjects_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert {file: (row["subject"], row["session"], row["run"]) for file, row in ingested.rows.items()} == {
        SESSION: ("01", "01", None),
        REST: ("01", None, "before"),
    }
    row = ingested.rows[SESSION]
    assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (RATE_HZ, "uV", 50)
    assert ingested.channels(SESSION) == NAMES
    assert [channel["name"] for channel in row["left_out"]] == ["Time"]


def test_the_signal_is_that_of_pandas(tree: Path, ingested: Ingested) -> None:
    for file in (SESSION, REST):
        ingested.assert_is(file, pd.read_csv(tree / file, header=None).iloc[:, 1:33].to_numpy().T, RATE_HZ)


def test_flashes_of_targets_and_others(ingested: Ingested) -> None:
    assert ingested.events(SESSION) == [(2, 0, "NonTarget"), (3, 0, "Target"), (4, 0, "NonTarget")]
    assert ingested.events(REST) == [(0, 20, "eyes closed")]


def test_the_matlab_files_hold_the_same(tree: Path, ingested: Ingested, tmp_path: Path) -> None:
    """As MOABB reads them: `DATA` (sample, 35), EEG in columns 1 to 32, 1 and 2 in the sum of the last two."""
    folder = tmp_path / "mat"
    names = {
        "subject_01_mat/subject_01_session_01.mat": SESSION,
        "subject_01_mat/subject_01_eyesclosed_before.mat": REST,
    }
    for file, of_csv in names.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        table = pd.read_csv(tree / of_csv, header=None).to_numpy()
        scipy.io.savemat(folder / file, {"DATA": table}, do_compression=True)
    mat = ingest("target_versus_non_target", folder, release="mat")
    assert mat.failures == {}
    for file, of_csv in names.items():
        row, wanted = mat.rows[file], ingested.rows[of_csv]
        for key in ("subject", "session", "run", "original_sfreq_hz", "original_unit", "line_freq_hz", "n_seconds"):
            assert row[key] == wanted[key]
        assert mat.channels(file) == NAMES
        assert mat.events(file) == ingested.events(of_csv)
        np.testing.assert_allclose(mat.signal_uv(file), ingested.signal_uv(of_csv), atol=0.11)
        mat.assert_is(file, scipy.io.loadmat(folder / file)["DATA"].T[1:33], RATE_HZ)

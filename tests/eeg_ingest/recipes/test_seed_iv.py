"""SEED-IV: 24 arrays in a file, in any order, labelled by session. And SEED's preprocessed files, which are alike."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from tests.eeg_ingest.recipes.mimic import Array, Ingested, eeg_uv, ingest
from tests.integration.mne_reference import filter_with_mne

NAMES = [
    "FP1", "FPZ", "FP2", "AF3", "AF4", "F7", "F5", "F3", "F1", "FZ", "F2", "F4", "F6", "F8", "FT7", "FC5", "FC3",
    "FC1", "FCZ", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "CZ", "C2", "C4", "C6", "T8", "TP7", "CP5",
    "CP3", "CP1", "CPZ", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "PZ", "P2", "P4", "P6", "P8", "PO7",
    "PO5", "PO3", "POZ", "PO4", "PO6", "PO8", "CB1", "O1", "OZ", "O2", "CB2",
]  # fmt: skip
FIRST, SECOND = "eeg_raw_data/1/1_20160518.mat", "eeg_raw_data/2/10_20151014.mat"


def trial(number: int) -> Array:
    """Trials differ in length, by which their order shows."""
    return eeg_uv(number, 62, 1000 + 70 * number, 200)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of MATLAB v5, one of v7.3; the tenth array lies before the second."""
    folder = tmp_path_factory.mktemp("seed") / "SEED_IV"
    for file in (FIRST, SECOND):
        (folder / file).parent.mkdir(parents=True)
    order = sorted(range(1, 25), key=str)
    scipy.io.savemat(folder / FIRST, {f"cz_eeg{number}": trial(number) for number in order}, do_compression=True)
    with h5py.File(folder / SECOND, "w", userblock_size=512) as matlab:
        for number in order:
            stored = matlab.create_dataset(f"ha_eeg{number}", data=trial(number).T)
            stored.attrs["MATLAB_class"] = np.bytes_("double")
    with (folder / SECOND).open("r+b") as matlab_file:
        matlab_file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("seed_iv", tree)


def test_subjects_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert {file: (row["subject"], row["session"]) for file, row in ingested.rows.items()} == {
        FIRST: ("1", "1"),
        SECOND: ("10", "2"),
    }
    for file, row in ingested.rows.items():
        assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (200, "uV", 50)
        assert ingested.channels(file) == NAMES
        assert [segment["n_seconds"] for segment in row["segments"]] == [(1000 + 70 * n) // 200 for n in range(1, 25)]


def test_trials_are_in_the_order_of_their_numbers(ingested: Ingested) -> None:
    for file in (FIRST, SECOND):
        row, whole = ingested.rows[file], ingested.signal_uv(file)
        for number in (2, 10):
            segment = row["segments"][number - 1]
            start, stop = (200 * s for s in (segment["first_second"], segment["first_second"] + segment["n_seconds"]))
            wanted = filter_with_mne(trial(number), 200, 50)
            # so short segments differ by a slow line: how both go on beyond the ends
            error = whole[:, start + 400 : stop - 400] - wanted[:, 400:-400]
            assert error.std(axis=1).max() < 1
            assert wanted[:, 400:-400].std(axis=1).min() > 5


def test_trials_have_their_number_and_the_class_of_their_session(ingested: Ingested) -> None:
    classes = {
        FIRST: "sad fear happy neutral fear neutral neutral sad neutral sad fear sad sad sad fear happy fear fear "
        "happy happy neutral happy neutral happy",
        SECOND: "fear sad happy neutral neutral fear neutral fear happy happy fear happy fear neutral sad sad fear sad "
        "neutral happy neutral sad happy sad",
    }
    for file, wanted in classes.items():
        events = ingested.events(file)
        assert [label for *_, label in events if not label.isdigit()] == wanted.split()
        assert [label for *_, label in events if label.isdigit()] == [str(number) for number in range(1, 25)]
        assert events[0][1] == 1070 / 200


def test_a_file_that_lacks_a_trial_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "SEED_IV"
    (folder / FIRST).parent.mkdir(parents=True)
    scipy.io.savemat(folder / FIRST, {f"cz_eeg{number}": trial(number) for number in range(1, 24)})
    assert "expected 24 segments, one for each trial, found 23" in ingest("seed_iv", folder).failures[FIRST]

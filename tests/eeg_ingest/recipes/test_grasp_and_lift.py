"""Grasp and Lift: one CSV of samples and one of flags; the test series have no flags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.eeg_ingest.recipes.mimic import Ingested, eeg_uv, ingest

NAMES = [
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "Cz", "C4", "T8", "TP9",
    "CP5", "CP1", "CP2", "CP6", "TP10", "P7", "P3", "Pz", "P4", "P8", "PO9", "O1", "Oz", "O2", "PO10",
]  # fmt: skip
EVENTS = ["HandStart", "FirstDigitTouch", "BothStartLoadPhase", "LiftOff", "Replace", "BothReleased"]
TRAIN, TEST = "train/subj1_series1_data.csv", "test/subj1_series9_data.csv"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gal") / "gal"
    for seed, file in enumerate((TRAIN, TEST)):
        counts = np.rint(eeg_uv(seed, 32, 10_250, 500).T / 0.1).astype(int)
        frame = pd.DataFrame(counts, columns=NAMES)
        stem = Path(file).stem.removesuffix("_data")
        frame.insert(0, "id", [f"{stem}_{row}" for row in range(len(frame))])
        (folder / file).parent.mkdir(parents=True)
        frame.to_csv(folder / file, index=False)
        if file == TRAIN:
            flags = pd.DataFrame(0, index=frame.index, columns=EVENTS)
            for number, name in enumerate(EVENTS):
                flags.loc[1000 + 75 * number : 1149 + 75 * number, name] = 1  # inclusive: 150 frames, overlapping
            flags.insert(0, "id", frame["id"])
            flags.to_csv(folder / "train/subj1_series1_events.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("grasp_and_lift", tree)


def test_series_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert {file: (row["subject"], row["session"]) for file, row in ingested.rows.items()} == {
        TRAIN: ("1", "1"),
        TEST: ("1", "9"),
    }
    row = ingested.rows[TRAIN]
    assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (500, "uV", 50)
    assert ingested.channels(TRAIN) == [name.upper() for name in NAMES]
    assert [channel["name"] for channel in row["left_out"]] == ["id"]


def test_the_signal_is_that_of_pandas(tree: Path, ingested: Ingested) -> None:
    for file in (TRAIN, TEST):
        ingested.assert_is(file, pd.read_csv(tree / file)[NAMES].to_numpy().T * 0.1, 500)


def test_flags_become_events_and_the_test_series_has_none(ingested: Ingested) -> None:
    assert ingested.events(TRAIN) == [(2 + 0.15 * number, 0.3, name) for number, name in enumerate(EVENTS)]
    assert ingested.events(TEST) == []

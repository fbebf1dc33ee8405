"""Inria BCI Challenge: feedbacks in a column, their labels in one table of all training sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.eeg_ingest.recipes.mimic import Ingested, eeg_uv, ingest

NAMES = [
    "Fp1", "Fp2", "AF7", "AF3", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7", "FC5",
    "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8", "TP7",
    "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8",
    "PO7", "POz", "P08", "O1", "O2",
]  # fmt: skip
TRAIN, TEST = "train/Data_S02_Sess01.csv", "test/Data_S01_Sess01.csv"
FEEDBACKS_S = {"S02_Sess01": (4, 9.5, 15), "S01_Sess01": (5, 11)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inria") / "inria"
    for seed, file in enumerate((TRAIN, TEST)):
        frame = pd.DataFrame(eeg_uv(seed, 57, 4100, 200).T.round(4), columns=[*NAMES, "EOG"])
        frame.insert(0, "Time", np.arange(4100) / 200)
        frame["FeedBackEvent"] = 0
        for onset_s in FEEDBACKS_S[Path(file).stem.removeprefix("Data_")]:
            frame.loc[round(onset_s * 200), "FeedBackEvent"] = 1
        (folder / file).parent.mkdir(parents=True)
        frame.to_csv(folder / file, index=False)
    rows = {"IdFeedBack": ["S02_Sess01_FB001", "S02_Sess01_FB002", "S02_Sess01_FB003"], "Prediction": [1, 0, 1]}
    pd.DataFrame(rows).to_csv(folder / "TrainLabels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("inria_bci_challenge", tree)


def test_subjects_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert {file: (row["subject"], row["session"]) for file, row in ingested.rows.items()} == {
        TRAIN: ("02", "01"),
        TEST: ("01", "01"),
    }
    row = ingested.rows[TRAIN]
    assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (200, "uV", 50)
    assert ingested.channels(TRAIN) == [name.upper().replace("P08", "PO8") for name in NAMES]
    assert [(channel["name"], channel["type"]) for channel in row["left_out"]] == [("EOG", "eog")]


def test_the_signal_is_that_of_pandas(tree: Path, ingested: Ingested) -> None:
    ingested.assert_is(TRAIN, pd.read_csv(tree / TRAIN)[NAMES].to_numpy().T, 200)


def test_each_feedback_is_right_or_wrong_as_the_table_says(ingested: Ingested) -> None:
    assert ingested.events(TRAIN) == [
        (4, 0, "correct"), (4, 0, "feedback"),
        (9.5, 0, "feedback"), (9.5, 0, "wrong"),
        (15, 0, "correct"), (15, 0, "feedback"),
    ]  # fmt: skip
    assert ingested.events(TEST) == [(5, 0, "feedback"), (11, 0, "feedback")]


def test_a_table_of_other_feedbacks_is_refused(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inria"
    (folder / "train").mkdir(parents=True)
    (folder / TRAIN).write_bytes((tree / TRAIN).read_bytes())
    (folder / "TrainLabels.csv").write_text("IdFeedBack,Prediction\nS02_Sess01_FB001,1\n")
    assert (
        "for each of 3 feedbacks in TrainLabels.csv, found 1 rows"
        in ingest("inria_bci_challenge", folder).failures[TRAIN]
    )


def test_the_table_is_found_from_the_folder_above_the_dataset(tree: Path) -> None:
    found = ingest("inria_bci_challenge", tree.parent)
    assert found.labels(f"inria/{TRAIN}") == ["correct", "feedback", "feedback", "wrong", "correct", "feedback"]

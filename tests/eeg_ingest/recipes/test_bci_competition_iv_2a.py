"""BCI Competition IV-2a: runs in an array of structs, the first of them without trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.eeg_ingest.recipes.mimic import Array, Ingested, eeg_uv, ingest
from tests.integration.mne_reference import filter_with_mne

NAMES = [
    "FZ", "FC3", "FC1", "FCZ", "FC2", "FC4", "C5", "C3", "C1", "CZ", "C2", "C4", "C6", "CP3", "CP1", "CPZ", "CP2",
    "CP4", "P1", "PZ", "P2", "POZ",
]  # fmt: skip
RATE_HZ = 250
EMPTY = {"A01T.mat": 3, "A04T.mat": 1}


def run(seed: int, trial: list[int], y: list[int]) -> dict[str, object]:
    classes = np.array(["left hand", "right hand", "feet", "tongue"], object)[None]
    return {
        "X": eeg_uv(seed, 25, 30 * RATE_HZ + 77, RATE_HZ).T,
        "trial": np.array(trial, float)[:, None],
        "y": np.array(y, float)[:, None],
        "fs": float(RATE_HZ),
        "classes": classes,
        "artifacts": np.zeros((len(y), 1)),
        "gender": "male",
        "age": 22.0,
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bci") / "bnci"
    folder.mkdir()
    for seed, (file, n_empty) in enumerate(EMPTY.items()):
        runs = [run(10 * seed + number, [], []) for number in range(n_empty)]
        runs += [run(50, [251, 2251], [1, 4]), run(51, [501, 3001], [2, 3])]
        cells = np.empty((1, len(runs)), object)
        cells[0] = runs
        scipy.io.savemat(folder / file, {"data": cells}, do_compression=True)
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("bci_competition_iv_2a", tree)


def test_subjects_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    rows = ingested.rows
    assert [(row["subject"], row["session"]) for row in rows.values()] == [("01", "T"), ("04", "T")]
    for file, row in rows.items():
        assert ingested.channels(file) == NAMES
        assert [channel["name"] for channel in row["left_out"]] == ["EOG1", "EOG2", "EOG3"]
        assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (250, "uV", 50)


@pytest.mark.parametrize("file", EMPTY)
def test_runs_are_segments_and_those_without_trials_are_left_out_with_a_word(ingested: Ingested, file: str) -> None:
    row = ingested.rows[file]
    assert [segment["n_seconds"] for segment in row["segments"]] == [30, 30]
    numbers = ", ".join(str(number + 1) for number in range(EMPTY[file]))
    assert row["warnings"] == [f"{numbers} of {EMPTY[file] + 2} parts of data[].X have no events: left out"]


def test_imagery_begins_two_seconds_after_the_cross(ingested: Ingested) -> None:
    run_s = (30 * RATE_HZ + 77) / RATE_HZ
    for file in EMPTY:
        assert ingested.events(file) == [
            (3.0, 4.0, "left hand"),
            (11.0, 4.0, "tongue"),
            (round(run_s + 4, 4), 4.0, "right hand"),
            (round(run_s + 14, 4), 4.0, "feet"),
        ]


def test_no_filter_crosses_from_run_to_run(tree: Path, ingested: Ingested) -> None:
    data = scipy.io.loadmat(tree / "A04T.mat", squeeze_me=True, simplify_cells=True)["data"]
    whole = ingested.signal_uv("A04T.mat")
    for number in (1, 2):
        part: Array = whole[:, (number - 1) * 6000 : number * 6000]
        wanted = filter_with_mne(data[number]["X"].T[:22], RATE_HZ, 50)
        assert np.abs(part[:, 1000:-1000] - wanted[:, 1000:-1000]).max() < 0.3

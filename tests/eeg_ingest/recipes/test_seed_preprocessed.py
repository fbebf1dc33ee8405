"""SEED's preprocessed files: 15 arrays at 200 Hz in a file, named by subject and date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml
from eeg_ingest.build import build
from eeg_ingest.parts import Part
from eeg_ingest.sources import load_sources
from eeg_store import Store

from tests.eeg_ingest.recipes.mimic import Array, Ingested, InProcess, eeg_uv, ingest
from tests.eeg_ingest.recipes.test_seed_iv import NAMES
from tests.integration.mne_reference import filter_with_mne

FOLDER = "SEED_EEG/Preprocessed_EEG"
SESSIONS = {"1_20131107": ("1", "2"), "1_20131027": ("1", "1"), "15_20130709": ("15", "1")}
CLASSES = (
    "positive neutral negative negative neutral positive negative neutral positive positive neutral negative neutral "
    "positive negative"
).split()


def trial(stem: str, number: int) -> Array:
    """Trials differ in length, by which their order shows."""
    return eeg_uv(20 * list(SESSIONS).index(stem) + number, 62, 1000 + 70 * number, 200)


def write(root: Path, stem: str, n_trials: int = 15) -> None:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    arrays = {f"djc_eeg{number}": trial(stem, number) for number in sorted(range(1, n_trials + 1), key=str)}
    scipy.io.savemat(root / FOLDER / f"{stem}.mat", arrays, do_compression=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seed") / "SEED"
    for stem in SESSIONS:
        write(root, stem)
    scipy.io.savemat(root / FOLDER / "label.mat", {"label": np.zeros((1, 15))})
    (root / FOLDER / "readme.txt").write_text("62 channels")
    return root


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("seed", tree, release="preprocessed")


def test_subjects_and_sessions_by_date_and_no_date_is_stored(ingested: Ingested) -> None:
    assert ingested.failures == {}
    assert {Path(file).stem: (row["subject"], row["session"]) for file, row in ingested.rows.items()} == SESSIONS
    for file, row in ingested.rows.items():
        assert (row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (200, "uV", 50)
        assert ingested.channels(file) == NAMES
        assert [key for key, value in row.items() if "2013" in str(value)] == ["recording", "file"]


def test_parts_of_a_build_number_the_sessions_alike(tree: Path, tmp_path: Path) -> None:
    """Each part has some of the files, of which the first has planned all."""
    entry = {"recipe": "seed", "release": "preprocessed", "path": str(tree)}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [entry]}), encoding="utf-8")
    sources = load_sources(tmp_path / "sources.yaml")
    for number in (2, 1, 3):
        assert build(sources, tmp_path / "data.zarr", InProcess(), Part(number, 3)).ingested == 1
    rows = Store.open(tmp_path / "data.zarr").recordings().to_pylist()
    assert {Path(row["file"]).stem: (row["subject"], row["session"]) for row in rows} == SESSIONS


def test_the_signal_of_each_trial(tree: Path, ingested: Ingested) -> None:
    file = f"{FOLDER}/1_20131027.mat"
    row, whole, arrays = ingested.rows[file], ingested.signal_uv(file), scipy.io.loadmat(tree / file)
    assert [segment["n_seconds"] for segment in row["segments"]] == [(1000 + 70 * n) // 200 for n in range(1, 16)]
    for number in (2, 10):
        segment = row["segments"][number - 1]
        start, stop = (200 * s for s in (segment["first_second"], segment["first_second"] + segment["n_seconds"]))
        wanted = filter_with_mne(arrays[f"djc_eeg{number}"], 200, 50)
        # so short segments differ by a slow line: how both go on beyond the ends
        error = whole[:, start + 400 : stop - 400] - wanted[:, 400:-400]
        assert error.std(axis=1).max() < 1
        assert wanted[:, 400:-400].std(axis=1).min() > 5


def test_trials_have_the_classes_of_the_raw_files_in_their_order(ingested: Ingested) -> None:
    for file in ingested.rows:
        assert [label for label in ingested.labels(file) if not label.isdigit()] == CLASSES
    subjects = ("1", "15")
    assert ingested.classes("emotion") == {
        name: {(subject, label) for subject in subjects for label in CLASSES[trials]}
        for name, trials in (("train", slice(9)), ("val", slice(9, 12)), ("test", slice(12, 15)))
    }


def test_a_file_that_lacks_a_trial_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "SEED", "1_20131027", 14)
    failures = ingest("seed", tmp_path / "SEED", release="preprocessed").failures
    assert "expected 15 segments, one for each trial, found 14" in failures[f"{FOLDER}/1_20131027.mat"]


def test_an_earlier_date_that_comes_later_is_told(tmp_path: Path) -> None:
    """Then what is stored as the first session is the second."""
    write(tmp_path / "SEED", "1_20131107")
    assert [row["session"] for row in ingest("seed", tmp_path / "SEED", release="preprocessed").rows.values()] == ["1"]
    write(tmp_path / "SEED", "1_20131027")
    again = ingest("seed", tmp_path / "SEED", release="preprocessed")
    assert "expected 1 as stored, found 2 by the files" in again.failures[f"{FOLDER}/1_20131107.mat"]

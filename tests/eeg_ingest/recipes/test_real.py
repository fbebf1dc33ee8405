"""Recipes on real recordings: eegmat, EEGMMI; and on real headers, whose signal is noise: Siena, CHB-MIT, TUH."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import mne
import pyarrow.compute as pc
import pytest
import yaml
from eeg_ingest.build import build
from eeg_ingest.recipe import load_recipe
from eeg_ingest.sources import load_sources
from eeg_store import Store

from tests.eeg_ingest.recipes.mimic import InProcess


@pytest.fixture(scope="module")
def store(eeg_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    headers = eeg_data / "HEADER_ONLY_random_signal"
    sources = [
        {"recipe": "eegmat", "path": str(eeg_data / "physionet_eegmat"), "files": "Subject0[01]_*.edf"},
        {"recipe": "eegmmi", "path": str(eeg_data / "physionet_eegmmidb")},
        {"recipe": "siena", "path": str(headers / "siena")},
        {"recipe": "chb_mit", "path": str(headers / "chbmit")},
        {"recipe": "tusz", "path": str(headers / "tuh"), "files": ["train/**/*_s00[23]_*.edf"]},
        {"recipe": "tueg", "path": str(headers / "tuh"), "files": ["train/**/*_s00[14]_*.edf"]},
    ]
    folder = tmp_path_factory.mktemp("real")
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}))
    result = build(load_sources(folder / "sources.yaml"), folder / "data.zarr", InProcess())
    assert result.failed == 0
    return Store.open(folder / "data.zarr")


def events(store: Store, recording: str) -> list[tuple[float, float, str]]:
    table = store.events(where=pc.field("recording") == recording).to_pylist()
    return [(row["original_onset_s"], row["duration_s"], row["label"]) for row in table]


@pytest.mark.parametrize("recipe", ["eegmat", "eegmmi", "siena", "chb_mit", "tusz", "tueg"])
def test_channels_rate_unit_and_mains_are_as_expected(store: Store, recipe: str) -> None:
    expected = load_recipe(recipe).expected
    rows = store.recordings(where=pc.field("source") == recipe).to_pylist()
    assert rows
    for row in rows:
        assert row["n_channels"] in (expected.channels or ())
        assert row["original_sfreq_hz"] in (expected.sfreq_hz or ())
        assert row["original_unit"] == "uV"
        assert row["line_freq_hz"] == load_recipe(recipe).keys["line_freq_hz"]
        assert row["subject"]


def test_arithmetic_and_rest(store: Store) -> None:
    labels = {
        name: {label for _, _, label in events(store, f"eegmat/{name}") if "Total time" not in label}  # the files' own
        for name in _files(store, "eegmat")
    }
    assert labels == {
        "Subject00_1.edf": {"rest", "bad counting"},
        "Subject00_2.edf": {"arithmetic", "bad counting"},
        "Subject01_1.edf": {"rest", "good counting"},
        "Subject01_2.edf": {"arithmetic", "good counting"},
    }


def test_what_t1_and_t2_mean_depends_on_the_run(store: Store, eeg_data: Path) -> None:
    meant: dict[str, Any] = {
        "04": {"T0": "rest", "T1": "imagined left fist", "T2": "imagined right fist"},
        "06": {"T0": "rest", "T1": "imagined both fists", "T2": "imagined both feet"},
    }
    meant |= {"10": meant["06"], "14": meant["06"]}
    assert _files(store, "eegmmi") == {f"S001/S001R{run}.edf" for run in meant}
    for run, names in meant.items():
        raw = mne.io.read_raw_edf(eeg_data / f"physionet_eegmmidb/S001/S001R{run}.edf", verbose="ERROR")
        counts = Counter(names[label] for label in raw.annotations.description)
        found = events(store, f"eegmmi/S001/S001R{run}.edf")
        assert Counter(label for _, _, label in found) == counts
        assert [onset for onset, _, _ in found] == pytest.approx(list(raw.annotations.onset))


def test_seizures_of_the_real_lists(store: Store) -> None:
    """Seconds that two other readers of Siena agree on, with the mistyped end of PN00-3 as one of them corrects it."""
    seizures = {"1": (1143, 1213), "2": (1220, 1274), "3": (765, 825), "4": (1006, 1080), "5": (904, 971)}
    for number, (start, stop) in seizures.items():
        found = events(store, f"siena/PN00/PN00-{number}.edf")
        assert [event for event in found if event[2] == "seizure"] == [(start, stop - start, "seizure")]
    assert (417, 115, "seizure") in events(store, "chb_mit/chb05/chb05_06.edf")
    assert [label for _, _, label in events(store, "chb_mit/chb05/chb05_07.edf")] == ["background"]


def test_headers_of_temple_university_hospital(store: Store) -> None:
    """Seconds of the tables, which tell of the whole recordings: the files here are cut to 2 s."""
    rows = {row["file"]: row for row in store.recordings(where=pc.field("source").isin(["tusz", "tueg"])).to_pylist()}
    assert len(rows) == 14
    for file, row in rows.items():
        assert (row["subject"], row["reference"]) == ("aaaaakpu", "ar")
        assert f"/{row['subject']}_{row['session']}_{row['run']}.edf" in file
        electrodes, sfreq_hz = (23, 250) if "01_tcp_ar" in file else (19, 400)
        assert (row["n_channels"], row["original_sfreq_hz"]) == (electrodes, sfreq_hz)
        assert {"A1", "T2"} <= set(store.array(row["array"]).channels) or electrodes == 19
    seizure = "tusz/train/aaaaakpu/s002_2010/03_tcp_ar_a/aaaaakpu_s002_t002.edf"
    assert events(store, seizure) == [(0, 2, "bckg"), (110.645, pytest.approx(181.0825 - 110.645), "seiz")]
    assert events(store, seizure.replace("t002", "t003")) == [(0, 355, "bckg")]


def _files(store: Store, source: str) -> set[str]:
    return {row["file"] for row in store.recordings(where=pc.field("source") == source).to_pylist()}

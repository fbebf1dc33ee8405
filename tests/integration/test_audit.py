"""The audit of real recordings: the traps that are in them, defects planted into copies of them, and nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from tests.integration.conftest import BIN, Built

Findings = list[dict[str, Any]]


def eegmmidb(data: Path, run: str) -> mne.io.BaseRaw:
    (path,) = (data / "physionet_eegmmidb/S001").glob(f"S001R{run}*.edf")
    return mne.io.read_raw_edf(path, preload=True, verbose="ERROR")


def save(path: Path, volts: npt.NDArray[np.float64], names: list[str], sfreq_hz: float = 160.0) -> None:
    path.parent.mkdir(parents=True)
    info = mne.create_info([name.strip(".") for name in names], sfreq_hz, "eeg")
    mne.io.RawArray(volts, info, verbose="ERROR").save(path, fmt="single", verbose="ERROR")


def plant(data: Path, folder: Path) -> list[dict[str, Any]]:
    """Write copies of EEGMMI runs with one defect each, and return their sources."""
    runs = {run: eegmmidb(data, run) for run in ("04", "06", "10", "14")}
    volts = {run: raw.get_data() for run, raw in runs.items()}
    names = runs["04"].ch_names
    place = {name.strip(".").lower(): index for index, name in enumerate(names)}
    save(folder / "wrong_mains/a_raw.fif", volts["04"], names)
    save(folder / "wrong_rate/a_raw.fif", volts["06"], names, sfreq_hz=128.0)
    save(folder / "cut/a_raw.fif", volts["06"][:, 3251:16000], names)
    bad = volts["10"].copy()
    bad[place["c3"]], bad[place["cz"]], bad[place["t7"]] = bad[place["c4"]], 3e-4, -2 * bad[place["fp1"]]
    save(folder / "bad_channels/a_raw.fif", bad, names)
    dead = volts["14"].copy()
    dead[:, -40 * 160 :] = dead[:, [-40 * 160]]
    save(folder / "dead_tail/a_raw.fif", dead, names)
    save(folder / "millivolts/a_raw.fif", 0.7 * volts["14"], names)
    options: dict[str, dict[str, Any]] = {"wrong_mains": {"line_freq_hz": 50}, "millivolts": {"unit": "mV"}}
    return [{"name": path.name, "path": str(path), **options.get(path.name, {})} for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def real(real_store: Built) -> Findings:
    """What the build of all real recordings found."""
    found: Findings = real_store.result["findings"]
    return found


@pytest.fixture(scope="module")
def planted(eeg_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What the audit finds in EEGMMI beside copies with defects, and in real sources that are declared wrong."""
    folder = tmp_path_factory.mktemp("audit")
    sources: list[dict[str, Any]] = [
        {"name": "eegmmidb", "path": str(eeg_data / "physionet_eegmmidb")},
        *plant(eeg_data, folder / "planted"),
        {"name": "yasa", "path": str(eeg_data / "yasa"), "line_freq_hz": 50},
        {"name": "openbci", "path": str(eeg_data / "innopolis_openbci"), "files": "**/*.txt", "line_freq_hz": 50},
        {"name": "sessions", "path": str(eeg_data / "ssvep_exoskeleton/subject01"), "files": ["*.gdf", "*_raw.fif"]},
    ]
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}))
    command = [BIN / "eeg-ingest", "build", "--sources", folder / "sources.yaml", "--store", folder / "s", "--json"]
    done = subprocess.run([*map(str, command), "--strict"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    found: Findings = json.loads(done.stdout)["findings"]
    return found


def of(findings: Findings, source: str, *weights: str) -> dict[str, dict[str, Any]]:
    return {
        f["name"]: f for f in findings if f["source"] == source and f["weight"] in (weights or ("error", "warning"))
    }


# All that is found with weight in the real recordings, and what it says. Each is true; the other sources are sound.
OF_WEIGHT = {
    # The traps of the folder: 16 identical channels, no head, random numbers, railed inputs, one session twice.
    ("biosemi_cap", "identical_channels"): "one signal on all channels (median correlation 0.9998)",
    ("brainvision", "identical_channels"): "one signal on all channels (median correlation 0.9997) in 1 of 2",
    ("egi", "railed_channels"): "229 of them at the converter's limit",  # the raw signal drifts by 50 mV and more
    ("egi", "open_inputs"): "17 channels beyond it",
    ("marley_openbci", "railed_channels"): "6 of them at the converter's limit",
    ("marley_epoc", "noise"): "an amplifier without a head",
    ("marley_enobio", "unit"): "0.2 µV",  # nV, and no head
    ("chb_mit", "noise"): "4 of 4 recordings with a flat spectrum",
    ("siena", "noise"): "5 of 5 recordings with a flat spectrum",
    ("tusz", "noise"): "14 of 14 recordings with a flat spectrum",
    ("seizeit", "noise"): "4 of 4 recordings with a flat spectrum",
    ("ssvep_fif", "duplicate_recording"): "record-2012.07.06-19.02.16.gdf",
    # Files of 2 s under the labels of hours.
    ("chb_mit", "stops_early"): "labels up to 415 s after the end of 1",
    ("siena", "stops_early"): "labels up to 1218 s after the end of 5",
    ("tusz", "stops_early"): "labels up to 1161 s after the end of 3",
    ("seizeit", "stops_early"): "labels up to 8969 s after the end of 3",
    # What nobody had listed.
    ("alcoholism", "railed_channels"): "CZ constant",  # zeros in three of five trials
    ("brainvision", "unit"): "0.787 µV in 1 of 2",  # one second of a microvolt
    ("eximia", "open_inputs"): "1 channel beyond it (OZ)",
    ("eximia", "railed_channels"): "FC4 constant",
    ("yasa", "stops_early"): "constant for the last 8 s",  # zeros
    ("eeglab_epochs", "failures"): "shorter than one second",
}

# The traps that are no defect: what the audit notes of them.
NOTES = {
    ("eegmat", "filters"): "none in 10, 0.5 to 45 Hz in 4 of 14 recordings",
    ("eegmat", "left_out"): "EEG A2-A1 (a reference, no electrode of its own); ECG ECG (type ecg)",
    ("marley_epoc", "left_out"): "INTERPOLATED",  # typed as EEG in the EDF: 36 channels, of which 14 are
    ("eeglab", "left_out"): "EOG1, EOG2 (type eog)",
    ("chb_mit", "left_out"): "T8-P8 (same name as ...)",
    ("biosig_sample", "ingest_warning"): "4 names only count electrodes (Channel 1 ...)",
    ("neuroscan", "ingest_warning"): "124 names only count electrodes (1 ...)",
    ("eye_state", "ingest_warning"): "943 samples (0.3%) beyond the stored range",
}


def test_all_that_is_found_in_the_real_recordings(real: Findings) -> None:
    weighty = {(f["source"], f["name"]): f["found"] for f in real if f["weight"] != "note"}
    assert set(weighty) == set(OF_WEIGHT)
    assert len(weighty) == sum(f["weight"] != "note" for f in real)
    for key, text in OF_WEIGHT.items():
        assert text in weighty[key], key


def test_traps_that_are_noted(real: Findings) -> None:
    notes = {(f["source"], f["name"]): f["found"] for f in real if f["weight"] == "note"}
    for key, text in NOTES.items():
        assert text in notes[key], key


def test_nothing_of_weight_in_eegmat_and_eegmmidb(real: Findings) -> None:
    for source in ("eegmat", "eegmmidb"):
        assert of(real, source) == {}
        assert set(of(real, source, "note")) >= {"subjects", "recordings", "hours"}


def test_inputs_without_electrodes_and_the_units_of_one_session(planted: Findings) -> None:
    """Two of eight inputs have electrodes; the GDF and the FIF declare V or µV and hold mV."""
    assert "Channel 3" in of(planted, "openbci")["railed_channels"]["found"]
    assert of(planted, "sessions").keys() == {"duplicate_recording"}
    warnings = [f["found"] for f in planted if (f["source"], f["name"]) == ("sessions", "ingest_warning")]
    assert len(warnings) == 2
    assert all("mV" in text for text in warnings)


def test_planted_defects(planted: Findings) -> None:
    assert "hum at 60 Hz" in of(planted, "yasa")["mains_frequency"]["found"]
    mains = of(planted, "wrong_mains")["mains_frequency"]
    assert mains["weight"] == "error"
    assert "hum at 60 Hz" in mains["found"]
    assert "160 Hz would put it at 60 Hz" in of(planted, "wrong_rate")["sampling_rate"]["found"]
    channels = of(planted, "bad_channels")
    assert "C3=C4" in channels["identical_channels"]["found"]
    assert channels["railed_channels"]["found"].startswith("CZ constant")
    assert channels["eog_as_eeg"]["found"].startswith("T7 with")
    assert "for the last 40 s" in of(planted, "dead_tail")["stops_early"]["found"]
    assert of(planted, "millivolts")["unit"]["recordings"] == ["millivolts/a_raw.fif"]


def test_planted_copies(planted: Findings) -> None:
    copies = {f["source"]: f for f in planted if f["name"] == "duplicate_recording" and f["source"] != "sessions"}
    assert {source: finding["weight"] for source, finding in copies.items()} == dict.fromkeys(
        ("bad_channels", "cut", "dead_tail", "wrong_mains"), "error"
    )
    assert "S001R06.edf, from 20 s on" in copies["cut"]["found"]
    assert "wrong_rate" not in [f["source"] for f in planted if f["name"] == "duplicate_recording"]  # on another clock

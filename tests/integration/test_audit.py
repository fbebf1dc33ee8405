"""The audit of real recordings: the traps that are in them, defects planted into copies of them, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from tests.integration.conftest import BIN, ROOT

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
def findings(eeg_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    folder = tmp_path_factory.mktemp("audit")
    text = (ROOT / "pipelines/real/sources.yaml").read_text().replace("../../../shared/eeg", str(eeg_data))
    sources = yaml.safe_load(text)["sources"]
    for source in sources:
        if source["name"] == "eegmmidb":
            source["expected"] = {"subjects": 109, "recordings": 1526, "hours": 47.3, "channels": 64, "sfreq_hz": 160}
        if source["name"] == "eegmat":
            source["expected"] = {"subjects": 36, "recordings": 72, "channels": 19, "sfreq_hz": 500}
        if source["name"] == "yasa":
            source["line_freq_hz"] = 50
    random = eeg_data / "HEADER_ONLY_random_signal"
    sources += [{"name": path.name, "path": str(path)} for path in sorted(random.iterdir())]
    sources += plant(eeg_data, folder / "planted")
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}))
    command = [BIN / "eeg-ingest", "build", "--sources", folder / "sources.yaml", "--store", folder / "s", "--json"]
    environment = {**os.environ, "EEG_TEST_DATA": str(eeg_data)}
    done = subprocess.run(
        [*map(str, command), "--strict"], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1, done.stderr
    found: Findings = json.loads(done.stdout)["findings"]
    return found


def of(findings: Findings, source: str, *weights: str) -> dict[str, dict[str, Any]]:
    return {
        f["name"]: f for f in findings if f["source"] == source and f["weight"] in (weights or ("error", "warning"))
    }


def test_nothing_of_weight_in_eegmat_and_eegmmidb(findings: Findings) -> None:
    assert of(findings, "eegmat") == {}
    assert of(findings, "eegmmidb") == {}
    assert set(of(findings, "eegmmidb", "note")) == {"subjects", "recordings", "hours"}


def test_random_numbers_under_real_headers(findings: Findings) -> None:
    for source, count in {"chbmit": 4, "seizeit": 4, "siena": 5, "tuh": 14}.items():
        noise = of(findings, source)["noise"]
        assert (noise["weight"], len(noise["recordings"])) == ("error", count)


def test_traps_of_devices(findings: Findings) -> None:
    assert of(findings, "biosemi_cap")["identical_channels"]["weight"] == "error"
    assert "one signal on all channels" in of(findings, "brainvision")["identical_channels"]["found"]
    assert of(findings, "egi")["railed_channels"]["weight"] == "error"  # off the head
    assert "hum at 60 Hz" in of(findings, "yasa")["mains_frequency"]["found"]
    assert "EOG1, EOG2 (type eog)" in of(findings, "eeglab", "note")["left_out"]["found"]
    assert "INTERPOLATED" in of(findings, "marley_epoc", "note")["left_out"]["found"].upper()
    assert of(findings, "ssvep_fif")["duplicate_recording"]["recordings"] == [
        "ssvep_fif/subject01/record-2012.07.06-19.02.16_raw.fif"
    ]
    assert of(findings, "ssvep_gdf") == {}


def test_planted_defects(findings: Findings) -> None:
    mains = of(findings, "wrong_mains")["mains_frequency"]
    assert mains["weight"] == "error"
    assert "hum at 60 Hz" in mains["found"]
    assert "160 Hz would put it at 60 Hz" in of(findings, "wrong_rate")["sampling_rate"]["found"]
    channels = of(findings, "bad_channels")
    assert "C3=C4" in channels["identical_channels"]["found"]
    assert channels["railed_channels"]["found"].startswith("CZ constant")
    assert channels["eog_as_eeg"]["found"].startswith("T7 with")
    assert "for the last 40 s" in of(findings, "dead_tail")["stops_early"]["found"]
    assert of(findings, "millivolts")["unit"]["recordings"] == ["millivolts/a_raw.fif"]


def test_planted_copies(findings: Findings) -> None:
    copies = {f["source"]: f for f in findings if f["name"] == "duplicate_recording" and f["source"] != "ssvep_fif"}
    assert {source: finding["weight"] for source, finding in copies.items()} == dict.fromkeys(
        ("bad_channels", "cut", "dead_tail", "wrong_mains"), "error"
    )
    assert "S001R06.edf, from 20 s on" in copies["cut"]["found"]
    assert "wrong_rate" not in [f["source"] for f in findings if f["name"] == "duplicate_recording"]  # on another clock

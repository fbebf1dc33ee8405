"""Real recordings: names, types, units and rates as written down; samples and events as MNE reads them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest
import yaml
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError
from eeg_ingest.units import amplitude_uv

EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "expected_channels.yaml").read_text(encoding="utf-8")
)
OTHERWISE = ("egi-mff", "xdf")  # formats that MNE does not read, or not right
MNE_FILES = [
    name for name, facts in EXPECTED.items() if facts["format"] not in OTHERWISE and not name.startswith("HEADER")
]


@pytest.mark.parametrize("name", EXPECTED)
def test_file_is_as_written_down(eeg_data: Path, name: str) -> None:
    facts = EXPECTED[name]
    recording = open_recording(eeg_data / name, unit=facts.get("unit"))
    choice = choose_channels(recording, rename={}, drop=(), montage=facts.get("montage"))
    assert [channel.replace(" ", "_") for channel in choice.names] == facts["channels"].split()
    left_out: dict[str, list[str]] = defaultdict(list)
    for item in choice.left_out:
        assert item.reason
        left_out[item.type].append(item.name)
    assert {kind: ", ".join(names) for kind, names in left_out.items()} == facts.get("left_out", {})
    found = (recording.format, recording.sfreq_hz, recording.reference, recording.n_samples)
    assert found == (facts["format"], facts["sfreq_hz"], facts["reference"], facts["n_samples"])
    assert (len(recording.segments), len(recording.events)) == (facts["segments"], facts["events"])
    assert {recording.channels[index].unit for index in choice.indices} == {facts["read_in"]}
    assert amplitude_uv(recording) == pytest.approx(facts["amplitude_uv"], rel=0.01)


# MNE takes the sessions' millivolts for µV (GDF) and V (FIF), GDF's Latin-1 µ for no unit, and eXimia's µV for V
TO_UV = {
    "subject01/record-2012.07.06-19.02.16.gdf": 1e9,
    "02.16_raw.fif": 1e3,
    "sample.gdf": 1.0,
    ".nxe": 1.0,
}


def mne_to_uv(name: str) -> float:
    """What makes µV of MNE's numbers of a real file."""
    return next((factor for end, factor in TO_UV.items() if name.endswith(end)), 1e6)


def mne_raw(path: Path, kind: str) -> Any:
    """Open a real file as MNE does."""
    readers = {"edf": mne.io.read_raw_edf, "bdf": mne.io.read_raw_bdf, "gdf": mne.io.read_raw_gdf}
    readers |= {"fif": mne.io.read_raw_fif, "brainvision": mne.io.read_raw_brainvision}
    readers |= {"eeglab": mne.io.read_raw_eeglab, "ant-cnt": mne.io.read_raw_ant, "nihon-kohden": mne.io.read_raw_nihon}
    readers |= {"eximia": mne.io.read_raw_eximia}
    if kind == "curry":
        return mne.io.read_raw_curry(path.with_suffix(".dat"), verbose="ERROR")
    if kind == "neuroscan-cnt":
        return mne.io.read_raw_cnt(path, data_format="int16", verbose="ERROR")
    return readers[kind](path, verbose="ERROR")


@pytest.mark.parametrize("name", MNE_FILES)
@pytest.mark.filterwarnings("ignore:Channel names are not unique:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Scaling factor is not defined:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Unsupported physical:RuntimeWarning")
def test_samples_and_events_equal_those_of_mne(eeg_data: Path, name: str) -> None:
    facts = EXPECTED[name]
    recording = open_recording(eeg_data / name, unit=facts.get("unit"))
    indices = choose_channels(recording, rename={}, drop=(), montage=facts.get("montage")).indices
    if "epochs" in name:
        epochs = mne.read_epochs_eeglab(eeg_data / name, verbose="ERROR")
        wanted_v = np.concatenate(list(epochs.get_data(copy=False)), axis=1)
    else:
        raw = mne_raw(eeg_data / name, facts["format"])
        wanted_v = raw.get_data()
        if facts["format"] not in ("bdf", "fif"):
            onsets = [(round(a["onset"], 6), a["description"]) for a in raw.annotations]
            assert [(round(e.onset_s, 6), e.label) for e in recording.events] == onsets
    start, stop = recording.n_samples // 3, recording.n_samples
    signal_uv = recording.read_uv(indices, start, stop)
    np.testing.assert_allclose(signal_uv, wanted_v[list(indices), start:stop] * mne_to_uv(name), rtol=2e-7, atol=1e-4)


@pytest.mark.parametrize("name", ["biosemi_newtest17/Newtest17-256.bdf", "mne_python_tests/edf/tests/data/test.bdf"])
def test_triggers_equal_those_of_mne(eeg_data: Path, name: str) -> None:
    recording = open_recording(eeg_data / name)
    raw = mne.io.read_raw_bdf(eeg_data / name, verbose="ERROR")
    found = mne.find_events(raw, shortest_event=1, verbose="ERROR")
    assert [(round(e.onset_s * recording.sfreq_hz), int(e.label)) for e in recording.events] == [
        (int(sample), int(code) & 0xFFFF) for sample, _, code in found
    ]


def test_edf_equals_edfio(eeg_data: Path) -> None:
    path = eeg_data / "physionet_eegmat/Subject03_2.edf"
    recording = open_recording(path)
    edf = edfio.read_edf(path)
    for index, signal in enumerate(edf.signals):
        assert recording.channels[index].name == signal.label
        factor = 1e3 if signal.physical_dimension == "mV" else 1.0
        signal_uv = recording.read_uv([index], 0, recording.n_samples)[0]
        np.testing.assert_allclose(signal_uv, signal.data * factor, rtol=2e-7, atol=1e-5)


def test_gdf_and_fif_of_one_session_are_one_signal(eeg_data: Path) -> None:
    folder = eeg_data / "ssvep_exoskeleton/subject01"
    for unit in (None, "mV"):
        gdf = open_recording(folder / "record-2012.07.06-19.02.16.gdf", unit=unit)
        fif = open_recording(folder / "record-2012.07.06-19.02.16_raw.fif", unit=unit)
        both = [recording.read_uv(range(8), 0, 57024) for recording in (gdf, fif)]
        np.testing.assert_allclose(both[0], both[1], rtol=1e-5, atol=2e-5)
        assert 1 < both[0].std(axis=1).min() < both[0].std(axis=1).max() < 50  # µV


def test_every_session_comes_out_on_one_scale_without_a_declared_unit(eeg_data: Path) -> None:
    sessions = [*eeg_data.glob("ssvep_exoskeleton/*/*.gdf"), *eeg_data.glob("ssvep_exoskeleton/*/*_raw.fif")]
    assert len(sessions) == 5
    for path in sessions:
        amplitude = amplitude_uv(open_recording(path))
        assert amplitude is not None
        assert 3 < amplitude < 20


def test_egi_samples(eeg_data: Path) -> None:
    """Values of MNE 1.13.2 with mffpy 0.11.0, which this project does not install."""
    recording = open_recording(eeg_data / "mne_testing_data/EGI/test_egi_multiepoch_eprime.mff")
    wanted = [
        [0.0, 0.0, -231427.46875, -231423.296875],
        [0.0, 0.0, 83817.140625, 83876.296875],
        [0.0, 0.0, -233088.03125, -233078.234375],
        [0.0, 0.0, 0.0, 0.0],
    ]
    np.testing.assert_allclose(recording.read_uv([0, 100, 255, 256], 334, 338), wanted, rtol=1e-7)
    assert [(segment.n_samples, segment.onset_s) for segment in recording.segments] == [(336, 0.0), (3555, 1.804)]


def test_a_folder_of_everything(eeg_data: Path) -> None:
    """Each file of the whole folder is a recording, a companion, or is refused with a reason."""
    opened, refused = 0, []
    for path in sorted(eeg_data.rglob("*")):
        folder = path.is_dir()
        if (folder and path.suffix != ".mff") or "HEADER" in str(path) or is_companion(path):
            continue
        assert recording_files(path)
        try:
            recording = open_recording(path)
        except IngestError as error:
            refused.append(str(error))
            continue
        opened += 1
        assert all(Path(file).is_file() for file in recording.files)
    assert opened >= 36
    assert all(reason.endswith(".") for reason in refused)

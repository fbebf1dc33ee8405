"""Curry 7 to 9: against MNE, which asks curryreader."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from eeg_ingest.readers import detect_format, is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError

SFREQ_HZ, N_SAMPLES = 512, 3000
LABELS = ("Fp1", "Cz", "Oz")
OTHERS = ("VEO", "Trigger")
VALUES = np.random.default_rng(0).normal(0, 20, (N_SAMPLES, 5)).astype("<f4")


def a_list(name: str, rows: list[str] | tuple[str, ...]) -> str:
    """Curry names a list four times: its description opens and closes, and its rows do."""
    inside = "\n".join(rows)
    return f"{name} START\n   ListNrRows = {len(rows)}\n{name} END\n\n{name} START_LIST\n{inside}\n{name} END_LIST\n\n"


def header(**changes: Any) -> str:
    keys = {
        "DataFormat": "FLOAT", "DataGuid": "{0B86B22B}", "DataByteOrder": "INTEL", "DataSampOrder": "SAMP",
        "AmplifierInfo": "", "NumSamples": N_SAMPLES, "NumTrials": 1, "NumChannels": 5, "StartYear": 2018,
        "StartMonth": 11, "StartDay": 21, "StartHour": 12, "StartMin": 53, "StartSec": 48, "StartMillisec": 525,
        "SampleTimeUsec": 1e6 / SFREQ_HZ, "SampleFreqHz": SFREQ_HZ, "TriggerOffsetUsec": 0,
    } | changes  # fmt: skip
    text = "\nFileVersion = 803\n\nDATA_PARAMETERS START\n" + "".join(f"   {k} = {v}\n" for k, v in keys.items())
    text += "DATA_PARAMETERS END\n\n"
    for group, labels in (("", LABELS), ("_OTHERS", OTHERS)):
        text += f"DEVICE_PARAMETERS{group} START\n   DataUnit = uV\n   NumChanThisGroup = {len(labels)}\n"
        text += f"DEVICE_PARAMETERS{group} END\n\n"
    text += a_list("LABELS", LABELS) + a_list("LABELS_OTHERS", OTHERS)
    text += a_list("SENSORS", ["1 2 3"] * 3) + a_list("IMPEDANCE_VALUES", ["-1"] * 5)
    return text


def write_cdt(folder: Path, text: str | None = None, data: bytes | None = None) -> Path:
    path = folder / "x.cdt"
    path.write_bytes(VALUES.tobytes() if data is None else data)
    (folder / "x.cdt.dpa").write_text(header() if text is None else text)
    return path


EVENTS = a_list("NUMBER_LIST", ["700 0 5 0 700 700 0 0 0 0 0", "1200 0 7 0 1200 1456 0 0 0 0 0"]) + a_list(
    "REMARK_LIST", [" ", "eyes closed"]
)


def test_curry_8_equals_mne(tmp_path: Path) -> None:
    path = write_cdt(tmp_path)
    (tmp_path / "x.cdt.ceo").write_text(EVENTS)
    recording = open_recording(path)
    raw = mne.io.read_raw_curry(path, verbose="ERROR")
    assert (recording.format, recording.sfreq_hz) == ("curry", raw.info["sfreq"])
    assert [channel.name for channel in recording.channels] == raw.ch_names
    assert [channel.type for channel in recording.channels] == ["eeg", "eeg", "eeg", "eog", "stim"]
    np.testing.assert_allclose(recording.read_uv(range(5), 0, N_SAMPLES), raw.get_data() * 1e6, rtol=1e-6)
    np.testing.assert_allclose([event.onset_s for event in recording.events], raw.annotations.onset, atol=1e-6)
    assert [(event.label, event.duration_s) for event in recording.events] == [("5", 0.0), ("eyes closed", 0.5)]
    assert [file.name for file in recording_files(path)] == ["x.cdt", "x.cdt.dpa", "x.cdt.ceo"]
    assert all(is_companion(file) for file in recording_files(path)[1:])


def test_real_curry_7_equals_mne(eeg_data: Path) -> None:
    """The reference is in the list of labels and not in the file."""
    path = eeg_data / "mne_testing_data/curry/Ref_channel_omitted Curry7.dap"
    recording = open_recording(path)
    raw = mne.io.read_raw_curry(path.with_suffix(".dat"), verbose="ERROR")
    assert [channel.name for channel in recording.channels] == raw.ch_names
    np.testing.assert_allclose(recording.read_uv(range(6), 0, 5000), raw.get_data() * 1e6, rtol=1e-6)
    assert is_companion(path.with_suffix(".dat"))


def test_samples_by_channel_and_as_text(tmp_path: Path) -> None:
    by_channel = write_cdt(tmp_path, header(DataSampOrder="CHAN"), VALUES.T.tobytes())
    np.testing.assert_array_equal(open_recording(by_channel).read_uv(range(5), 10, 500), VALUES.T[:, 10:500])
    text = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in VALUES).encode()
    as_text = write_cdt(tmp_path, header(DataFormat="ASCII", DataByteOrder="ASCII"), text)
    np.testing.assert_array_equal(open_recording(as_text).read_uv(range(5), 10, 500), VALUES.T[:, 10:500])
    as_text.write_bytes(text[:-100])
    with pytest.raises(IngestError, match="of 15000 numbers"):
        open_recording(as_text)


def test_epochs_are_segments(tmp_path: Path) -> None:
    epochs = a_list("EPOCH_INFORMATION", ["1 3 0 1 1 0 0"] * 3)
    recording = open_recording(write_cdt(tmp_path, header(NumSamples=1000, NumTrials=3) + epochs))
    assert [(s.start_sample, s.n_samples) for s in recording.segments] == [(0, 1000), (1000, 1000), (2000, 1000)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (header(NumSamples=N_SAMPLES + 1), "copy is incomplete"),
        (header(NumSamples=N_SAMPLES - 1), "found 20 more"),
        (header(NumSamples="many"), "NumSamples in x.cdt.dpa: expected a number, found 'many'"),
        (header(NumChannels=6), "expected labels of 6 channels, found 5"),
        (header(SampleFreqHz=0, SampleTimeUsec=0), "declares 0 Hz"),
        (header(DataGuid="{2912E8D8-F5C8-4E25-A8E7-A1385967DA09}"), "is compressed"),
        (header() + a_list("EPOCH_INFORMATION", ["40 1 0 1 1 0 0"]), "averages over epochs"),
        (header().replace("DataUnit = uV", "DataUnit ="), "unit of channel 'Fp1' is unknown"),
    ],
)
def test_damaged_headers_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(IngestError, match=reason):
        open_recording(write_cdt(tmp_path, text))


def test_a_file_without_its_others_says_which(eeg_data: Path, tmp_path: Path) -> None:
    path = write_cdt(tmp_path)
    with pytest.raises(IngestError, match=r"name x\.cdt beside it"):
        detect_format(tmp_path / "x.cdt.dpa")
    (tmp_path / "x.cdt.dpa").unlink()
    with pytest.raises(IngestError, match=r"x\.cdt\.dpa, is missing"):
        open_recording(path)
    source = eeg_data / "mne_testing_data/curry/Ref_channel_omitted Curry7.dap"
    layout = tmp_path / "y.dap"
    shutil.copyfile(source, layout)
    with pytest.raises(IngestError, match=r"y\.rs3 with the labels"):
        open_recording(layout)
    shutil.copyfile(source.with_suffix(".rs3"), tmp_path / "y.RS3")
    with pytest.raises(IngestError, match=r"y\.dat, are missing"):
        open_recording(layout)
    shutil.copyfile(source.with_suffix(".dat"), tmp_path / "y.DAT")
    assert open_recording(layout).n_samples == 5000

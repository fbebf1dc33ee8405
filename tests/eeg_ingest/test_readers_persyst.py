"""Persyst layouts: against MNE where MNE reads them."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from eeg_ingest.readers import is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError

VALUES = np.random.default_rng(0).integers(-200, 200, (4000, 3))
LAYOUT = """[FileInfo]
File=C:\\recordings\\x.dat
FileType=Interleaved
SamplingRate=200
HeaderLength=0
Calibration=0.25
WaveformCount=3
DataType=0
[ChannelMap]
Fp1-Ref=1
Cz-Ref=2
ECG=3
[Patient]
First=Jane
Last=Doe
Sex=female
Hand=right
BirthDate=01/02/80
TestDate=03/04/2010
TestTime=10:11:12
[SampleTimes]
0=36000.000
[Comments]
2.500,1.000,0,100,eyes closed, at last
12.000,0.000,0,100,photic
"""


def write_lay(folder: Path, text: str = LAYOUT, number: str = "<i2", before: bytes = b"") -> Path:
    path = folder / "x.lay"
    path.write_text(text, encoding="latin-1")
    (folder / "x.dat").write_bytes(before + VALUES.astype(number).tobytes())
    return path


def test_equals_mne(tmp_path: Path) -> None:
    path = write_lay(tmp_path, LAYOUT.replace("C:\\recordings\\", ""))
    recording = open_recording(path)
    raw = mne.io.read_raw_persyst(path, verbose="ERROR")
    assert (recording.format, recording.sfreq_hz, recording.n_samples) == ("persyst", 200.0, 4000)
    assert recording.reference == "Ref"
    assert [(channel.name, channel.type) for channel in recording.channels] == [
        ("Fp1-Ref", "eeg"), ("Cz-Ref", "eeg"), ("ECG", "ecg"),
    ]  # fmt: skip
    np.testing.assert_allclose(recording.read_uv(range(3), 0, 4000), raw.get_data() * 1e6, rtol=1e-6)
    marks = [
        tuple(mark)
        for mark in zip(*(getattr(raw.annotations, k) for k in ("onset", "duration", "description")), strict=True)
    ]
    assert [(event.onset_s, event.duration_s, event.label) for event in recording.events] == marks
    assert [file.name for file in recording_files(path)] == ["x.lay", "x.dat"]
    assert is_companion(tmp_path / "x.dat")


def test_what_mne_passes_over(tmp_path: Path) -> None:
    """A path of Windows, no patient, 32 bits behind a header, channels out of order, a gap over midnight."""
    start, end = LAYOUT.index("[Patient]"), LAYOUT.index("[Comments]")
    text = LAYOUT[:start] + "[SampleTimes]\n0=86395.000\n1000=50.000\n3000=60.000\n" + LAYOUT[end:]
    text = text.replace("DataType=0", "DataType=7").replace("HeaderLength=0", "HeaderLength=12")
    text = text.replace("Fp1-Ref=1\nCz-Ref=2", "Cz-Ref=2\nFp1-Ref=1")
    recording = open_recording(write_lay(tmp_path, text, "<i4", b"twelve bytes"))
    assert [channel.name for channel in recording.channels] == ["Fp1-Ref", "Cz-Ref", "ECG"]
    np.testing.assert_allclose(recording.read_uv([0, 1], 900, 1100), VALUES[900:1100, :2].T * 0.25)
    assert [(s.start_sample, s.n_samples, s.onset_s) for s in recording.segments] == [
        (0, 1000, 0.0),
        (1000, 3000, 55.0),
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("File=C:\\recordings\\x.dat", "File=gone.dat", "names the data file gone.dat"),
        ("Interleaved", "Excel2", "found Excel2"),
        ("DataType=0", "DataType=5", "DataType=0 or 7"),
        ("SamplingRate=200", "SamplingRate=", "samplingrate in x.lay: expected a number, found ''"),
        ("SamplingRate=200", "SamplingRate=0", "declares 0 Hz"),
        ("WaveformCount=3", "WaveformCount=4", "expected 4 channels"),
        ("Cz-Ref=2", "Cz-Ref=7", "expected 3 channels, numbered from 1"),
        ("12.000,0.000,0,100,photic", "photic", "expected 5 cells, found 'photic'"),
    ],
)
def test_damaged_layouts_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(IngestError, match=reason):
        open_recording(write_lay(tmp_path, LAYOUT.replace(old, new)))


def test_data_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    path = write_lay(tmp_path)
    (tmp_path / "x.dat").write_bytes((tmp_path / "x.dat").read_bytes()[:-1])
    with pytest.raises(IngestError, match="ends inside a sample"):
        open_recording(path)

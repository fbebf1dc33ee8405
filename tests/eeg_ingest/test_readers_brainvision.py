"""BrainVision: units of the header, pauses, missing and short files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError, Segment

RATE_HZ = 100.0


def eeg(n_channels: int = 3, n_samples: int = 1000, scale: float = 20.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, scale, (n_channels, n_samples))


def brainvision(folder: Path, signal_uv: npt.NDArray[np.float64], unit: str = "µV", points: int | None = None) -> Path:
    """A multiplexed INT_16 recording with a resolution of 0.1 of `unit`, a pause at sample 400 and one stimulus."""
    digital = np.round(signal_uv * 10).astype("<i2")
    names = ["Fz", "Cz", "VEOG", "Resp"][: len(digital)]
    rows = "".join(f"Ch{i + 1}={name},,0.1,{unit}\n" for i, name in enumerate(names))
    (folder / "x.eeg").write_bytes(digital.T.tobytes())
    (folder / "x.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=x.eeg\n"
        "[Marker Infos]\nMk1=New Segment,,1,1,0,20200101120000000000\nMk2=Stimulus,S  7,251,1,0\n"
        "Mk3=New Segment,,401,1,0,20200101120100000000\n",
        encoding="utf-8",
    )
    header = folder / "x.vhdr"
    header.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=x.eeg\n"
        "MarkerFile=x.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={len(digital)}\nSamplingInterval=10000\n"
        + (f"DataPoints={points}\n" if points else "")
        + f"[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n{rows}",
        encoding="utf-8",
    )
    return header


def test_brainvision(tmp_path: Path) -> None:
    signal_uv = eeg(4)
    path = brainvision(tmp_path, signal_uv)
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read_uv([0, 1], 0, 1000), signal_uv[:2], atol=0.0501)
    assert recording.segments == (Segment(0, 400, 0.0), Segment(400, 600, 4.0))
    assert (2.5, "Stimulus/S  7") in [(event.onset_s, event.label) for event in recording.events]
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert choice.names == ("FZ", "CZ")
    assert [(item.name, item.type) for item in choice.left_out] == [("VEOG", "eog"), ("Resp", "misc")]
    assert recording_files(path) == (path, tmp_path / "x.eeg", tmp_path / "x.vmrk")
    assert [is_companion(tmp_path / name) for name in ("x.vhdr", "x.eeg", "x.vmrk")] == [False, True, True]


def test_brainvision_units_of_the_header(tmp_path: Path) -> None:
    recording = open_recording(brainvision(tmp_path, eeg(2) / 1000 * 100, "mV"))
    assert {channel.unit for channel in recording.channels} == {"mV"}
    np.testing.assert_allclose(
        recording.read_uv([0], 0, 9)[0], np.round(eeg(2)[0, :9] / 1000 * 100 * 10) * 100, rtol=1e-5
    )
    with pytest.raises(IngestError, match="the file declares mV, the source declares V"):
        open_recording(tmp_path / "x.vhdr", unit="V")


@pytest.mark.parametrize("unit", ["\u03bcV", "UV", "microvolt", "uV", ""])
def test_brainvision_microvolt_as_files_spell_it(tmp_path: Path, unit: str) -> None:
    recording = open_recording(brainvision(tmp_path, eeg(2), unit))
    assert {channel.unit for channel in recording.channels} == {"uV"}
    np.testing.assert_allclose(recording.read_uv([0], 0, 50)[0], eeg(2)[0, :50], atol=0.0501)


@pytest.mark.parametrize("codepage", ["", "Codepage=ANSI\n", "Codepage=UTF-8\n"])
def test_brainvision_in_latin_1(tmp_path: Path, codepage: str) -> None:
    path = brainvision(tmp_path, eeg(2))
    for name in ("x.eeg", "x.vmrk"):
        (tmp_path / name).rename(tmp_path / name.replace("x", "Größe"))
    for file in (path, tmp_path / "Größe.vmrk"):
        text = file.read_text(encoding="utf-8").replace("Codepage=UTF-8\n", codepage).replace("x.", "Größe.")
        file.write_text(text.replace("Stimulus,S  7", "Comment,öffnet die Augen"), encoding="latin-1")
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read_uv([0], 0, 50)[0], eeg(2)[0, :50], atol=0.0501)
    assert (2.5, "Comment/öffnet die Augen") in [(event.onset_s, event.label) for event in recording.events]
    assert [Path(file).name for file in recording.files] == ["x.vhdr", "Größe.eeg", "Größe.vmrk"]
    (tmp_path / "Größe.eeg").unlink()
    with pytest.raises(IngestError, match=r"names Größe\.eeg, which is missing"):
        open_recording(path)


@pytest.mark.parametrize(
    ("data", "markers", "on_disk"),
    [
        ("$b.eeg", "$b.vmrk", "x.eeg"),  # the header's own name
        ("x.eeg", "x.vmrk", "x.EEG"),  # from a system that ignores case
        (r"raw\x.eeg", r".\x.vmrk", "raw/x.eeg"),
    ],
)
def test_brainvision_names_its_files_in_other_ways(tmp_path: Path, data: str, markers: str, on_disk: str) -> None:
    path = brainvision(tmp_path, eeg(2))
    text = path.read_text(encoding="utf-8").replace("DataFile=x.eeg", f"DataFile={data}")
    path.write_text(text.replace("MarkerFile=x.vmrk", f"MarkerFile={markers}"), encoding="utf-8")
    (tmp_path / on_disk).parent.mkdir(exist_ok=True)
    (tmp_path / "x.eeg").rename(tmp_path / on_disk)
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read_uv([0], 0, 1000)[0], eeg(2)[0], atol=0.0501)
    assert "Stimulus/S  7" in [event.label for event in recording.events]
    assert [Path(file).relative_to(tmp_path) for file in recording.files] == [
        Path("x.vhdr"),
        Path(on_disk),
        Path("x.vmrk"),
    ]
    (tmp_path / "x.vmrk").unlink()
    with pytest.raises(IngestError, match=r"x\.vhdr names x\.vmrk, which is missing\. Fetch it"):
        open_recording(path)


def test_brainvision_that_names_no_markers(tmp_path: Path) -> None:
    path = brainvision(tmp_path, eeg(2))
    path.write_text(path.read_text(encoding="utf-8").replace("MarkerFile=x.vmrk", "MarkerFile="), encoding="utf-8")
    recording = open_recording(path)
    assert (recording.n_samples, recording.events) == (1000, ())


def test_brainvision_under_another_name_and_without_its_files(tmp_path: Path) -> None:
    path = brainvision(tmp_path, eeg(2))
    odd = path.rename(tmp_path / "x.header")
    np.testing.assert_allclose(open_recording(odd).read_uv([0], 0, 50)[0], eeg(2)[0, :50], atol=0.0501)
    (tmp_path / "x.eeg").unlink()
    assert recording_files(odd) == (odd, tmp_path / "x.vmrk")
    with pytest.raises(IngestError, match=r"names x\.eeg, which is missing"):
        open_recording(odd)


def test_truncated_brainvision_is_refused(tmp_path: Path) -> None:
    path = brainvision(tmp_path, eeg(2), points=1000)
    data = tmp_path / "x.eeg"
    data.write_bytes(data.read_bytes()[:2000])
    with pytest.raises(IngestError, match=r"x\.eeg holds 500 samples and 0 bytes of 1000"):
        open_recording(path)
    path = brainvision(tmp_path, eeg(2))
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(IngestError, match="999 samples and 3 bytes of 1000"):
        open_recording(path)

"""Bad files: each is refused with a clear reason, whatever its name says."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pyedflib
import pytest
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import detect_format, open_recording, recording_files
from eeg_ingest.recording import IngestError

N_RECORDS, RATE_HZ = 12, 100
HEADER_BYTES = 256 * 4


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound EDF of two EEG channels, an ECG and 12 records of 1 s."""
    path = tmp_path_factory.mktemp("sound") / "sound.edf"
    rng = np.random.default_rng(0)
    with pyedflib.EdfWriter(str(path), 3, file_type=pyedflib.FILETYPE_EDF) as writer:
        for i, label in enumerate(["C3", "C4", "ECG"]):
            writer.setSignalHeader(
                i,
                {
                    "label": label, "dimension": "uV", "sample_frequency": RATE_HZ, "transducer": "", "prefilter": "",
                    "physical_max": 500.0, "physical_min": -500.0, "digital_max": 32767, "digital_min": -32768,
                },
            )  # fmt: skip
        writer.writeSamples([rng.normal(0, 20, N_RECORDS * RATE_HZ) for _ in range(3)])
    return path


def patched(sound: Path, path: Path, changes: dict[int, bytes]) -> Path:
    """The sound file with other bytes at some places."""
    data = bytearray(sound.read_bytes())
    for position, new in changes.items():
        data[position : position + len(new)] = new
    path.write_bytes(data)
    return path


def reason(path: Path) -> str:
    with pytest.raises(IngestError) as caught:
        open_recording(path)
    return str(caught.value)


def test_sound_file_opens(sound: Path) -> None:
    recording = open_recording(sound)
    assert recording.n_samples == N_RECORDS * RATE_HZ
    assert choose_channels(recording, rename={}, drop=(), montage=None).names == ("C3", "C4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (np.random.default_rng(1).bytes(20_000), "found unknown binary data"),
        ("subject;task\nS01;résumé\n".encode() * 400, "found text"),
        (b"0       ", "holds 8 of 256 bytes"),
        (b"0       " + b"just a text that starts with a zero " * 30, "number of signals is no number"),
        (b"\xffBIOSEMI" + bytes(300), "number of signals is no number"),
        (b"GDF 2.20", "holds 8 of 256 bytes"),
        (b"GDF x.yz" + bytes(300), "GDF version is no number"),
        (b"GDF 2.20" + bytes(300), "declares 0 channels"),
        (b"Version 3.0" + bytes(100), "holds 111 of 900 bytes"),
        (b"Version 3.0" + bytes(1000), "declares 0 channels"),
        (b"RIFF\x00\x20\x00\x00CNT " + bytes(500), "holds 512 of 8200 bytes"),
        (b"RF64" + (504).to_bytes(8, "little") + b"CNT " + bytes(500), "antio"),
        (b"RIFF\x00\x00\x00\x00WAVE" + bytes(500), "found a RIFF container of 'WAVE'"),
        (b"XDF:" + bytes(40), "damaged length at byte 4"),
        (b"XDF:\x01\xff\x01\x00 and no more", "ends inside a chunk"),
        (b"\x1f\x8b" + gzip.compress(b"XDF: and so on", mtime=0)[2:], "Unpack it with gunzip"),
        (b"EEG-1100C V01.00" + bytes(700), r"name the .EEG file"),
        (b"[FileInfo]\nFile=gone.dat\n", "names the data file gone.dat"),
        (b"\xef\xbb\xbfDATA_PARAMETERS START\nDATA_PARAMETERS END\n", "with the labels"),
        (b"MATLAB 5.0 MAT-file, nothing follows".ljust(116) + bytes(12) + b"junk" * 40, "MATLAB"),
        (b"\x89HDF\r\n\x1a\n" + bytes(400), "MATLAB"),
        (bytes.fromhex("00000064 0000001f 00000014") + bytes(200), "MNE cannot read this fif file"),
        (b"\x1f\x8b" + b"not gzip at all", "found unknown binary data"),
        (gzip.compress(b"0       and a recording"), "is compressed"),
        (b"Brain Vision Data Exchange Marker File, Version 1.0\r\n", "name the .vhdr file"),
        (b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=gone.eeg\n", "names gone.eeg"),
        (b"Brain Vision Data Exchange Header File Version 1.0\nnothing else\n", "names no DataFile"),
    ],
)
@pytest.mark.parametrize("suffix", [".edf", ".set"])
def test_content_decides(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    assert message in reason(path)
    assert re.search(r"(Fetch|[Uu]npack|Leave|[Nn]ame|Check|[Pp]ut) [^.]*(\.\w+ [^.]*)?\.?$", reason(path)), "no action"


def test_truncated_file_tells_how_much_is_there(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.edf"
    path.write_bytes(sound.read_bytes()[: HEADER_BYTES + 7 * 3 * RATE_HZ * 2 + 11])
    assert reason(path) == "The file holds 7 of 12 data records: the copy is incomplete. Fetch it again."
    path.write_bytes(sound.read_bytes()[:700])
    assert reason(path) == "The header holds 700 of 1024 bytes: the copy is incomplete. Fetch it again."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({236: b"120     "}, "holds 12 of 120 data records"),
        ({236: b"9       "}, "1800 bytes more than its 9 data records"),
        ({236: b"0       "}, "declares 0 data records"),
        ({236: b"-5      "}, "declares -5 data records"),
        ({236: b"many    "}, "number of data records is no number: found 'many'"),
        ({236: b"1e300   "}, "holds 12 of"),
        ({244: b"0       "}, "data records of 0 s"),
        ({244: b"-1      "}, "data records of -1 s"),
        ({244: b"nan     "}, "duration of a data record is no number"),
        ({244: b"1e-9    "}, "no EEG is that fast"),
        ({252: b"0   "}, "declares 0 signals"),
        ({252: b"-3  "}, "declares -3 signals"),
        ({252: b"2.5 "}, "number of signals is no whole number"),
        ({252: b"9999"}, "expected 2560000"),
        ({184: b"256     "}, "declares 256 bytes for 3 signals: expected 1024"),
        ({256 + 3 * 104: b"abc     "}, "physical minimum of 'C3' is no number"),
        ({256 + 3 * 216: b"-100    "}, "declares -100 samples per record for 'C3'"),
        ({256 + 3 * 216: b"999999  "}, "holds 0 of 12 data records"),
        ({256 + 3 * 96: b"        "}, "The unit of channel 'C3' is unknown"),
    ],
)
def test_lying_header(sound: Path, tmp_path: Path, changes: dict[int, bytes], message: str) -> None:
    assert message in reason(patched(sound, tmp_path / "x.edf", changes))


@pytest.mark.parametrize("position", [104, 120])  # of the physical and the digital minimum, set to the maximum
def test_eeg_channel_without_calibration_is_left_out(sound: Path, tmp_path: Path, position: int) -> None:
    maximum = b"500     " if position == 104 else b"32767   "
    path = patched(sound, tmp_path / "x.edf", {256 + 3 * position: maximum})
    choice = choose_channels(open_recording(path), rename={}, drop=(), montage=None)
    assert choice.names == ("C4",)
    assert [item.name for item in choice.left_out if "gives no calibration" in item.reason] == ["C3"]
    path = patched(sound, tmp_path / "y.edf", {256 + 3 * position + 8 * i: maximum for i in range(2)})
    with pytest.raises(IngestError, match=r"No EEG channel is left: found 2 eeg, 1 ecg.*gives no calibration"):
        choose_channels(open_recording(path), rename={}, drop=(), montage=None)


def test_bad_calibration_of_another_channel_does_no_harm(sound: Path, tmp_path: Path) -> None:
    recording = open_recording(patched(sound, tmp_path / "x.edf", {256 + 3 * 104 + 16: b"500     "}))
    assert choose_channels(recording, rename={}, drop=(), montage=None).names == ("C3", "C4")
    with pytest.raises(IngestError, match="'ECG' is no voltage or has no calibration"):
        recording.read_uv([2], 0, 10)


def test_file_without_eeg_lists_what_it_has(sound: Path, tmp_path: Path) -> None:
    labels = {256: b"EMG chin".ljust(16), 272: b"SpO2".ljust(16)}
    recording = open_recording(patched(sound, tmp_path / "x.edf", labels))
    with pytest.raises(IngestError, match="No EEG channel is left: found 1 emg, 1 misc, 1 ecg"):
        choose_channels(recording, rename={}, drop=(), montage=None)


def test_wrong_suffix_is_read_by_content(sound: Path, tmp_path: Path) -> None:
    wanted = open_recording(sound).read_uv([0, 1], 0, 500)
    for name in ("x.bdf", "x.cnt", "x"):
        path = tmp_path / name
        shutil.copyfile(sound, path)
        assert detect_format(path) == "edf"
        np.testing.assert_array_equal(open_recording(path).read_uv([0, 1], 0, 500), wanted)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    assert "no EGI MFF recording" in reason(tmp_path)
    assert "No file" in reason(tmp_path / "gone.edf")
    assert recording_files(tmp_path / "gone.edf") == (tmp_path / "gone.edf",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(sound: Path, tmp_path: Path) -> None:
    path = shutil.copyfile(sound, tmp_path / "x.edf")
    path.chmod(0)
    assert reason(path) == "x.edf cannot be opened: Permission denied. Check its permissions."
    assert recording_files(path) == (path,)


def test_mutated_headers_give_a_reason_or_a_sound_recording(sound: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    opened = 0
    for _ in range(200):
        at = rng.integers(0, HEADER_BYTES, rng.integers(1, 6))
        changes = {int(i): bytes([rng.choice([rng.integers(256), *b"0123456789-. e"])]) for i in at}
        path = patched(sound, tmp_path / "x.edf", changes)
        try:
            recording = open_recording(path)
            choice = choose_channels(recording, rename={}, drop=(), montage=None)
            stop = min(100, recording.n_samples)
            assert recording.read_uv(choice.indices, 0, stop).shape == (len(choice.names), stop)
            opened += 1
        except IngestError:
            continue
    assert opened > 20


def _mutants(path: Path, rng: np.random.Generator, count: int, first_bytes: int) -> list[bytes]:
    original = path.read_bytes()
    mutants = []
    for kind in range(count):
        data = bytearray(original)
        if kind % 4 == 0:
            data = data[: int(rng.integers(1, len(data)))]
        for i in rng.integers(0, min(first_bytes, len(data)), rng.integers(1, 9)):
            data[int(i)] = int(rng.integers(256))
        mutants.append(bytes(data))
    return mutants


def _fif(path: Path) -> Path:
    info = mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg")
    raw = mne.io.RawArray(np.random.default_rng(0).normal(0, 2e-5, (3, 600)), info, verbose="ERROR")
    raw.save(path.with_name("x_raw.fif"), verbose="ERROR")
    return path.with_name("x_raw.fif")


def _gdf(path: Path) -> Path:
    return gdf(path.with_suffix(".gdf"), np.random.default_rng(0).normal(0, 20, (600, 2)), [b"uV", b"uV"])


def gdf(path: Path, values: np.ndarray, dimensions: list[bytes], version: str = "1.25") -> Path:
    """A GDF 1.25 file of float64 samples (S, C), one sample in a record, as OpenViBE writes it."""
    n_samples, n = values.shape
    fixed = b"GDF " + version.encode() + b"X".ljust(80) + b" " * 96 + struct.pack("<q", 256 * (n + 1)) + bytes(44)
    fixed += struct.pack("<qIII", n_samples, 1, 100, n)
    labels = [b"Fz", b"Cz", b"Pz", b"Oz"][:n]
    body = b"".join(label.ljust(16) for label in labels) + b" " * 80 * n + b"".join(d.ljust(8) for d in dimensions)
    body += struct.pack(f"<{n}d", *[-1000.0] * n) + struct.pack(f"<{n}d", *[1000.0] * n)
    body += struct.pack(f"<{n}q", *[-1000] * n) + struct.pack(f"<{n}q", *[1000] * n)
    body += b" " * 80 * n + struct.pack(f"<{n}I", *[1] * n) + struct.pack(f"<{n}I", *[17] * n) + bytes(32 * n)
    path.write_bytes(fixed + body + values.astype("<f8").tobytes())
    return path


@pytest.mark.parametrize("make", [_fif, _gdf])
def test_mutated_files_of_mne_formats(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "x")
    bad = tmp_path / f"bad{path.suffix}"
    for content in _mutants(path, np.random.default_rng(2), 40, 2000):
        bad.write_bytes(content)
        try:
            recording = open_recording(bad)
            assert recording.read_uv([0], 0, min(50, recording.n_samples)).shape[0] == 1
        except IngestError:
            continue

"""Nihon Kohden: the real recording, and its likes with several data blocks, other names and Japanese labels."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import mne
import numpy as np
import pytest
from eeg_ingest.readers import detect_format, is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError

HEADER = b"EEG-1100C V01.00"
N_CHANNELS, RATE_HZ = 4, 200


def write_eeg(path: Path, seconds: list[int]) -> np.ndarray:
    """A file with a data block for each duration; returns the digital values (S, C)."""
    rng = np.random.default_rng(0)
    blocks = [rng.integers(-900, 900, (s * RATE_HZ, N_CHANNELS)) for s in seconds]
    control, first = 0x0400, 0x1800
    head = bytearray(first)
    head[:16] = head[0x81 : 0x81 + 16] = HEADER
    head[0x91] = 1
    struct.pack_into("<I", head, 0x92, control)
    head[control + 17] = len(blocks)
    head[0x17FE] = 1
    body = b""
    for index, block in enumerate(blocks):
        struct.pack_into("<I", head, control + 18 + 20 * index, first + len(body))
        part = bytearray(0x27 + 10 * N_CHANNELS)
        struct.pack_into("<HI", part, 0x1A, RATE_HZ | 0xC000, 10 * seconds[index])
        part[0x26] = N_CHANNELS
        for channel in range(N_CHANNELS):
            part[0x27 + 10 * channel] = channel
        samples = np.zeros((len(block), N_CHANNELS + 1), "<u2")
        samples[:, :-1] = (block + 0x8000).astype("<u2")
        body += bytes(part) + samples.tobytes()
    path.write_bytes(bytes(head) + body)
    return np.concatenate(blocks)


@pytest.fixture
def real(eeg_data: Path) -> Path:
    return eeg_data / "mne_testing_data/NihonKohden/MB0400FU.EEG"


def test_files_of_a_recording(real: Path) -> None:
    assert [file.suffix for file in recording_files(real)] == [".EEG", ".21E", ".LOG", ".PNT"]
    assert all(is_companion(file) for file in recording_files(real)[1:])
    assert not is_companion(real)
    with pytest.raises(IngestError, match=r"name the \.EEG file"):
        detect_format(real.with_suffix(".LOG"))


@pytest.mark.filterwarnings("ignore:No (LOG|PNT) file exists:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Could not find:RuntimeWarning")
def test_data_blocks_are_segments(tmp_path: Path) -> None:
    digital = write_eeg(tmp_path / "x.EEG", [2, 3, 1])
    recording = open_recording(tmp_path / "x.EEG")
    assert [(s.start_sample, s.n_samples) for s in recording.segments] == [(0, 400), (400, 600), (1000, 200)]
    wanted = digital.T * (6399.902 / 65535) - 3200 + 32768 * 6399.902 / 65535
    np.testing.assert_allclose(recording.read_uv(range(N_CHANNELS), 0, 1200), wanted, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(recording.read_uv([2], 150, 1100)[0], wanted[2, 150:1100], rtol=1e-4, atol=1e-3)
    raw = mne.io.read_raw_nihon(tmp_path / "x.EEG", verbose="ERROR")
    np.testing.assert_allclose(
        recording.read_uv(range(4), 400, 1000), raw.get_data(start=400, stop=1000) * 1e6, rtol=1e-6
    )


def test_names_in_lower_case_are_read(real: Path, tmp_path: Path) -> None:
    """MNE would fall back on default names without a word in the result."""
    for file in recording_files(real):
        shutil.copyfile(file, tmp_path / file.name.lower())
    recording = open_recording(tmp_path / "mb0400fu.eeg")
    assert [channel.name for channel in recording.channels][:2] == ["Fp2", "Fp1"]
    assert len(recording.events) == 2
    assert recording.warnings == []


def test_labels_that_are_no_utf8_are_kept(real: Path, tmp_path: Path) -> None:
    for file in recording_files(real):
        shutil.copyfile(file, tmp_path / file.name)
    log = (tmp_path / "MB0400FU.LOG").read_bytes()
    (tmp_path / "MB0400FU.LOG").write_bytes(log.replace(b"A1+A2 OFF", b"\xe9v\xe9nement"))
    assert [event.label for event in open_recording(tmp_path / "MB0400FU.EEG").events][1] == "événement"


def test_missing_companions_are_told(real: Path, tmp_path: Path) -> None:
    shutil.copyfile(real, tmp_path / "x.EEG")
    warnings = open_recording(tmp_path / "x.EEG").warnings
    assert any("Default channel names are chosen" in warning for warning in warnings)
    assert not any(str(tmp_path) in warning for warning in warnings)


def test_truncated_file_is_refused(real: Path, tmp_path: Path) -> None:
    for length, reason in [(300_000, "holds 300000 of"), (6300, "ends inside its header|holds 6300 of")]:
        (tmp_path / "x.EEG").write_bytes(real.read_bytes()[:length])
        with pytest.raises(IngestError, match=reason):
            open_recording(tmp_path / "x.EEG")

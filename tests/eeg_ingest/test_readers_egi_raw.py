"""EGI simple binary: against MNE where MNE reads it."""

from __future__ import annotations

import struct
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.readers import detect_format, open_recording
from eeg_ingest.recording import IngestError

RATE_HZ, N_SAMPLES = 250, 2000
CODES = ("stm+", "DIN1")


def frames(number: str) -> npt.NDArray[np.float64]:
    """Three channels and a row for each code: (S, 5)."""
    rng = np.random.default_rng(0)
    values = np.zeros((N_SAMPLES, 5))
    values[:, :3] = (
        np.round(rng.normal(0, 300, (N_SAMPLES, 3))) if number == ">i2" else rng.normal(0, 20, (N_SAMPLES, 3))
    )
    values[[100, 900], 3] = 1
    values[[500], 4] = 1
    return values


def write_raw(path: Path, version: int, *, n_segments: int = 1, bits: int = 0, range_uv: int = 0) -> Path:
    number = {1: ">i2", 2: ">f4", 3: ">f8"}[version // 2]
    head = struct.pack(">i6hi5h", version, 2019, 5, 6, 12, 30, 1, 250, RATE_HZ, 3, 1, bits, range_uv)
    per_segment = N_SAMPLES // n_segments
    parts = np.split(frames(number), n_segments)
    if version % 2:
        head += struct.pack(">h", 1) + b"\x04rest" + struct.pack(">h", n_segments)
        body = b"".join(struct.pack(">hi", 1, 5000 * i) + part.astype(number).tobytes() for i, part in enumerate(parts))
    else:
        body = parts[0].astype(number).tobytes()
    head += struct.pack(">ih", per_segment, len(CODES)) + "".join(CODES).encode()
    path.write_bytes(head + body)
    return path


@pytest.mark.parametrize(("version", "number"), [(2, ">i2"), (4, ">f4"), (6, ">f8")])
def test_equals_mne(tmp_path: Path, version: int, number: str) -> None:
    path = write_raw(tmp_path / "x.raw", version)
    recording = open_recording(path)
    raw = mne.io.read_raw_egi(path, events_as_annotations=True, verbose="ERROR")
    assert (recording.format, recording.sfreq_hz, recording.n_samples) == ("egi-raw", RATE_HZ, N_SAMPLES)
    assert [c.name for c in recording.channels if c.type == "eeg"] == raw.ch_names[:3]
    np.testing.assert_allclose(recording.read_uv([0, 1, 2], 7, 1990), raw.get_data()[:3, 7:1990] * 1e6, rtol=1e-6)
    marks = sorted(zip(raw.annotations.onset, raw.annotations.description, strict=True))
    assert [(event.onset_s, event.label) for event in recording.events] == marks


def test_converter_steps_are_turned_into_microvolts(tmp_path: Path) -> None:
    """EGI: µV are steps times range by 2 to the bits (MNE 1.13 takes the product for V)."""
    path = write_raw(tmp_path / "x.raw", 2, bits=12, range_uv=5000)
    wanted = frames(">i2")[:, :3].T * 5000 / 4096
    np.testing.assert_allclose(open_recording(path).read_uv([0, 1, 2], 0, N_SAMPLES), wanted, rtol=1e-6)


def test_segments_keep_their_times(tmp_path: Path) -> None:
    recording = open_recording(write_raw(tmp_path / "x.raw", 5, n_segments=4))
    assert [(s.start_sample, s.n_samples, s.onset_s) for s in recording.segments] == [
        (0, 500, 0.0), (500, 500, 5.0), (1000, 500, 10.0), (1500, 500, 15.0),
    ]  # fmt: skip
    np.testing.assert_allclose(recording.read_uv([0, 1, 2], 450, 1100), frames(">f4")[450:1100, :3].T, rtol=1e-6)
    assert [(event.onset_s, event.label) for event in recording.events] == [
        (0.4, "stm+"), (5.0, "DIN1"), (6.6, "stm+"),
    ]  # fmt: skip


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    sound = write_raw(tmp_path / "x.raw", 4).read_bytes()
    path = tmp_path / "y.raw"
    for content, reason in [
        (sound[:5000], "holds 5000 of 40044 bytes"),
        (sound[:34], "ends inside its header"),
        (sound + b"more", "found 4 more"),
        (sound[:20] + struct.pack(">h", 0) + sound[22:], "at 0 Hz"),
    ]:
        path.write_bytes(content)
        assert detect_format(path) == "egi-raw"
        with pytest.raises(IngestError, match=reason):
            open_recording(path)

"""Neuroscan CNT: 16 or 32 bits by the header."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.reader_settings import NeuroscanSettings
from eeg_ingest.readers import open_recording
from eeg_ingest.readers.cnt_header import cnt_data_format
from eeg_ingest.recording import IngestError

RATE_HZ = 100.0


def eeg(n_channels: int = 3, n_samples: int = 1000, scale: float = 20.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, scale, (n_channels, n_samples))


def cnt(
    path: Path, n_bytes: int, *, n_samples: int | None = None, flag: int | None = None, events: list[int] | None = None
) -> Path:
    """A minimal Neuroscan file of 2 channels and 500 samples; what tells the sample width is up to the test."""
    digital = np.round(eeg(2, 500) * 10).astype("<i2" if n_bytes == 2 else "<i4")
    table = 900 + 75 * 2 + digital.nbytes
    setup = bytearray(900)
    setup[:12] = b"Version 3.0\x00"
    offsets = events or []
    body = struct.pack("<Bii", 1, 8 * len(offsets), 0)
    body += b"".join(struct.pack("<HBBi", 5, 0, 0, 1050 + 2 * n_bytes * sample) for sample in offsets)
    end = table + len(body)
    struct.pack_into("<I", setup, 12, end if flag is not None else 0)
    setup[225:245] = b"01/02/03  04:05:06  "
    struct.pack_into("<H", setup, 370, 2)
    struct.pack_into("<H", setup, 376, 100)
    struct.pack_into("<I", setup, 864, 500 if n_samples is None else n_samples)
    struct.pack_into("<I", setup, 886, table)
    channels = b""
    for name in (b"FZ", b"CZ"):
        channel = bytearray(75)
        channel[: len(name)] = name
        struct.pack_into("<f", channel, 59, 20.48)
        struct.pack_into("<f", channel, 71, 1.0)
        channels += bytes(channel)
    tail = (bytes(52) + bytes([flag]) + bytes(20)) if flag is not None else b""
    path.write_bytes(bytes(setup) + channels + digital.T.tobytes() + body + tail)
    return path


@pytest.mark.parametrize("n_bytes", [2, 4])
@pytest.mark.parametrize("how", ["count", "flag"])
def test_cnt_width_comes_from_the_header(tmp_path: Path, n_bytes: int, how: str) -> None:
    flag = {2: 0, 4: 1}[n_bytes] if how == "flag" else None
    path = cnt(tmp_path / "x.cnt", n_bytes, n_samples=None if how == "count" else 0, flag=flag, events=[100])
    assert cnt_data_format(path) == {2: "int16", 4: "int32"}[n_bytes]
    recording = open_recording(path)
    assert recording.n_samples == 500
    np.testing.assert_allclose(recording.read_uv([0, 1], 0, 500), np.round(eeg(2, 500) * 10) / 10, rtol=1e-5)
    assert {channel.unit for channel in recording.channels} == {"uV"}


def test_cnt_event_offsets_prove_16_bits(tmp_path: Path) -> None:
    assert cnt_data_format(cnt(tmp_path / "x.cnt", 2, n_samples=0, events=[100, 101])) == "int16"


def test_the_source_tells_the_width_where_the_file_does_not(tmp_path: Path) -> None:
    wide = NeuroscanSettings.model_validate({"format": "neuroscan-cnt", "sample_bits": 32})
    path = cnt(tmp_path / "x.cnt", 4, n_samples=0)
    with pytest.raises(IngestError, match=r"Declare `reader: \{format: neuroscan-cnt, sample_bits: 32\}`"):
        open_recording(path)
    recording = open_recording(path, settings=wide)
    np.testing.assert_allclose(recording.read_uv([0, 1], 0, 500), np.round(eeg(2, 500) * 10) / 10, rtol=1e-5)
    with pytest.raises(IngestError, match=r"contradicts itself .* \{'sample count': 2, 'the source': 4\}"):
        open_recording(cnt(tmp_path / "y.cnt", 2), settings=wide)


def test_many_event_offsets_prove_32_bits(tmp_path: Path) -> None:
    """Files over 2 GB have no sample count; twenty events that all lie on 32-bit samples are no chance."""
    assert cnt_data_format(cnt(tmp_path / "x.cnt", 4, n_samples=0, events=list(range(100, 120)))) == "int32"
    with pytest.raises(IngestError, match="does not tell"):
        cnt_data_format(cnt(tmp_path / "y.cnt", 4, n_samples=0, events=[*range(100, 119), 118]))


def test_cnt_width_is_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="does not tell 16-bit from 32-bit"):
        open_recording(cnt(tmp_path / "x.cnt", 4, n_samples=0, events=[100, 102]))
    with pytest.raises(IngestError, match="contradicts itself"):
        open_recording(cnt(tmp_path / "x.cnt", 2, flag=1))


def test_truncated_cnt_is_refused(tmp_path: Path) -> None:
    path = cnt(tmp_path / "x.cnt", 2)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(IngestError, match="incomplete"):
        open_recording(path)

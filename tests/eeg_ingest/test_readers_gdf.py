"""GDF: what the header says about units, and where it says nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import IngestError

RATE_HZ = 100.0


def eeg(n_channels: int = 3, n_samples: int = 1000, scale: float = 20.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, scale, (n_channels, n_samples))


def gdf(path: Path, signal_uv: npt.NDArray[np.float64], dimension: bytes | int, kind: int = 17) -> Path:
    """One sample in a record. GDF 1.25 with a text for a unit, or GDF 2.20 with a code; type 17 float64, 3 int16.

    The calibration divides by 1000, as OpenViBE's does: the physical numbers are `signal_uv` / 1000.
    """
    n, n_samples = signal_uv.shape
    old = isinstance(dimension, bytes)
    fixed = (b"GDF 1.25" if old else b"GDF 2.20") + b"X".ljust(80) + b" " * 80 + bytes(16)
    fixed += struct.pack("<q", 256 * (n + 1)) if old else struct.pack("<HHI", n + 1, 0, 0)
    fixed += (
        bytes(44)
        + struct.pack("<qII", n_samples, 1, int(RATE_HZ))
        + struct.pack("<I" if old else "<HH", n, *[0] * (not old))
    )
    if isinstance(dimension, bytes):
        units = dimension.ljust(8) * n
    else:
        units = bytes(6 * n) + struct.pack("<H", dimension) * n
    limits = struct.pack("<d", -32.768) * n + struct.pack("<d", 32.767) * n
    limits += struct.pack("<q" if old else "<d", -32768) * n + struct.pack("<q" if old else "<d", 32767) * n
    body = b"".join(name.ljust(16) for name in (b"Fz", b"Cz", b"Pz")[:n]) + bytes(80 * n) + units + limits
    body += bytes(80 * n) + struct.pack("<I", 1) * n + struct.pack("<I", kind) * n + bytes(32 * n)
    samples = np.ascontiguousarray(signal_uv.T).astype("<f8" if kind == 17 else "<i2").tobytes()
    path.write_bytes(fixed + body + samples + b"\x01" + bytes(7))  # an empty event table, which MNE needs
    return path


@pytest.mark.parametrize(
    ("dimension", "unit"),
    [
        (b"uV", "uV"),
        (b"uV\x00", "uV"),
        (b"\xb5V", "uV"),
        (b"mV", "mV"),
        (b"V", "V"),
        (4275, "uV"),
        (4274, "mV"),
        (4256, "V"),
    ],
)
def test_gdf_units_count_as_declared(tmp_path: Path, dimension: bytes | int, unit: str) -> None:
    factor = {"uV": 1.0, "mV": 1e3, "V": 1e6}[unit]
    signal = np.round(eeg(scale=5) * 1000 / factor)
    if unit == "V":
        signal = np.random.default_rng(0).integers(-1, 2, (3, 1000)).astype(float)
    path = gdf(tmp_path / "x.gdf", signal, dimension, kind=3)
    recording = open_recording(path)
    assert {channel.unit for channel in recording.channels} == {unit}
    np.testing.assert_allclose(recording.read_uv([0, 1], 0, 1000), signal[:2] / 1000 * factor, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("dimension", [b"", b"-", 0, 512])
def test_gdf_without_a_unit_asks_for_it(tmp_path: Path, dimension: bytes | int) -> None:
    path = gdf(tmp_path / "x.gdf", np.round(eeg(scale=5) * 1000), dimension, kind=3)
    with pytest.raises(IngestError, match="Declare `unit: uV`"):
        open_recording(path)
    np.testing.assert_allclose(open_recording(path, unit="uV").read_uv([0], 0, 1000)[0], eeg(scale=5)[0], atol=0.001)


@pytest.mark.parametrize("dimension", [b"uV\x00", b"uV"])
@pytest.mark.parametrize("unit", [None, "mV"])
def test_openvibe_writes_a_constant_for_a_unit(tmp_path: Path, dimension: bytes, unit: str | None) -> None:
    path = gdf(tmp_path / "x.gdf", eeg(), dimension)
    recording = open_recording(path, unit=unit)
    np.testing.assert_allclose(recording.read_uv([0, 1, 2], 0, 1000), eeg(), rtol=1e-5)
    assert {channel.unit for channel in recording.channels} == {"mV"}
    assert [warning.split(":")[0] for warning in recording.warnings] == (["read in mV"] if unit is None else [])


def test_truncated_gdf_is_refused(tmp_path: Path) -> None:
    path = gdf(tmp_path / "x.gdf", np.round(eeg(scale=5) * 1000), b"uV", kind=3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(IngestError, match="ends without an event table"):
        open_recording(path)
    path.write_bytes(whole[: 1024 + 400 * 6])
    with pytest.raises(IngestError, match="holds 400 of 1000 records: the copy is incomplete"):
        open_recording(path)

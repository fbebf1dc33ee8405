"""GDF: what the header says about units, and where it says nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.file import harmonize_file
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


def mixed_gdf(
    path: Path, signals: list[tuple[str, npt.NDArray[np.float64], int, int]], *, version: str = "2.20", tags: int = 0
) -> Path:
    """GDF 2 of 10 records of 0.5 s: (label, values, samples in a record, sample type) for each signal, gain 0.1 µV.

    From version 2.21 on the duration of a record is one float64. Blocks of `tags` lie before the samples. Two events,
    at samples 101 and 201 of a clock of 50 Hz.
    """
    n = len(signals)
    dtypes = {3: "<i2", 5: "<i4", 16: "<f4", 279: "<i4"}
    duration = struct.pack("<II", 1, 2) if version < "2.21" else struct.pack("<d", 0.5)
    fixed = b"GDF " + version.encode() + "Müller, Änne".encode("latin-1").ljust(66) + b" " * 94 + bytes(16)
    fixed += struct.pack("<H", n + 1 + tags) + bytes(50) + struct.pack("<q", 10) + duration + struct.pack("<HH", n, 0)
    body = b"".join(label.encode().ljust(16) for label, *_ in signals) + bytes(86 * n) + struct.pack("<H", 4275) * n
    for limit in (-3276.8, 3276.7, -32768.0, 32767.0):
        body += struct.pack("<d", limit) * n
    body += bytes(68 * n) + struct.pack("<f", 40.0) * n + struct.pack("<f", 0.5) * n + bytes(4 * n)
    body += b"".join(struct.pack("<I", count) for _, _, count, _ in signals)
    body += b"".join(struct.pack("<I", kind) for *_, kind in signals) + bytes(32 * n)
    samples = b""
    for record in range(10):
        for _, values, count, kind in signals:
            part = values[record * count : (record + 1) * count].astype(dtypes[kind])
            raw = part.view(np.uint8).reshape(count, -1)
            samples += (raw[:, :3] if kind == 279 else raw).tobytes()
    events = b"\x03" + (2).to_bytes(3, "little") + struct.pack("<f2I2H2H2I", 50, 101, 201, 769, 770, 0, 0, 25, 0)
    path.write_bytes(fixed + body + bytes(256 * tags) + samples + events)
    return path


@pytest.mark.parametrize(("version", "tags"), [("2.20", 0), ("2.20", 1), ("2.51", 2)])
def test_gdf_of_several_rates_and_types(tmp_path: Path, version: str, tags: int) -> None:
    rng = np.random.default_rng(4)
    wide = np.round(rng.normal(0, 200, (3, 1250)))
    fast = np.round(rng.normal(0, 200, 5000))
    signals = [("EEG:Fz", wide[0], 125, 3), ("EEG:Cz", wide[1], 125, 279), ("EEG:Pz", wide[2], 125, 16)]
    path = mixed_gdf(tmp_path / "x.gdf", [*signals, ("ECG", fast, 500, 5)], version=version, tags=tags)
    recording = open_recording(path)
    assert (recording.sfreq_hz, recording.n_samples) == (250.0, 1250)
    assert [channel.sfreq_hz for channel in recording.channels] == [250.0, 250.0, 250.0, 1000.0]
    np.testing.assert_allclose(recording.read_uv([2, 0, 1], 100, 1101), wide[[2, 0, 1], 100:1101] / 10, atol=1e-4)
    assert [(e.onset_s, e.duration_s, e.label) for e in recording.events] == [(2.0, 0.5, "769"), (4.0, 0.02, "770")]
    eeg_channel = recording.channels[0]
    assert (eeg_channel.highpass_hz, eeg_channel.lowpass_hz) == (0.5, 40.0)
    assert recording.channels[2].limits_uv is None  # floats have no converter's limits
    assert eeg_channel.limits_uv == pytest.approx((-3276.75, 3276.65))


@pytest.mark.parametrize(("kind", "nothing"), [(3, -32768.0), (279, -32768.0), (16, np.nan)])
def test_gdf_is_cut_at_marks_of_a_new_segment(tmp_path: Path, kind: int, nothing: float) -> None:
    """What every signal lacks is of no segment; what one signal lacks is kept."""
    values = np.round(np.random.default_rng(5).normal(0, 200, (2, 1250)))
    values[:, 490:520] = nothing  # the mark is at sample 500
    values[0, 520:530] = nothing
    values[:, 800:810] = values[:, 1200:] = nothing
    path = mixed_gdf(tmp_path / "x.gdf", [("Fz", values[0], 125, kind), ("Cz", values[1], 125, kind)])
    path.write_bytes(path.read_bytes().replace(struct.pack("<2H", 769, 770), struct.pack("<2H", 32766, 770)))
    recording = open_recording(path)
    assert [(part.start_sample, part.n_samples, part.onset_s) for part in recording.segments] == [
        (0, 490, 0.0),
        (520, 280, 2.08),
        (810, 390, 3.24),
    ]
    assert recording.warnings[-1] == "3 segments: cut at marks of a new one; 90 samples hold nothing"
    np.testing.assert_allclose(recording.read_uv([0, 1], 520, 1250), values[:, 520:] / 10, atol=1e-4)
    with pytest.raises(IndexError):
        recording.read_uv([0], 1240, 1251)


def test_gdf_with_marks_and_no_values_says_so(tmp_path: Path) -> None:
    nothing = np.full(1250, np.nan)
    path = mixed_gdf(tmp_path / "x.gdf", [("Fz", nothing, 125, 16)])
    path.write_bytes(path.read_bytes().replace(struct.pack("<2H", 769, 770), struct.pack("<2H", 32766, 32766)))
    with pytest.raises(IngestError, match="found only NaN or infinity in 1 EEG channels"):
        harmonize_file(path)


def test_gdf_without_an_event_table(tmp_path: Path) -> None:
    signal = np.round(eeg(scale=5) * 1000)
    path = gdf(tmp_path / "x.gdf", signal, b"uV", kind=3)
    path.write_bytes(path.read_bytes()[:-8])
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read_uv([1], 0, 1000)[0], signal[1] / 1000, rtol=1e-5, atol=1e-6)
    assert recording.events == ()


def test_gdf_whose_record_count_is_open_or_absurd(tmp_path: Path) -> None:
    path = mixed_gdf(tmp_path / "x.gdf", [("Fz", eeg(1)[0].repeat(2), 125, 16)])
    whole = path.read_bytes()
    path.write_bytes(whole[:236] + struct.pack("<q", -1) + whole[244:])
    recording = open_recording(path)
    assert recording.n_samples == 1250
    assert "10 counted from the size" in recording.warnings[0]
    for position, bad, message in ((236, bytes(8), "declares 0 records"), (244, bytes(8), "data records of 0 s")):
        path.write_bytes(whole[:position] + bad + whole[position + len(bad) :])
        with pytest.raises(IngestError, match=message):
            open_recording(path)
    path.write_bytes(whole[:-4])
    with pytest.raises(IngestError, match="event table of 2 events is cut short"):
        open_recording(path)


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
    path.write_bytes(whole[: 1024 + 400 * 6])
    with pytest.raises(IngestError, match="holds 400 of 1000 records: the copy is incomplete"):
        open_recording(path)


def test_samples_without_some_bytes_are_not_filled_from_the_event_table(tmp_path: Path) -> None:
    values = eeg(2, 500).round()
    path = mixed_gdf(tmp_path / "x.gdf", [("Fz", values[0], 50, 3), ("Cz", values[1], 50, 3)])
    assert open_recording(path).n_samples == 500
    content = path.read_bytes()
    path.write_bytes(content[:1000] + content[1018:])
    with pytest.raises(IngestError, match=r"behind the 10 records of x\.gdf is no event table"):
        open_recording(path)

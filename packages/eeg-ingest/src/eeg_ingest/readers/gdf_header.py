"""The header of a GDF file: where the samples lie, and what they mean.

Sources: Schlögl 2006, "GDF - A general dataformat for biosignals" (arXiv cs/0608052), versions 1.25 and 2.51;
unit codes of ISO/IEEE 11073-10101. The patient, recording and date fields are never read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from eeg_ingest.readers.edf_header import filter_edges_hz, sound_edges_hz
from eeg_ingest.recording import IngestError
from eeg_ingest.units import decode_dimension, is_undeclared, voltage_unit

_VOLT = 4256
_DECIMALS = {0: "V", 18: "mV", 19: "uV", 20: "nV"}
_UNDECLARED_CODES = (0, 512)  # unknown, dimensionless
_TYPES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 8: "<u8", 16: "<f4", 17: "<f8"}
_TYPES |= {279: "24"}  # three bytes, which no dtype has


@dataclass(frozen=True)
class GdfSignal:
    """One signal. `unit` is None where none is declared and "other" for one that is no voltage.

    `dtype` is that of the samples (`24` for three bytes); they begin at `first_byte` of a data record.
    """

    label: str
    unit: str | None
    physical: tuple[float, float]
    digital: tuple[float, float]
    highpass_hz: float | None
    lowpass_hz: float | None
    sfreq_hz: float
    n_samples: int
    dtype: str
    first_byte: int

    @property
    def n_bytes(self) -> int:
        """Bytes of this signal in one data record."""
        return self.n_samples * (3 if self.dtype == "24" else np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class GdfHeader:
    """What a file says about itself, checked against its size.

    OpenViBE (`by_openvibe`) writes float64, one sample in a record, and `uV` for every channel, whatever its driver
    delivered.
    """

    version: float
    n_bytes: int
    n_records: int
    record_bytes: int
    record_s: float
    signals: tuple[GdfSignal, ...]
    by_openvibe: bool
    warnings: tuple[str, ...]


def read_gdf_header(path: Path) -> GdfHeader:
    """Read and check a GDF header. Raises IngestError if it is damaged or the file is shorter than it promises.

    A record count of -1 (a recording that was never closed) is counted from the size, with a warning.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256:
            raise IngestError(f"The header holds {len(fixed)} of 256 bytes: the copy is incomplete. Fetch it again.")
        try:
            version = float(fixed[4:8].decode("latin-1"))
        except ValueError as error:
            raise IngestError(f"The GDF version is no number: found {fixed[4:8]!r}. Fetch it again.") from error
        old = version < 1.9
        n_channels = struct.unpack("<I", fixed[252:256])[0] if old else struct.unpack("<H", fixed[252:254])[0]
        n_bytes = struct.unpack("<q", fixed[184:192])[0] if old else 256 * struct.unpack("<H", fixed[184:186])[0]
        if not 0 < n_channels < 10_000 or not 256 * (1 + n_channels) <= n_bytes <= size:
            raise IngestError(
                f"The GDF header declares {n_channels} channels in {n_bytes} bytes of {size}. Fetch it again."
            )
        record_s = _record_s(fixed[244:252], version)
        signals = _read_signals(file, n_channels, record_s, old=old)
    record_bytes = sum(signal.n_bytes for signal in signals)
    (declared,) = struct.unpack("<q", fixed[236:244])
    n_records, warnings = _count_records(declared, size - n_bytes, record_bytes)
    by_openvibe = old and all(s.dtype == "<f8" and s.n_samples == 1 and s.unit == "uV" for s in signals)
    return GdfHeader(version, n_bytes, n_records, record_bytes, float(record_s), signals, by_openvibe, warnings)


def _record_s(raw: bytes, version: float) -> Fraction:
    """Seconds of a data record: two whole numbers, or one float64 from version 2.21 on."""
    numerator, denominator = struct.unpack("<II", raw)
    (seconds,) = struct.unpack("<d", raw)
    if version < 2.205:
        duration = Fraction(numerator, denominator) if denominator else Fraction(0)
    else:
        duration = Fraction(seconds).limit_denominator(10**8) if np.isfinite(seconds) else Fraction(0)
    if not Fraction(1, 10**6) <= duration <= 10**6:
        raise IngestError(f"The GDF header declares data records of {float(duration):g} s. Fetch it again.")
    return duration


def _count_records(declared: int, n_data_bytes: int, record_bytes: int) -> tuple[int, tuple[str, ...]]:
    """The number of records, of which the event table may follow; counted where the header leaves it open."""
    if record_bytes < 1 or declared < -1 or declared == 0:
        raise IngestError(f"The GDF header declares {declared} records of {record_bytes} bytes. Fetch it again.")
    found = n_data_bytes // record_bytes
    if found < max(declared, 1):
        raise IngestError(
            f"The file holds {found} of {max(declared, 1)} records: the copy is incomplete. Fetch it again."
        )
    if declared > 0:
        return declared, ()
    return found, (f"the header leaves the record count open: {found} counted from the size",)


def _read_signals(file: BinaryIO, n: int, record_s: Fraction, *, old: bool) -> tuple[GdfSignal, ...]:
    def texts(width: int) -> list[bytes]:
        return [file.read(width) for _ in range(n)]

    def numbers(dtype: str) -> npt.NDArray[Any]:
        return np.frombuffer(file.read(n * np.dtype(dtype).itemsize), dtype)

    labels = texts(16)
    file.seek(80 * n, 1)
    if old:
        units = [_unit_of_text(raw) for raw in texts(8)]
    else:
        file.seek(6 * n, 1)
        units = [_unit_of_code(int(code)) for code in numbers("<u2")]
    physical_min, physical_max = numbers("<f8"), numbers("<f8")
    digital_min, digital_max = numbers("<i8" if old else "<f8"), numbers("<i8" if old else "<f8")
    filters = [raw.decode("latin-1") for raw in texts(80)] if old else []
    if not old:
        file.seek(68 * n, 1)
        lowpass_hz, highpass_hz = numbers("<f4"), numbers("<f4")
        file.seek(4 * n, 1)
    counts, kinds = numbers("<u4"), numbers("<u4")
    if unknown := sorted(set(kinds.tolist()) - set(_TYPES)):
        raise IngestError(f"The GDF header declares sample types {unknown}, which do not exist. Fetch it again.")
    signals: list[GdfSignal] = []
    first_byte = 0
    for i in range(n):
        sfreq_hz = float(int(counts[i]) / record_s)
        if old:
            edges_hz = filter_edges_hz(filters[i], sfreq_hz)
        else:
            edges_hz = sound_edges_hz(float(highpass_hz[i]), float(lowpass_hz[i]), sfreq_hz)
        signals.append(
            GdfSignal(
                label=labels[i].split(b"\x00")[0].decode("latin-1").strip(),
                unit=units[i],
                physical=(float(physical_min[i]), float(physical_max[i])),
                digital=(float(digital_min[i]), float(digital_max[i])),
                highpass_hz=edges_hz[0],
                lowpass_hz=edges_hz[1],
                sfreq_hz=sfreq_hz,
                n_samples=int(counts[i]),
                dtype=_TYPES[int(kinds[i])],
                first_byte=first_byte,
            )
        )
        first_byte += signals[-1].n_bytes
    return tuple(signals)


def _unit_of_text(raw: bytes) -> str | None:
    text = decode_dimension(raw)
    return voltage_unit(text) or (None if is_undeclared(text) else "other")


def _unit_of_code(code: int) -> str | None:
    if code in _UNDECLARED_CODES:
        return None
    return _DECIMALS.get(code - _VOLT, "other")

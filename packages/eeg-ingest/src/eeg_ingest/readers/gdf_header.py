"""What a GDF header says that MNE does not pass on: the unit of each channel, and the size that the file should have.

Sources: Schlögl 2006, "GDF - A general dataformat for biosignals" (arXiv cs/0608052), versions 1.25 and 2.51;
unit codes of ISO/IEEE 11073-10101.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from eeg_ingest.recording import IngestError
from eeg_ingest.units import decode_dimension, is_undeclared, voltage_unit

_VOLT = 4256
_DECIMALS = {0: "V", 18: "mV", 19: "uV", 20: "nV"}
_UNDECLARED_CODES = (0, 512)  # unknown, dimensionless
_FLOAT64 = 17
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8, 279: 3, 535: 3}


@dataclass(frozen=True)
class GdfHeader:
    """Units by channel (None: not declared; "other": not a voltage), and whether OpenViBE wrote the file.

    OpenViBE writes float64, one sample in a record, and `uV` for every channel, whatever its driver delivered.
    """

    units: tuple[str | None, ...]
    by_openvibe: bool


def read_gdf_header(path: Path) -> GdfHeader:
    """Read and check a GDF header. Raises IngestError if it is damaged or the file is shorter than it promises."""
    size = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256:
            raise IngestError(f"The header holds {len(fixed)} of 256 bytes: the copy is incomplete. Fetch it again.")
        try:
            version = float(fixed[4:8].decode("latin-1"))
        except ValueError as error:
            raise IngestError(f"The GDF version is no number: found {fixed[4:8]!r}.") from error
        old = version < 1.9
        n_channels = struct.unpack("<I", fixed[252:256])[0] if old else struct.unpack("<H", fixed[252:254])[0]
        n_bytes = struct.unpack("<q", fixed[184:192])[0] if old else 256 * struct.unpack("<H", fixed[184:186])[0]
        n_records = struct.unpack("<q", fixed[236:244])[0]
        if not 0 < n_channels < 10_000 or not 256 * (1 + n_channels) <= n_bytes <= size:
            raise IngestError(
                f"The GDF header declares {n_channels} channels in {n_bytes} bytes of {size}. Fetch it again."
            )
        raw = file.read(256 * n_channels)
    samples = struct.unpack(f"<{n_channels}I", raw[216 * n_channels : 220 * n_channels])
    types = struct.unpack(f"<{n_channels}I", raw[220 * n_channels : 224 * n_channels])
    unknown = set(types) - set(_TYPE_BYTES)
    if unknown:
        raise IngestError(
            f"The GDF header declares sample types {sorted(unknown)}, which do not exist. Fetch it again."
        )
    record_bytes = sum(count * _TYPE_BYTES[kind] for count, kind in zip(samples, types, strict=True))
    if n_records < 0 or record_bytes < 1:
        raise IngestError(f"The GDF header declares {n_records} records of {record_bytes} bytes. Fetch it again.")
    if n_bytes + n_records * record_bytes > size:
        found = (size - n_bytes) // record_bytes
        raise IngestError(f"The file holds {found} of {n_records} records: the copy is incomplete. Fetch it again.")
    if old and n_bytes + n_records * record_bytes == size:
        raise IngestError("The GDF file ends without an event table, which MNE needs. Export it again with events.")
    if old:
        dimensions = [raw[96 * n_channels + 8 * i : 96 * n_channels + 8 * i + 8] for i in range(n_channels)]
        units = tuple(map(_unit_of_text, dimensions))
        return GdfHeader(units, set(types) == {_FLOAT64} and set(samples) == {1} and set(units) == {"uV"})
    codes = struct.unpack(f"<{n_channels}H", raw[102 * n_channels : 104 * n_channels])
    return GdfHeader(tuple(map(_unit_of_code, codes)), False)


def _unit_of_text(raw: bytes) -> str | None:
    text = decode_dimension(raw)
    return voltage_unit(text) or (None if is_undeclared(text) else "other")


def _unit_of_code(code: int) -> str | None:
    if code in _UNDECLARED_CODES:
        return None
    return _DECIMALS.get(code - _VOLT, "other")

"""Writes XDF files by the specification, as LabRecorder does."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt


def length(value: int) -> bytes:
    return struct.pack("<BB", 1, value) if value < 256 else struct.pack("<BI", 4, value)


def chunk(tag: int, content: bytes) -> bytes:
    return length(len(content) + 2) + struct.pack("<H", tag) + content


class XdfWriter:
    """Collects chunks; `write` puts them into a file."""

    def __init__(self) -> None:
        self._chunks = [b"XDF:", chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]

    def header(
        self,
        stream: int,
        name: str,
        kind: str,
        labels: Sequence[str],
        rate_hz: float,
        *,
        number: str = "float32",
        unit: str = "microvolts",
        types: str = "EEG",
    ) -> None:
        channels = "".join(
            f"<channel><label>{label}</label><unit>{unit}</unit><type>{types}</type></channel>" for label in labels
        )
        text = (
            f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
            f"<channel_count>{len(labels)}</channel_count><nominal_srate>{rate_hz}</nominal_srate>"
            f"<channel_format>{number}</channel_format><desc><channels>{channels}</channels></desc></info>"
        )
        self._chunks.append(chunk(2, struct.pack("<I", stream) + text.encode()))

    def samples(
        self,
        stream: int,
        values: npt.NDArray[np.generic] | Sequence[str],
        stamps_s: Sequence[float | None] | npt.NDArray[np.float64],
    ) -> None:
        """One chunk; a sample without a time (None) follows the one before it."""
        body = struct.pack("<I", stream) + length(len(values))
        for value, stamp_s in zip(values, stamps_s, strict=True):
            body += b"\x00" if stamp_s is None else struct.pack("<Bd", 8, stamp_s)
            body += length(len(value.encode())) + value.encode() if isinstance(value, str) else value.tobytes()
        self._chunks.append(chunk(3, body))

    def offset(self, stream: int, at_s: float, offset_s: float) -> None:
        self._chunks.append(chunk(4, struct.pack("<Idd", stream, at_s, offset_s)))

    def footer(self, stream: int, n_samples: int) -> None:
        text = f"<?xml version='1.0'?><info><sample_count>{n_samples}</sample_count></info>"
        self._chunks.append(chunk(6, struct.pack("<I", stream) + text.encode()))

    def write(self, path: Path) -> Path:
        path.write_bytes(b"".join(self._chunks))
        return path

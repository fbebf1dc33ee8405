"""The header of EDF, EDF+, BDF and BDF+ files.

Sources: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+), https://www.edfplus.info/specs/, https://www.biosemi.com/faq/file_format.htm.
The patient, recording and date fields are never read.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from eeg_ingest.recording import IngestError
from eeg_ingest.units import decode_dimension

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FIXED_BYTES = 256
_MAX_SFREQ_HZ = 1e6


@dataclass(frozen=True)
class EdfSignal:
    """One signal: its label, unit text, calibration points, filter text, and its place in a data record."""

    label: str
    dimension: str
    physical_min: float
    physical_max: float
    digital_min: float
    digital_max: float
    prefilter: str
    n_samples: int
    first_sample: int

    @property
    def is_annotation(self) -> bool:
        """True for the text signals of EDF+ and BDF+."""
        return self.label in ("EDF Annotations", "BDF Annotations")

    @property
    def gain(self) -> float:
        """Physical units per digital step; NaN where the header gives no line."""
        span = self.digital_max - self.digital_min
        gain = (self.physical_max - self.physical_min) / span if span else math.nan
        return gain if gain and math.isfinite(gain) else math.nan

    @property
    def offset(self) -> float:
        """Physical value of digital zero."""
        return self.physical_min - self.gain * self.digital_min


@dataclass(frozen=True)
class EdfHeader:
    """What a file says about itself, checked against its size."""

    is_bdf: bool
    continuity: str  # "" for plain EDF and BDF, "C" or "D" for the plus formats
    n_bytes: int
    n_records: int
    record_s: float
    signals: tuple[EdfSignal, ...]
    warnings: tuple[str, ...]

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return 3 if self.is_bdf else 2

    @property
    def record_samples(self) -> int:
        """Samples of all signals in one data record."""
        return sum(signal.n_samples for signal in self.signals)


def read_header(path: Path) -> EdfHeader:
    """Read and check a header.

    Raises IngestError if a field is no number, if a value is absurd, or if the file is shorter or longer than the
    header promises. A record count of -1 (a recording that was never closed) is counted from the size, in whole
    records, with a warning.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(_FIXED_BYTES)
        if len(fixed) < _FIXED_BYTES:
            raise IngestError(f"The header holds {len(fixed)} of 256 bytes: the copy is incomplete. Fetch it again.")
        is_bdf = fixed[0] == 0xFF
        n_signals = _integer(fixed[252:256], "number of signals")
        n_bytes = _integer(fixed[184:192], "number of header bytes")
        if n_signals < 1:
            raise IngestError(f"The header declares {n_signals} signals: expected at least 1. Fetch it again.")
        expected = _FIXED_BYTES * (1 + n_signals)
        if n_bytes != expected:
            raise IngestError(
                f"The header declares {n_bytes} bytes for {n_signals} signals: expected {expected}. Fetch it again."
            )
        if size < n_bytes:
            raise IngestError(f"The header holds {size} of {n_bytes} bytes: the copy is incomplete. Fetch it again.")
        signals = _read_signals(file.read(n_bytes - _FIXED_BYTES), n_signals)
    reserved = fixed[192:197].decode("latin-1")
    continuity = reserved[4] if reserved[:4] in ("EDF+", "BDF+") and reserved[4] in "CD" else ""
    record_s = _number(fixed[244:252], "duration of a data record")
    if record_s < 0 or (record_s == 0 and any(not signal.is_annotation for signal in signals)):
        raise IngestError(f"The header declares data records of {record_s:g} s: expected more than 0. Fetch it again.")
    fastest = max(signal.n_samples for signal in signals)
    if record_s and not fastest / record_s <= _MAX_SFREQ_HZ:
        raise IngestError(
            f"The header declares {fastest} samples in {record_s:g} s: no EEG is that fast. Fetch it again."
        )
    record_bytes = sum(signal.n_samples for signal in signals) * (3 if is_bdf else 2)
    declared = _integer(fixed[236:244], "number of data records")
    n_records, warnings = _count_records(declared, size - n_bytes, record_bytes)
    return EdfHeader(is_bdf, continuity, n_bytes, n_records, record_s, signals, warnings)


def _count_records(declared: int, n_data_bytes: int, record_bytes: int) -> tuple[int, tuple[str, ...]]:
    found, rest = divmod(n_data_bytes, record_bytes)
    if declared == -1:
        if found < 1:
            raise IngestError("The file holds no whole data record. Fetch it again.")
        dropped = f"; {rest} bytes of an unfinished record are left out" if rest else ""
        return found, (f"the header leaves the record count open: {found} counted from the size{dropped}",)
    if declared < 1:
        raise IngestError(f"The header declares {declared} data records: expected at least 1. Fetch it again.")
    if found < declared:
        raise IngestError(f"The file holds {found} of {declared} data records: the copy is incomplete. Fetch it again.")
    if found > declared or rest:
        raise IngestError(
            f"The file holds {n_data_bytes - declared * record_bytes} bytes more than its {declared} data records: "
            "the header's record count is wrong. Correct it or fetch the file again."
        )
    return declared, ()


def _read_signals(raw: bytes, n_signals: int) -> tuple[EdfSignal, ...]:
    fields: list[list[bytes]] = []
    start = 0
    for width in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        fields.append([raw[start + i * width : start + (i + 1) * width] for i in range(n_signals)])
        start += width * n_signals
    labels, _, dimensions, physical_min, physical_max, digital_min, digital_max, prefilter, n_samples, _ = fields
    signals = []
    first_sample = 0
    for i in range(n_signals):
        label = labels[i].decode("latin-1").replace("\x00", " ").strip()
        count = _integer(n_samples[i], f"samples per record of {label!r}")
        if count < 1:
            raise IngestError(
                f"The header declares {count} samples per record for {label!r}: expected at least 1. Fetch it again."
            )
        signals.append(
            EdfSignal(
                label=label,
                dimension=decode_dimension(dimensions[i]),
                physical_min=_number(physical_min[i], f"physical minimum of {label!r}"),
                physical_max=_number(physical_max[i], f"physical maximum of {label!r}"),
                digital_min=_number(digital_min[i], f"digital minimum of {label!r}"),
                digital_max=_number(digital_max[i], f"digital maximum of {label!r}"),
                prefilter=prefilter[i].decode("latin-1").replace("\x00", " ").strip(),
                n_samples=count,
                first_sample=first_sample,
            )
        )
        first_sample += count
    return tuple(signals)


def _number(raw: bytes, what: str) -> float:
    text = raw.split(b"\x00")[0].decode("latin-1").strip().replace(",", ".")  # as some languages write 0.5
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise IngestError(f"The header's {what} is no number: found {text!r}. Fetch the file again.")
    return value


def _integer(raw: bytes, what: str) -> int:
    value = _number(raw, what)
    if value != int(value):
        raise IngestError(f"The header's {what} is no whole number: found {value:g}. Fetch the file again.")
    return int(value)


def filter_edges_hz(prefilter: str, sfreq_hz: float) -> tuple[float | None, float | None]:
    """High-pass and low-pass edges in Hz of a text such as `HP:0.1Hz LP:75Hz N:50Hz` or `HP: DC; LP: 417 Hz`.

    None for an edge that is absent, not positive or not below half the rate, and for both if they cross.
    """

    def edge(key: str) -> float:
        match = re.search(rf"{key}\s*:?\s*([0-9]*\.?[0-9]+)\s*(Hz)?", prefilter, re.IGNORECASE)
        return float(match.group(1)) if match else 0.0

    return sound_edges_hz(edge("HP"), edge("LP"), sfreq_hz)


def sound_edges_hz(highpass_hz: float, lowpass_hz: float, sfreq_hz: float) -> tuple[float | None, float | None]:
    """The edges as `filter_edges_hz` returns them, from numbers of which NaN and 0 say nothing."""
    high, low = (edge if 0 < edge < sfreq_hz / 2 else None for edge in (highpass_hz, lowpass_hz))
    if high is not None and low is not None and high >= low:
        return None, None
    return high, low

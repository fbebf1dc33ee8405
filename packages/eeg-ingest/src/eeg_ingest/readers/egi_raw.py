"""EGI simple binary (.raw), continuous and segmented, by mapping its frames.

Source: EGI, "Net Station File Formats Technical Manual" (S-MAN-200-FFTR-001), simple binary files. A frame holds a
value of each channel and then of each event code; all numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.readers.edf_events import clock_s, trigger_events
from eeg_ingest.readers.mapped import MappedRecording, map_samples, scale_channels
from eeg_ingest.recording import ChannelType, Event, IngestError, Segment

_NUMBERS = {1: ">i2", 2: ">f4", 3: ">f8"}  # by version // 2; odd versions are segmented
_MAX_CHANNELS = 1024
_FRAMES_AT_ONCE = 2**14


@dataclass(frozen=True)
class _Header:
    """`n_samples` are those of one segment; `n_bytes` the header's length."""

    is_segmented: bool
    number: str
    sfreq_hz: float
    n_channels: int
    uv_per_value: float
    n_segments: int
    n_samples: int
    codes: tuple[str, ...]
    n_bytes: int


def open_egi_raw(path: Path, unit: str | None = None, *, overrule: bool = False) -> MappedRecording:
    """Open an EGI .raw file. Its channels are E1, E2 ...; the format fixes µV. Raises IngestError if it is damaged."""
    header = _read_header(path)
    n_rows = header.n_channels + len(header.codes)
    starts_s: list[float]
    if header.is_segmented:
        runs, starts_s = _map_segments(path, header, n_rows)
    else:
        runs, starts_s = [map_samples(path, header.number, header.n_bytes, (header.n_samples, n_rows))], [0.0]
    names = [f"E{index + 1}" for index in range(header.n_channels)]
    types: list[ChannelType] = ["eeg" if index < header.n_channels else "stim" for index in range(n_rows)]
    units = ["uV"] * header.n_channels + [None] * len(header.codes)
    channels, factors = scale_channels([*names, *header.codes], types, units, header.sfreq_hz, unit, overrule=overrule)
    recording = MappedRecording(
        runs,
        format="egi-raw",
        channels=channels,
        uv_per_value=header.uv_per_value * factors,
        segments=tuple(
            Segment(index * header.n_samples, header.n_samples, start_s) for index, start_s in enumerate(starts_s)
        ),
        files=[path],
    )
    events = [
        event for row, code in enumerate(header.codes, header.n_channels) for event in _events(recording, row, code)
    ]
    recording.events = tuple(sorted(events, key=lambda event: event.onset_s))
    return recording


def _events(recording: MappedRecording, row: int, code: str) -> list[Event]:
    """The rises of an event code's row. Reads all frames once, in blocks."""

    def blocks() -> Iterator[npt.NDArray[np.int64]]:
        for start in range(0, recording.n_samples, _FRAMES_AT_ONCE):
            stop = min(start + _FRAMES_AT_ONCE, recording.n_samples)
            yield (recording.read_values([row], start, stop)[0] != 0).astype(np.int64)

    return [
        Event(clock_s(sample, recording.segments, recording.sfreq_hz), 0.0, code)
        for sample, _ in trigger_events(blocks())
    ]


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:

        def numbers(layout: str) -> tuple[int, ...]:
            raw = file.read(struct.calcsize(layout))
            if len(raw) < struct.calcsize(layout):
                raise IngestError(f"{path.name} ends inside its header: the copy is incomplete. Fetch it again.")
            return struct.unpack(layout, raw)

        version, *_date, rate_hz, n_channels, _gain, bits, range_uv = numbers(">i6hi5h")
        is_segmented = version % 2 == 1
        n_segments = 1
        if is_segmented:
            for _ in range(numbers(">h")[0]):  # categories, whose names label averages
                numbers(f">{numbers('>B')[0]}x")
            (n_segments,) = numbers(">h")
        n_samples, n_codes = numbers(">ih")
        if rate_hz < 1 or not 0 < n_channels <= _MAX_CHANNELS or n_segments < 1 or n_samples < 1 or n_codes < 0:
            raise IngestError(
                f"The header of {path.name} declares {n_segments} segments of {n_samples} samples of {n_channels} "
                f"channels at {rate_hz} Hz. Fetch the file again."
            )
        codes = [bytes(numbers(">4B")).decode("latin-1").rstrip("\x00 ") for _ in range(n_codes)]
        calibrated = bits > 0 and range_uv > 0  # else the numbers are µV
        return _Header(
            is_segmented,
            _NUMBERS[version // 2],
            float(rate_hz),
            n_channels,
            range_uv / 2**bits if calibrated else 1.0,
            n_segments,
            n_samples,
            tuple(codes),
            file.tell(),
        )


def _map_segments(path: Path, header: _Header, n_rows: int) -> tuple[list[npt.NDArray[Any]], list[float]]:
    """The frames of each segment, and its start in seconds. A segment begins with its category and its start in ms."""
    n_bytes = 6 + header.n_samples * n_rows * np.dtype(header.number).itemsize
    segments = map_samples(path, np.uint8, header.n_bytes, (header.n_segments, n_bytes))
    frames = [segment[6:].view(header.number).reshape(header.n_samples, n_rows) for segment in segments]
    return frames, [struct.unpack(">i", segment[2:6].tobytes())[0] / 1000 for segment in segments]

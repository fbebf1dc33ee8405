"""The chunks of an XDF file: stream headers, clock offsets, and where the samples lie.

Source: https://github.com/sccn/xdf/wiki/Specifications (XDF 1.0). Nothing of the numbers themselves is read here.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from defusedxml import ElementTree

from eeg_ingest.recording import IngestError

_HEADER, _SAMPLES, _CLOCK_OFFSET, _FOOTER = 2, 3, 4, 6
_NUMBERS = {
    "float32": "<f4",
    "double64": "<f8",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
}
_STAMP_BYTES = 8


@dataclass(frozen=True)
class ChannelInfo:
    """What a stream header says of a channel; "" where it says nothing."""

    label: str
    unit: str
    type: str


class Run:
    """Where numbers (S samples, C columns) lie in a file. There is one for each chunk: it has to be small."""

    __slots__ = ("_data", "_number", "_position", "_stride", "shape")

    def __init__(self, data: mmap.mmap, number: str, position: int, stride: int, shape: tuple[int, int]) -> None:
        self._data, self._number, self._position, self._stride, self.shape = data, number, position, stride, shape

    def __getitem__(self, samples: slice, /) -> npt.NDArray[Any]:
        """Some of the samples, as a view of the file."""
        strides = (self._stride, np.dtype(self._number).itemsize)
        return np.ndarray(self.shape, self._number, self._data, self._position, strides)[samples]


@dataclass
class Stream:
    """One stream. `stamps_s` are as the sender's clock had them, (S, 1) for each chunk.

    `runs` are the numbers (S, C) of number streams, `texts` the samples of text streams.
    """

    id: int
    name: str
    type: str
    n_channels: int
    nominal_hz: float
    number: str | None
    channels: tuple[ChannelInfo, ...]
    runs: list[Run] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    stamps_s: list[Run | npt.NDArray[np.float64]] = field(default_factory=list)
    offsets: list[tuple[float, float]] = field(default_factory=list)
    promised: int | None = None

    @property
    def n_samples(self) -> int:
        """Samples in the file."""
        return sum(stamps.shape[0] for stamps in self.stamps_s)

    def __str__(self) -> str:
        rate = f"{self.nominal_hz:g} Hz" if self.nominal_hz else "no rate"
        return f"{self.name!r} ({self.type or 'no type'}, {self.n_channels} channels, {rate}, id {self.id})"


def read_streams(path: Path) -> list[Stream]:
    """All streams of a file, in the order of their ids. Raises IngestError if the file is damaged or cut short."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    streams: dict[int, Stream] = {}
    for tag, position, stop in _chunks(data, path.name):
        try:
            if tag not in (_HEADER, _SAMPLES, _CLOCK_OFFSET, _FOOTER):
                continue
            (stream_id,) = struct.unpack_from("<I", data, position)
            start = position + 4
            if tag == _HEADER:
                streams[stream_id] = _stream(stream_id, ElementTree.fromstring(data[start:stop]))
            elif tag == _CLOCK_OFFSET:
                streams[stream_id].offsets.append(struct.unpack_from("<dd", data, start))
            elif tag == _FOOTER:
                count = ElementTree.fromstring(data[start:stop]).findtext("sample_count")
                streams[stream_id].promised = int(count) if count else None
            else:
                _Samples(data, start, stop, streams[stream_id]).add()
        except (KeyError, ValueError, struct.error, ElementTree.ParseError) as error:
            raise IngestError(
                f"A damaged chunk before byte {stop} of {path.name}: {error!r}. Fetch it again."
            ) from error
    for stream in streams.values():
        if stream.promised is not None and stream.promised > stream.n_samples:
            raise IngestError(
                f"Stream {stream.name!r} of {path.name} holds {stream.n_samples} of {stream.promised} samples: the "
                "copy is incomplete. Fetch it again."
            )
    return [streams[stream_id] for stream_id in sorted(streams)]


def _chunks(data: mmap.mmap, name: str) -> Iterator[tuple[int, int, int]]:
    """Tag, first byte after the tag, and end of each chunk."""
    position, size = 4, len(data)  # after "XDF:"
    while position < size:
        length, position = _length(data, position)
        end = position + length
        if length < 2 or end > size:
            raise IngestError(f"{name} ends inside a chunk: expected {end} bytes, found {size}. Fetch it again.")
        yield struct.unpack_from("<H", data, position)[0], position + 2, end
        position = end


def _length(data: mmap.mmap, position: int) -> tuple[int, int]:
    """A number of 1, 4 or 8 bytes, and where it ends."""
    n_bytes = data[position] if position < len(data) else 0
    stop = position + 1 + n_bytes
    if n_bytes not in (1, 4, 8) or stop > len(data):
        raise IngestError(f"A damaged length at byte {position} of the XDF file. Fetch it again.")
    return int.from_bytes(data[position + 1 : stop], "little"), stop


def _stream(stream_id: int, info: Any) -> Stream:
    def text(element: Any, key: str) -> str:
        return (element.findtext(key) or "").strip()

    channels = tuple(
        ChannelInfo(text(channel, "label") or text(channel, "name"), text(channel, "unit"), text(channel, "type"))
        for channel in info.findall("desc/channels/channel")
    )
    kind, n_channels = text(info, "channel_format"), int(text(info, "channel_count"))
    if (kind not in _NUMBERS and kind != "string") or n_channels < 1:
        raise ValueError(f"{n_channels} channels of {kind!r}")
    return Stream(
        id=stream_id,
        name=text(info, "name"),
        type=text(info, "type"),
        n_channels=n_channels,
        nominal_hz=float(text(info, "nominal_srate") or 0),
        number=_NUMBERS.get(kind),
        channels=channels,
    )


class _Samples:
    """One chunk of samples. Before each lies a byte: 8 and its time, or 0 if it follows the one before at the rate."""

    def __init__(self, data: mmap.mmap, start: int, stop: int, stream: Stream) -> None:
        self._data, self._stop, self._stream = data, stop, stream
        self._n_samples, self._position = _length(data, start)
        if self._n_samples > stop - start:
            raise ValueError(f"{self._n_samples} samples in {stop - start} bytes")

    def add(self) -> None:
        """Add the chunk to its stream."""
        if self._n_samples:
            stamps_s = self._texts() if self._stream.number is None else self._numbers(self._stream.number)
            if not isinstance(stamps_s, Run):
                before_s = float(self._stream.stamps_s[-1][-1:][0, 0]) if self._stream.stamps_s else 0.0
                stamps_s = _deduce(stamps_s, before_s, self._stream.nominal_hz)[:, None]
            self._stream.stamps_s.append(stamps_s)
        if self._position != self._stop:
            raise ValueError(f"{self._n_samples} samples end at byte {self._position}")

    def _numbers(self, number: str) -> Run | npt.NDArray[np.float64]:
        """Note where the numbers lie, in runs of samples that all have a time or all have none. Returns the times."""
        value_bytes = np.dtype(number).itemsize * self._stream.n_channels
        stamps_s = np.full(self._n_samples, np.nan)
        done = 0
        while done < self._n_samples:
            has_stamp = self._flag(self._position)
            stride = 1 + _STAMP_BYTES * has_stamp + value_bytes
            most = min(self._n_samples - done, (self._stop - self._position) // stride)
            if most < 1:
                raise ValueError(f"{self._n_samples} samples go beyond the chunk")
            flags = np.ndarray((most,), np.uint8, self._data, self._position, (stride,))
            others = np.flatnonzero(flags != flags[0])
            count = int(others[0]) if len(others) else most
            shape = (count, self._stream.n_channels)
            self._stream.runs.append(Run(self._data, number, self._position + stride - value_bytes, stride, shape))
            if has_stamp:
                given_s = Run(self._data, "<f8", self._position + 1, stride, (count, 1))
                if count == self._n_samples:
                    self._position += count * stride
                    return given_s
                stamps_s[done : done + count] = given_s[:][:, 0]
            self._position += count * stride
            done += count
        return stamps_s

    def _texts(self) -> npt.NDArray[np.float64]:
        stamps_s = np.full(self._n_samples, np.nan)
        for index in range(self._n_samples):
            if self._flag(self._position):
                (stamps_s[index],) = struct.unpack_from("<d", self._data, self._position + 1)
                self._position += _STAMP_BYTES
            self._position += 1
            cells = []
            for _ in range(self._stream.n_channels):
                length, start = _length(self._data, self._position)
                self._position = start + length
                cells.append(self._data[start : self._position].decode("utf-8", errors="replace"))
            self._stream.texts.append(",".join(cells))
        return stamps_s

    def _flag(self, position: int) -> bool:
        flag = self._data[position]
        if flag not in (0, _STAMP_BYTES):
            raise ValueError(f"a time of {flag} bytes")
        return flag == _STAMP_BYTES


def _deduce(stamps_s: npt.NDArray[np.float64], before_s: float, nominal_hz: float) -> npt.NDArray[np.float64]:
    """Fill in the times that are left out (NaN): each a step after the one before."""
    missing = np.isnan(stamps_s)
    if missing.any():
        step_s = 1 / nominal_hz if nominal_hz else 0.0
        places = np.arange(len(stamps_s))
        last = np.maximum.accumulate(np.where(missing, -1, places))  # the place of the last time that is given
        given_s = np.where(last < 0, before_s, stamps_s[last])
        stamps_s = np.where(missing, given_s + (places - last) * step_s, stamps_s)
    return stamps_s

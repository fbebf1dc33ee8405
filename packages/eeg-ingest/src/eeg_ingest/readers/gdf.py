"""GDF 1 and 2 by mapping the samples (docs/decisions/gdf.md says why not through MNE)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import common_reference, type_labels
from eeg_ingest.readers.constant_unit import correct_constant_unit
from eeg_ingest.readers.edf import main_rate
from eeg_ingest.readers.gdf_header import GdfHeader, GdfSignal, read_gdf_header
from eeg_ingest.recording import Channel, ChannelType, Event, IngestError, Recording, Segment
from eeg_ingest.units import UV_PER_UNIT, settle_unit

Line = tuple[float, float]
_SCAN_SAMPLES = 2**16
_NEW_SEGMENT = "32766"  # GDF's code 0x7ffe: the signal goes on here after a break


class GdfRecording(Recording):
    """One GDF file. The samples stay on disk (C channels, S samples)."""

    def __init__(self, path: Path, unit: str | None = None, *, overrule: bool = False) -> None:
        header = read_gdf_header(path)
        self._signals = header.signals
        shape = (header.n_records, header.record_bytes)
        self._map: npt.NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r", offset=header.n_bytes, shape=shape)
        labels = [signal.label for signal in header.signals]
        types = [_type(signal, kind) for signal, kind in zip(header.signals, type_labels(labels), strict=True)]
        constant = header.by_openvibe
        units = [
            _unit(signal, kind, unit, overrule=overrule or constant)
            for signal, kind in zip(header.signals, types, strict=True)
        ]
        self._uv = [_line_uv(signal, read_as) for signal, read_as in zip(header.signals, units, strict=True)]
        channels = tuple(
            _channel(signal, kind, read_as, line)
            for signal, kind, read_as, line in zip(header.signals, types, units, self._uv, strict=True)
        )
        sfreq_hz = main_rate(channels)
        self._record_samples = next(s.n_samples for s in header.signals if s.sfreq_hz == sfreq_hz)
        self._n_mapped = header.n_records * self._record_samples
        events, warnings = _events(path, header, sfreq_hz), list(header.warnings)
        segments = self._segments(events, sfreq_hz)
        if len(segments) > 1:
            n_void = self._n_mapped - sum(segment.n_samples for segment in segments)
            warnings.append(f"{len(segments)} segments: cut at marks of a new one; {n_void} samples hold nothing")
        super().__init__(
            format="gdf",
            sfreq_hz=sfreq_hz,
            channels=channels,
            segments=segments,
            events=events,
            files=(str(path),),
            reference=common_reference([channel.name for channel in channels if channel.type == "eeg"]),
            warnings=warnings,
        )
        if constant and unit is None:
            correct_constant_unit(self)

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        if not 0 <= start_sample <= stop_sample <= self._n_mapped:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self._n_mapped}")
        out = np.empty((len(channels), stop_sample - start_sample), dtype=np.float32)
        for row, index in enumerate(channels):
            channel, line = self.channels[index], self._uv[index]
            if channel.sfreq_hz != self.sfreq_hz:
                raise IngestError(
                    f"Channel {channel.name!r} runs at {channel.sfreq_hz:g} Hz, not {self.sfreq_hz:g} Hz."
                )
            if line is None:
                raise IngestError(f"Channel {channel.name!r} is no voltage or has no calibration.")
            digital = self._digital(self._signals[index], start_sample, stop_sample)
            with np.errstate(over="ignore", invalid="ignore"):  # such samples show in the quality numbers
                out[row] = digital * line[0] + line[1]
        return out

    def _digital(self, signal: GdfSignal, start: int, stop: int) -> npt.NDArray[Any]:
        """Samples [start, stop) of one signal, in its own rate."""
        first, last = start // signal.n_samples, -(-stop // signal.n_samples)
        part = np.ascontiguousarray(self._map[first:last, signal.first_byte : signal.first_byte + signal.n_bytes])
        if signal.dtype == "24":
            wide = np.zeros((part.size // 3, 4), dtype=np.uint8)
            wide[:, 1:] = part.reshape(-1, 3)
            samples = wide.view("<i4")[:, 0] >> 8
        else:
            samples = part.reshape(-1).view(signal.dtype)
        return samples[start - first * signal.n_samples :][: stop - start]

    def _segments(self, events: Sequence[Event], sfreq_hz: float) -> tuple[Segment, ...]:
        """Cut at the marks of a new segment; in a file that has some, what holds no value is of no segment."""
        marks = sorted({round(event.onset_s * sfreq_hz) for event in events if event.label == _NEW_SEGMENT} - {0})
        whole = (Segment(0, self._n_mapped, 0.0),)
        if not marks:
            return whole
        edges: list[int] = []  # of the stretches with values: where one starts, where it stops, ...
        before = True
        for start in range(0, self._n_mapped, _SCAN_SAMPLES):
            void = self._void(start, min(start + _SCAN_SAMPLES, self._n_mapped))
            edges += (start + np.flatnonzero(np.diff(void, prepend=before))).tolist()
            before = bool(void[-1])
        stretches = zip(edges[::2], [*edges[1::2], self._n_mapped], strict=False)
        cuts = [pairwise([start, *(m for m in marks if start < m < stop), stop]) for start, stop in stretches]
        segments = tuple(Segment(start, stop - start, start / sfreq_hz) for cut in cuts for start, stop in cut)
        return segments or whole  # which holds nothing, as is told further on

    def _void(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """(S): where every signal is NaN, or at the lowest of its digital range as writers put it in place of NaN."""
        void = np.ones(stop - start, np.bool_)
        for signal in self._signals:
            if signal.n_samples == self._record_samples:
                samples = self._digital(signal, start, stop)
                void &= ~np.isfinite(samples) if samples.dtype.kind == "f" else samples <= min(signal.digital)
        return void

    def rescale(self, factor: float) -> None:
        """Take the EEG channels' numbers for `factor` times as many µV."""
        self._uv = [
            (line[0] * factor, line[1] * factor) if line is not None and channel.type == "eeg" else line
            for line, channel in zip(self._uv, self.channels, strict=True)
        ]


def _type(signal: GdfSignal, by_label: ChannelType) -> ChannelType:
    """A label may name an electrode, but a channel in per cent or Ohm is no EEG."""
    return "misc" if by_label == "eeg" and signal.unit == "other" else by_label


def _unit(signal: GdfSignal, kind: ChannelType, unit: str | None, *, overrule: bool) -> str | None:
    """The unit to read a signal in; None for one that is no voltage. Raises IngestError if an EEG signal has none."""
    if kind == "eeg":
        return settle_unit(signal.label, signal.unit, unit, overrule=overrule)
    return unit if signal.unit is None else signal.unit if signal.unit in UV_PER_UNIT else None


def _line_uv(signal: GdfSignal, unit: str | None) -> Line | None:
    """Gain and offset from stored values to µV; None for a signal that is no voltage or has no calibration."""
    (p0, p1), (d0, d1) = signal.physical, signal.digital
    if unit is None or d0 == d1 or p0 == p1 or not np.isfinite([p0, p1, d0, d1]).all():
        return None
    gain = (p1 - p0) / (d1 - d0)
    return gain * UV_PER_UNIT[unit], (p0 - gain * d0) * UV_PER_UNIT[unit]


def _channel(signal: GdfSignal, kind: ChannelType, unit: str | None, line: Line | None) -> Channel:
    limits_uv = None
    if line is not None and not signal.dtype.startswith("<f"):
        low, high = sorted(signal.digital)
        ends = sorted((line[0] * (low + 0.5) + line[1], line[0] * (high - 0.5) + line[1]))
        limits_uv = (ends[0], ends[1])
    unit = None if line is None else unit
    return Channel(signal.label, kind, signal.sfreq_hz, unit, signal.highpass_hz, signal.lowpass_hz, limits_uv)


def _events(path: Path, header: GdfHeader, sfreq_hz: float) -> tuple[Event, ...]:
    """The event table behind the samples, labelled with the codes. Its positions count from 1, at its own rate.

    As in MNE an event lasts one sample where the table has no durations, and marks behind the last sample (OpenViBE's
    end of the experiment) are none. Raises IngestError if the table is cut short or something else is there: then
    bytes of the samples are missing, or there are more than the header says.
    """
    with path.open("rb") as file:
        file.seek(header.n_bytes + header.n_records * header.record_bytes)
        head, rest = file.read(8), file.read()
    if not any(head):
        return ()
    if len(head) < 8 or head[0] not in (1, 3):  # the mode: 1, or 3 with durations
        raise IngestError(
            f"What lies behind the {header.n_records} records of {path.name} is no event table: the file holds fewer "
            "or more bytes of samples than its header says. Fetch it again."
        )
    if header.version < 1.94:
        rate_hz, count = float(int.from_bytes(head[1:4], "little")), struct.unpack("<I", head[4:])[0]
    else:
        rate_hz, count = struct.unpack("<f", head[4:])[0], int.from_bytes(head[1:4], "little")
    with_durations = bool(head[0] & 2)
    if len(rest) < count * (12 if with_durations else 6):
        raise IngestError(f"The event table of {count} events is cut short: the copy is incomplete. Fetch it again.")
    rate_hz = rate_hz if 0 < rate_hz < 1e9 else sfreq_hz
    end_s = header.n_records * header.record_s
    positions = np.frombuffer(rest, "<u4", count)
    codes = np.frombuffer(rest, "<u2", count, offset=4 * count)
    durations = np.frombuffer(rest, "<u4", count, offset=8 * count) if with_durations else np.ones(count)
    events = [
        Event((int(position) - 1) / rate_hz, max(int(duration), 1) / rate_hz, str(code))
        for position, code, duration in zip(positions, codes, durations, strict=True)
        if (int(position) - 1) / rate_hz < end_s
    ]
    return tuple(sorted(events, key=lambda event: event.onset_s))

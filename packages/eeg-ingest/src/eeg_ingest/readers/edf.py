"""EDF, EDF+, BDF and BDF+: samples are mapped from the file and scaled block by block."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import common_reference, type_labels
from eeg_ingest.readers.edf_events import clock_s, parse_record, segments_of_records, trigger_events
from eeg_ingest.readers.edf_header import EdfHeader, EdfSignal, filter_edges_hz, read_header
from eeg_ingest.recording import Channel, ChannelType, Event, IngestError, Recording, Segment
from eeg_ingest.units import UV_PER_UNIT, is_undeclared, settle_unit, voltage_unit

_BLOCK_RECORDS = 256
_MOST_LOADED_BYTES = 2**26
_TRIGGER_BITS = 0xFFFF  # the low 16 of BioSemi's 24 status bits are trigger inputs; the others are device states
_TRIGGER_LABELS = ("status", "trigger")


class EdfRecording(Recording):
    """One EDF or BDF file. The samples stay on disk (C channels, S samples)."""

    reads_channels_apart = True

    def __init__(self, path: Path, unit: str | None = None, *, overrule: bool = False) -> None:
        header = read_header(path)
        self._header = header
        self._signals = [signal for signal in header.signals if not signal.is_annotation]
        if not self._signals:
            raise IngestError("The file holds annotations only, no signals. Leave it out, or name it in `labels`.")
        self._file, self._map = _map_samples(path, header)
        self._loaded = 0, 0  # first record, and the one after the last, of what may lie in memory
        labels = [signal.label for signal in self._signals]
        types = [_type(signal, kind) for signal, kind in zip(self._signals, type_labels(labels), strict=True)]
        units = [
            _unit(signal, kind, unit, overrule=overrule) for signal, kind in zip(self._signals, types, strict=True)
        ]
        self._uv = [_line_uv(signal, read_as) for signal, read_as in zip(self._signals, units, strict=True)]
        channels = tuple(
            _channel(signal, kind, header.record_s, read_as, line)
            for signal, kind, read_as, line in zip(self._signals, types, units, self._uv, strict=True)
        )
        sfreq_hz = main_rate(channels)
        self._record_samples = next(
            signal.n_samples
            for signal, channel in zip(self._signals, channels, strict=True)
            if channel.sfreq_hz == sfreq_hz
        )
        segments, events = self._clock(sfreq_hz)
        super().__init__(
            format="bdf" if header.is_bdf else "edf",
            sfreq_hz=sfreq_hz,
            channels=channels,
            segments=segments,
            events=events,
            files=(str(path),),
            reference=common_reference([channel.name for channel in channels if channel.type == "eeg"]),
            warnings=list(header.warnings),
        )

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        if not 0 <= start_sample <= stop_sample <= self.n_samples:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self.n_samples}")
        out = np.empty((len(channels), stop_sample - start_sample), dtype=np.float32)
        for row, index in enumerate(channels):
            channel = self.channels[index]
            if channel.sfreq_hz != self.sfreq_hz:
                raise IngestError(
                    f"Channel {channel.name!r} runs at {channel.sfreq_hz:g} Hz, not {self.sfreq_hz:g} Hz."
                )
            line = self._uv[index]
            if line is None:
                raise IngestError(f"Channel {channel.name!r} is no voltage or has no calibration.")
            digital = self._digital(self._signals[index], start_sample, stop_sample)
            with np.errstate(over="ignore"):  # beyond float32 a sample is infinite, which the quality numbers show
                if self._header.is_bdf:  # in float64, because BioSemi's electrode offsets are millions of steps
                    out[row] = (digital * line[0] + line[1]).reshape(-1)
                else:
                    _scale_int16(digital, *line, out=out[row].reshape(digital.shape))
        self._let_go(start_sample // self._record_samples, -(-stop_sample // self._record_samples))
        return out

    def _let_go(self, first_record: int, stop_record: int) -> None:
        """Unload what was read once it is much: a file of gigabytes would count as memory of the process.

        Not after every read, since the next one may want other channels of the same pages.
        """
        self._loaded = min(self._loaded[0], first_record), max(self._loaded[1], stop_record)
        n_records = self._loaded[1] - self._loaded[0]
        if n_records * self._map.strides[0] > _MOST_LOADED_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)
            self._loaded = stop_record, stop_record

    def _digital(self, signal: EdfSignal, start: int, stop: int) -> npt.NDArray[np.int_]:
        """Samples [start, stop) of one signal, in its own rate; (records, samples) without a copy if they are whole."""
        first, last = start // signal.n_samples, -(-stop // signal.n_samples)
        part = self._map[first:last, signal.first_sample : signal.first_sample + signal.n_samples]
        if self._header.is_bdf:
            wide = np.zeros((*part.shape[:2], 4), dtype=np.uint8)
            wide[..., 1:] = part
            part = wide.view("<i4")[..., 0] >> 8
        if (last - first) * signal.n_samples == stop - start:
            return part
        skip = start - first * signal.n_samples
        return part.reshape(-1)[skip : skip + stop - start]

    def _clock(self, sfreq_hz: float) -> tuple[tuple[Segment, ...], tuple[Event, ...]]:
        """Segments and events on the file's clock, which starts with the first data record."""
        header = self._header
        onsets, annotations = _annotations(header, self._map)
        if header.continuity == "D":
            if not onsets:
                raise IngestError(
                    "The file is interrupted (EDF+D) but has no annotation signal that says where. Fetch it again."
                )
            segments = segments_of_records(onsets, self._record_samples, sfreq_hz)
        else:
            segments = (Segment(0, header.n_records * self._record_samples, 0.0),)
        events = [*annotations, *self._trigger_events(segments, sfreq_hz)]
        self._let_go(0, header.n_records)
        return segments, tuple(sorted(events, key=lambda event: event.onset_s))

    def _trigger_events(self, segments: Sequence[Segment], sfreq_hz: float) -> list[Event]:
        signals = [signal for signal in self._signals if signal.label.lower() in _TRIGGER_LABELS]
        if not signals:
            return []
        signal = signals[0]
        rate_hz = signal.n_samples / self._header.record_s
        n_samples, step = self._header.n_records * signal.n_samples, _BLOCK_RECORDS * signal.n_samples
        blocks = (
            self._digital(signal, start, min(start + step, n_samples)).reshape(-1).astype(np.int64) & _TRIGGER_BITS
            for start in range(0, n_samples, step)
        )
        scale = sfreq_hz / rate_hz
        return [
            Event(clock_s(round(sample * scale), segments, sfreq_hz), 0.0, str(code))
            for sample, code in trigger_events(blocks)
        ]


def read_edf_annotations(path: Path) -> list[Event]:
    """Read the annotations of a file that need not hold any signal, on its clock. Raises IngestError."""
    header = read_header(path)
    _, samples = _map_samples(path, header)
    return _annotations(header, samples)[1]


def _annotations(header: EdfHeader, samples: npt.NDArray[Any]) -> tuple[list[float | None], list[Event]]:
    """The onset of each data record, where there are annotation signals, and all annotations on the file's clock."""
    signals = [signal for signal in header.signals if signal.is_annotation]
    texts = [
        parse_record(b"\x00".join([_bytes(samples, signal, record) for signal in signals]) + b"\x00")
        for record in range(header.n_records if signals else 0)
    ]
    onsets = [record.onset_s for record in texts]
    zero_s = next((onset for onset in onsets[:1] if onset is not None), 0.0)
    events = [replace(event, onset_s=event.onset_s - zero_s) for record in texts for event in record.events]
    return onsets, sorted(events, key=lambda event: event.onset_s)


def _bytes(samples: npt.NDArray[Any], signal: EdfSignal, record: int) -> bytes:
    return bytes(samples[record, signal.first_sample : signal.first_sample + signal.n_samples].tobytes())


def _scale_int16(digital: npt.NDArray[Any], gain: float, offset: float, out: npt.NDArray[np.float32]) -> None:
    """gain * digital + offset in float32 without float64 in between.

    Counting from the digital value next to 0 µV keeps whole numbers exact and the rest below half a step, so that no
    large offset cancels.
    """
    zero = round(min(max(-offset / gain, -(2.0**23)), 2.0**23))
    if zero:
        np.subtract(digital, np.float32(zero), out=out, dtype=np.float32)
        out *= np.float32(gain)
    else:
        np.multiply(digital, np.float32(gain), out=out, dtype=np.float32)
    if rest := np.float32(gain * zero + offset):
        out += rest


def _map_samples(path: Path, header: EdfHeader) -> tuple[mmap.mmap, npt.NDArray[Any]]:
    """The file in memory, and its samples: int16 (records, samples of a record), or bytes (records, samples, 3)."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    shape: tuple[int, ...] = (header.n_records, header.record_samples)
    if header.is_bdf:
        return mapped, np.ndarray((*shape, 3), np.uint8, mapped, header.n_bytes)
    return mapped, np.ndarray(shape, "<i2", mapped, header.n_bytes)


def _type(signal: EdfSignal, by_label: ChannelType) -> ChannelType:
    """A label may name an electrode, but a channel in per cent or Ohm is no EEG."""
    if by_label == "eeg" and voltage_unit(signal.dimension) is None and not is_undeclared(signal.dimension):
        return "misc"
    return by_label


def _unit(signal: EdfSignal, kind: ChannelType, unit: str | None, *, overrule: bool) -> str | None:
    """The unit to read a signal in; None for one that is no voltage. Raises IngestError if an EEG signal has none."""
    declared = voltage_unit(signal.dimension)
    if kind == "eeg":
        return settle_unit(signal.label, declared, unit, overrule=overrule)
    return declared or (unit if is_undeclared(signal.dimension) else None)


def _line_uv(signal: EdfSignal, unit: str | None) -> tuple[float, float] | None:
    """Gain and offset from digital values to µV; None for a signal that is no voltage or has no calibration."""
    if unit is None or np.isnan(signal.gain):
        return None
    return signal.gain * UV_PER_UNIT[unit], signal.offset * UV_PER_UNIT[unit]


def _channel(
    signal: EdfSignal, kind: ChannelType, record_s: float, unit: str | None, line: tuple[float, float] | None
) -> Channel:
    sfreq_hz = signal.n_samples / record_s
    highpass_hz, lowpass_hz = filter_edges_hz(signal.prefilter, sfreq_hz)
    limits_uv = None
    if line is not None:
        low, high = sorted((signal.digital_min, signal.digital_max))
        ends = sorted((line[0] * (low + 0.5) + line[1], line[0] * (high - 0.5) + line[1]))
        limits_uv = (ends[0], ends[1])
    unit = None if line is None else unit
    return Channel(signal.label, kind, sfreq_hz, unit, highpass_hz, lowpass_hz, limits_uv)


def main_rate(channels: Sequence[Channel]) -> float:
    """The rate of most EEG channels, the higher on a tie; of all channels if none is EEG."""
    rates = Counter(channel.sfreq_hz for channel in channels if channel.type == "eeg" and channel.unit is not None)
    rates = rates or Counter(channel.sfreq_hz for channel in channels)
    return max(rates, key=lambda rate: (rates[rate], rate))

"""XDF (Lab Streaming Layer): the EEG stream, its samples mapped; markers as events (docs/decisions/xdf.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import parse_labels
from eeg_ingest.readers.clock import unbroken_stretches
from eeg_ingest.readers.mapped import MappedRecording, scale_channels
from eeg_ingest.readers.parsed import SampleFile
from eeg_ingest.readers.xdf_file import Stream, read_streams
from eeg_ingest.recording import ChannelType, Event, IngestError, Segment
from eeg_ingest.units import is_undeclared, voltage_unit

GAP_S = 1.0  # what comes in later than that was not sent: chunks over Bluetooth are late by tenths
TRUSTED_RATE = 1e-3  # a device's clock errs by less; beyond, samples are missing or the header is wrong
STEADY_RATE = 5e-3  # between losses, where times that jitter tell the rate less well
LEAST_LOST_S = 0.15  # shorter losses are not told from chunks that come late
_OFFSET_ERROR_S = 1e-4  # a clock offset that is further off is an outlier
_RESET_S = 1.0
_CHUNKS_AT_ONCE = 1024


@dataclass(frozen=True)
class _Stretch:
    """Samples from `start` on that follow each other: times (common clock) are `first_s` + index * `step_s`."""

    start: int
    n_samples: int
    first_s: float
    step_s: float


@dataclass(frozen=True)
class _Clock:
    """Common time = own time + `offset_s` + `drift` * (own time - `middle_s`)."""

    middle_s: float
    offset_s: float
    drift: float


def open_xdf(
    path: Path, unit: str | None = None, *, stream: str | None = None, overrule: bool = False
) -> MappedRecording:
    """Open the EEG stream of a file; `stream` is its name or id where there are several.

    Raises IngestError, with the streams of the file, if there is no EEG stream or no single one.
    """
    streams = read_streams(path)
    chosen = _choose(streams, stream)
    stretches, lost = _without_lost_samples(chosen, _stretches(chosen))
    rate_hz, warnings = _rate_hz(chosen, stretches)
    warnings += lost
    labels = _labels(chosen)
    channels, factors = scale_channels(labels, _types(chosen, labels), _units(chosen), rate_hz, unit, overrule=overrule)
    unread = [str(other) for other in streams if other is not chosen and not _is_marker_stream(other)]
    if unread:
        warnings.append(f"streams that are not read: {', '.join(unread)}")
    start_s = stretches[0].first_s
    return MappedRecording(
        chosen.runs,
        format="xdf",
        channels=channels,
        uv_per_value=factors,
        segments=tuple(Segment(s.start, s.n_samples, s.first_s - start_s) for s in stretches),
        events=[event for other in streams if _is_marker_stream(other) for event in _events(other, stretches, rate_hz)],
        files=[path],
        warnings=warnings,
    )


def _choose(streams: Sequence[Stream], wanted: str | None) -> Stream:
    regular = [stream for stream in streams if stream.number and stream.nominal_hz > 0 and stream.n_samples]
    if wanted is not None:
        found = [stream for stream in regular if wanted in (stream.name, str(stream.id))]
        what = f"one stream {wanted!r} of samples"
    else:
        found = [stream for stream in regular if stream.type.upper() == "EEG"]
        what = "one stream of type EEG"
    if len(found) != 1:
        listed = "; ".join(map(str, found or streams)) or "no stream"
        raise IngestError(
            f"The streams of the file: expected {what}, found {listed}. Name one by its name or id in sources.yaml: "
            "reader: {format: xdf, stream: NAME}."
        )
    return found[0]


def _labels(stream: Stream) -> list[str]:
    """The channels' labels; 1, 2 ... where the stream has none, or not one for each."""
    labels = [channel.label for channel in stream.channels]
    return (
        labels if len(labels) == stream.n_channels and all(labels) else [str(i + 1) for i in range(stream.n_channels)]
    )


def _units(stream: Stream) -> list[str | None]:
    if len(stream.channels) != stream.n_channels:
        return [None] * stream.n_channels
    return [
        voltage_unit(channel.unit) or (None if is_undeclared(channel.unit) else "other") for channel in stream.channels
    ]


def _types(stream: Stream, labels: Sequence[str]) -> list[ChannelType]:
    """By label. Senders call every channel EEG, the trigger too: that counts only where no label is an electrode's."""
    parsed = parse_labels(labels)
    if any(label.type == "eeg" for label in parsed):
        return [label.type or "misc" for label in parsed]
    of_sender = [channel.type.upper() for channel in stream.channels]
    if len(of_sender) != len(labels) or not any(of_sender):
        of_sender = [stream.type.upper()] * len(labels)
    return [label.type or ("eeg" if kind == "EEG" else "misc") for label, kind in zip(parsed, of_sender, strict=True)]


def _clock(stream: Stream) -> _Clock:
    """How the stream's clock goes to that of the recording computer: a line through the measured offsets, robustly."""
    if not stream.offsets:
        return _Clock(0.0, 0.0, 0.0)
    at_s, offsets_s = np.array(stream.offsets).T
    middle_s, level_s = float(np.median(at_s)), float(np.median(offsets_s))
    if np.any(np.abs(np.diff(offsets_s[:-1])) > _RESET_S):  # but for the last, which liblsl spoils when a sender ends
        raise IngestError(
            f"The clock of stream {stream.name!r} was set while it was recorded: expected one offset, found "
            f"{offsets_s.min():g} to {offsets_s.max():g} s. Split the recording there."
        )
    if len(at_s) < 2 or np.ptp(at_s) == 0:
        return _Clock(middle_s, level_s, 0.0)

    def errors(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(line[0] + line[1] * (at_s - middle_s) - (offsets_s - level_s)) / _OFFSET_ERROR_S

    scale = [_OFFSET_ERROR_S, _OFFSET_ERROR_S / max(float(np.ptp(at_s)), 1e-9)]
    from scipy.optimize import least_squares  # noqa: PLC0415  # takes a while; only XDF needs it

    line = least_squares(errors, [0.0, 0.0], loss="huber", x_scale=scale, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    return _Clock(middle_s, level_s + float(line[0]), float(line[1]))


def _times_s(stream: Stream) -> Iterator[npt.NDArray[np.float64]]:
    """Times of all samples on the recording computer's clock, in order, some chunks at once."""
    clock = _clock(stream)
    for first in range(0, len(stream.stamps_s), _CHUNKS_AT_ONCE):
        stamps_s = np.concatenate([stamps[:][:, 0] for stamps in stream.stamps_s[first : first + _CHUNKS_AT_ONCE]])
        yield stamps_s + clock.offset_s + clock.drift * (stamps_s - clock.middle_s)


def _stretches(stream: Stream) -> list[_Stretch]:
    """Samples between steps of more than `GAP_S`, with a line through their times, which jitter."""
    starts, firsts_s = [0], []
    done, last_s = 0, None
    for times_s in _times_s(stream):
        part = times_s if last_s is None else np.concatenate([[last_s], times_s])
        behind = 0 if last_s is None else 1
        breaks = np.flatnonzero(np.abs(np.diff(part)) > GAP_S) + 1
        firsts_s += [float(times_s[0])] if last_s is None else []
        firsts_s += part[breaks].tolist()
        starts += (breaks - behind + done).tolist()
        done, last_s = done + len(times_s), float(times_s[-1])
    return _fitted(stream, starts, firsts_s)


def _without_lost_samples(stream: Stream, stretches: list[_Stretch]) -> tuple[list[_Stretch], list[str]]:
    """Shorter stretches where samples were lost for less than `GAP_S`, with a warning.

    The same stretches where none were: the shorter ones would not agree with the nominal rate either.
    """
    times, warnings = SampleFile(1, "<f8"), list[str]()
    for times_s in _times_s(stream):
        times.append(times_s[:, None])
    clock_s = times.values()[:, 0].view(np.float64)
    parts = unbroken_stretches(clock_s, stream.nominal_hz, warnings, least_lost=LEAST_LOST_S * stream.nominal_hz)
    if len(parts) == len(stretches):
        return stretches, []
    starts = [part.start_sample for part in parts]
    shorter = _fitted(stream, starts, clock_s[starts].tolist())
    return (
        (shorter, warnings[:1]) if _is_near(_measured_hz(shorter), stream.nominal_hz, STEADY_RATE) else (stretches, [])
    )


def _fitted(stream: Stream, starts: Sequence[int], firsts_s: Sequence[float]) -> list[_Stretch]:
    """The stretches that begin at the samples `starts`, whose times are `firsts_s`."""
    stops = [*starts[1:], stream.n_samples]
    fits = [_Fit(start, stop - start, at_s) for start, stop, at_s in zip(starts, stops, firsts_s, strict=True)]
    place, index = 0, 0
    for times_s in _times_s(stream):
        for fit in fits[index:]:
            fit.add(times_s, place)
            if fit.stop > place + len(times_s):
                break
            index += 1
        place += len(times_s)
    stretches = [fit.stretch(1 / stream.nominal_hz) for fit in fits]
    for before, after in pairwise(stretches):
        if after.first_s < before.first_s:
            raise IngestError(f"The times of stream {stream.name!r} go back at sample {after.start}. Record it again.")
    return stretches


class _Fit:
    """Sums for the line through the times of a stretch of samples, whose first time is near `at_s`."""

    def __init__(self, start: int, n_samples: int, at_s: float) -> None:
        self.start, self.n_samples, self.at_s = start, n_samples, at_s
        self.sum_s = self.product = 0.0

    @property
    def stop(self) -> int:
        """The sample after the last."""
        return self.start + self.n_samples

    def add(self, times_s: npt.NDArray[np.float64], place: int) -> None:
        """Add those of the times of samples from `place` on that belong to the stretch."""
        first, last = max(self.start, place), min(self.stop, place + len(times_s))
        from_first_s = times_s[first - place : last - place] - self.at_s
        self.sum_s += float(from_first_s.sum())
        self.product += float((np.arange(first, last) - self.start - (self.n_samples - 1) / 2) @ from_first_s)

    def stretch(self, nominal_s: float) -> _Stretch:
        """The stretch, at the nominal step if it is one sample. Raises IngestError if its times do not rise."""
        squares = self.n_samples * (self.n_samples**2 - 1) / 12
        step_s = self.product / squares if squares else nominal_s
        if step_s <= 0:
            raise IngestError(f"The times of the stream do not rise from sample {self.start} on. Record it again.")
        middle_s = self.at_s + self.sum_s / self.n_samples
        return _Stretch(self.start, self.n_samples, middle_s - step_s * (self.n_samples - 1) / 2, step_s)


def _measured_hz(stretches: Sequence[_Stretch]) -> float | None:
    """How fast the samples came; None for stretches of one sample each."""
    steps = sum(stretch.n_samples - 1 for stretch in stretches)
    return steps / sum((stretch.n_samples - 1) * stretch.step_s for stretch in stretches) if steps else None


def _is_near(measured_hz: float | None, nominal_hz: float, error: float) -> bool:
    return measured_hz is None or abs(measured_hz / nominal_hz - 1) <= error


def _rate_hz(stream: Stream, stretches: Sequence[_Stretch]) -> tuple[float, list[str]]:
    """The nominal rate if the times agree with it as clocks do, else the rate of the times, with a warning."""
    measured_hz = _measured_hz(stretches)
    if measured_hz is None or _is_near(measured_hz, stream.nominal_hz, TRUSTED_RATE):
        return stream.nominal_hz, []
    measured_hz = round(measured_hz, 3)
    return measured_hz, [
        f"read at {measured_hz:g} Hz, which is how fast the samples came: stream {stream.name!r} declares "
        f"{stream.nominal_hz:g} Hz"
    ]


def _is_marker_stream(stream: Stream) -> bool:
    return stream.nominal_hz == 0 and (stream.number is None or stream.n_channels == 1)


def _events(stream: Stream, stretches: Sequence[_Stretch], rate_hz: float) -> Iterator[Event]:
    """The samples of a marker stream, at the places of the EEG's samples whose times are theirs.

    So an event stays with its sample although the EEG's rate is not quite the nominal one.
    """
    if not stream.stamps_s:
        return
    labels: Sequence[str] = stream.texts
    if stream.number is not None:
        labels = [f"{value:.15g}" for run in stream.runs for value in run[:][:, 0].astype(np.float64)]
    start_s = stretches[0].first_s
    for time_s, label in zip(np.concatenate(list(_times_s(stream))).tolist(), labels, strict=True):
        stretch = next((s for s in reversed(stretches) if s.first_s <= time_s), stretches[0])
        place = (time_s - stretch.first_s) / stretch.step_s
        inside = 0 <= place <= stretch.n_samples
        into_s = place / rate_hz if inside else time_s - stretch.first_s
        yield Event(stretch.first_s - start_s + into_s, 0.0, label)

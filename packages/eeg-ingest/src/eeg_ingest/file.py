"""The whole way of one file: open it, choose its channels, find the mains, harmonize."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from eeg_ingest.bids import Sidecars, apply_sidecars
from eeg_ingest.filters import exact_rate, notch_freqs_hz
from eeg_ingest.harmonize import SCALE_UV, HarmonizedBlock, harmonize, stored_seconds
from eeg_ingest.mains import detect_line_freq_hz
from eeg_ingest.montage import ChannelChoice, LeftOut, choose_channels
from eeg_ingest.rate import doubt_rate
from eeg_ingest.reader_settings import ReaderSettings
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.source_block import MAX_UV
from eeg_ingest.units import UndeclaredUnitError

_UNIT_ADVICE = "The unit is most likely wrong, by a factor of 1000 or a million: set `unit` in sources.yaml."
_MOST_UV = 10_000  # standard deviation in a second: EEG of 10 µV, a thousand times too large
_SCAN_S = 60


class StoredSegment(TypedDict):
    """A segment as the recordings table has it: its place in the recording's stored seconds, and what was left over."""

    first_second: int
    n_seconds: int
    original_onset_s: float
    dropped_s: float


@dataclass(frozen=True)
class HarmonizedFile:
    """One file on its way into the store.

    `names` (C) are the canonical names of the channels of `blocks`, and `indices` (C) their places in the recording.
    `blocks`, quantized, is read once, lazily, and raises `IngestError` where the file turns out to be bad.
    `line_freq_hz` is what was notched, or None. `events` are on the file's own clock. `warnings` is complete once
    `blocks` is used up.
    """

    names: tuple[str, ...]
    indices: tuple[int, ...]
    blocks: Iterator[HarmonizedBlock]
    segments: tuple[StoredSegment, ...]
    n_seconds: int
    line_freq_hz: float | None
    left_out: tuple[LeftOut, ...]
    events: tuple[Event, ...]
    warnings: list[str]
    recording: Recording


def harmonize_file(
    path: Path,
    *,
    unit: str | None = None,
    line_freq_hz: float | Literal["auto"] | None = "auto",
    rename: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    montage: str | None = None,
    names: Sequence[str] | None = None,
    settings: ReaderSettings | None = None,
    sidecars: Sidecars | None = None,
) -> HarmonizedFile:
    """Open a recording of any supported format and harmonize it; `line_freq_hz` None leaves the mains in.

    `sidecars` are those of BIDS, which say more than the file: types, events, and the mains that `auto` stands for.

    Raises `IngestError` if it cannot be read, has no EEG channel, no whole second, or amplitudes that no EEG has.
    """
    recording = _open(path, unit, settings, sidecars)
    exact_rate(recording.sfreq_hz)  # a rate that no EEG has is refused before samples are counted by it
    choice = choose_finite_channels(recording, rename=rename or {}, drop=drop, montage=montage, names=names)
    if line_freq_hz == "auto" and sidecars is not None and sidecars.line_freq_hz is not None:
        line_freq_hz = sidecars.line_freq_hz
    if line_freq_hz is not None and (doubt := doubt_rate(recording, choice.indices, line_freq_hz)):
        recording.warnings.append(doubt)
    if line_freq_hz == "auto":
        line_freq_hz = detect_line_freq_hz(recording, choice.indices)
    if not notch_freqs_hz(line_freq_hz, recording.sfreq_hz):
        line_freq_hz = None  # the rate is too low for it
    blocks = harmonize(recording, choice.indices, line_freq_hz=line_freq_hz, quantized=True)
    recording.warnings.extend(choice.warnings)
    segments = _stored_segments(recording)
    return HarmonizedFile(
        names=choice.names,
        indices=choice.indices,
        blocks=_plausible(blocks),
        segments=segments,
        n_seconds=sum(segment["n_seconds"] for segment in segments),
        line_freq_hz=line_freq_hz,
        left_out=choice.left_out,
        events=recording.events,
        warnings=recording.warnings,
        recording=recording,
    )


def _open(path: Path, unit: str | None, settings: ReaderSettings | None, sidecars: Sidecars | None) -> Recording:
    """Open a recording with its sidecars, whose unit counts where neither the file nor the source declares one."""
    if sidecars is None:
        return open_recording(path, unit=unit, settings=settings)
    try:
        recording = open_recording(path, unit=unit, settings=settings)
    except UndeclaredUnitError:
        if sidecars.unit is None:
            raise
        recording = open_recording(path, unit=sidecars.unit, settings=settings)
    apply_sidecars(recording, sidecars)
    return recording


def choose_finite_channels(
    recording: Recording,
    *,
    rename: Mapping[str, str],
    drop: Sequence[str],
    montage: str | None,
    names: Sequence[str] | None = None,
) -> ChannelChoice:
    """Choose the EEG channels, and leave out those that hold no finite sample at all; `IngestError` if none is left."""
    choice = choose_channels(recording, rename=rename, drop=drop, montage=montage, names=names)
    void = _without_finite_sample(recording, choice.indices)
    if not void:
        return choice
    kept = [place for place, index in enumerate(choice.indices) if index not in void]
    if not kept:
        raise IngestError(
            f"The samples cannot be used: expected voltages, found only NaN or infinity in {len(void)} EEG channels. "
            "Export the recording again."
        )
    reason = "holds no finite sample"
    left_out = [LeftOut(recording.channels[index].name, recording.channels[index].type, reason) for index in void]
    return replace(
        choice,
        indices=tuple(choice.indices[place] for place in kept),
        names=tuple(choice.names[place] for place in kept),
        left_out=(*choice.left_out, *left_out),
    )


def _without_finite_sample(recording: Recording, indices: Sequence[int]) -> list[int]:
    """The channels without any; it takes one second to rule that out for a channel whose first second is good."""
    void = list(indices)
    length = round(recording.sfreq_hz)
    for segment in recording.segments:
        start, end = segment.start_sample, segment.start_sample + segment.n_samples
        while void and start < end:
            stop = min(start + length, end)
            finite = np.abs(recording.read_uv(void, start, stop)) <= MAX_UV
            void = [index for index, row in zip(void, finite, strict=True) if not row.any()]
            start, length = stop, round(_SCAN_S * recording.sfreq_hz)
    return void


def _stored_segments(recording: Recording) -> tuple[StoredSegment, ...]:
    rate = exact_rate(recording.sfreq_hz)
    stored, first_second = [], 0
    for segment, n_seconds in zip(recording.segments, stored_seconds(recording), strict=True):
        dropped_s = float(segment.n_samples / rate - n_seconds)
        stored.append(
            StoredSegment(
                first_second=first_second, n_seconds=n_seconds, original_onset_s=segment.onset_s, dropped_s=dropped_s
            )
        )
        first_second += n_seconds
    return tuple(stored)


def _plausible(blocks: Iterator[HarmonizedBlock]) -> Iterator[HarmonizedBlock]:
    """Pass the blocks on; at the end, refuse a recording whose amplitudes tell of a wrong unit.

    Electrodes that are off the head drift by millivolts: that is for the quality numbers to show.
    """
    n_moving = n_above = n_below = 0
    for block in blocks:
        flat, amplitude_uv = block.quality[..., 0], block.quality[..., 2]
        moving = flat < 0.5
        n_moving += int(np.count_nonzero(moving))
        n_above += int(np.count_nonzero(moving & (amplitude_uv > _MOST_UV)))
        n_below += int(np.count_nonzero(moving & (amplitude_uv < SCALE_UV / 2)))
        yield block
        del block  # before the next one is made
    if 2 * n_above > n_moving:
        raise IngestError(
            f"The amplitudes are no EEG's: expected microvolts, found {n_above / n_moving:.0%} of the seconds above "
            f"{_MOST_UV / 1000:.0f} mV. {_UNIT_ADVICE}"
        )
    if 2 * n_below > n_moving:
        raise IngestError(
            f"The amplitudes are no EEG's: expected microvolts, found {n_below / n_moving:.0%} of the seconds below "
            f"half the store's step of {SCALE_UV} µV. {_UNIT_ADVICE}"
        )

"""One wrapper for every format that MNE reads: blocks in µV, breaks as segments, annotations and triggers as events."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.readers.edf_events import trigger_events
from eeg_ingest.recording import Channel, Event, IngestError, Recording, Segment

_BLOCK_S = 60.0
# Annotations that mark a cut of no length (EEGLAB, where -99 stands for it among numbers; mne.concatenate_raws,
# BrainVision's "New Segment/")
_CUT = re.compile(r"boundary|-99(\.0)?|EDGE boundary|BAD boundary|New Segment/.*", re.IGNORECASE)
_OF_MNE = re.compile(r"(BAD|EDGE) boundary|BAD_ACQ_SKIP", re.IGNORECASE)  # marks of MNE, no events of the recording
_SKIP = re.compile(r"BAD_ACQ_SKIP", re.IGNORECASE)  # a stretch that was never recorded; MNE fills it with zeros


@contextmanager
def reading_by_mne(what: str) -> Iterator[None]:
    """Turn whatever MNE raises into an IngestError: it checks little, and trips (even with a bare Exception) later."""
    try:
        yield
    except IngestError:
        raise
    except Exception as error:
        raise IngestError(
            f"MNE cannot read {what}: expected a sound one, found: {short(error).rstrip('.')}. Fetch it again, or "
            "export it anew."
        ) from error


def short(error: BaseException) -> str:
    """The message of an error or a warning on one line of at most 200 characters."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, LookupError | TypeError | AttributeError):  # their messages are no sentences
        text = f"{type(error).__name__} {text}".strip()
    return text if len(text) <= 200 else text[:197] + "..."


class MneRecording(Recording):
    """A file behind an `mne.io.Raw` (C channels, S samples) that reads its samples when asked.

    `uv_per_value` (C,) turns what MNE returns into µV. Samples are asked for in whole blocks of `block_samples`: of
    Neuroscan files that hold each channel in runs (its ChannelOffset), MNE cannot read a part of a run.
    """

    def __init__(
        self,
        raw: Any,
        *,
        format: str,  # noqa: A002  the field's name in Recording
        channels: tuple[Channel, ...],
        uv_per_value: npt.NDArray[np.float64],
        block_samples: int,
        files: tuple[str, ...],
        reference: str | None,
        warnings: list[str],
    ) -> None:
        self.raw = raw
        self.uv_per_value = uv_per_value
        self._block_samples = block_samples
        sfreq_hz = float(raw.info["sfreq"])
        marks = _marks(raw)
        events = [event for event in marks if not _OF_MNE.fullmatch(event.label)]
        events += _trigger_channel_events(raw, channels, sfreq_hz)
        super().__init__(
            format=format,
            sfreq_hz=sfreq_hz,
            channels=channels,
            segments=unbroken_segments(marks, int(raw.n_times), sfreq_hz),
            events=tuple(sorted(events, key=lambda event: event.onset_s)),
            files=files,
            reference=reference,
            warnings=warnings,
        )

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        if not 0 <= start_sample <= stop_sample <= self.raw.n_times:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self.raw.n_times}")
        if start_sample == stop_sample or not channels:
            return np.empty((len(channels), stop_sample - start_sample), dtype=np.float32)
        picks = list(channels)
        first = start_sample // self._block_samples * self._block_samples
        last = min(-(-stop_sample // self._block_samples) * self._block_samples, self.raw.n_times)
        # MNE 1.13 recurses without end where a read crosses the data blocks of a Nihon Kohden file
        breaks = [
            segment.start_sample
            for segment in self.segments
            if self._block_samples == 1 and first < segment.start_sample < last
        ]
        with reading_by_mne(f"samples {start_sample} to {stop_sample}"):
            parts = [
                self.raw.get_data(picks=picks, start=start, stop=stop, verbose="ERROR")
                for start, stop in pairwise([first, *breaks, last])
            ]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        values = values[:, start_sample - first : stop_sample - first]
        with np.errstate(over="ignore"):  # beyond float32 a sample is infinite, which the quality numbers show
            return np.asarray(values * self.uv_per_value[picks, None], dtype=np.float32)

    def rescale(self, factor: float) -> None:
        """Take the EEG channels' numbers for `factor` times as many µV."""
        self.uv_per_value[[index for index, channel in enumerate(self.channels) if channel.type == "eeg"]] *= factor


def _marks(raw: Any) -> list[Event]:
    """MNE's annotations on the file's clock. MNE counts them from `first_samp`, which is not 0 in cropped FIF files."""
    annotations = raw.annotations
    marks = []
    for onset, duration, label in zip(annotations.onset, annotations.duration, annotations.description, strict=True):
        onset_s = float(onset) - float(raw.first_time)
        if math.isfinite(onset_s):
            marks.append(Event(onset_s, float(duration) if math.isfinite(duration) else 0.0, str(label)))
    return marks


def unbroken_segments(marks: Sequence[Event], n_samples: int, sfreq_hz: float) -> tuple[Segment, ...]:
    """The stretches between cuts and skips. A sample belongs to the stretch after a cut that falls on it."""
    cuts = {0, n_samples}
    skipped = []
    for mark in marks:
        start = round(mark.onset_s * sfreq_hz)
        if _SKIP.fullmatch(mark.label):
            stop = round((mark.onset_s + mark.duration_s) * sfreq_hz)
            skipped.append((max(start, 0), min(stop, n_samples)))
            cuts |= {max(start, 0), max(0, min(stop, n_samples))}
        elif _CUT.fullmatch(mark.label):
            # EEGLAB puts a boundary half a sample before the first sample after the cut
            cuts.add(min(max(math.ceil(mark.onset_s * sfreq_hz - 1e-6), 0), n_samples))
    edges = sorted(cut for cut in cuts if cut <= n_samples)
    return tuple(
        Segment(start, stop - start, start / sfreq_hz)
        for start, stop in pairwise(edges)
        if not any(first <= start < last for first, last in skipped)
    )


def _trigger_channel_events(raw: Any, channels: Sequence[Channel], sfreq_hz: float) -> list[Event]:
    """Rises of the trigger channel that `mne.find_events` would choose: STI101, else STI 014, else the first one."""
    stims = [index for index, channel in enumerate(channels) if channel.type == "stim"]
    if not stims:
        return []
    names = [channels[index].name for index in stims]
    pick = next((stims[names.index(name)] for name in ("STI101", "STI 014") if name in names), stims[0])
    step = max(1, round(_BLOCK_S * sfreq_hz))

    def blocks() -> Iterator[npt.NDArray[np.int64]]:
        for start in range(0, int(raw.n_times), step):
            stop = min(start + step, int(raw.n_times))
            values = raw.get_data(picks=[pick], start=start, stop=stop, verbose="ERROR")[0]
            yield np.abs(np.nan_to_num(values).astype(np.int64))

    return [Event(sample / sfreq_hz, 0.0, str(code)) for sample, code in trigger_events(blocks())]

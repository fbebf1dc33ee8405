"""What every reader returns: one recording, read lazily in blocks, in µV at its own rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

ChannelType = Literal["eeg", "eog", "ecg", "emg", "stim", "ref", "misc"]


class IngestError(Exception):
    """A recording cannot be ingested; the message is the reason in the failures table (design, section 7)."""


@dataclass(frozen=True)
class Channel:
    """One channel as the file holds it.

    `name` is the file's own label. `type` and `sfreq_hz` are what the file and its label say.
    `unit` is the unit that the file's numbers are read in (`uV`, `mV`, `V`, `nV`): the file's own or, where it declares
    none, the source's. None for a channel that is no voltage or has no calibration (docs/decisions/units.md).
    Samples outside `limits_uv` sit at the converter's limits (half a step inside them, so rounding does not matter).
    """

    name: str
    type: ChannelType
    sfreq_hz: float
    unit: str | None
    highpass_hz: float | None = None
    lowpass_hz: float | None = None
    limits_uv: tuple[float, float] | None = None


@dataclass(frozen=True)
class Segment:
    """An unbroken stretch of samples. `onset_s` is its place on the file's own clock (0 at the file's start)."""

    start_sample: int
    n_samples: int
    onset_s: float


@dataclass(frozen=True)
class Event:
    """An annotation. `onset_s` is on the file's own clock (0 at the file's start)."""

    onset_s: float
    duration_s: float
    label: str


@dataclass
class Recording(ABC):
    """A continuous file (C channels, S samples).

    `sfreq_hz` is the rate of the channels that `read_uv` can read together: those whose `sfreq_hz` equals it.
    `files` are all files that make up the recording, for hashing, the named one first. `clock_zero_s` is the time of
    the first sample in the file's own column of times, where it has one. `reads_channels_apart` tells whether a few
    channels cost no more than their share of all.
    """

    reads_channels_apart: ClassVar[bool] = False
    format: str
    sfreq_hz: float
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    events: tuple[Event, ...]
    files: tuple[str, ...]
    reference: str | None = None
    warnings: list[str] = field(default_factory=list)
    clock_zero_s: float = 0.0

    @property
    def n_samples(self) -> int:
        """Samples over all segments, at `sfreq_hz`."""
        return sum(segment.n_samples for segment in self.segments)

    @abstractmethod
    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. `channels` are indices into `self.channels`."""

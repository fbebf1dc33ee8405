"""Recordings whose samples lie multiplexed on disk: mapped, and scaled block by block."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import common_reference
from eeg_ingest.recording import Channel, ChannelType, Event, IngestError, Recording, Segment
from eeg_ingest.units import UV_PER_UNIT, settle_unit


class Samples(Protocol):
    """A run of samples on disk (S samples, C columns or more): a mapped array, or an HDF5 data set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples and columns."""

    def __getitem__(self, samples: slice, /) -> Any:
        """Some of the samples, with all columns."""


class MappedRecording(Recording):
    """Runs of multiplexed samples that follow each other (C channels, S samples); channel i is column i.

    µV are `number * uv_per_value + zero_uv`, both (C,); `uv_per_value` is NaN for a channel that is no voltage.
    """

    def __init__(
        self,
        runs: Sequence[Samples],
        *,
        format: str,  # noqa: A002  the field's name in Recording
        channels: tuple[Channel, ...],
        uv_per_value: npt.NDArray[np.float64],
        zero_uv: npt.NDArray[np.float64] | None = None,
        segments: tuple[Segment, ...] | None = None,
        events: Sequence[Event] = (),
        files: Sequence[Any],
        reference: str | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self._runs = [run for run in runs if run.shape[0]]
        self._starts = list(accumulate((run.shape[0] for run in self._runs), initial=0))
        self.uv_per_value = uv_per_value
        self._zero_uv = np.zeros(len(channels)) if zero_uv is None else zero_uv
        sfreq_hz = channels[0].sfreq_hz
        n_samples = self._starts[-1]
        if not n_samples:
            raise IngestError("The file holds no samples. Fetch it again.")
        eeg = [channel.name for channel in channels if channel.type == "eeg"]
        super().__init__(
            format=format,
            sfreq_hz=sfreq_hz,
            channels=channels,
            segments=segments or (Segment(0, n_samples, 0.0),),
            events=tuple(sorted(events, key=lambda event: event.onset_s)),
            files=tuple(str(file) for file in files),
            reference=reference or common_reference(eeg),
            warnings=list(warnings),
        )

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        picks = list(channels)
        for index in picks:
            if np.isnan(self.uv_per_value[index]):
                raise IngestError(f"Channel {self.channels[index].name!r} is no voltage.")
        values = self.read_values(picks, start_sample, stop_sample)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the quality numbers
            return np.asarray(
                values * self.uv_per_value[picks, None] + self._zero_uv[picks, None], dtype=np.float32, order="C"
            )

    def read_values(self, columns: list[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float64]:
        """Read (len(columns), stop - start) as the file's own numbers. Raises IngestError where the file is damaged."""
        if not 0 <= start_sample <= stop_sample <= self._starts[-1]:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self._starts[-1]}")
        out = np.empty((len(columns), stop_sample - start_sample))
        index = bisect_right(self._starts, start_sample) - 1
        position = start_sample
        while position < stop_sample:
            run, first = self._runs[index], self._starts[index]
            stop = min(stop_sample, self._starts[index + 1])
            try:
                part = run[position - first : stop - first]
            except (OSError, RuntimeError) as error:  # HDF5, whose chunks may be damaged one by one
                raise IngestError(f"Samples {position} to {stop} cannot be read: {error}. Fetch it again.") from error
            out[:, position - start_sample : stop - start_sample] = part.reshape(stop - position, -1)[:, columns].T
            position, index = stop, index + 1
        return out

    def rescale(self, factor: float) -> None:
        """Take the EEG channels' numbers for `factor` times as many µV."""
        eeg = [index for index, channel in enumerate(self.channels) if channel.type == "eeg"]
        self.uv_per_value[eeg] *= factor
        self._zero_uv[eeg] *= factor


def scale_channels(
    labels: Sequence[str],
    types: Sequence[ChannelType],
    declared: Sequence[str | None],
    sfreq_hz: float,
    unit: str | None,
    *,
    overrule: bool = False,
) -> tuple[tuple[Channel, ...], npt.NDArray[np.float64]]:
    """The channels, and µV (C,) for 1 in the unit that each is read in: NaN for one that is no voltage.

    `declared` are the file's units, None where it says nothing and "other" for what is no voltage.
    Raises IngestError where the unit of an EEG channel is unknown or contradicted (see `settle_unit`).
    """
    channels = []
    for label, of_file, kind in zip(labels, declared, types, strict=True):
        kind_of_unit: ChannelType = "misc" if kind == "eeg" and of_file == "other" else kind
        read_in = of_file if of_file in UV_PER_UNIT else None
        if kind_of_unit == "eeg":
            read_in = settle_unit(label, read_in, unit, overrule=overrule)
        elif of_file is None:
            read_in = unit  # what the source renames is EEG
        channels.append(Channel(label, kind_of_unit, sfreq_hz, read_in))
    return tuple(channels), np.array([UV_PER_UNIT.get(str(channel.unit), np.nan) for channel in channels])


def map_samples(path: Path, dtype: npt.DTypeLike, offset: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Map an array from byte `offset` of a file, which must end with it.

    Raises IngestError if the file is shorter or longer.
    """
    kind = np.dtype(dtype)
    promised, found = offset + math.prod(shape) * kind.itemsize, path.stat().st_size
    if found < promised:
        raise IngestError(f"{path.name} holds {found} of {promised} bytes: the copy is incomplete. Fetch it again.")
    if found > promised:
        raise IngestError(
            f"{path.name}: expected the {promised} bytes that its header declares, found {found - promised} more. "
            "Fetch it again."
        )
    return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=shape)

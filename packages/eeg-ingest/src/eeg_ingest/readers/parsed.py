"""Recordings whose samples must be parsed or unpacked: once, into a temporary file that is then mapped."""

from __future__ import annotations

import fnmatch
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import parse_label, type_labels
from eeg_ingest.readers.companions import recording_files
from eeg_ingest.recording import Channel, ChannelType, Event, IngestError, Recording, Segment
from eeg_ingest.units import UV_PER_UNIT, settle_unit


class SampleFile:
    """Samples (S, C) in a temporary file without a name, which is gone with the object; 4 or 8 bytes each."""

    def __init__(self, n_columns: int, dtype: str = "<f4") -> None:
        self._file = tempfile.TemporaryFile(prefix="eeg-ingest-")  # noqa: SIM115  closed with the object
        weakref.finalize(self, self._file.close)
        self._dtype = np.dtype(dtype)
        self._n_columns = n_columns
        self._map: npt.NDArray[np.floating] | None = None
        self.n_samples = 0

    def append(self, values: npt.NDArray[np.floating]) -> None:
        """Add samples (n, C). Raises IngestError where the folder of temporary files is full."""
        with np.errstate(over="ignore"):  # beyond float32 a sample is infinite, which the quality numbers show
            data = np.ascontiguousarray(values, self._dtype)
        try:
            self._file.write(data.data)
            self._file.flush()
        except OSError as error:
            raise IngestError(
                f"The samples cannot be unpacked in {tempfile.gettempdir()}: expected space for them, found: "
                f"{error.strerror}. Free space, or set TMPDIR to another folder."
            ) from error
        self.n_samples += len(data)
        self._map = None

    def values(self) -> npt.NDArray[np.floating]:
        """All samples (S, C), read from the disk where they are used."""
        if self._map is None:
            shape = (self.n_samples, self._n_columns)
            empty = not (self.n_samples and self._n_columns)
            self._map = np.empty(shape, self._dtype) if empty else np.memmap(self._file, self._dtype, "r", shape=shape)
        return self._map


class ParsedRecording(Recording):
    """A recording (C channels, S samples) in a `SampleFile`, one column a channel, in `unit`.

    Channels beyond its columns hold texts: they are listed and cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        format: str,  # noqa: A002  the field's name in Recording
        sfreq_hz: float,
        channels: Sequence[Channel],
        samples: SampleFile,
        unit: str,
        segments: Sequence[Segment],
        events: Sequence[Event],
        warnings: list[str],
        clock_zero_s: float = 0.0,
    ) -> None:
        if not samples.n_samples:
            raise IngestError(f"{path.name} holds no samples. Fetch it again.")
        self._samples = samples
        self._factor = np.float32(UV_PER_UNIT[unit])
        super().__init__(
            format=format,
            sfreq_hz=sfreq_hz,
            channels=tuple(channels),
            segments=tuple(segments),
            events=tuple(sorted(events, key=lambda event: event.onset_s)),
            files=tuple(str(file) for file in recording_files(path)),
            warnings=warnings,
            clock_zero_s=clock_zero_s,
        )

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        if not 0 <= start_sample <= stop_sample <= self._samples.n_samples:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self._samples.n_samples}")
        part = np.asarray(self._samples.values()[start_sample:stop_sample])
        texts = [self.channels[index].name for index in channels if index >= part.shape[1]]
        if texts:
            raise IngestError(f"The channel {texts[0]!r} cannot be read: expected numbers, found texts. Leave it out.")
        picked = part if list(channels) == list(range(part.shape[1])) else part[:, list(channels)]
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(picked.T * self._factor, np.float32)


def make_channels(
    labels: Sequence[str],
    sfreq_hz: float,
    *,
    unit: str | None,
    eeg: Sequence[str] = (),
    declared: str | None = None,
    limits_uv: tuple[float, float] | None = None,
) -> tuple[tuple[Channel, ...], str]:
    """Give channels types by their labels and the unit; `eeg` are patterns of those that are EEG whatever their names.

    Returns also the unit of the samples. Raises IngestError where a pattern matches nothing, or nobody knows the unit.
    """
    missing = [pattern for pattern in eeg if not fnmatch.filter(labels, pattern)]
    if missing:
        raise IngestError(
            f"The channel {missing[0]!r} is not in the file: expected one of {', '.join(labels)}. "
            "Correct `names` of the source's reader."
        )
    types: list[ChannelType] = type_labels(labels)
    if eeg:
        chosen = {label for pattern in eeg for label in fnmatch.filter(labels, pattern)}
        types = ["eeg" if label in chosen else _other_type(label) for label in labels]
    settled = settle_unit(labels[0] if labels else "", declared, unit)
    channels = tuple(
        Channel(label, kind, sfreq_hz, settled, limits_uv=limits_uv) for label, kind in zip(labels, types, strict=True)
    )
    return channels, settled


def _other_type(label: str) -> ChannelType:
    kind = parse_label(label).type
    return kind if kind not in (None, "eeg") else "misc"

"""A block of source samples, with samples that are not finite numbers bridged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eeg_ingest.recording import Recording, Segment

MAX_UV = 1e15  # a number beyond this is no voltage but a mark for "missing" (FLT_MAX), or garbage
LOOK_S = 60  # how far beyond a block the next finite sample is looked for


@dataclass(frozen=True)
class SourceBlock:
    """Samples of a segment of `n_samples`, from `start` on, at the recording's own rate.

    `uv` (C, S) holds finite samples between `low_uv` (C) and `high_uv` (C). `non_finite` (C, S) is True where
    a sample was bridged; it is None if none was.
    """

    uv: npt.NDArray[np.float32]
    low_uv: npt.NDArray[np.float32]
    high_uv: npt.NDArray[np.float32]
    non_finite: npt.NDArray[np.bool_] | None
    start: int
    n_samples: int

    @classmethod
    def read(
        cls, recording: Recording, segment: Segment, channels: Sequence[int], start: int, stop: int
    ) -> SourceBlock:
        """Read what lies inside the segment of its samples `start` to `stop`."""
        start, stop = max(start, 0), min(stop, segment.n_samples)
        uv = recording.read_uv(channels, segment.start_sample + start, segment.start_sample + stop)
        low_uv, high_uv = uv.min(axis=1), uv.max(axis=1)  # NaN if one sample is
        non_finite = None
        if bad := np.flatnonzero(~((low_uv >= -MAX_UV) & (high_uv <= MAX_UV))).tolist():
            uv, non_finite = uv.copy(), np.zeros(uv.shape, np.bool_)
            around = [channels[row] for row in bad]
            uv[bad], non_finite[bad] = _bridged(recording, segment, around, start, stop)
            low_uv, high_uv = uv.min(axis=1), uv.max(axis=1)
        return cls(uv, low_uv, high_uv, non_finite, start, segment.n_samples)

    def rows(self, which: slice) -> SourceBlock:
        """The block of some of the channels."""
        return SourceBlock(
            self.uv[which],
            self.low_uv[which],
            self.high_uv[which],
            None if self.non_finite is None else self.non_finite[which],
            self.start,
            self.n_samples,
        )


def _bridged(
    recording: Recording, segment: Segment, channels: Sequence[int], start: int, stop: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Samples (C, S) with lines drawn across what is not finite, and where (C, S).

    Looks beyond both ends, so that what a line looks like does not depend on where blocks end.
    """
    look = int(LOOK_S * recording.sfreq_hz)
    first, last = max(start - look, 0), min(stop + look, segment.n_samples)
    wide = recording.read_uv(channels, segment.start_sample + first, segment.start_sample + last)
    finite = np.abs(wide) <= MAX_UV
    places = np.arange(wide.shape[1])
    lines = [
        np.interp(places, places[known], row[known]) if known.any() else np.zeros(len(row))
        for row, known in zip(wide, finite, strict=True)
    ]
    inner = slice(start - first, stop - first)
    return np.array(lines, np.float32)[:, inner], ~finite[:, inner]

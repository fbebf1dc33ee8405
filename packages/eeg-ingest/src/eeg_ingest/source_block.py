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

    `uv` (C, S) is free of NaN and inf; `non_finite` (C, S) is True where a sample was bridged, or None if none was.
    """

    uv: npt.NDArray[np.float32]
    non_finite: npt.NDArray[np.bool_] | None
    start: int
    n_samples: int

    @classmethod
    def read(
        cls, recording: Recording, segment: Segment, channels: Sequence[int], start: int, stop: int
    ) -> SourceBlock:
        """Read what lies inside the segment of samples `start` to `stop` (relative to the segment)."""
        start, stop = max(start, 0), min(stop, segment.n_samples)
        uv = recording.read_uv(channels, segment.start_sample + start, segment.start_sample + stop)
        bad = ~finite_rows(uv)
        if not bad.any():
            return cls(uv, None, start, segment.n_samples)
        look = int(LOOK_S * recording.sfreq_hz)
        before, after = min(look, start), min(look, segment.n_samples - stop)
        rows = [int(row) for row in np.flatnonzero(bad)]
        wide = recording.read_uv(
            [channels[row] for row in rows],
            segment.start_sample + start - before,
            segment.start_sample + stop + after,
        )
        inner = slice(before, before + stop - start)
        uv, non_finite = uv.copy(), np.zeros(uv.shape, np.bool_)
        for row, samples in zip(rows, wide, strict=True):
            good = np.abs(samples) <= MAX_UV
            non_finite[row] = ~good[inner]
            places = np.flatnonzero(good)
            uv[row] = np.interp(np.arange(inner.start, inner.stop), places, samples[places]) if len(places) else 0
        return cls(uv, non_finite, start, segment.n_samples)


def finite_rows(uv: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether each channel of `uv` (C, S) holds finite voltages only."""
    return np.asarray((uv.min(axis=1) >= -MAX_UV) & (uv.max(axis=1) <= MAX_UV))

"""Recordings that exist in memory only, so that tests can say what every sample is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.recording import Channel, Recording, Segment

MemoryRecordingMaker = Callable[..., Recording]


class MemoryRecording(Recording):
    """`uv` (C, S) at one rate; as one segment unless told."""

    def __init__(
        self,
        uv: npt.NDArray[np.float32],
        sfreq_hz: float,
        segments: Sequence[Segment] | None = None,
        limits_uv: tuple[float, float] | None = None,
    ) -> None:
        self.uv = uv
        channels = (Channel(f"C{index}", "eeg", sfreq_hz, "uV", limits_uv=limits_uv) for index in range(len(uv)))
        segments = segments or [Segment(0, uv.shape[1], 0.0)]
        super().__init__("memory", sfreq_hz, tuple(channels), tuple(segments), events=(), files=())

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        assert 0 <= start_sample <= stop_sample <= self.uv.shape[1]
        return np.array(self.uv[list(channels), start_sample:stop_sample], np.float32)


@pytest.fixture(scope="session")
def memory_recording() -> MemoryRecordingMaker:
    return MemoryRecording

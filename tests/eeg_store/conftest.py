"""Recordings for the tests: every value follows from a name, so that any process can check what another wrote."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from eeg_store import RecordingWriter, Slot, SlotRequest, Store

CHANNELS = ("FP1", "FP2", "CZ", "O1", "O2")


@dataclass(frozen=True)
class Recordings:
    """Makes recordings from names."""

    def request(
        self, name: str, n_seconds: int, channels: tuple[str, ...] = CHANNELS, source: str = "src"
    ) -> SlotRequest:
        return SlotRequest(name, source, channels, "average", n_seconds, "CC0-1.0", {"url": "https://example.org"})

    def signal(self, name: str, n_seconds: int, n_channels: int = len(CHANNELS)) -> npt.NDArray[np.int16]:
        """(n_seconds, C, 200) int16, over the whole range."""
        values = self._rng(name).integers(-32768, 32768, (n_seconds, n_channels, 200))
        return values.astype(np.int16)

    def quality(self, name: str, n_seconds: int, n_channels: int = len(CHANNELS)) -> npt.NDArray[np.float32]:
        """(n_seconds, C, 5) float32."""
        return self._rng(name).random((n_seconds, n_channels, 5), dtype=np.float32)

    def row(self, name: str, n_seconds: int, n_channels: int = len(CHANNELS), source: str = "src") -> dict[str, Any]:
        return {
            "source": source,
            "file": f"{name}.edf",
            "subject": name[:3],
            "format": "edf",
            "n_channels": n_channels,
            "original_sfreq_hz": 256.0,
            "original_duration_s": n_seconds + 0.5,
            "line_freq_hz": 50.0,
            "band_low_hz": 0.1,
            "band_high_hz": 75.0,
            "original_names": [f"EEG {index}" for index in range(n_channels)],
            "left_out": [{"name": "ECG", "type": "ecg", "reason": "not EEG"}],
            "segments": [{"first_second": 0, "n_seconds": n_seconds, "original_onset_s": 0.0, "dropped_s": 0.5}],
            "content_hash": hashlib.sha256(name.encode()).hexdigest(),
            "fingerprint": name,
            "n_bytes": 1000,
            "warnings": ["the header says nothing about the reference"],
        }

    def events(self, n_seconds: int) -> list[dict[str, Any]]:
        start = {"onset_s": 0.0, "duration_s": 0.5, "label": "start", "original_onset_s": 0.0}
        lost = {"onset_s": None, "duration_s": 0.0, "label": "lost", "original_onset_s": n_seconds + 0.25}
        return [start, lost]

    def write(
        self, store: Store, slot: Slot, events: Sequence[dict[str, Any]] | None = None, pieces: Sequence[int] = ()
    ) -> None:
        """Write and commit a recording, appended in pieces of so many seconds and then the rest."""
        n_channels = len(store.array(slot.array).channels)
        signal = self.signal(slot.recording, slot.n_seconds, n_channels)
        quality = self.quality(slot.recording, slot.n_seconds, n_channels)
        with RecordingWriter(store, slot) as writer:
            start = 0
            for piece in [*pieces, slot.n_seconds]:
                writer.append(signal[start : start + piece], quality[start : start + piece])
                start += piece
            row = self.row(slot.recording, slot.n_seconds, n_channels, slot.array.split("/", 1)[0])
            writer.commit(row, self.events(slot.n_seconds) if events is None else events)

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))


@pytest.fixture(scope="session")
def recordings() -> Recordings:
    return Recordings()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "data.zarr", {"band_hz": [0.1, 75]})


@pytest.fixture
def filled(store: Store, recordings: Recordings) -> Store:
    """Four recordings: two shards and a bit, a short one, a whole shard, and one of another source and montage."""
    requests = [recordings.request(name, n) for name, n in (("s01_a", 700), ("s02_b", 3), ("s03_c", 288))]
    requests.append(recordings.request("s04_d", 20, ("T7",), source="other"))
    for slot in store.reserve(requests).values():
        recordings.write(store, slot)
    return store


class Nursery:
    """Starts the processes of `nursery.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, job: str, *arguments: object) -> int:
        """Start a job. Return the id of its process."""
        return self._ask([job, *arguments])

    def wait(self, process: int) -> int:
        """Return a job's exit code, negative for a signal."""
        return self._ask(["wait", process])

    def run(self, job: str, *arguments: object) -> int:
        return self.wait(self.start(job, *arguments))

    def _ask(self, question: list[object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    command = [sys.executable, str(Path(__file__).with_name("nursery.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)

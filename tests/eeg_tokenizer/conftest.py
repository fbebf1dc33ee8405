"""Small stores, written with eeg_store alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_store import QUALITY_MEASURES, SFREQ_HZ, RecordingWriter, SlotRequest, Store
from numpy.typing import NDArray

NON_FINITE, LINE_NOISE = (QUALITY_MEASURES.index(name) for name in ("non_finite", "line_noise"))


def write_store(path: Path, recordings: Sequence[dict[str, Any]]) -> Store:
    """Write a store with these recordings committed; see `recording` for what one may say."""
    store = Store.create(path, {"made_by": "tests"})
    complete = [recording(**given) for given in recordings]
    requests = [SlotRequest(r["name"], r["source"], r["channels"], None, sum(r["segments"])) for r in complete]
    slots = store.reserve(requests)
    for stored in complete:
        n_seconds = sum(stored["segments"])
        quality = np.zeros((n_seconds, len(stored["channels"]), len(QUALITY_MEASURES)), dtype=np.float32)
        quality[list(stored["broken_seconds"]), stored["broken_channel"], NON_FINITE] = 0.5
        quality[list(stored["noisy_seconds"]), :, LINE_NOISE] = 1
        with RecordingWriter(store, slots[stored["name"]]) as writer:
            writer.append(_signal(n_seconds, len(stored["channels"]), stored["seed"]), quality)
            writer.commit(_row(stored, n_seconds), [])
    return store


def recording(
    *,
    name: str,
    channels: tuple[str, ...] = ("FZ", "CZ", "PZ"),
    segments: tuple[int, ...] = (40,),
    source: str = "lab",
    subject: str | None = "01",
    broken_seconds: Sequence[int] = (),
    broken_channel: int = 0,
    noisy_seconds: Sequence[int] = (),
    seed: int | None = 0,
) -> dict[str, Any]:
    """Describe a recording: unbroken segments in seconds, the seconds in which a channel has a NaN, and those of
    nothing but mains hum, as their quality says.

    Without a seed the signal is zero.
    """
    return dict(locals())


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Store]:
    """Write a new store of the recordings given as dictionaries."""
    return lambda *recordings: write_store(tmp_path_factory.mktemp("store") / "data.zarr", recordings)


MIXED = (
    {"name": "a", "segments": (30, 3, 21), "seed": 1},
    {"name": "b", "subject": "02", "segments": (33,), "seed": 2},
    {"name": "c", "source": "clinic", "channels": ("O1", "O2", "C3", "C4", "EXG1"), "segments": (40,), "seed": 3},
    {"name": "d", "source": "clinic", "channels": ("T9",), "subject": None, "segments": (18,), "seed": 4},
)


@pytest.fixture(scope="session")
def mixed_store(make_store: Callable[..., Store]) -> Store:
    """Two sources, three montages, three subjects, a channel without a place, four recordings. For reading only."""
    return Store.open(make_store(*MIXED).path)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, as a child process with OMP_NUM_THREADS=1 does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _signal(n_seconds: int, n_channels: int, seed: int | None) -> NDArray[np.int16]:
    """Return int16 (seconds, C, 200): a rhythm of 5, 10 or 20 Hz in each second and channel, in noise."""
    if seed is None:
        return np.zeros((n_seconds, n_channels, SFREQ_HZ), dtype=np.int16)
    rng = np.random.default_rng([seed, n_channels])
    shape = (n_seconds, n_channels, 1)
    time_s = np.arange(SFREQ_HZ) / SFREQ_HZ
    wave = np.sin(2 * np.pi * (rng.choice([5, 10, 20], shape) * time_s + rng.random(shape)))
    return (300 * wave + 100 * rng.standard_normal((*shape[:2], SFREQ_HZ))).astype(np.int16)


def _row(stored: dict[str, Any], n_seconds: int) -> dict[str, Any]:
    starts = np.concatenate([[0], np.cumsum(stored["segments"])[:-1]]).tolist()
    return {
        "source": stored["source"],
        "subject": stored["subject"],
        "session": None,
        "run": None,
        "file": f"{stored['name']}.edf",
        "format": "edf",
        "n_channels": len(stored["channels"]),
        "original_sfreq_hz": 256.0,
        "original_duration_s": float(n_seconds),
        "line_freq_hz": 50.0,
        "band_low_hz": 0.1,
        "band_high_hz": 75.0,
        "original_highpass_hz": None,
        "original_lowpass_hz": None,
        "original_unit": "µV",
        "reference": None,
        "original_names": list(stored["channels"]),
        "left_out": [],
        "segments": [
            {"first_second": start, "n_seconds": n, "original_onset_s": float(start), "dropped_s": 0.0}
            for start, n in zip(starts, stored["segments"], strict=True)
        ],
        "content_hash": "0" * 64,
        "fingerprint": "0",
        "n_bytes": 1,
        "licence": None,
        "warnings": [],
    }

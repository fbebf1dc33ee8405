"""Small stores whose states differ in rhythm, written with eeg_store alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_store import QUALITY_MEASURES, SFREQ_HZ, RecordingWriter, SlotRequest, Store

BLOCK_S = 8  # seconds of one state
RHYTHM_HZ = {"slow": 6.0, "fast": 20.0, "none": None}


@dataclass(frozen=True)
class Lab:
    """A source of `n_subjects` subjects, each with one recording in which the states take turns, `rounds` times.

    Each event is written `copies` times.
    """

    name: str = "lab"
    channels: tuple[str, ...] = ("FZ", "CZ", "PZ")
    states: tuple[str, ...] = ("slow", "fast")
    n_subjects: int = 6
    rounds: int = 3
    subject_known: bool = True
    broken_seconds: Sequence[int] = ()
    copies: int = 1


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Write a store of some labs, each given as what `Lab` takes; returns its path."""

    def make(*labs: dict[str, Any], name: str = "data.zarr") -> Path:
        path = tmp_path / name
        store = Store.create(path, {"made_by": "tests"})
        for lab in labs:
            write_lab(store, Lab(**lab))
        return path

    return make


def write_lab(store: Store, lab: Lab) -> None:
    n_seconds = BLOCK_S * len(lab.states) * lab.rounds
    names = [f"{lab.name}/S{number:02d}" for number in range(lab.n_subjects)]
    slots = store.reserve([SlotRequest(name, lab.name, lab.channels, None, n_seconds) for name in names])
    for number, name in enumerate(names):
        rng = np.random.default_rng([number, len(lab.name)])
        signal, events = [], []
        for turn, state in enumerate(lab.states * lab.rounds):
            signal.append(state_signal(rng, state, len(lab.channels)))
            onset_s = float(turn * BLOCK_S)
            event = {"onset_s": onset_s, "original_onset_s": onset_s, "duration_s": float(BLOCK_S), "label": state}
            events += [event] * lab.copies
        quality = np.zeros((n_seconds, len(lab.channels), len(QUALITY_MEASURES)), dtype=np.float32)
        quality[list(lab.broken_seconds), 0, QUALITY_MEASURES.index("non_finite")] = 0.5
        with RecordingWriter(store, slots[name]) as writer:
            writer.append(np.concatenate(signal), quality)
            writer.commit(recording_row(lab, number, n_seconds), events)


def state_signal(rng: np.random.Generator, state: str, n_channels: int) -> np.ndarray:
    """Return int16 (BLOCK_S, C, 200) in 0.1 µV: noise, and the state's rhythm with a random phase in each channel."""
    samples = rng.standard_normal((n_channels, BLOCK_S * SFREQ_HZ)) * 80
    rhythm_hz = RHYTHM_HZ[state]
    if rhythm_hz is not None:
        time_s = np.arange(BLOCK_S * SFREQ_HZ) / SFREQ_HZ
        samples += 300 * np.sin(2 * np.pi * (rhythm_hz * time_s + rng.random((n_channels, 1))))
    return samples.reshape(n_channels, BLOCK_S, SFREQ_HZ).transpose(1, 0, 2).round().astype(np.int16)


def recording_row(lab: Lab, number: int, n_seconds: int) -> dict[str, Any]:
    return {
        "source": lab.name,
        "subject": f"S{number:02d}" if lab.subject_known else None,
        "session": None,
        "run": None,
        "file": f"S{number:02d}.edf",
        "format": "edf",
        "n_channels": len(lab.channels),
        "original_sfreq_hz": 256.0,
        "original_duration_s": float(n_seconds),
        "line_freq_hz": 50.0,
        "band_low_hz": 0.1,
        "band_high_hz": 75.0,
        "original_highpass_hz": None,
        "original_lowpass_hz": None,
        "original_unit": "uV",
        "reference": None,
        "original_names": list(lab.channels),
        "left_out": [],
        "segments": [{"first_second": 0, "n_seconds": n_seconds, "original_onset_s": 0.0, "dropped_s": 0.0}],
        "content_hash": "0" * 64,
        "fingerprint": "0",
        "n_bytes": 1,
        "licence": None,
        "warnings": [],
    }


LABRAM = Path(sys.executable).with_name("labram")


@pytest.fixture
def kill_at() -> Iterator[Callable[[list[str], Path], None]]:
    """Run `labram` and kill it (SIGKILL) as soon as a path exists.

    It computes with one thread, as this process then does: the sums of several threads round differently.
    """

    def run(arguments: list[str], path: Path) -> None:
        process = subprocess.Popen(
            [LABRAM, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        end = time.monotonic() + 300
        while not path.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(before)

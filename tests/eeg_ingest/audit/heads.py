"""Recordings of invented heads, with and without defects, and stores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from eeg_store import RecordingWriter, SlotRequest, Store

Signal = npt.NDArray[np.float64]

NAMES = (
    "FP1",
    "FP2",
    "F7",
    "F3",
    "FZ",
    "F4",
    "F8",
    "T7",
    "C3",
    "CZ",
    "C4",
    "T8",
    "P7",
    "P3",
    "PZ",
    "P4",
    "P8",
    "O1",
    "O2",
)
SFREQ_HZ = 200


def brain(seed: int, seconds: int = 64, n_channels: int = len(NAMES), amplitude_uv: float = 12.0) -> Signal:
    """EEG-like signal (C, S) in µV: power that falls with frequency, shared by neighbours, loud and quiet by turns."""
    rng = np.random.default_rng(seed)
    n_samples = seconds * SFREQ_HZ
    freqs_hz = np.fft.rfftfreq(n_samples, 1 / SFREQ_HZ)
    fall = np.where(freqs_hz >= 0.5, np.maximum(freqs_hz, 0.5) ** -0.75, 0)
    sources = np.fft.irfft(np.fft.rfft(rng.standard_normal((n_channels + 5, n_samples))) * fall, n_samples)
    mix = np.hstack([rng.normal(size=(n_channels, 5)), 0.7 * np.eye(n_channels)])
    loud = np.exp(0.3 * np.repeat(rng.standard_normal(seconds), SFREQ_HZ))
    uv: Signal = (mix @ sources) * loud
    return np.asarray(uv * (amplitude_uv / np.median(uv.std(axis=1))))


def tone(seconds: int, freq_hz: float, amplitude_uv: float) -> Signal:
    """A steady tone (S)."""
    return np.asarray(amplitude_uv * np.sin(2 * np.pi * freq_hz * np.arange(seconds * SFREQ_HZ) / SFREQ_HZ))


def blinks(seed: int, seconds: int, height_uv: float) -> Signal:
    """Blinks (S) of a third of a second, every two to six seconds."""
    rng = np.random.default_rng(seed)
    uv = np.zeros(seconds * SFREQ_HZ)
    shape = height_uv * np.hanning(SFREQ_HZ * 35 // 100)
    start = int(rng.uniform(0, 2) * SFREQ_HZ)
    while start + len(shape) < len(uv):
        uv[start : start + len(shape)] += shape
        start += int(rng.uniform(2, 6) * SFREQ_HZ)
    return uv


@dataclass
class Head:
    """One recording for a store; `row` holds columns that differ from the usual."""

    uv: Signal
    source: str = "heads"
    names: Sequence[str] = NAMES
    clipped: Sequence[str] = ()
    events: Sequence[dict[str, Any]] = ()
    row: dict[str, Any] = field(default_factory=dict)


def write_store(
    path: Path, heads: dict[str, Head], expected: dict[str, Any] | None = None, line_freq_hz: Any = 50.0
) -> Store:
    """Write a store of recordings, as a build would have left it."""
    sources = {head.source for head in heads.values()}
    store = Store.create(path, {"sources": {name: {"line_freq_hz": line_freq_hz} for name in sorted(sources)}})
    store.update_expected(expected or {})
    seconds = {name: head.uv.shape[1] // SFREQ_HZ for name, head in heads.items()}
    slots = store.reserve(
        [SlotRequest(name, head.source, tuple(head.names), None, seconds[name], None) for name, head in heads.items()]
    )
    for name, head in heads.items():
        cut = head.uv.reshape(len(head.uv), seconds[name], SFREQ_HZ).transpose(1, 0, 2)
        quality = np.zeros((*cut.shape[:2], 5), np.float32)
        quality[..., 0] = (np.diff(cut, axis=2) == 0).mean(axis=2)
        quality[..., 1] = [float(channel in head.clipped) for channel in head.names]
        quality[..., 2] = cut.std(axis=2)
        writer = RecordingWriter(store, slots[name])
        writer.append(np.rint(cut * 10).astype(np.int16), quality)
        writer.commit(_row(name, head, seconds[name]), head.events)
    return Store.open(path)


def _row(name: str, head: Head, seconds: int) -> dict[str, Any]:
    segment = {"first_second": 0, "n_seconds": seconds, "original_onset_s": 0.0, "dropped_s": 0.0}
    return {
        "source": head.source,
        "subject": name,
        "file": f"{name}.edf",
        "format": "edf",
        "n_channels": len(head.uv),
        "original_sfreq_hz": 256.0,
        "original_duration_s": float(seconds),
        "line_freq_hz": 50.0,
        "band_low_hz": 0.1,
        "band_high_hz": 75.0,
        "original_names": list(head.names),
        "left_out": [],
        "segments": [segment],
        "content_hash": name,
        "fingerprint": name,
        "n_bytes": 1,
        "warnings": [],
        **head.row,
    }

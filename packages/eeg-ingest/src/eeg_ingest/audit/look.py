"""What the audit knows of one recording: numbers from a few stretches of its signal and from all of its quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from eeg_store import QUALITY_MEASURES, Store, StoreError, WindowReader

from eeg_ingest.audit.blinks import measure_blinks
from eeg_ingest.audit.echoes import Echo, echo_of, loudness
from eeg_ingest.audit.likeness import compare_channels
from eeg_ingest.audit.spectrum import BAND_HZ, hum_ratio, slope, typical_spectrum
from eeg_ingest.audit.stretches import Floats, Stretches, power_of, read_stretches
from eeg_ingest.outcome import Failed

COLUMNS = [
    *("recording", "source", "subject", "run", "file", "array", "first_second", "n_seconds", "n_channels", "segments"),
    *("original_sfreq_hz", "original_duration_s", "line_freq_hz", "band_high_hz"),
    *("original_highpass_hz", "original_lowpass_hz", "original_names", "left_out", "warnings"),
]
MAINS_HZ = (50.0, 60.0)
DEAD = 0.95  # share of a second's samples that stand still, sit at a limit or are no numbers
MAX_READ_S = 4096  # of quality at once


@dataclass(frozen=True)
class LookTask:
    """One recording of a store to look at: its row, with `COLUMNS`."""

    store: Store
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """One recording (C channels, A seconds).

    All from a few stretches, `n_live` of single channels: `amplitude_uv` (C) is the standard deviation from 1 to 40 Hz
    in a typical one, NaN for a channel without a signal. `hum` is the power at 50 and 60 Hz over that beside it, where
    the band holds it. `slope` is the exponent of the power from 2 to 30 Hz, `correlation` that between typical
    channels. `identical` are groups of channels (indices) with one signal. `blinks_uv` (C) is the height of
    slow deflections of one sign, `deflection_uv` that of all in a typical channel.

    From the quality of every second: `dead` (C) is the share of seconds without a signal, `clipped` (C) that at a
    limit, both before the last `tail_s` seconds, in which every channel is dead.
    """

    row: Mapping[str, Any]
    channels: tuple[str, ...]
    n_live: int
    amplitude_uv: Floats
    hum: Mapping[float, float]
    slope: float
    correlation: float
    identical: tuple[tuple[int, ...], ...]
    blinks_uv: Floats
    deflection_uv: float
    dead: Floats
    clipped: Floats
    tail_s: int
    echo: Echo

    @property
    def recording(self) -> str:
        """The recording's name."""
        return str(self.row["recording"])

    @property
    def typical_uv(self) -> float:
        """Median amplitude of the channels that have a signal; NaN if none has."""
        live = self.amplitude_uv[np.isfinite(self.amplitude_uv)]
        return float(np.median(live)) if len(live) else float("nan")


def look_at(tasks: Sequence[LookTask]) -> list[Look | Failed]:
    """Look at recordings; one whose samples cannot be read is Failed."""
    return [_look_or_fail(task) for task in tasks]


def _look_or_fail(task: LookTask) -> Look | Failed:
    try:
        return _look(task)
    except StoreError as error:
        return Failed(str(error))


def _look(task: LookTask) -> Look:
    row, reader = task.row, WindowReader(task.store, concurrency=1)
    array = task.store.array(row["array"])
    stretches = read_stretches(reader, row)
    power, freqs_hz = power_of(stretches)
    typical = typical_spectrum(power, stretches.live, freqs_hz)
    amplitude = _amplitude_uv(power, stretches, freqs_hz)
    identical, correlation = compare_channels(stretches)
    blinks_uv, deflection_uv = measure_blinks(stretches)
    dead, clipped, tail_s, loud = _quality(reader, row)
    return Look(
        row=row,
        channels=array.channels,
        n_live=int(stretches.live.sum()),
        amplitude_uv=amplitude,
        hum={f: hum_ratio(typical, freqs_hz, f) for f in MAINS_HZ if f + 1 < row["band_high_hz"]},
        slope=slope(typical, freqs_hz),
        correlation=correlation,
        identical=identical,
        blinks_uv=blinks_uv,
        deflection_uv=deflection_uv,
        dead=dead,
        clipped=clipped,
        tail_s=tail_s,
        echo=echo_of(reader, row, loud),
    )


def _amplitude_uv(power: Floats, stretches: Stretches, freqs_hz: npt.NDArray[np.float64]) -> Floats:
    """Amplitude (C) in the band, median over the stretches in which a channel is live."""
    band = (freqs_hz >= BAND_HZ[0]) & (freqs_hz <= BAND_HZ[1])
    deviation = np.sqrt(power[..., band].sum(axis=2))
    kept = [deviation[stretches.live[:, c], c] for c in range(deviation.shape[1])]
    return np.array([np.median(values) if len(values) else np.nan for values in kept], np.float32)


def _quality(reader: WindowReader, row: Mapping[str, Any]) -> tuple[Floats, Floats, int, Floats]:
    """Shares of dead and of clipped seconds (C), seconds of the dead tail, and the loudness (A, 2) of each second."""
    flat, clip, level, missing = (
        QUALITY_MEASURES.index(name) for name in ("flat", "clipped", "amplitude_uv", "non_finite")
    )
    shape = row["n_seconds"], row["n_channels"]
    # Filled in place: a day of 128 channels has 44 MB of levels, and a copy of them as much again.
    dead, clipped, levels_uv = np.empty(shape, np.bool_), np.empty(shape, np.bool_), np.empty(shape, np.float32)
    for first in range(0, row["n_seconds"], MAX_READ_S):
        n_seconds = min(MAX_READ_S, row["n_seconds"] - first)
        part = reader.read_quality(row["array"], row["first_second"] + first, n_seconds)
        seconds = slice(first, first + n_seconds)
        clipped[seconds] = part[..., clip] >= DEAD
        dead[seconds] = (part[..., [flat, clip, missing]] >= DEAD).any(axis=2)
        levels_uv[seconds] = part[..., level]
    once_alive = ~dead.all(axis=0)
    silent: npt.NDArray[np.bool_] = np.all(dead, axis=1, where=once_alive)
    tail_s = int(np.argmin(silent[::-1])) if once_alive.any() else 0
    body = slice(0, len(dead) - tail_s)
    shares = [marks[body].mean(axis=0, dtype=np.float32) for marks in (dead, clipped)]
    return shares[0], shares[1], tail_s, loudness(levels_uv)

"""Synthetic EDF recordings for the benchmarks, of any length, written faster than anything reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LINE_FREQ_HZ = 50.0
STEP_UV = 0.1
MINUTE_S = 60


def write_recording(path: Path, n_channels: int, sfreq_hz: int, minutes: int, seed: int = 0) -> None:
    """Write noise, alpha and hum as EDF, in steps of 0.1 µV; every minute begins elsewhere in the same minute."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(MINUTE_S * sfreq_hz) / sfreq_hz
    wave_uv = 20 * np.sin(2 * np.pi * 10 * times_s) + 8 * np.sin(2 * np.pi * LINE_FREQ_HZ * times_s)
    noise_uv = 10 * rng.standard_normal((n_channels, len(times_s)), np.float32)
    digital = np.rint((noise_uv + wave_uv) / STEP_UV).astype("<i2")
    records = np.ascontiguousarray(digital.reshape(n_channels, MINUTE_S, sfreq_hz).swapaxes(0, 1))
    with path.open("wb") as file:
        file.write(header(n_channels, sfreq_hz, minutes * MINUTE_S))
        for minute in range(minutes):
            file.write(np.roll(records, minute, axis=0).data)


def write_silence(path: Path, n_channels: int, sfreq_hz: int, minutes: int) -> None:
    """Write an EDF recording of zeros that takes no disk space."""
    with path.open("wb") as file:
        file.write(header(n_channels, sfreq_hz, minutes * MINUTE_S))
        file.truncate(file.tell() + 2 * n_channels * sfreq_hz * minutes * MINUTE_S)


def header(n_channels: int, sfreq_hz: int, seconds: int) -> bytes:
    """An EDF header of data records of 1 s."""
    first = [("0", 8), ("X", 80), ("X", 80), ("01.01.00", 8), ("00.00.00", 8), (256 * (n_channels + 1), 8), ("", 44)]
    first += [(seconds, 8), (1, 8), (n_channels, 4)]
    text = "".join(str(value).ljust(width) for value, width in first)
    labels = "".join(f"E{index + 1}".ljust(16) for index in range(n_channels))
    rest = [("", 80), ("uV", 8), (-3276.8, 8), (3276.7, 8), (-32768, 8), (32767, 8), ("", 80), (sfreq_hz, 8), ("", 32)]
    return (text + labels + "".join(str(value).ljust(width) * n_channels for value, width in rest)).encode("ascii")

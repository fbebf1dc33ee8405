"""What an amplifier records besides the brain: eyes, muscles, drifts, mains, and electrodes that let go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from eeg_ingest.demo.brain import Signal, fft_samples, shaped_noise
from eeg_ingest.demo.head import Leads, near, sites
from eeg_ingest.demo.subject import STATES, Block

_EYES = np.array(
    [[-0.45, 1.25, -0.6], [0.45, 1.25, -0.6]]
)  # before the head and below it, so that Fz gets a third of Fp1
_UP = np.array([0.0, 0.0, 1.0])
_MUSCLES = ("FT7", "FT8", "TP9", "TP10", "AF7", "AF8")


def blinks(blocks: Sequence[Block], n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """The time course (S,) of the lids, 1 at a blink's peak: 0.1 s down and 0.2 s up again."""
    rate = np.full(n_samples, STATES["eyes open"].blinks_hz / sfreq_hz)
    for block in blocks:
        start, stop = (round(t * sfreq_hz) for t in (block.onset_s, block.onset_s + block.duration_s))
        rate[start:stop] = STATES[block.label].blinks_hz / sfreq_hz
    impulses = (rng.random(n_samples) < rate) * rng.uniform(0.7, 1.0, n_samples)
    down, up = round(0.1 * sfreq_hz), round(0.2 * sfreq_hz)
    lid = np.concatenate(
        [0.5 - 0.5 * np.cos(np.pi * np.arange(down) / down), 0.5 + 0.5 * np.cos(np.pi * np.arange(up) / up)]
    )
    return np.asarray(signal.fftconvolve(impulses, lid)[:n_samples], np.float32)


def eye_topography(leads: Leads) -> npt.NDArray[np.float32]:
    """How the lids of both eyes reach the electrodes (C,), 1 at Fp1."""
    with_fp1 = Leads(np.concatenate([leads.electrodes, sites(("Fp1",))]), leads.reference)
    both = np.sum([with_fp1.topography(eye, _UP) for eye in _EYES], axis=0)
    return np.asarray(both[:-1] / both[-1], np.float32)


def muscle_bursts(leads: Leads, n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """Bursts (C, S) in µV above 20 Hz, each under one muscle, one in about 20 s."""
    bursts = np.zeros((len(leads.electrodes), n_samples), np.float32)
    for _ in range(rng.poisson(n_samples / sfreq_hz / 20)):
        length = min(n_samples, round(rng.uniform(0.3, 1.5) * sfreq_hz))
        start = rng.integers(0, n_samples - length + 1)
        frequency = fft.rfftfreq(fft_samples(length), 1 / sfreq_hz)
        amplitude = np.where(frequency > 20, 1 / np.sqrt(1 + (frequency / 80) ** 2), 0.0)
        wave = shaped_noise(amplitude[None], length, rng)[0] * np.hanning(length) * rng.uniform(10, 40)
        nearness = np.exp(-4 * ((leads.electrodes - near(str(rng.choice(_MUSCLES)), depth=0)) ** 2).sum(axis=1))
        bursts[:, start : start + length] += np.outer(nearness, wave)
    return bursts


def slow_drifts(n_channels: int, n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """Drifts (C, S) in µV of skin and electrodes, each channel its own, below 0.05 Hz."""
    frequency = fft.rfftfreq(fft_samples(n_samples), 1 / sfreq_hz)
    amplitude = np.where((frequency > 0) & (frequency <= 0.05), 1 / np.maximum(frequency, 0.005), 0.0)
    if not amplitude.any():  # a recording of a few seconds has no bin there
        amplitude[1] = 1
    drifts = shaped_noise(np.repeat(amplitude[None], n_channels, axis=0), n_samples, rng)
    return np.asarray(drifts * rng.uniform(5, 30, (n_channels, 1)), np.float32)


def mains_hum(n_channels: int, hum_hz: float, n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """Hum (C, S) in µV of the mains with its harmonics below the Nyquist rate, slowly growing and fading."""
    t = np.arange(n_samples) / sfreq_hz
    hum = np.zeros(n_samples)
    for harmonic, strength in ((1, 1.0), (2, 0.15), (3, 0.3)):
        if harmonic * hum_hz < sfreq_hz / 2:
            hum += strength * np.sin(2 * np.pi * harmonic * hum_hz * t + rng.uniform(0, 2 * np.pi))
    hum *= 1 + 0.3 * np.sin(2 * np.pi * t / 40 + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.outer(rng.lognormal(np.log(6), 0.5, n_channels), hum), np.float32)


def drop_out(signal_uv: Signal, sfreq_hz: float, rng: np.random.Generator) -> None:
    """Let one electrode of `signal_uv` (C, S) go for 2 to 6 s: its last value stays."""
    length = min(signal_uv.shape[1] // 4, round(rng.uniform(2, 6) * sfreq_hz))
    channel = rng.integers(len(signal_uv))
    start = rng.integers(1, signal_uv.shape[1] - length)
    signal_uv[channel, start : start + length] = signal_uv[channel, start - 1]

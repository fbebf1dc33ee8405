"""The EEG of one subject: a 1/f background and rhythms that follow the states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from eeg_ingest.demo.head import Leads
from eeg_ingest.demo.subject import STATES, Block, Rhythm, Subject

Signal = npt.NDArray[np.float32]

_N_BACKGROUND = 32  # dipoles: enough that neighbouring electrodes agree and distant ones do not
_RAMP_S = 0.5  # how fast a rhythm follows a state


def shaped_noise(amplitude: npt.NDArray[np.float64], n_samples: int, rng: np.random.Generator) -> Signal:
    """Gaussian noise (rows, S) of unit variance; `amplitude` (rows, F) on the grid of `rfftfreq(fft_samples(S))`."""
    size = fft_samples(n_samples)
    power = 4 * (amplitude**2).sum(axis=1, keepdims=True)  # 2·|amplitude|² in both halves of the spectrum
    spectrum = rng.standard_normal((*amplitude.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum *= (amplitude * (size / np.sqrt(power))).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size, axis=1, overwrite_x=True)[:, :n_samples])


def fft_samples(n_samples: int) -> int:
    """A length that transforms fast; the noise is periodic in it, so it is a little longer than the recording."""
    return int(fft.next_fast_len(n_samples, real=True))


def background(subject: Subject, leads: Leads, n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """1/f activity (C, S) in µV of many dipoles all over the brain."""
    frequency = fft.rfftfreq(fft_samples(n_samples), 1 / sfreq_hz)
    exponents = subject.exponent + rng.normal(0, 0.1, (_N_BACKGROUND, 1))
    # Falls off below 1 Hz, as most amplifiers are set; the drifts are drawn apart.
    amplitude = np.maximum(frequency, 1.0) ** (-exponents / 2) * np.minimum(frequency, 1.0) ** 2
    amplitude[:, 0] = 0
    places = rng.normal(size=(_N_BACKGROUND, 3))
    places[:, 2] = np.abs(places[:, 2]) - 0.3
    places *= rng.uniform(0.3, 0.6, (_N_BACKGROUND, 1)) / np.linalg.norm(places, axis=1, keepdims=True)
    moments = rng.normal(size=(_N_BACKGROUND, 3))
    gains = np.stack(
        [leads.topography(place, moment) for place, moment in zip(places, moments, strict=True)],
        axis=1,
    )
    typical = np.sqrt((gains**2).sum(axis=1).mean())
    return np.asarray(subject.background_uv / typical * gains @ shaped_noise(amplitude, n_samples, rng), np.float32)


def rhythm(source: Rhythm, leads: Leads, gain: Signal, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """One rhythm (C, S) in µV, `gain` (S,) times its amplitude; the width of its peak makes it wax and wane."""
    n_samples = len(gain)
    frequency = fft.rfftfreq(fft_samples(n_samples), 1 / sfreq_hz)
    amplitude = np.exp(-0.25 * ((frequency - source.peak_hz) / (source.width_hz / 2)) ** 2)
    wave = shaped_noise(amplitude[None], n_samples, rng)[0] * gain * source.amplitude_uv
    return np.asarray(np.outer(leads.topography(source.location, source.moment), wave), np.float32)


def state_gain(name: str, blocks: Sequence[Block], n_samples: int, sfreq_hz: float, rng: np.random.Generator) -> Signal:
    """Gain (S,) of a rhythm over the recording: its states, its ups and downs from block to block, ramps between them.

    A name that no state holds ("alpha left") follows the name that it begins with ("alpha").
    """
    rest = STATES["eyes open"]
    gain = np.full(n_samples, _of(name, rest.gains), np.float32)
    for block in blocks:
        start, stop = (round(t * sfreq_hz) for t in (block.onset_s, block.onset_s + block.duration_s))
        gain[start:stop] = _of(name, STATES[block.label].gains) * rng.lognormal(0, 0.25)
    return np.asarray(ndimage.uniform_filter1d(gain, max(1, round(_RAMP_S * sfreq_hz)), mode="nearest"), np.float32)


def _of(name: str, gains: dict[str, float]) -> float:
    return gains.get(name, gains.get(name.partition(" ")[0], 1.0))

"""Whether the hum of the mains contradicts a header's sampling rate: only the raw samples tell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from eeg_ingest.mains import MAINS_HZ
from eeg_ingest.quantiles import median
from eeg_ingest.recording import Recording
from eeg_ingest.source_block import SourceBlock
from eeg_ingest.transforms import rfft

RATE_DOUBT = "the sampling rate of the header is doubtful"  # how such a warning in a recording's row begins
# Rates that amplifiers and published data sets have.
COMMON_RATES_HZ = (
    *(100, 125, 128, 160, 200, 220, 240, 250, 256, 300, 400, 500, 512, 600, 1000, 1024, 2000, 2048, 2500, 5000),
)
N_CHANNELS = 8
N_STRETCHES = 8
STRETCH_S = 8
LOWEST_HZ = 15.0  # below it alpha and its like are narrow too
MIN_RATIO = 3.0
NO_HUM_RATIO = 2.0  # that of `eeg_ingest.mains`
MAINS_ERROR = 0.0015  # mains wander by 0.1 % at most, clocks by less
HARMONIC_ERROR = 0.005  # in orders: 100 Hz is left in recordings that were notched at 50 Hz before publication
DOUBLED_RATIO = 10.0  # of a tone at twice the mains, where nothing hums at the mains itself ...
UNTOUCHED = 0.7, 0.2  # ... nor was taken out of it: least ratio of the loudest bin there, and of the quietest
SAME_RATE = 0.02  # rates closer than this are one: a tone cannot tell them from a mains that wanders
NEAR_BINS, FAR_BINS = 12, 40  # of an eighth of a hertz: 1.5 to 5 Hz beside a tone


def doubt_rate(recording: Recording, indices: Sequence[int], line_freq_hz: float | Literal["auto"]) -> str | None:
    """A warning where no mains hums at its frequency, but would if the header misstated the rate; else None.

    The strongest steady tone of the recording must lie where the hum of 50 or 60 Hz (of `line_freq_hz` if it is
    known), or twice that, is found if the samples were taken at another common rate. Looks at up to 8 stretches of 8 s
    and 8 channels.
    """
    power, resolution_hz = _typical_power(recording, indices)
    if not len(power):
        return None
    ratios = _ratios(power)
    known = {"auto": MAINS_HZ}.get(str(line_freq_hz)) or (float(line_freq_hz),)
    for mains_hz in {*MAINS_HZ, *known}:
        around = ratios[_bins(mains_hz - 0.25, resolution_hz) : _bins(mains_hz + 0.25, resolution_hz) + 1]
        if len(around) and around.max() >= NO_HUM_RATIO:
            return None
    lowest = _bins(LOWEST_HZ, resolution_hz)
    tone = int(np.argmax(ratios[lowest:])) + lowest
    if ratios[tone] < MIN_RATIO:
        return None
    tone_hz = _vertex(power, tone) * resolution_hz
    declared_hz = recording.sfreq_hz
    if _is_harmonic(tone_hz) and not (ratios[tone] >= DOUBLED_RATIO and _is_untouched(ratios, tone / 2, resolution_hz)):
        return None
    for rate_hz, (mains_hz, order) in product(COMMON_RATES_HZ, product(known, (1, 2))):
        moved_hz = order * mains_hz * declared_hz / rate_hz
        if abs(rate_hz / declared_hz - 1) > SAME_RATE and abs(tone_hz / moved_hz - 1) <= MAINS_ERROR:
            return (
                f"{RATE_DOUBT}: {declared_hz:g} Hz puts a steady hum at {tone_hz:.2f} Hz, {rate_hz} Hz would put "
                f"it at {order * mains_hz:g} Hz"
            )
    return None


def _is_untouched(ratios: npt.NDArray[np.float64], place: float, resolution_hz: float) -> bool:
    """Whether no notch took the hum out at a bin: 0.5 is the most that one leaves there, and in its middle nothing."""
    width = _bins(0.5, resolution_hz)
    around = ratios[round(place) - width : round(place) + width + 1]
    return bool(around.max() >= UNTOUCHED[0] and around.min() >= UNTOUCHED[1])


def _is_harmonic(tone_hz: float) -> bool:
    """Whether a tone is a multiple of a mains frequency: it may be left where the hum itself was notched."""
    return any(abs(tone_hz / mains_hz - max(round(tone_hz / mains_hz), 1)) < HARMONIC_ERROR for mains_hz in MAINS_HZ)


def _typical_power(recording: Recording, indices: Sequence[int]) -> tuple[npt.NDArray[np.float64], float]:
    """Median power (F) of channels and stretches, each scaled to its own level, and the width of a bin."""
    n_samples = round(STRETCH_S * recording.sfreq_hz)
    segments = [segment for segment in recording.segments if segment.n_samples >= n_samples]
    if not segments or recording.sfreq_hz < 2 * LOWEST_HZ:  # which holds no tone that is looked at
        return np.empty(0), 0.0
    segment = max(segments, key=lambda segment: segment.n_samples)
    chosen = list(indices)[:: -(-len(indices) // N_CHANNELS)]
    scaled = []
    for start in sorted({int(s) for s in np.linspace(0, segment.n_samples - n_samples, N_STRETCHES)}):
        uv = SourceBlock.read(recording, segment, chosen, start, start + n_samples).uv
        uv = uv - uv.mean(axis=1, keepdims=True)
        power = np.square(np.abs(rfft(uv * np.hanning(n_samples)))).astype(np.float64)
        level = median(power)[:, None]
        scaled.append((power / np.where(level > 0, level, 1))[level[:, 0] > 0])
    power = np.concatenate(scaled)
    return (median(power, axis=0) if len(power) else np.empty(0)), recording.sfreq_hz / n_samples


def _ratios(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Power (F) over the median beside it, on its louder side; 0 where there is not enough beside it."""
    width = FAR_BINS - NEAR_BINS
    windows = median(np.lib.stride_tricks.sliding_window_view(power, width))
    ratios = np.zeros(len(power))
    inner = np.arange(FAR_BINS, len(power) - FAR_BINS)
    if len(inner):
        beside = np.maximum(windows[inner - FAR_BINS], windows[inner + NEAR_BINS])
        ratios[inner] = power[inner] / np.maximum(beside, 1e-30)
    return ratios


def _bins(freq_hz: float, resolution_hz: float) -> int:
    return round(freq_hz / resolution_hz)


def _vertex(power: npt.NDArray[np.float64], peak: int) -> float:
    """Place of a peak between bins, by the parabola through the logarithms of three."""
    left, middle, right = np.log(power[peak - 1 : peak + 2])
    curve = left - 2 * middle + right
    return peak + (0.5 * (left - right) / curve if curve < 0 else 0.0)

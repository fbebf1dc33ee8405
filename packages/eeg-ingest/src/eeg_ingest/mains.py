"""Which mains frequency hums in a recording: 50 Hz, 60 Hz or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from eeg_ingest.quantiles import median
from eeg_ingest.recording import Recording
from eeg_ingest.source_block import SourceBlock
from eeg_ingest.transforms import rfft

MAINS_HZ = (50.0, 60.0)
MIN_RATIO = 2.0  # hum is at least this much power above its neighbourhood
N_STRETCHES = 20
N_CHANNELS = 16
STRETCH_S = (2.0, 8.0)  # short ones for short segments; 2 s still resolve the neighbourhood
PEAK_HZ = 0.25  # the mains wander by a tenth of this, and a Hann window is this wide at 8 s
NEIGHBOURS_HZ = (1.5, 5.0)  # to both sides; the median over them ignores stimulation harmonics (3 x 17 Hz, 4 x 13 Hz)


def detect_line_freq_hz(recording: Recording, indices: Sequence[int]) -> float | None:
    """50.0 or 60.0, whichever stands out more from its neighbourhood, or None where neither does by `MIN_RATIO`.

    Looks at up to 20 stretches of 8 s and 16 channels, spread evenly over the recording. In each stretch and channel,
    the power at the mains frequency is set against the median power beside it, on the side where that is larger; the
    median of these ratios over all stretches and channels decides, so that neither one noisy channel nor one bad minute
    does.
    """
    ratios: dict[float, list[float]] = {mains_hz: [] for mains_hz in MAINS_HZ}
    for stretch_uv in _stretches(recording, indices[:: -(-len(indices) // N_CHANNELS)]):
        spectrum, freqs_hz = _power(stretch_uv, recording.sfreq_hz)
        for mains_hz in MAINS_HZ:
            if mains_hz + 1 < recording.sfreq_hz / 2:
                ratios[mains_hz].extend(_prominence(spectrum, freqs_hz, mains_hz))
    medians = {mains_hz: float(np.median(found)) for mains_hz, found in ratios.items() if found}
    best_hz = max(medians, key=lambda mains_hz: medians[mains_hz], default=None)
    return best_hz if best_hz is not None and medians[best_hz] >= MIN_RATIO else None


def _stretches(recording: Recording, indices: Sequence[int]) -> Iterator[npt.NDArray[np.float32]]:
    shortest, longest = (int(seconds * recording.sfreq_hz) for seconds in STRETCH_S)
    segments = [segment for segment in recording.segments if segment.n_samples >= shortest]
    stops = np.cumsum([segment.n_samples for segment in segments])
    seen = set()
    for part in np.linspace(0, 1, N_STRETCHES):
        if not segments:
            return
        place = int(part * (stops[-1] - 1))
        number = int(np.searchsorted(stops, place, side="right"))
        segment = segments[number]
        length = min(longest, max(shortest, segment.n_samples // 4))
        begin = int(stops[number]) - segment.n_samples
        start = min(place - begin, segment.n_samples - length)
        if (number, start) not in seen:
            seen.add((number, start))
            yield SourceBlock.read(recording, segment, indices, start, start + length).uv


def _power(uv: npt.NDArray[np.float32], sfreq_hz: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Hann-windowed power (C, F) around the mains frequencies, and its frequencies (F)."""
    n_samples = uv.shape[1]
    # Without the mean, float32 is exact to a 1e-7th of what moves.
    centred = uv - uv.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    centred *= np.hanning(n_samples).astype(np.float32)
    freqs_hz = np.fft.rfftfreq(n_samples, 1 / sfreq_hz)
    beyond_hz = NEIGHBOURS_HZ[1] + freqs_hz[1]
    near = (freqs_hz > MAINS_HZ[0] - beyond_hz) & (freqs_hz < MAINS_HZ[1] + beyond_hz)
    spectrum = rfft(centred)[:, near].astype(np.complex128)
    return spectrum.real**2 + spectrum.imag**2, freqs_hz[near]


def _prominence(
    power: npt.NDArray[np.float64], freqs_hz: npt.NDArray[np.float64], mains_hz: float
) -> npt.NDArray[np.float64]:
    """For each channel with a signal, the power at the mains frequency over that of its neighbourhood."""
    distance_hz = freqs_hz - mains_hz
    resolution_hz = freqs_hz[1] - freqs_hz[0]
    peak = power[:, np.abs(distance_hz) <= max(PEAK_HZ, resolution_hz) + 1e-9].mean(axis=1)
    near, far = NEIGHBOURS_HZ
    sides = [power[:, (near <= side * distance_hz) & (side * distance_hz <= far)] for side in (-1, 1)]
    beside = np.max([median(side) for side in sides if side.shape[1]], axis=0)
    return np.asarray(peak[beside > 0] / beside[beside > 0])

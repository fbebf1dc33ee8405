"""The FIR filters that `mne.filter.create_filter` designs: a windowed sinc for each edge of a band.

Designed here because MNE's function brings half of SciPy along: every worker would import for half a second. The tests
hold both against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

LENGTH_FACTOR = 3.3  # periods of the transition's width that a Hamming window needs


@dataclass(frozen=True)
class Edge:
    """Where the gain rises from 0 to 1, or falls from 1 to 0, between two frequencies."""

    low_hz: float
    high_hz: float
    rises: bool

    @property
    def width_hz(self) -> float:
        """The transition band."""
        return self.high_hz - self.low_hz


def fir(sfreq_hz: float, edges: Sequence[Edge]) -> npt.NDArray[np.float64]:
    """Zero-phase kernel, around its middle sample, of the filter with these edges, in order of frequency."""
    n_taps = _odd(ceil(LENGTH_FACTOR / min(edge.width_hz for edge in edges) * sfreq_hz))
    kernel = np.zeros(n_taps)
    if edges[-1].rises:
        kernel[n_taps // 2] = 1
    for edge in reversed(edges):
        n_edge = _odd(round(LENGTH_FACTOR / (edge.width_hz / sfreq_hz)))
        first = (n_taps - n_edge) // 2
        lowpass = _lowpass(n_edge, (edge.low_hz + edge.high_hz) / sfreq_hz)
        kernel[first : n_taps - first] += -lowpass if edge.rises else lowpass
    return kernel


def _lowpass(n_taps: int, cutoff: float) -> npt.NDArray[np.float64]:
    """Hamming-windowed sinc of gain 1 at 0 Hz; `cutoff` is a share of the Nyquist frequency."""
    kernel = np.sinc(cutoff * (np.arange(n_taps) - n_taps // 2)) * np.hamming(n_taps)
    return np.asarray(kernel / kernel.sum())


def _odd(n_taps: int) -> int:
    return n_taps + 1 - n_taps % 2

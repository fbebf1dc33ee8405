"""Overlap-save: how long a block is, where it starts, and how a segment goes on beyond its ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from eeg_ingest.filters import SFREQ_OUT_HZ

TAPER_S = 2
MAX_SAMPLES = 2**17  # of one channel in one block, so that a few channels fit the processor's cache
MIN_MAX_BLOCK_S = 256  # but at high rates never less than this: the overlap would cost more than the cache saves
MAX_OUTPUT_VALUES = 2**22  # of all channels together: 16 MB
MAX_LENGTH_ERROR = 4e-4  # input samples over a block; the drift inside it, because each block is aligned anew
_SEARCH = 40_000


@dataclass(frozen=True)
class Plan:
    """How a segment is cut into FFTs of `n_in` samples to `n_out`: `keep_s` seconds of each are kept.

    The `margin_s` seconds before and after those feel the block's ends and are thrown away.
    """

    rate_hz: Fraction
    n_in: int
    n_out: int
    margin_s: int
    keep_s: int

    @property
    def n_bins(self) -> int:
        """Frequencies that both transforms have."""
        return min(self.n_in, self.n_out) // 2 + 1


@dataclass(frozen=True)
class Block:
    """Seconds `first_s` to `stop_s` of a segment, from the `n_in` samples that begin at `start`, possibly before it.

    `shift` is the place (input samples, 0 to 1) of the first output sample after sample `start`.
    """

    first_s: int
    stop_s: int
    start: int
    shift: float


@lru_cache(maxsize=64)
def plan_blocks(rate_hz: Fraction, kernel_s: float, n_seconds: int, n_channels: int) -> Plan:
    """Choose the cheapest pair of FFT lengths for a segment of `n_seconds`, given all filters' joint length."""
    margin_s = ceil(kernel_s / 2) + TAPER_S
    ratio = rate_hz / SFREQ_OUT_HZ
    most = max(MAX_SAMPLES, ceil(MIN_MAX_BLOCK_S * max(rate_hz, Fraction(SFREQ_OUT_HZ))))
    most = int(most / max(ratio, Fraction(1)))  # output samples
    most = min(most, MAX_OUTPUT_VALUES // n_channels + 2 * margin_s * SFREQ_OUT_HZ)
    shortest = 2 * margin_s + 1
    wanted = min(2 * margin_s + n_seconds, max(most // SFREQ_OUT_HZ, shortest + 63)) * SFREQ_OUT_HZ

    low = min(wanted, max(4 * margin_s * SFREQ_OUT_HZ, wanted - _SEARCH))
    n_out = np.arange(low, wanted + max(_SEARCH // 4, wanted // 8), 2)
    exact = n_out * float(ratio)
    n_in = np.rint(exact).astype(np.int64)
    error = np.abs((n_in * ratio.denominator - n_out * ratio.numerator) / ratio.denominator)
    good = error <= max(MAX_LENGTH_ERROR, error.min())
    n_in, n_out = n_in[good], n_out[good]
    keep_s = n_out // SFREQ_OUT_HZ - 2 * margin_s
    cost = -(-n_seconds // keep_s) * (_fft_cost(n_in) + _fft_cost(n_out))
    best = int(np.argmin(cost))
    return Plan(rate_hz, int(n_in[best]), int(n_out[best]), margin_s, int(keep_s[best]))


_PASS_COSTS = {2: 0.55, 3: 1.0, 5: 1.3, 7: 1.8, 11: 3.0, 13: 3.5}  # pocketfft takes two factors of 2 at once


def _fft_cost(n: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Relative time of transforms of `n` samples: one pass over the samples for each prime factor.

    Where a large factor is left, the transform costs a convolution instead.
    """
    rest = n.copy()
    passes = np.ones(len(n))  # what else is done to each sample
    for prime, cost in _PASS_COSTS.items():
        while (divides := rest % prime == 0).any():
            rest[divides] //= prime
            passes[divides] += cost
    passes[rest > 1] += np.minimum(0.3 * rest[rest > 1], 25)
    return np.asarray(n * passes)


def blocks_of(plan: Plan, n_seconds: int) -> Iterator[Block]:
    """The blocks of one segment of `n_seconds` whole seconds, in order."""
    for first_s in range(0, n_seconds, plan.keep_s):
        stop_s = min(first_s + plan.keep_s, n_seconds)
        # Where n_in / n_out is not quite the rates' ratio, input and output agree in the middle of what is kept.
        middle = Fraction(first_s + stop_s, 2)
        place = middle * plan.rate_hz - (middle - first_s + plan.margin_s) * SFREQ_OUT_HZ * Fraction(
            plan.n_in, plan.n_out
        )
        yield Block(first_s, stop_s, floor(place), float(place - floor(place)))


def lay_out(
    source_uv: npt.NDArray[np.float32], out: npt.NDArray[np.float32], plan: Plan, block: Block, n_samples: int
) -> None:
    """Write a block's samples into `out` (C, n_in), and what stands for the signal beyond a segment of `n_samples`.

    `source_uv` (C, S) holds the samples of the segment inside the block. They go on as in MNE's `reflect_limited`:
    mirrored in time and value around the end sample, as far as the segment is long; beyond that at the segment's mean
    (MNE: at zero, which would turn the offset of a short segment into a step). Both ends fade out, over seconds that
    are thrown away: upsampling would spread a step at the block's end over all of it.
    """
    lead = max(-block.start, 0)
    inside = slice(lead, lead + source_uv.shape[1])
    level_uv = source_uv @ np.full(source_uv.shape[1], 1 / source_uv.shape[1], np.float32)
    np.subtract(source_uv, level_uv[:, None], out=out[:, inside])
    out[:, : inside.start] = 0
    out[:, inside.stop :] = 0
    if before := min(lead, source_uv.shape[1] - 1):
        mirrored = out[:, inside.start + 1 : inside.start + 1 + before][:, ::-1]
        np.subtract(2 * out[:, inside.start, None], mirrored, out=out[:, inside.start - before : inside.start])
    stop = inside.stop
    if block.start + plan.n_in > n_samples:
        after = min(plan.n_in - inside.stop, ceil(plan.margin_s * plan.rate_hz), n_samples - 1)
        mirrored = out[:, inside.stop - 1 - after : inside.stop - 1][:, ::-1]
        np.subtract(2 * out[:, inside.stop - 1, None], mirrored, out=out[:, inside.stop : inside.stop + after])
        stop += after
    n_taper = int(TAPER_S * plan.rate_hz)
    rise = np.sin(np.linspace(0, np.pi / 2, n_taper, dtype=np.float32)) ** 2
    out[:, :n_taper] *= rise
    out[:, stop - n_taper : stop] *= rise[::-1]

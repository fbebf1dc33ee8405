"""How alike the channels of a recording are: identical ones, and the correlation of typical ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eeg_ingest.audit.stretches import Floats, Stretches

SAME = 0.9999  # bridged electrodes reach 0.99; a copy of a channel differs by the rounding of the store
SAME_SCALE = 0.01
ROUNDING_UV = 0.045  # two roundings of one signal to steps of 0.1 µV differ by 0.041 µV RMS


def compare_channels(stretches: Stretches) -> tuple[tuple[tuple[int, ...], ...], float]:
    """Groups of channels that hold one signal in every stretch, and the median of |r| over all pairs and stretches.

    One signal means a correlation above 0.9999 and equal scale, or no difference but rounding. The median is NaN with
    fewer than two live channels.
    """
    n_channels = stretches.uv.shape[1]
    same = np.ones((n_channels, n_channels), np.bool_)
    upper = np.triu_indices(n_channels, 1)
    typical = []
    for uv, live in zip(stretches.uv, stretches.live, strict=True):
        products = uv @ uv.T / np.float32(uv.shape[1])
        norms = np.sqrt(np.maximum(np.diag(products), 1e-9))
        r = products / np.outer(norms, norms)
        both = np.outer(live, live)
        same &= both & _same(products, norms, r)
        pairs = np.abs(r[upper])[both[upper]]
        if len(pairs):
            typical.append(np.median(pairs))
    return _groups(same), float(np.median(typical)) if typical else float("nan")


def _same(products: Floats, norms: Floats, r: Floats) -> npt.NDArray[np.bool_]:
    power = np.diag(products)
    alike = (r > SAME) & (np.abs(np.log(norms[:, None] / norms[None, :])) < SAME_SCALE)
    difference = power[:, None] + power[None, :] - 2 * products
    return np.asarray(alike | (difference < ROUNDING_UV**2))


def _groups(same: npt.NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    groups: list[tuple[int, ...]] = []
    seen: set[int] = set()
    for channel in range(len(same)):
        group = tuple(int(other) for other in np.flatnonzero(same[channel]) if other not in seen)
        if channel not in seen and len(group) > 1:
            groups.append(group)
            seen.update(group)
    return tuple(groups)

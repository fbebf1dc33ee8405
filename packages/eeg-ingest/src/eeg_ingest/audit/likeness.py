"""How alike the channels of a recording are: identical ones, and the correlation of typical ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eeg_ingest.audit.stretches import Floats, Stretches

SAME = 0.9999  # bridged electrodes reach 0.99; a copy of a channel differs by the rounding of the store
SAME_SCALE = 0.01
ROUNDING_UV = 0.045  # two roundings of one signal to steps of 0.1 µV differ by 0.041 µV RMS


def identical_groups(stretches: Stretches) -> tuple[tuple[int, ...], ...]:
    """Groups of channels that hold one signal in every stretch: correlation above 0.9999 and equal scale."""
    n_channels = stretches.uv.shape[1]
    same = np.ones((n_channels, n_channels), np.bool_)
    for uv, live in zip(stretches.uv, stretches.live, strict=True):
        same &= live[:, None] & live[None, :]
        if not same.any():
            return ()
        same &= _same(uv)
    groups: list[tuple[int, ...]] = []
    seen: set[int] = set()
    for channel in range(n_channels):
        group = tuple(int(other) for other in np.flatnonzero(same[channel]) if other not in seen)
        if channel not in seen and len(group) > 1:
            groups.append(group)
            seen.update(group)
    return tuple(groups)


def typical_correlation(stretches: Stretches) -> float:
    """Median of |r| over pairs of live channels and stretches; NaN with fewer than two."""
    found = []
    for uv, live in zip(stretches.uv, stretches.live, strict=True):
        if live.sum() > 1:
            products = _products(uv[live])
            norms = np.sqrt(np.diag(products))
            r = np.abs(products / np.outer(norms, norms))
            found.append(np.median(r[np.triu_indices(len(r), 1)]))
    return float(np.median(found)) if found else float("nan")


def _products(uv: Floats) -> npt.NDArray[np.float64]:
    wide = uv.astype(np.float64)
    return np.asarray(wide @ wide.T / uv.shape[1])


def _same(uv: Floats) -> npt.NDArray[np.bool_]:
    """(C, C): whether two channels of uv (C, S) are one signal, or differ by rounding alone."""
    products = _products(uv)
    power = np.diag(products)
    norms = np.sqrt(np.maximum(power, 1e-12))
    scaled = norms[:, None] / norms[None, :]
    alike = (products > SAME * np.outer(norms, norms)) & (np.abs(np.log(scaled)) < SAME_SCALE)
    difference = power[:, None] + power[None, :] - 2 * products
    return np.asarray(alike | (difference < ROUNDING_UV**2))

"""Where electrodes lie, and how a dipole inside the head reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import mne
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@cache
def scalp() -> dict[str, Vector]:
    """Unit vectors (x right, y front, z up) of the 10-05 sites, by lower-case name (template of the MNI head)."""
    name = next(m for m in ("colin27_1005", "standard_1005") if m in mne.channels.get_builtin_montages())
    positions = mne.channels.make_standard_montage(name).get_positions()["ch_pos"]
    points = np.stack(list(positions.values()))
    # The sphere nearest to all points: |p|² = 2 p·centre + constant is linear in its centre.
    design = np.column_stack([2 * points, np.ones(len(points))])
    centre = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0][:3]
    units = (points - centre) / np.linalg.norm(points - centre, axis=1, keepdims=True)
    return {site.lower(): unit for site, unit in zip(positions, units, strict=True)}


def sites(names: Sequence[str]) -> Vector:
    """Unit vectors (C, 3) of named 10-05 sites."""
    return np.stack([scalp()[name.lower()] for name in names])


def near(*names: str, depth: float) -> Vector:
    """The point (3,) under the middle of the named sites; depth 0 is the scalp, 1 the centre of the head."""
    middle = sites(names).mean(axis=0)
    return np.asarray(middle / np.linalg.norm(middle) * (1 - depth))


@dataclass(frozen=True)
class Leads:
    """What the amplifier compares: electrodes (C, 3) with the mean of the reference sites (R, 3)."""

    electrodes: Vector
    reference: Vector

    @classmethod
    def of(cls, electrodes: Sequence[str], reference: Sequence[str]) -> Leads:
        """Leads between named 10-05 sites."""
        return cls(sites(electrodes), sites(reference))

    def topography(self, source: Vector, moment: Vector) -> npt.NDArray[np.float32]:
        """Potential (C,) of a current dipole at `source` (3,) with `moment` (3,) in a homogeneous conductor.

        Scaled to 1 where it is strongest on the 10-10 scalp, so that an amplitude means the same under every cap.
        """
        strongest = np.abs(_potential(sites(_SCALP_1010), source, moment)).max()
        reference = _potential(self.reference, source, moment).mean()
        return np.asarray((_potential(self.electrodes, source, moment) - reference) / strongest, np.float32)


def _potential(points: Vector, source: Vector, moment: Vector) -> Vector:
    distance = points - source
    return np.asarray(distance @ moment / np.linalg.norm(distance, axis=1) ** 3)


_ROWS_1010 = (
    "Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 "
    "T7 C5 C3 C1 Cz C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 "
    "PO7 PO3 POz PO4 PO8 O1 Oz O2"
)
_SCALP_1010 = tuple(_ROWS_1010.split())

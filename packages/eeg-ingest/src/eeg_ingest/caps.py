"""Names for the electrodes of numbered caps, from their positions: the nearest 10-05 sites."""

from __future__ import annotations

import warnings
from functools import cache

import mne
import numpy as np
import numpy.typing as npt
from eeg_store.channels import VOCABULARY, canonical_name
from scipy.optimize import linear_sum_assignment

from eeg_ingest.recording import IngestError

HEAD_RADIUS_MM = 95.0
FAR_MM = 20.0
_ALIASES = {"GSN-HydroCel-64": "GSN-HydroCel-64_1.0", "GSN-HydroCel-65": "GSN-HydroCel-65_1.0"}


def _montage_1005() -> str:
    """MNE 1.14 renames `standard_1005` to `colin27_1005`."""
    known = mne.channels.get_builtin_montages()
    return next(name for name in ("colin27_1005", "standard_1005") if name in known)


@cache
def _unit_positions(montage: str) -> dict[str, npt.NDArray[np.float64]]:
    """Electrode positions in the head frame (nasion ahead, ears left and right), as directions from its centre."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # names that MNE is about to rename
        dig = mne.channels.make_standard_montage(montage)
    positions = mne.channels.montage.transform_to_head(dig.copy()).get_positions()["ch_pos"]
    centre = _sphere_centre(np.array(list(positions.values())))
    return {name: (xyz - centre) / np.linalg.norm(xyz - centre) for name, xyz in positions.items()}


def _sphere_centre(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centre of the least-squares sphere through the electrodes."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)
    return np.asarray(solution[:3], dtype=np.float64)


@cache
def site_names() -> tuple[str, ...]:
    """Names of MNE's 10-05 montage."""
    return tuple(_unit_positions(_montage_1005()))


def resolve_montage(montage: str) -> str:
    """MNE's own name of a montage. Raises IngestError, with the known names, if it has none."""
    known = mne.channels.get_builtin_montages()
    name = _ALIASES.get(montage, montage)
    if montage in ("standard_1005", "standard_1020") and montage not in known:
        name = montage.replace("standard", "colin27")
    if name not in known:
        raise IngestError(f"Montage {montage!r} is unknown to MNE: expected one of {', '.join(known)}.")
    return name


def cap_names(montage: str) -> tuple[str, ...]:
    """The electrodes of a montage in its own order."""
    return tuple(_unit_positions(resolve_montage(montage)))


@cache
def site_of_electrode(montage: str) -> dict[str, tuple[str, float]]:
    """Each electrode of a cap -> (nearest 10-05 site, distance in mm on a head of 95 mm radius).

    One site for each electrode: the assignment with the least sum of squared distances over the whole cap
    (scipy.optimize.linear_sum_assignment). Sites of the channel vocabulary go first: others take part only as
    far as no vocabulary site lies nearer than 20 mm.
    """
    cap = _unit_positions(resolve_montage(montage))
    sites = {canonical_name(name): xyz for name, xyz in _unit_positions(_montage_1005()).items()}
    sites = {name: xyz for name, xyz in sites.items() if name in set(VOCABULARY)} if len(cap) <= 64 else sites
    names = list(sites)
    cosine = np.clip(np.array(list(cap.values())) @ np.array(list(sites.values())).T, -1, 1)
    distance_mm = HEAD_RADIUS_MM * np.arccos(cosine)
    rows, columns = linear_sum_assignment(distance_mm**2)
    electrodes = list(cap)
    return {electrodes[r]: (names[c], float(distance_mm[r, c])) for r, c in zip(rows, columns, strict=True)}

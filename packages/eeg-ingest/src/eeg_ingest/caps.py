"""Names for the electrodes of numbered caps, from their positions: the nearest sites of the 10-05 system."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from eeg_store.channels import VOCABULARY, canonical_name

from eeg_ingest.recording import IngestError

FAR_MM = 20.0
_HEAD_RADIUS_MM = 95.0
_SITES = "spherical_1005"
# MNE's spherical 10-05 sites have Fpz, Oz, T7 and T8 at 72 degrees from Cz, its caps (easycap-M1, biosemi64) at 92.
# Stretched by this, all 10-10 sites that both have agree to 7 mm, those on the rings and the midlines to 0.1 mm.
_INCLINATION_SCALE = 92 / 72
# Older names of sites that the vocabulary holds twice, and ears and mastoids, which lie on no electrode cap.
_NO_CAP_SITE = frozenset({"T3", "T4", "T5", "T6", "A1", "A2", "M1", "M2"})


@dataclass(frozen=True)
class CapSite:
    """The site that an electrode of a cap gets: None if each within 20 mm goes to a nearer electrode."""

    site: str | None
    distance_mm: float  # to that site, else to the nearest one


def cap_electrodes(montage: str) -> tuple[str, ...]:
    """The electrodes of a montage of MNE in its own order. Raises IngestError for a montage that MNE does not know."""
    return tuple(_directions(montage))


@cache
def cap_sites(montage: str) -> dict[str, CapSite]:
    """Each electrode of a cap with the vocabulary's site that it stands for, one electrode for one site.

    Electrodes and sites are directions from the centre of the best sphere, in MNE's axes (right, nose, Cz).
    The assignment has the least sum of squared distances over the cap (scipy.optimize.linear_sum_assignment), in which
    a pair farther than 20 mm counts as none. Distances are on a head of 95 mm radius.
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  # takes a while; few sources name a cap

    cap = _directions(montage)
    sites = _vocabulary_sites()
    names = list(sites)
    cosine = np.array(list(cap.values())) @ np.array(list(sites.values())).T
    distance_mm = _HEAD_RADIUS_MM * np.arccos(np.clip(cosine, -1, 1))
    rows, columns = linear_sum_assignment(np.minimum(distance_mm, 1.5 * FAR_MM) ** 2)
    assigned = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    result = {}
    for row, electrode in enumerate(cap):
        column = assigned.get(row)
        if column is not None and distance_mm[row, column] <= FAR_MM:
            result[electrode] = CapSite(names[column], float(distance_mm[row, column]))
        else:
            result[electrode] = CapSite(None, float(distance_mm[row].min()))
    return result


def electrode_number(label: str) -> int | None:
    """17 for `17`, `E17`, `EEG 017`, `Ch17`: labels that only count; None for others, and for lettered ones (`B32`)."""
    match = re.fullmatch(r"(?:eeg|channel|chan|ch|electrode|e)?[\s_.-]*0*(\d{1,3})", label.strip(), re.IGNORECASE)
    return int(match.group(1)) if match else None


@cache
def _vocabulary_sites() -> dict[str, npt.NDArray[np.float64]]:
    vocabulary = set(VOCABULARY) - _NO_CAP_SITE
    sites = {canonical_name(name): _stretch(xyz) for name, xyz in _directions(_SITES).items()}
    return {name: xyz for name, xyz in sites.items() if name in vocabulary}


def _stretch(direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inclination = np.arccos(np.clip(direction[2], -1, 1)) * _INCLINATION_SCALE
    azimuth = np.arctan2(direction[1], direction[0])
    x, y = np.sin(inclination) * np.cos(azimuth), np.sin(inclination) * np.sin(azimuth)
    return np.array([x, y, np.cos(inclination)])


@cache
def _directions(montage: str) -> dict[str, npt.NDArray[np.float64]]:
    """Unit vectors from the centre of the least-squares sphere through the electrodes."""
    import mne  # noqa: PLC0415  # takes a while; few sources name a cap

    known = mne.channels.get_builtin_montages()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # names that MNE is about to replace still work
        try:
            dig = mne.channels.make_standard_montage(montage)
        except ValueError as error:
            raise IngestError(
                f"`montage` {montage!r} is unknown to MNE: expected one of {', '.join(known)}. Correct it."
            ) from error
    positions = dig.get_positions()["ch_pos"]
    points = np.array(list(positions.values()))
    system = np.column_stack([2 * points, np.ones(len(points))])
    centre = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3]
    return {name: (xyz - centre) / np.linalg.norm(xyz - centre) for name, xyz in positions.items()}

"""What makes one subject's EEG theirs, and what a state of mind does to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eeg_ingest.demo.head import Vector, near


@dataclass(frozen=True)
class Rhythm:
    """A narrow-band dipole at `location` (3,) with `moment` (3,); its amplitude is the RMS at the strongest site."""

    location: Vector
    moment: Vector
    peak_hz: float
    width_hz: float
    amplitude_uv: float


@dataclass(frozen=True)
class Subject:
    """Traits that stay over all recordings of one person. `rhythms` has the names that `State.gains` uses."""

    background_uv: float
    exponent: float
    rhythms: dict[str, Rhythm]
    blink_uv: float


@dataclass(frozen=True)
class State:
    """Gain of each rhythm (1 where not named) and blinks per second."""

    gains: dict[str, float]
    blinks_hz: float


@dataclass(frozen=True)
class Block:
    """A stretch of a recording in one state; `label` is a key of STATES."""

    onset_s: float
    duration_s: float
    label: str


_SUPPRESSED = 0.4  # what is left of mu and beta over the hemisphere opposite to the moving hand
STATES = {
    "eyes closed": State({"alpha": 1.0, "theta": 0.8}, 0.15),
    "eyes open": State({"alpha": 0.4, "theta": 0.8}, 0.25),
    "arithmetic": State({"alpha": 0.35, "theta": 1.8, "mu left": 0.8, "mu right": 0.8}, 0.20),
    "left hand": State({"alpha": 0.4, "mu right": _SUPPRESSED, "beta right": _SUPPRESSED}, 0.25),
    "right hand": State({"alpha": 0.4, "mu left": _SUPPRESSED, "beta left": _SUPPRESSED}, 0.25),
}


def draw_subject(rng: np.random.Generator) -> Subject:
    """One person: alpha peak within 8.5 to 11.5 Hz, other amplitudes, slopes and places of the sources."""

    def rhythm(
        under: str, peak_hz: float, width_hz: float, amplitude_uv: float, *, tilt: Sequence[float] = (0, 0, 0)
    ) -> Rhythm:
        location = near(*under.split(), depth=0.4) + rng.normal(0, 0.04, 3)
        outward = location / np.linalg.norm(location) + np.asarray(tilt) + rng.normal(0, 0.15, 3)
        return Rhythm(location, outward, peak_hz, width_hz, amplitude_uv * rng.lognormal(0, 0.2))

    alpha_hz = rng.uniform(8.5, 11.5)
    mu_hz = alpha_hz + rng.uniform(0, 1)
    beta_hz = rng.uniform(18, 23)
    theta_hz = rng.uniform(5, 7)
    rhythms = {
        "alpha": rhythm("O1 O2 POz", alpha_hz, 0.6, 24, tilt=(0, -0.3, 0.2)),
        "alpha left": rhythm("O1 PO7", alpha_hz, 0.8, 10),
        "alpha right": rhythm("O2 PO8", alpha_hz, 0.8, 10),
        "mu left": rhythm("C3", mu_hz, 0.8, 7),
        "mu right": rhythm("C4", mu_hz, 0.8, 7),
        "beta left": rhythm("C3", beta_hz, 2, 3.5),
        "beta right": rhythm("C4", beta_hz, 2, 3.5),
        "theta": rhythm("Fz FCz", theta_hz, 0.6, 9),
    }
    return Subject(
        background_uv=12 * rng.lognormal(0, 0.2),
        exponent=rng.uniform(1.0, 1.5),
        rhythms=rhythms,
        blink_uv=rng.uniform(100, 200),
    )

"""One recording of the demo corpus: who, under which cap, in which states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eeg_ingest.demo import artifacts, brain
from eeg_ingest.demo.brain import Signal
from eeg_ingest.demo.head import Leads
from eeg_ingest.demo.subject import Block, Subject


@dataclass(frozen=True)
class Cap:
    """Electrodes under an amplifier.

    `sites` are the 10-05 names of the electrodes and `names` what the file calls them; `reference` are the sites
    whose mean is subtracted. `offset_uv` is the spread of the electrodes' direct voltage, `noise_uv` the amplifier's
    own noise (RMS).
    """

    sites: tuple[str, ...]
    names: tuple[str, ...]
    reference: tuple[str, ...]
    sfreq_hz: int
    hum_hz: float
    offset_uv: float
    noise_uv: float


@dataclass(frozen=True)
class DemoRecording:
    """Signals before they become a file: `signal_uv` (C, S) of the cap, and the lids' `eog_uv` (S,)."""

    cap: Cap
    signal_uv: Signal
    eog_uv: Signal
    blocks: tuple[Block, ...]


def schedule(
    labels: Sequence[str], block_s: float, gap_s: tuple[float, float], n_seconds: int, rng: np.random.Generator
) -> tuple[Block, ...]:
    """Blocks of `block_s` in random order, each label equally often, with random gaps; none runs over the end."""
    blocks: list[Block] = []
    queue: list[str] = []
    onset_s = float(rng.uniform(*gap_s))
    while onset_s + block_s <= n_seconds:
        queue = queue or [str(label) for label in rng.permutation(list(labels))]
        blocks.append(Block(round(onset_s, 2), block_s, queue.pop()))
        onset_s += block_s + float(rng.uniform(*gap_s))
    return tuple(blocks)


def record(
    subject: Subject, cap: Cap, blocks: tuple[Block, ...], n_seconds: int, rng: np.random.Generator
) -> DemoRecording:
    """What the amplifier sees (C, S) in µV."""
    n_channels, n_samples = len(cap.sites), n_seconds * cap.sfreq_hz
    leads = Leads.of(cap.sites, cap.reference)
    signal_uv = brain.background(subject, leads, n_samples, cap.sfreq_hz, rng)
    for name, source in subject.rhythms.items():
        gain = brain.state_gain(name, blocks, n_samples, cap.sfreq_hz, rng)
        signal_uv += brain.rhythm(source, leads, gain, cap.sfreq_hz, rng)
    lids_uv = subject.blink_uv * artifacts.blinks(blocks, n_samples, cap.sfreq_hz, rng)
    signal_uv += np.outer(artifacts.eye_topography(leads), lids_uv)
    signal_uv += artifacts.muscle_bursts(leads, n_samples, cap.sfreq_hz, rng)
    signal_uv += artifacts.slow_drifts(n_channels, n_samples, cap.sfreq_hz, rng)
    signal_uv += artifacts.mains_hum(n_channels, cap.hum_hz, n_samples, cap.sfreq_hz, rng)
    signal_uv += cap.noise_uv * rng.standard_normal(signal_uv.shape, dtype=np.float32)
    signal_uv += rng.normal(0, cap.offset_uv, (n_channels, 1)).astype(np.float32)
    if rng.random() < 0.5:
        artifacts.drop_out(signal_uv, cap.sfreq_hz, rng)
    return DemoRecording(cap, signal_uv, lids_uv, blocks)

"""Channels: without a signal, with another's signal, with the eyes' signal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding
from eeg_ingest.audit.look import Look
from eeg_ingest.channel_types import parse_label

DEAD_SHARE = 0.5
LEAST_UV = (
    1.0  # of typical channels, beside which one without any signal is dead: smaller ones are a matter of the unit
)
ALIKE = 0.98  # median correlation of all pairs: EEG of one head reaches 0.85, a common calibration signal 0.9995
MIN_ALIKE = 4
BLINKS_UV = (75.0, 1000.0)
TIMES_TYPICAL = 3.0
MIN_CHANNELS = 8  # on a headset of four, the reference on the forehead puts the blinks behind the ears
MIN_SECONDS = 60
FRONT = ("FP", "AF", "NZ", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "FZ")


def check_railed(evidence: Evidence) -> Iterator[Finding]:
    """Find channels that stand still or sit at the converter's limit for half of a recording or more.

    So do those that only flicker by the converter's last bit: nothing is left of them in the store.
    """
    flat = evidence.expected.flat or ()

    def dead(look: Look) -> list[int]:
        silent = np.isnan(look.amplitude_uv) & (look.typical_uv >= LEAST_UV)
        return [c for c in np.flatnonzero((look.dead >= DEAD_SHARE) | silent).tolist() if look.channels[c] not in flat]

    looks = [look for look in evidence.looks if dead(look)]
    if not looks:
        return
    whole = [look for look in looks if 2 * len(dead(look)) > len(look.channels)]
    clipped = sum(int(np.count_nonzero(look.clipped >= DEAD_SHARE)) for look in looks)
    at_limit = f", {clipped} of them at the converter's limit" if clipped else ""
    yield evidence.finding(
        "railed_channels",
        "error" if whole else "warning",
        expected="channels with a signal",
        found=f"{_channels(looks, dead)} constant for half of the time or more{at_limit}, in {evidence.share(looks)}",
        action="Drop the channels, or leave them out by the quality numbers",
        looks=looks,
    )


def check_identical(evidence: Evidence) -> Iterator[Finding]:
    """Find channels that hold the very signal of another one, and recordings in which all channels are alike."""
    alike = [look for look in evidence.looks if is_alike(look)]
    if alike:
        r = float(np.median([look.correlation for look in alike]))
        yield evidence.finding(
            "identical_channels",
            "error",
            expected="channels that differ, as electrodes at different places do",
            found=f"one signal on all channels (median correlation {r:.4f}) in {evidence.share(alike)}: a calibration, "
            "or inputs without electrodes",
            action="Leave these recordings out",
            looks=alike,
        )
    looks = [look for look in evidence.looks if _copies(look) and not is_alike(look)]
    if looks:
        groups = Counter("=".join(look.channels[c] for c in group[:4]) for look in looks for group in _copies(look))
        most = ", ".join(name for name, _ in groups.most_common(3)) + (" ..." if len(groups) > 3 else "")
        yield evidence.finding(
            "identical_channels",
            "warning",
            expected="channels that differ",
            found=f"the same samples on {most} in {evidence.share(looks)}",
            action="Drop all but one of them, or correct the channels of the source",
            looks=looks,
        )


def _copies(look: Look) -> list[tuple[int, ...]]:
    """Groups of identical channels that have a signal most of the time: those at the rails are alike too."""
    alive = [tuple(c for c in group if look.dead[c] < DEAD_SHARE) for group in look.identical]
    return [group for group in alive if len(group) > 1]


def is_alike(look: Look) -> bool:
    """Whether all channels of a recording carry one signal."""
    n_live = int(np.isfinite(look.amplitude_uv).sum())
    return n_live >= MIN_ALIKE and look.correlation >= ALIKE


def check_eyes(evidence: Evidence) -> Iterator[Finding]:
    """Find channels that are stored as EEG but are named otherwise in the file, and those that blink off the forehead.

    A blink is a large slow deflection, again and again with one sign.
    """
    named = [look for look in evidence.looks if _misnamed(look)]
    if named:
        labels = sorted({look.row["original_names"][channel] for look in named for channel in _misnamed(look)})
        yield evidence.finding(
            "eog_as_eeg",
            "warning",
            expected="EEG channels",
            found=f"{_channels(named, _misnamed)}, which the files name as eyes, heart or muscle "
            f"({', '.join(labels[:4])}), in {evidence.share(named)}",
            action="Drop the channels, or do not rename them",
            looks=named,
        )
    looks = [look for look in evidence.looks if blinking(look)]
    if looks:
        yield evidence.finding(
            "eog_as_eeg",
            "warning",
            expected="blinks at the forehead alone",
            found=f"{_channels(looks, blinking)} with blinks of {BLINKS_UV[0]:g} µV and more, {TIMES_TYPICAL:g} times "
            f"what moves the other channels, in {evidence.share(looks)}",
            action="Drop the channels if they are electrodes beside the eyes",
            looks=looks,
        )


def _misnamed(look: Look) -> list[int]:
    """Channels (indices) whose label in the file names another kind of signal."""
    labels = enumerate(look.row["original_names"])
    return [channel for channel, label in labels if parse_label(label).type in ("eog", "ecg", "emg")]


def blinking(look: Look) -> list[int]:
    """Channels (indices) of a recording that look like an EOG under the name of an EEG channel."""
    if look.row["n_seconds"] < MIN_SECONDS or len(look.channels) < MIN_CHANNELS:
        return []
    low, high = BLINKS_UV
    limit = max(low, TIMES_TYPICAL * look.deflection_uv)
    return [
        channel
        for channel, height_uv in enumerate(look.blinks_uv)
        if limit <= height_uv <= high and not look.channels[channel].upper().startswith(FRONT)
    ]


def _channels(looks: Sequence[Look], choose: Callable[[Look], list[int]]) -> str:
    """Name the channels that `choose` picks, the most frequent first."""
    counts = Counter(look.channels[channel] for look in looks for channel in choose(look))
    names = [name for name, _ in counts.most_common(4)]
    return ", ".join(names) + (f" and {len(counts) - 4} more" if len(counts) > 4 else "")

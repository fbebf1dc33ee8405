"""Recordings that stop before they end: a dead tail, labels beyond the end, far shorter than the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding
from eeg_ingest.audit.look import Look

TAIL_S = 5  # writers fill the last record of a file with up to a few seconds
LATE_S = 1.0
SHORT = 0.6  # of the usual length
STEADY = 0.1  # spread of the lengths (median absolute deviation) that makes one usual
SAME_LENGTH = 0.05
MIN_RECORDINGS = 5


def check_ends(evidence: Evidence) -> Iterator[Finding]:
    """Find recordings that are dead to their end, and those whose labels go on after it."""
    dead = [look for look in evidence.looks if look.tail_s >= TAIL_S]
    if dead:
        tails = sorted(look.tail_s for look in dead)
        yield evidence.finding(
            "stops_early",
            "warning",
            expected="a signal to the end",
            found=f"every channel constant for the last {_span(tails)} s in {evidence.share(dead)}",
            action="Leave those seconds out by the quality numbers",
            looks=dead,
        )
    late = [look for look in evidence.looks if _late_s(evidence, look) > LATE_S]
    if late:
        most_s = max(_late_s(evidence, look) for look in late)
        yield evidence.finding(
            "stops_early",
            "warning",
            expected="labels within the recording",
            found=f"labels up to {most_s:.0f} s after the end of {evidence.share(late)}",
            action="Check that these files are complete, and that the labels are theirs",
            looks=late,
        )


def check_lengths(evidence: Evidence) -> Iterator[Finding]:
    """Find recordings that are half as long as the others of their run, or shorter, where those are equally long.

    Where a run has few recordings all are compared; a length that another recording has too is then a kind of its own.
    """
    kinds: dict[str | None, list[Look]] = defaultdict(list)
    for look in evidence.looks:
        kinds[look.row["run"]].append(look)
    groups = list(kinds.values()) if all(len(group) >= MIN_RECORDINGS for group in kinds.values()) else []
    for group in groups or [list(evidence.looks)]:
        lengths_s = np.array([look.row["original_duration_s"] for look in group])
        if len(group) < MIN_RECORDINGS:
            continue
        usual_s = float(np.median(lengths_s))
        if np.median(np.abs(lengths_s - usual_s)) > STEADY * usual_s:
            continue
        short = [
            look
            for look, length_s in zip(group, lengths_s, strict=True)
            if length_s < SHORT * usual_s and np.sum(np.abs(lengths_s / length_s - 1) < SAME_LENGTH) == 1
        ]
        if short:
            short_s = sorted(round(look.row["original_duration_s"]) for look in short)
            yield evidence.finding(
                "stops_early",
                "warning",
                expected=f"about {usual_s:.0f} s, as in the other recordings of their kind",
                found=f"{_span(short_s)} s in {evidence.share(short)}",
                action="Check that these files are complete",
                looks=short,
            )


def _span(values: list[int]) -> str:
    """Write the smallest and the largest of sorted numbers."""
    return f"{values[0]}" if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _late_s(evidence: Evidence, look: Look) -> float:
    last = look.row["segments"][-1]
    end_s = last["original_onset_s"] + last["n_seconds"] + last["dropped_s"]
    return float(evidence.last_label_s.get(look.recording, end_s) - end_s)

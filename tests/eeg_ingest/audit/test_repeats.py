"""The same signal under two names: whole, cut, scaled, in another source; and signals that are merely alike."""

from __future__ import annotations

import numpy as np
import pytest

from tests.eeg_ingest.audit.conftest import Audit
from tests.eeg_ingest.audit.heads import SFREQ_HZ, Head, Signal, brain


def duplicates(audit_of: Audit, heads: dict[str, Head]) -> list[tuple[str, str, tuple[str, ...], str]]:
    findings = audit_of(heads)
    return [(f.source, f.weight, f.recordings, f.found) for f in findings if f.name == "duplicate_recording"]


@pytest.mark.parametrize("start", [0, 3 * SFREQ_HZ, 17 * SFREQ_HZ + 31, 40 * SFREQ_HZ + 90, 61 * SFREQ_HZ + 110])
def test_a_part_of_a_recording_wherever_it_begins(audit_of: Audit, start: int) -> None:
    uv = brain(start, 120)
    part = uv[:, start : start + 55 * SFREQ_HZ]
    heads = {f"other{seed}": Head(brain(1000 + seed, 120)) for seed in range(2)}
    ((source, weight, recordings, found),) = duplicates(
        audit_of, {**heads, "whole": Head(uv, "a"), "part": Head(part, "b")}
    )
    assert (source, weight, recordings) == ("b", "error", ("part",))
    assert "part is whole" in found
    assert start < SFREQ_HZ or f"from {round(start / SFREQ_HZ)} s on" in found


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_with_other_gains_noise_and_fewer_channels(audit_of: Audit, seed: int) -> None:
    uv = brain(seed, 60)
    copied = 0.8 * uv[3:] + np.random.default_rng(seed).normal(0, 0.05, uv[3:].shape)
    names = Head(uv).names
    row = {"subject": "me"}
    heads = {"first": Head(uv, row=row), "copy": Head(copied, names=names[3:], row=row)}
    ((_, weight, recordings, _),) = duplicates(audit_of, heads)
    assert weight == "warning"  # one person's: no split by subject parts them
    assert recordings in (("first",), ("copy",))


@pytest.mark.parametrize("seed", range(3))
def test_recordings_that_rise_and_fall_together_are_not_one(audit_of: Audit, seed: int) -> None:
    rhythm = np.repeat(np.exp(0.3 * np.random.default_rng(seed).standard_normal(60)), SFREQ_HZ)
    heads: dict[str, Head] = {}
    for number in range(3):
        uv: Signal = brain(50 * seed + number, 60)
        uv /= np.repeat(uv.reshape(len(uv), 60, -1).std(axis=(0, 2)), SFREQ_HZ)
        heads[f"h{number}"] = Head(15 * uv * rhythm)
    assert duplicates(audit_of, heads) == []

"""Units: amplitudes that no scalp EEG has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding, number_of
from eeg_ingest.audit.look import Look

LIKELY_UV = (1.0, 150.0)  # typical amplitude from 1 to 40 Hz, of a recording
IMPOSSIBLE_UV = (0.1, 1500.0)
APART = 30.0  # times the source's median: a recording in another unit is a thousand off
OPEN_UV = 500.0  # of a single channel


def check_units(evidence: Evidence) -> Iterator[Finding]:
    """Find sources and recordings whose amplitude is no EEG's, files that failed for their unit, and open inputs."""
    unit_failures = [row for row in evidence.failures if is_of_unit(row)]
    if unit_failures:
        files = tuple(f"{row['source']}/{row['file']}" for row in unit_failures)
        yield Finding(
            "unit",
            "error",
            evidence.source,
            "amplitudes of EEG in the unit that the files or the source declare",
            f"{number_of(files, 'file')} that failed for it: {unit_failures[0]['reason']}",
            "Correct `unit` of the source in sources.yaml and build again",
            files,
        )
    judged = [look for look in evidence.looks if not math.isnan(look.typical_uv)]
    if not judged:
        return
    median_uv = float(np.median([look.typical_uv for look in judged]))
    low, high = LIKELY_UV
    odd = [look for look in judged if not low <= look.typical_uv <= high]
    if not low <= median_uv <= high:
        impossible = not IMPOSSIBLE_UV[0] <= median_uv <= IMPOSSIBLE_UV[1]
        yield evidence.finding(
            "unit",
            "error" if impossible else "warning",
            expected=f"typical amplitudes of {low:g} to {high:g} µV from 1 to 40 Hz",
            found=f"{median_uv:.3g} µV, the median of {number_of(judged, 'recording')}{_likely(median_uv)}",
            action="Check the unit of the source; if it is right, no electrodes were on a head",
            looks=odd,
        )
        return
    apart = [look for look in odd if not 1 / APART <= look.typical_uv / median_uv <= APART]
    for weight, looks in (("error", apart), ("warning", [look for look in odd if look not in apart])):
        if looks:
            yield evidence.finding(
                "unit",
                "error" if weight == "error" else "warning",
                expected=f"typical amplitudes of {low:g} to {high:g} µV from 1 to 40 Hz, as in the source's median of "
                f"{median_uv:.3g} µV",
                found=f"{_range(looks)} µV in {evidence.share(looks)}",
                action="Check the unit and the electrodes of these recordings",
                looks=looks,
            )


def is_of_unit(failure: Mapping[str, Any]) -> bool:
    """Whether a file failed for its unit: such reasons ask for `unit`."""
    return "`unit" in failure["reason"]


def check_open_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find channels that swing by millivolts: electrodes off the head, inputs without an electrode."""
    looks = [look for look in evidence.looks if _open_channels(look)]
    if looks:
        names = sorted({look.channels[c] for look in looks for c in _open_channels(look)})
        yield evidence.finding(
            "open_inputs",
            "warning",
            expected=f"channels that stay below {OPEN_UV:g} µV",
            found=f"{len(names)} channels beyond it ({', '.join(names[:4])}{' ...' if len(names) > 4 else ''}) in "
            f"{evidence.share(looks)}",
            action="Leave their seconds out by the quality numbers, or drop the channels",
            looks=looks,
        )


def _open_channels(look: Look) -> list[int]:
    if look.typical_uv > LIKELY_UV[1]:
        return []  # all of them: a matter of the unit
    return np.flatnonzero(np.nan_to_num(look.amplitude_uv) > OPEN_UV).tolist()


def _likely(median_uv: float) -> str:
    """Name the factor that would make EEG of it."""
    for factor in (1e-6, 1e-3, 1e3, 1e6):
        if LIKELY_UV[0] <= median_uv * factor <= LIKELY_UV[1]:
            return f"; {factor:g} times it would be EEG"
    return ""


def _range(looks: list[Look]) -> str:
    values = sorted(look.typical_uv for look in looks)
    return f"{values[0]:.3g}" if len(values) == 1 else f"{values[0]:.3g} to {values[-1]:.3g}"

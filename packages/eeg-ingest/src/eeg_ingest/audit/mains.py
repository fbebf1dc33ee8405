"""The mains frequency that was notched, against the hum that is left."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding
from eeg_ingest.audit.look import MAINS_HZ

MIN_RATIO = 3.0
MIN_LIVE = 24  # stretches of single channels: the median of fewer wanders too far
FEW = 0.2  # of the recordings: as many may stand beside a monitor or a machine


def check_mains(evidence: Evidence) -> Iterator[Finding]:
    """Find hum at 50 or 60 Hz that was not notched, and recordings whose mains differs from the rest of the source."""
    yield from _not_notched(evidence)
    by_line = {f: [look for look in evidence.looks if look.row["line_freq_hz"] == f] for f in MAINS_HZ}
    usual_hz = max(MAINS_HZ, key=lambda f: len(by_line[f]))
    odd = [look for f, looks in by_line.items() if f != usual_hz for look in looks]
    if odd and evidence.options.get("line_freq_hz") == "auto":
        yield evidence.finding(
            "mains_frequency",
            "warning",
            expected=f"one mains frequency, {usual_hz:g} Hz as in {len(by_line[usual_hz])} recordings",
            found=f"{odd[0].row['line_freq_hz']:g} Hz in {evidence.share(odd)}",
            action="Declare line_freq_hz for the source, or check these recordings' sampling rate",
            looks=odd,
        )


def _not_notched(evidence: Evidence) -> Iterator[Finding]:
    for hum_hz in MAINS_HZ:
        judged = [
            look
            for look in evidence.looks
            if look.row["line_freq_hz"] not in (None, hum_hz)
            and look.n_live >= MIN_LIVE
            and not math.isnan(look.hum.get(hum_hz, math.nan))
        ]
        humming = [look for look in judged if look.hum[hum_hz] >= MIN_RATIO]
        if not humming:
            continue
        lines = "/".join(sorted({f"{look.row['line_freq_hz']:g}" for look in humming}))
        ratio = float(np.median([look.hum[hum_hz] for look in humming]))
        yield evidence.finding(
            "mains_frequency",
            "error" if len(humming) > FEW * len(judged) else "warning",
            expected=f"mains of {lines} Hz, which was notched",
            found=f"hum at {hum_hz:g} Hz, {ratio:.1f} times the power beside it, in {len(humming)} of {len(judged)} "
            "recordings that can tell",
            action=f"Set line_freq_hz to {hum_hz:g} or auto and build another store",
            looks=humming,
        )

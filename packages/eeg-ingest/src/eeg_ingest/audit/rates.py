"""Sampling rates: as expected, as in the rest of the source, and as the hum of the mains has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding
from eeg_ingest.rate import RATE_DOUBT

SAME_RATE = 1e-3
USUAL = 0.8  # of the recordings share a rate: then the others are odd
MIN_RECORDINGS = 5


def check_rates(evidence: Evidence) -> Iterator[Finding]:
    """Find recordings whose header contradicts the expected rates or the mains, and those that stand out."""
    doubted = [(look, text) for look in evidence.looks for text in look.row["warnings"] if text.startswith(RATE_DOUBT)]
    if doubted:
        looks = [look for look, _ in doubted]
        yield evidence.finding(
            "sampling_rate",
            "error" if 2 * len(looks) > len(evidence.looks) else "warning",
            expected="hum of the mains at 50 or 60 Hz",
            found=f"{evidence.share(looks)} in which {doubted[0][1].removeprefix(RATE_DOUBT + ': ')}",
            action="Find out at which rate they were recorded, and correct the headers",
            looks=looks,
        )
    if not evidence.looks:
        return
    rates = Counter(look.row["original_sfreq_hz"] for look in evidence.looks)
    allowed = evidence.expected.sfreq_hz
    if allowed is not None:
        odd = [rate for rate in rates if all(abs(rate / known - 1) > SAME_RATE for known in allowed)]
        wanted = f"{' or '.join(f'{rate:g}' for rate in allowed)} Hz"
    else:
        usual, count = rates.most_common(1)[0]
        clear = len(evidence.looks) >= MIN_RECORDINGS and count >= USUAL * len(evidence.looks)
        odd = [rate for rate in rates if rate != usual] if clear else []
        wanted = f"{usual:g} Hz, as in {count} of {len(evidence.looks)} recordings"
    looks = [look for look in evidence.looks if look.row["original_sfreq_hz"] in odd]
    if looks:
        yield evidence.finding(
            "sampling_rate",
            "error" if allowed is not None else "warning",
            expected=wanted,
            found=f"{', '.join(f'{rate:g}' for rate in sorted(odd))} Hz in {evidence.share(looks)}",
            action="Check the headers of these recordings, or add the rate to sfreq_hz of expected",
            looks=looks,
        )

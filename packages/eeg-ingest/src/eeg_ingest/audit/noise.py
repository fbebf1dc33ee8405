"""Recordings that hold noise instead of EEG."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding
from eeg_ingest.audit.look import Look

MIN_SLOPE = -0.3
MAX_CORRELATION = 0.15
MIN_LIVE = 12  # stretches of single channels
MIN_CHANNELS = 4


def check_noise(evidence: Evidence) -> Iterator[Finding]:
    """Find recordings whose spectrum is flat and whose channels have nothing in common."""
    looks = [look for look in evidence.looks if is_noise(look)]
    if looks:
        slope, r = (float(np.median([getattr(look, name) for look in looks])) for name in ("slope", "correlation"))
        yield evidence.finding(
            "noise",
            "error",
            expected="power that falls with frequency, and neighbours that have signal in common",
            found=f"{evidence.share(looks)} with a flat spectrum (exponent {slope:.2f}) and unrelated channels (median "
            f"correlation {r:.2f}): random numbers, or an amplifier without a head",
            action="Leave these recordings out",
            looks=looks,
        )


def is_noise(look: Look) -> bool:
    """Whether a recording is white noise, each channel its own."""
    judged = look.n_live >= MIN_LIVE and np.isfinite(look.amplitude_uv).sum() >= MIN_CHANNELS
    return bool(judged and look.slope >= MIN_SLOPE and look.correlation <= MAX_CORRELATION)

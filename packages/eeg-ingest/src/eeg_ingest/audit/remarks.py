"""What the build itself had to say: files that failed, channels that were left out, warnings of recordings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding, number_of
from eeg_ingest.audit.look import Look
from eeg_ingest.audit.units import is_of_unit
from eeg_ingest.rate import RATE_DOUBT

SHOWN_NAMES = 6
DROPPED = "dropped by the source"  # the user asked for it


def check_remarks(evidence: Evidence) -> Iterator[Finding]:
    """Repeat what the tables hold, once for each kind."""
    for recording, reason in evidence.unreadable.items():
        expected, action = "samples that can be read", "Run eeg-ingest validate"
        yield Finding("unreadable", "error", evidence.source, expected, reason, action, (recording,))
    failures = [row for row in evidence.failures if not is_of_unit(row)]
    if failures:
        files = tuple(f"{row['source']}/{row['file']}" for row in failures)
        yield Finding(
            "failures",
            "warning",
            evidence.source,
            "every file in the store",
            f"{number_of(files, 'failure')}, the first one: {failures[0]['reason']}",
            "Correct what the reasons name and build again",
            files,
        )
    yield from _filters(evidence)
    yield from _left_out(evidence)
    by_kind: dict[str, list[tuple[Look, str]]] = defaultdict(list)
    for look in evidence.looks:
        for text in look.row["warnings"]:
            if not text.startswith(RATE_DOUBT):
                by_kind[re.sub(r"[\d.]+", "#", text.replace(_stem(look), "#"))].append((look, text))
    for said in by_kind.values():
        looks = list({look.recording: look for look, _ in said}.values())
        yield evidence.finding(
            "ingest_warning",
            "note",
            expected="nothing to warn of",
            found=f"{evidence.share(looks)} with: {said[0][1]}",
            action="Judge whether it matters to you",
            looks=looks,
        )


def _stem(look: Look) -> str:
    """Name of the recording's file, which that of a file beside it begins with."""
    return PurePosixPath(look.row["file"]).stem


def _filters(evidence: Evidence) -> Iterator[Finding]:
    """Name the filters that the files declare, where they declare different ones."""
    declared = Counter((look.row["original_highpass_hz"], look.row["original_lowpass_hz"]) for look in evidence.looks)
    if len(declared) > 1:
        listed = [f"{_band(*band)} in {count}" for band, count in declared.most_common(SHOWN_NAMES)]
        more = " ..." if len(declared) > SHOWN_NAMES else ""
        yield evidence.finding(
            "filters",
            "note",
            expected="one filter before publication, declared by every file",
            found=f"{', '.join(listed)}{more} of {number_of(evidence.looks, 'recording')}",
            action="Do not take the band that a file declares for the band that it holds",
        )


def _band(low_hz: float | None, high_hz: float | None) -> str:
    if low_hz is None and high_hz is None:
        return "none"
    return f"{'?' if low_hz is None else f'{low_hz:.3g}'} to {'?' if high_hz is None else f'{high_hz:.3g}'} Hz"


def _left_out(evidence: Evidence) -> Iterator[Finding]:
    """Name the channels that are no EEG by their name, and those that could not be placed, by reason."""
    names: dict[str, dict[str, None]] = defaultdict(dict)
    looks: dict[str, Look] = {}
    for look in evidence.looks:
        for channel in look.row["left_out"]:
            if channel["reason"] != DROPPED:
                names[re.sub(r"'[^']*'", "...", channel["reason"])][channel["name"].strip()] = None
                looks[look.recording] = look
    if looks:
        yield evidence.finding(
            "left_out",
            "note",
            expected="EEG channels",
            found=f"{'; '.join(f'{_some(listed)} ({reason})' for reason, listed in names.items())} left out in "
            f"{evidence.share(list(looks.values()))}",
            action="Rename them under channels of the source if they are EEG",
            looks=looks.values(),
        )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN_NAMES]) + (f" and {len(listed) - SHOWN_NAMES} more" if listed[SHOWN_NAMES:] else "")

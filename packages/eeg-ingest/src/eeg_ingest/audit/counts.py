"""What the source was said to be: subjects, recordings, hours and channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding

TOLERANCE = 0.02  # of the hours: papers round, and count with or without the last second
COMPLETE_HOURS = 0.9  # of the expected hours, where every expected recording is there


def check_counts(evidence: Evidence) -> Iterator[Finding]:
    """Find more than the whole dataset has (a contradiction), and less (a remark)."""
    expected = evidence.expected
    hours = sum(look.row["original_duration_s"] for look in evidence.looks) / 3600
    subjects = len({look.row["subject"] for look in evidence.looks} - {None})
    complete = expected.recordings is not None and len(evidence.looks) >= expected.recordings
    counted = (
        ("subjects", subjects, expected.subjects, 0.0, 1.0),
        ("recordings", len(evidence.looks), expected.recordings, 0.0, 1.0),
        ("hours", hours, expected.hours, TOLERANCE, COMPLETE_HOURS),
    )
    for name, found, wanted, tolerance, enough in counted:
        if wanted is None or (name == "subjects" and not subjects):
            continue
        if found > wanted * (1 + tolerance):
            action = {
                "subjects": "Check the pattern of subject: a session or a run may be taken for a person",
                "recordings": "Check the files of the source: other recordings may be among them",
                "hours": "Check the files of the source and their sampling rates",
            }[name]
            yield evidence.finding(name, "warning", expected=f"{wanted:g} {name}", found=f"{found:g}", action=action)
        elif found < wanted * enough and complete:
            yield evidence.finding(
                name,
                "warning",
                expected=f"{wanted:g} {name} in {expected.recordings} recordings",
                found=f"{found:.4g} in {len(evidence.looks)}",
                action="Check that the files are complete, and the pattern of subject",
            )
        elif found < wanted * (1 - tolerance):
            yield evidence.finding(
                name,
                "note",
                expected=f"{wanted:g} {name} in the whole dataset",
                found=f"{found:.4g}, a part of it",
                action="Nothing, if a part is what you want",
            )
    yield from _check_channels(evidence)


def _check_channels(evidence: Evidence) -> Iterator[Finding]:
    wanted = evidence.expected.channels
    if wanted is None:
        return
    odd = [look for look in evidence.looks if len(look.channels) not in wanted]
    if odd:
        counts = Counter(len(look.channels) for look in odd)
        listed = ", ".join(f"{n} in {count}" for n, count in counts.most_common(4))
        yield evidence.finding(
            "channels",
            "warning",
            expected=f"{' or '.join(map(str, wanted))} EEG channels",
            found=f"{listed} recordings",
            action="Look at what was left out and why, and at `channels` of the source",
            looks=odd,
        )

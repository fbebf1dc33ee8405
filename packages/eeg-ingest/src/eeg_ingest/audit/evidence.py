"""What the checks are given: all that the store holds of one source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eeg_ingest.audit.finding import Finding, Weight
from eeg_ingest.audit.look import Look
from eeg_ingest.facts import Expected


@dataclass(frozen=True)
class Evidence:
    """One source: its options in the store's spec, what is expected of it, and what was found.

    `last_label_s` is the onset of the last label of a recording, on its file's clock. `unreadable` are the reasons why
    stored recordings could not be looked at.
    """

    source: str
    options: Mapping[str, Any]
    expected: Expected
    looks: Sequence[Look]
    failures: Sequence[Mapping[str, Any]]
    last_label_s: Mapping[str, float]
    unreadable: Mapping[str, str]

    def finding(
        self, name: str, weight: Weight, *, expected: str, found: str, action: str, looks: Iterable[Look] = ()
    ) -> Finding:
        """Make a finding in this source; `looks` are the recordings that have it."""
        recordings = tuple(look.recording for look in looks)
        return Finding(name, weight, self.source, expected, found, action, recordings)

    def share(self, looks: Sequence[Look]) -> str:
        """Write how many of the source's recordings these are."""
        return f"{len(looks)} of {len(self.looks)} recordings"

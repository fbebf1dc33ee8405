"""What the audit finds: a named difference between what was expected of a source and what its recordings hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Weight = Literal["error", "warning", "note"]
WEIGHTS: tuple[Weight, ...] = ("error", "warning", "note")
SHOWN_RECORDINGS = 3


@dataclass(frozen=True)
class Finding:
    """One finding in one source (docs/audit.md). `recordings` are all that have it; none if it is about the source."""

    name: str
    weight: Weight
    source: str
    expected: str
    found: str
    action: str
    recordings: tuple[str, ...] = ()

    @property
    def has_weight(self) -> bool:
        """Whether it fails a strict build: a note does not."""
        return self.weight != "note"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as `--json` prints it."""
        return {
            "name": self.name,
            "weight": self.weight,
            "source": self.source,
            "expected": self.expected,
            "found": self.found,
            "action": self.action,
            "recordings": list(self.recordings),
        }

    def __str__(self) -> str:
        where = f" In {name_some(self.recordings)}." if self.recordings else ""
        return f"{self.weight} {self.name} in {self.source}: {self.sentence}{where}"

    @property
    def sentence(self) -> str:
        """The finding without its name and place."""
        return f"expected {self.expected}, found {self.found.removesuffix('.')}. {self.action}."


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Sort findings: most severe first, then by source and name."""
    return sorted(findings, key=lambda f: (WEIGHTS.index(f.weight), f.source, f.name, f.recordings))


def number_of(things: Sequence[object], noun: str) -> str:
    """Write how many there are: `1 file`, `2 files`."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def name_some(names: Sequence[str]) -> str:
    """Write the first few names and how many more there are."""
    more = len(names) - SHOWN_RECORDINGS
    return ", ".join(names[:SHOWN_RECORDINGS]) + (f" and {more} more" if more > 0 else "")


def write_page(findings: Sequence[Finding], n_recordings: int) -> str:
    """Write all findings for people: a block each, most severe first, and a line that counts them."""
    blocks = []
    for finding in in_order(findings):
        lines = [
            f"{finding.weight}: {finding.name} in {finding.source}",
            f"  expected  {finding.expected}",
            f"  found     {finding.found}",
            f"  do        {finding.action}",
        ]
        lines += [f"  in        {name_some(finding.recordings)}"] if finding.recordings else []
        blocks.append("\n".join(lines))
    counts = [sum(finding.weight == weight for finding in findings) for weight in WEIGHTS]
    told = ", ".join(
        f"{count} {weight}{'' if count == 1 else 's'}" for count, weight in zip(counts, WEIGHTS, strict=True)
    )
    blocks.append(f"{n_recordings} recording{'' if n_recordings == 1 else 's'} looked at: {told}")
    return "\n\n".join(blocks)

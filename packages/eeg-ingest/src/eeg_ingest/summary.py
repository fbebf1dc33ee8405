"""What a store holds, as `inspect` shows it: as JSON values and as a table for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eeg_store import Store

SHOWN_FAILURES = 20
COLUMNS = ["source", "subject", "array", "n_seconds", "n_bytes"]


def summarize(store: Store) -> dict[str, Any]:
    """Return recordings, hours, the spec with its hash, and for each source what is stored of it and what failed."""
    sources: dict[str, dict[str, Any]] = {name: _empty(name) for name in store.spec.get("sources", {})}
    subjects: dict[str, set[str]] = defaultdict(set)
    seconds: Counter[str] = Counter()
    for row in store.recordings(COLUMNS).to_pylist():
        source = sources.setdefault(row["source"], _empty(row["source"]))
        source["recordings"] += 1
        source["original_bytes"] += row["n_bytes"]
        seconds[row["source"]] += row["n_seconds"]
        if row["subject"] is not None:
            subjects[row["source"]].add(row["subject"])
    for array in store.arrays():
        source = sources.setdefault(array.source, _empty(array.source))
        source["arrays"].append({"path": array.path, "channels": list(array.channels), "reference": array.reference})
        source["bytes"] += _size(store.path / array.source / array.montage)
    for failure in store.failures().to_pylist():
        source = sources.setdefault(failure["source"], _empty(failure["source"]))
        source["failures"].append({"file": failure["file"], "reason": failure["reason"]})
    for name, source in sources.items():
        source["subjects"] = len(subjects[name])
        source["hours"] = seconds[name] / 3600
    return {
        "recordings": sum(source["recordings"] for source in sources.values()),
        "hours": sum(seconds.values()) / 3600,
        "spec": {**store.spec, "hash": store.spec_hash},
        "sources": list(sources.values()),
        "codes": [{"tokenizer": name, **attrs} for name, attrs in sorted(store.code_sets().items())],
    }


def table_of_sources(summary: Mapping[str, Any]) -> str:
    """Write a summary as aligned columns, one line a source, then the reasons of the first failures."""
    rows = [["source", "recordings", "subjects", "hours", "channels", "MB", "failures"]]
    for source in summary["sources"]:
        widths = sorted({len(array["channels"]) for array in source["arrays"]})
        rows.append(
            [
                source["name"],
                str(source["recordings"]),
                str(source["subjects"]),
                f"{source['hours']:.2f}",
                ", ".join(str(width) for width in widths) or "-",
                f"{source['bytes'] / 1e6:.1f}",
                str(len(source["failures"])),
            ]
        )
    failures = [(source["name"], failure) for source in summary["sources"] for failure in source["failures"]]
    total = ["total", str(summary["recordings"]), str(sum(source["subjects"] for source in summary["sources"]))]
    size = sum(source["bytes"] for source in summary["sources"]) / 1e6
    rows.append([*total, f"{summary['hours']:.2f}", "", f"{size:.1f}", str(len(failures))])
    return "\n".join([align(rows), *list_failures([(name, f["file"], f["reason"]) for name, f in failures])])


def align(rows: Sequence[Sequence[str]]) -> str:
    """Align a table: the first column left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)


def list_failures(failures: Sequence[tuple[str, str, str]]) -> list[str]:
    """Write failures (source, file, reason), a line each; a long list is cut."""
    lines = [f"{source}/{file}: {reason}" for source, file, reason in failures[:SHOWN_FAILURES]]
    more = len(failures) - len(lines)
    return ["", "Failures:", *lines, *([f"... and {more} more; --json lists all."] if more else [])] if lines else []


def _empty(name: str) -> dict[str, Any]:
    source = {"name": name, "recordings": 0, "subjects": 0, "hours": 0.0, "failures": []}
    return {**source, "arrays": [], "bytes": 0, "original_bytes": 0}


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a builder has just renamed it
            total += path.stat().st_size if path.is_file() else 0
    return total

"""The spec of a store: every option that changes its data. A build over a store of another spec is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eeg_store.channels import VOCABULARY_NAME

from eeg_ingest.errors import UsageError
from eeg_ingest.harmonize import HARMONIZE_SPEC
from eeg_ingest.sources import Source


def spec_of(sources: Sequence[Source]) -> dict[str, Any]:
    """Return the spec of a store of these sources: what changes its data, so not paths, globs and workers."""
    return {
        "harmonize": HARMONIZE_SPEC,
        "sources": {source.name: source.spec() for source in sources},
        "vocabulary": VOCABULARY_NAME,
    }


def extend_spec(held: Mapping[str, Any], sources: Sequence[Source], store: Path) -> dict[str, Any]:
    """Return the spec `held` by a store with these sources added; those that the store has alone stay.

    Raises UsageError, with both values of every difference, where the store and these sources disagree.
    """
    wanted = spec_of(sources)
    held_sources = held.get("sources", {})
    shared = {name: options for name, options in wanted["sources"].items() if name in held_sources}
    differences = _differences(
        {**held, "sources": {name: held_sources[name] for name in shared}}, {**wanted, "sources": shared}, ""
    )
    if differences:
        raise UsageError(
            "\n  ".join([f"{store} was built with another spec: expected the same values, found", *differences])
            + "\nBuild another store with --store, or restore the values."
        )
    return {**wanted, "sources": {**held_sources, **wanted["sources"]}}


def _differences(held: Any, wanted: Any, place: str) -> list[str]:
    if isinstance(held, Mapping) and isinstance(wanted, Mapping):
        keys = [*held, *(key for key in wanted if key not in held)]
        found = [_differences(held.get(key), wanted.get(key), f"{place}.{key}".lstrip(".")) for key in keys]
        return [line for lines in found for line in lines]
    return [] if held == wanted else [f"{place}: {held!r} in the store, {wanted!r} now."]

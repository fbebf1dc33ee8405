"""The `labels` of a source: where the labels of its recordings come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from eeg_ingest.mistakes import Keys, Mistake, NotEmpty, OneOrList, Place, suggest

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

Rename = Annotated[
    dict[str, str],
    Field(
        default_factory=dict,
        description="Labels as the dataset writes them, to the labels that are stored; others stay.",
    ),
]


class AnnotationLabels(Keys):
    """Events from the annotations of the files. Annotations are always stored; this renames them."""

    from_: Literal["annotations"] = Field(alias="from")
    rename: Rename


class PathLabels(Keys):
    """One event over the whole recording, its label a named group of `subject`."""

    from_: Literal["path"] = Field(alias="from")
    group: str = Field(description="Named group of the regular expression in `subject`.")
    rename: Rename


class TableLabels(Keys):
    """Events from a CSV or TSV table: one row an event (`onset`), or one row a recording (`key`)."""

    from_: Literal["table"] = Field(alias="from")
    table: str = Field(
        description="Path of the table, looked up beside the recording and then in the source's path. May hold {stem} "
        "(the file's name without its suffix) and named groups of `subject`, such as {subject}."
    )
    column: str = Field(description="Column of the labels.")
    onset: str | None = Field(default=None, description="Column of the onsets in seconds: each row is an event.")
    duration: str | None = Field(default=None, description="Column of the durations in seconds (default 0).")
    stop: str | None = Field(default=None, description="Column of the ends in seconds, instead of durations.")
    key: str | None = Field(default=None, description="Column that names the recording: its row labels all of it.")
    value: str | None = Field(default=None, description="What `key` holds for a recording: default {subject}.")
    columns: Annotated[tuple[str, ...], OneOrList, NotEmpty] | None = Field(
        default=None, description="Names of the columns, for a table without a header row."
    )
    rename: Rename


Labels = Annotated[AnnotationLabels | PathLabels | TableLabels, Field(discriminator="from_")]


def mistakes_of_label(place: Place, label: Mapping[str, Any], groups: set[str] | None) -> Iterator[Mistake]:
    """Find the mistakes between the keys of a raw label, and the groups that `subject` (its `groups`) lacks."""
    needed: dict[str, list[str]] = {}
    if label.get("from") == "path" and isinstance(label.get("group"), str):
        needed["group"] = [label["group"]]
    if label.get("from") == "table":
        for key, default in (("table", ""), ("value", "{subject}" if label.get("key") else "")):
            names = PLACEHOLDER.findall(str(label.get(key) or default))
            needed[key] = [name for name in names if name != "stem"]
        yield from _mistakes_of_table(place, label)
    for key, names in needed.items():
        for name in names:
            if groups is not None and name not in groups:
                have = ", ".join(sorted(groups)) or "none"
                action = suggest(name, groups) or f"Add (?P<{name}>...) to subject."
                yield Mistake((*place, key), f"expected named groups of subject ({have}), found {name!r}. {action}")


def _mistakes_of_table(place: Place, label: Mapping[str, Any]) -> Iterator[Mistake]:
    given = {key for key in ("onset", "duration", "stop", "key", "value") if label.get(key) is not None}
    if ("onset" in given) == ("key" in given):
        found = "both" if "onset" in given else "neither"
        yield Mistake(place, f"expected onset (a row an event) or key (a row a recording), found {found}. Give one.")
    if {"duration", "stop"} <= given:
        yield Mistake(place, "expected duration or stop, found both. Remove one.")
    for key, needs in (("duration", "onset"), ("stop", "onset"), ("value", "key")):
        if key in given and needs not in given and {"onset", "key"} & given:
            yield Mistake((*place, key), f"expected {key} only beside {needs}, found no {needs}. Remove {key}.")
    columns = label.get("columns")
    if isinstance(columns, list):
        for key in ("column", "onset", "duration", "stop", "key"):
            if isinstance(label.get(key), str) and label[key] not in columns:
                action = suggest(label[key], [name for name in columns if isinstance(name, str)])
                yield Mistake((*place, key), f"expected one of columns, found {label[key]!r}. {action}".strip())

"""The `labels` of a source: where the labels of its recordings come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from eeg_ingest.mistakes import Keys, Mistake, NotEmpty, OneOrList, Place, expected, suggest
from eeg_ingest.recipe import recipes_with_code

_NEEDS = {"duration": "onset", "stop": "onset", "channel": "onset", "rename_channels": "channel", "value": "key"}
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

Texts = Annotated[tuple[str, ...], OneOrList, NotEmpty]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
BESIDE = (
    "looked up beside the recording and then in the folders above it, up to the source's path. May hold {stem} (the "
    "file's name without its suffix), named groups of `subject`, such as {subject}, and * in the last part, for one "
    "match"
)


def _recipe_with_code(name: str) -> str:
    if name not in recipes_with_code():
        action = suggest(name, recipes_with_code())
        raise expected(f"a recipe that reads labels itself ({', '.join(recipes_with_code())})", action)
    return name


class _LabelKeys(Keys):
    where: dict[str, Texts] = Field(
        default={},
        description="Only for files whose named groups of `subject` have these values (one or a list for each group).",
    )
    rename: dict[str, str] = Field(
        default={},
        description="Labels as the dataset writes them, to the labels that are stored; others stay.",
    )

    def applies(self, groups: Mapping[str, str | None]) -> bool:
        """Return whether the label is for a file with these named groups."""
        return all(groups.get(name) in values for name, values in self.where.items())

    def renamed(self, label: str) -> str:
        """Return the label that is stored."""
        return self.rename.get(label, label)


class AnnotationLabels(_LabelKeys):
    """Events from the annotations of the files, which are always stored: this renames them. Or from other files."""

    from_: Literal["annotations"] = Field(alias="from")
    file: str | None = Field(
        default=None,
        description=f"Another file, whose annotations are added: {BESIDE}.",
    )


class PathLabels(_LabelKeys):
    """One event over the whole recording, its label a named group of `subject`."""

    from_: Literal["path"] = Field(alias="from")
    group: str = Field(description="Named group of the regular expression in `subject`.")


class TableLabels(_LabelKeys):
    """Events from a CSV or TSV table: one row an event (`onset`), or one row a recording (`key`)."""

    from_: Literal["table"] = Field(alias="from")
    table: Texts = Field(description=f"Path of the table, or several, of which the first that exists counts: {BESIDE}.")
    optional: bool | Literal["silently"] = Field(
        default=False,
        description="Whether a recording may lack the table: then a warning says so; `silently` where a recording "
        "without one has no such events.",
    )
    column: str = Field(description="Column of the labels.")
    channel: str | None = Field(
        default=None, description="Column of the channel that an event was seen on: stored as `label channel`."
    )
    rename_channels: dict[str, str] = Field(
        default={},
        description="Channels as the table writes them, to the names that are stored; nothing for all channels.",
    )
    onset: str | None = Field(default=None, description="Column of the onsets in seconds: each row is an event.")
    duration: str | None = Field(default=None, description="Column of the durations in seconds (default 0).")
    stop: str | None = Field(default=None, description="Column of the ends in seconds, instead of durations.")
    key: str | None = Field(default=None, description="Column that names the recording: its row labels all of it.")
    value: str | None = Field(default=None, description="What `key` holds for a recording: default {subject}.")
    columns: Texts | None = Field(default=None, description="Names of the columns, for a table without a header row.")


class FlagLabels(_LabelKeys):
    """Events from a CSV or TSV table with a row for each sample and columns of 0 and 1: a run of 1 is an event."""

    from_: Literal["flags"] = Field(alias="from")
    table: Texts = Field(description=f"Path of the table, or several, of which the first that exists counts: {BESIDE}.")
    columns: Texts = Field(description="Columns of 0 and 1; their names are the labels.")


class TrialLabels(_LabelKeys):
    """Labels of trials in their order, at times that are the same in all files or as the recording is divided."""

    from_: Literal["trials"] = Field(alias="from")
    labels: Texts = Field(description="The label of each trial.")
    start_s: tuple[Seconds, ...] | None = Field(
        default=None, description="When each trial starts. Without times, each segment of the recording is a trial."
    )
    stop_s: tuple[Seconds, ...] | None = Field(default=None, description="When each trial ends.")


class RecipeLabels(_LabelKeys):
    """Events that a recipe of the package reads with code of its own."""

    from_: Literal["recipe"] = Field(alias="from")
    recipe: Annotated[str, AfterValidator(_recipe_with_code)] = Field(description="Name of the recipe.")


class RemainderLabels(_LabelKeys):
    """Events over every stretch in which the `labels` before it have none: what is no seizure is background."""

    from_: Literal["remainder"] = Field(alias="from")
    label: str = Field(description="The label of these events.")


AnyLabels = AnnotationLabels | PathLabels | TableLabels | FlagLabels | TrialLabels | RecipeLabels | RemainderLabels
Labels = Annotated[AnyLabels, Field(discriminator="from_")]
KINDS: dict[str, type[_LabelKeys]] = {
    "annotations": AnnotationLabels,
    "path": PathLabels,
    "table": TableLabels,
    "flags": FlagLabels,
    "trials": TrialLabels,
    "recipe": RecipeLabels,
    "remainder": RemainderLabels,
}


def mistakes_of_label(place: Place, label: Mapping[str, Any], groups: set[str] | None) -> Iterator[Mistake]:
    """Find the mistakes between the keys of a raw label, and the groups that `subject` (its `groups`) lacks."""
    kind, where = label.get("from"), label.get("where")
    needed: dict[str, list[str]] = {"where": list(where) if isinstance(where, Mapping) else []}
    if kind == "path" and isinstance(label.get("group"), str):
        needed["group"] = [label["group"]]
    if kind in ("table", "flags", "annotations"):
        texts = {"table": label.get("table"), "file": label.get("file")}
        texts["value"] = label.get("value", "{subject}") if label.get("key") else None
        for key, text in texts.items():
            needed[key] = [name for part in (text if isinstance(text, list) else [text]) for name in placeholders(part)]
    if kind == "table":
        yield from _mistakes_of_table(place, label)
    if kind == "trials":
        yield from _mistakes_of_trials(place, label)
    for key, names in needed.items():
        yield from mistakes_of_groups((*place, key), names, groups)


def mistakes_of_groups(place: Place, names: Iterable[str], groups: set[str] | None) -> Iterator[Mistake]:
    """Find the named groups that `subject` (its `groups`) lacks; `names` may be {stem} too."""
    for name in names:
        if groups is not None and name not in groups and name != "stem":
            have = ", ".join(sorted(groups)) or "none"
            action = suggest(name, groups) or f"Add (?P<{name}>...) to subject."
            yield Mistake(place, f"expected named groups of subject ({have}), found {name!r}. {action}")


def placeholders(text: Any) -> list[str]:
    """Return the names in braces of a raw value, none if it is no text."""
    return PLACEHOLDER.findall(text) if isinstance(text, str) else []


def _mistakes_of_table(place: Place, label: Mapping[str, Any]) -> Iterator[Mistake]:
    given = {key for key in ("onset", "key", *_NEEDS) if label.get(key) is not None}
    if ("onset" in given) == ("key" in given):
        found = "both" if "onset" in given else "neither"
        yield Mistake(place, f"expected onset (a row an event) or key (a row a recording), found {found}. Give one.")
    if {"duration", "stop"} <= given:
        yield Mistake(place, "expected duration or stop, found both. Remove one.")
    for key, needs in _NEEDS.items():
        if key in given and needs not in given and {"onset", "key"} & given:
            yield Mistake((*place, key), f"expected {key} only beside {needs}, found no {needs}. Remove {key}.")
    columns = label.get("columns")
    if isinstance(columns, list):
        for key in ("column", "channel", "onset", "duration", "stop", "key"):
            if isinstance(label.get(key), str) and label[key] not in columns:
                action = suggest(label[key], [name for name in columns if isinstance(name, str)])
                yield Mistake((*place, key), f"expected one of columns, found {label[key]!r}. {action}".strip())


def _mistakes_of_trials(place: Place, label: Mapping[str, Any]) -> Iterator[Mistake]:
    starts, stops, labels = label.get("start_s"), label.get("stop_s"), label.get("labels")
    if (starts is None) != (stops is None):
        found = "stop_s" if starts is None else "start_s"
        yield Mistake(place, f"expected start_s and stop_s, or neither, found {found}. Give both.")
    for key, times in (("start_s", starts), ("stop_s", stops)):
        if isinstance(times, list) and isinstance(labels, list) and len(times) != len(labels):
            yield Mistake((*place, key), f"expected a time for each of {len(labels)} labels, found {len(times)}.")
    if isinstance(starts, list) and isinstance(stops, list):
        for number, (start, stop) in enumerate(zip(starts, stops, strict=False)):
            if isinstance(start, int | float) and isinstance(stop, int | float) and stop <= start:
                yield Mistake((*place, "stop_s", number), f"expected an end after the start {start}, found {stop}.")

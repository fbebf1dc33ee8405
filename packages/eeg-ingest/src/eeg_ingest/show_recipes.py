"""What `eeg-ingest recipes` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from eeg_ingest.recipe import Recipe
from eeg_ingest.summary import align

_WIDTH = 110


def summary_of(recipe: Recipe) -> dict[str, Any]:
    """Return what a list of recipes says of one, as JSON values."""
    return {
        "name": recipe.name,
        "title": recipe.about.title,
        "subjects": recipe.expected.subjects,
        "hours": recipe.expected.hours,
        "access": recipe.about.access,
        "tasks": list(recipe.tasks),
        "releases": list(recipe.releases),
    }


def whole_of(recipe: Recipe) -> dict[str, Any]:
    """Return all of a recipe as JSON values."""
    releases = {name: {"note": recipe.notes[name], "keys": keys} for name, keys in recipe.releases.items()}
    return {**summary_of(recipe), "keys": recipe.keys, "tasks": recipe.tasks, "releases": releases}


def table_of_recipes(recipes: Sequence[Recipe]) -> str:
    """Return the table of all recipes."""
    rows = [["recipe", "subjects", "hours", "title, access"]]
    for recipe in recipes:
        expected = recipe.expected
        hours = "" if expected.hours is None else f"{expected.hours:,.1f}"
        subjects = "" if expected.subjects is None else f"{expected.subjects:,}"
        rows.append([recipe.name, subjects, hours, f"{recipe.about.title} ({recipe.about.access})"])
    table = align([row[:3] for row in rows]).splitlines()
    width = max(map(len, table))
    return "\n".join(f"{line.ljust(width)}  {row[3]}" for line, row in zip(table, rows, strict=True))


def show(recipe: Recipe) -> str:
    """Return one recipe for people: what it is, how to get it, an entry for sources.yaml, facts, tasks, keys."""
    about = recipe.about
    facts = [f"{key}: {_text(value)}" for key, value in recipe.expected.model_dump(exclude_none=True).items()]
    tasks = [f"{name}: eeg-ingest recipes {recipe.name} --task {name}" for name in recipe.tasks]
    entry = ["sources:", f"  - recipe: {recipe.name}", "    path: data   # the folder that Get names"]
    keys = {key: value for key, value in recipe.keys.items() if key not in ("about", "expected")}
    paragraphs = [f"{label}: {value}" for label, value in (("Get", about.get), ("Access", about.access))]
    paragraphs += [f"Cite: {about.citation}", f"URL: {about.url}"]
    return "\n\n".join(
        [
            f"{recipe.name}: {about.title}",
            "\n".join(_filled(text) for text in paragraphs),
            _block("In sources.yaml", entry),
            _block("Expected of the whole dataset", facts),
            _block("Tasks", tasks or ["none: the dataset has no labels that a class could be made of"]),
            *(_release(name, recipe.notes[name], changes) for name, changes in recipe.releases.items()),
            _block("Its keys, each of which your entry may override", _written(keys)),
        ]
    )


def _release(name: str, note: str, changes: Mapping[str, Any]) -> str:
    lines = [note, f"In sources.yaml, beside recipe: `release: {name}`. What differs from the keys below:"]
    return _block(f"Release {name}", [*lines, *_written(changes)])


def _written(keys: Mapping[str, Any]) -> list[str]:
    text = yaml.safe_dump(dict(keys), sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=None)
    return text.splitlines()


def _filled(text: str) -> str:
    """Break lines at blanks only: some are commands."""
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _block(head: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{head}:", *(f"  {line}" for line in lines)])


def _text(value: Any) -> str:
    return ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value:,}"

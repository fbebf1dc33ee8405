"""Recipes: what the package knows of public datasets, as the keys of a source in sources.yaml."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from eeg_ingest.errors import UsageError
from eeg_ingest.facts import About, Expected
from eeg_ingest.mistakes import Mistake, read_yaml, suggest

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """One dataset: `keys` are those of its source, without the path; `tasks` hold the keys of a task.yaml each.

    `releases` are other published forms of it: keys that override the recipe's, and `notes` on each.
    """

    name: str
    keys: dict[str, Any]
    about: About
    expected: Expected
    tasks: dict[str, dict[str, Any]]
    releases: dict[str, dict[str, Any]]
    notes: dict[str, str]

    def keys_of(self, release: str | None) -> dict[str, Any]:
        """Return the keys of a release, or the recipe's own."""
        return self.keys if release is None else _merged(self.keys, self.releases[release])


@cache
def recipe_names() -> tuple[str, ...]:
    """Names of all recipes, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def recipes_with_code() -> tuple[str, ...]:
    """Names of the recipes that read labels with code of their own: nothing else is ever imported for a source."""
    return tuple(name for name in recipe_names() if (FOLDER / f"{name}.py").is_file())


@cache
def load_recipe(name: str) -> Recipe:
    """Read a recipe. Raises UsageError, with a suggestion, where there is none of this name."""
    if name not in recipe_names():
        raise UsageError(f"Unknown recipe: {_expected(name)}")
    keys, _ = read_yaml((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    tasks, releases = keys.pop("tasks", {}), keys.pop("releases", {})
    notes = {release: changes.pop("note") for release, changes in releases.items()}
    return Recipe(
        name,
        {"name": name, **keys},
        About.model_validate(keys["about"]),
        Expected.model_validate(keys["expected"]),
        tasks,
        releases,
        notes,
    )


def fill_in_recipes(raw: Any) -> tuple[Any, list[Mistake]]:
    """Complete the sources of a raw sources.yaml that name a recipe.

    The source's own keys override the recipe's: mappings merge key by key, everything else replaces, null removes.
    Those of the `release` that it names come between. Returns the completed value, and a mistake for each recipe or
    release that does not exist.
    """
    if not (isinstance(raw, Mapping) and isinstance(raw.get("sources"), list)):
        return raw, []
    sources, mistakes = [], []
    for number, source in enumerate(raw["sources"]):
        name, release = (source.get(key) if isinstance(source, Mapping) else None for key in ("recipe", "release"))
        place = ("sources", number, "release")
        if not isinstance(name, str):
            sources.append(source)
            if name is None and release is not None:
                what = "expected a recipe beside it, found none. Add recipe, or remove release."
                mistakes.append(Mistake(place, what))
        elif name in recipe_names():
            recipe = load_recipe(name)
            if isinstance(release, str) and release not in recipe.releases:
                mistakes.append(Mistake(place, _expected_release(recipe, release)))
            known = release if isinstance(release, str) and release in recipe.releases else None
            sources.append(_merged(recipe.keys_of(known), source))
        else:
            mistakes.append(Mistake(("sources", number, "recipe"), _expected(name)))
            sources.append({"name": f"source-{number}", **source})  # what else is wrong with it is still told
    return {**raw, "sources": sources}, mistakes


def write_task(recipe: Recipe, task: str) -> str:
    """Return a task.yaml for `labram finetune`. Raises UsageError where the recipe has no such task."""
    if task not in recipe.tasks:
        known = ", ".join(recipe.tasks) or "none"
        raise UsageError(
            f"Unknown task of the recipe {recipe.name}: expected one of its tasks ({known}), found {task!r}. "
            f"{suggest(task, recipe.tasks)}".strip()
        )
    keys = dict(recipe.tasks[task])
    note = textwrap.fill(" ".join(str(keys.pop("note", "")).split()), 118)
    comments = [recipe.about.title, *note.splitlines()]
    whole = {"name": f"{recipe.name} {task}", "sources": [recipe.name], **keys}
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    return "\n".join([*(f"# {line}" for line in comments), text.rstrip()])


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in own.items():
        default = defaults.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(default, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(default, value)
        else:
            merged[key] = value
    return merged


def _expected_release(recipe: Recipe, release: str) -> str:
    what = f"no release, of which the recipe {recipe.name} has none"
    if recipe.releases:
        what = f"a release of the recipe {recipe.name} ({', '.join(recipe.releases)})"
    return f"expected {what}, found {release!r}. {suggest(release, recipe.releases) or 'Remove it.'}"


def _expected(name: str) -> str:
    action = suggest(name, recipe_names()) or "List them: eeg-ingest recipes."
    return f"expected a recipe of this package, found {name!r}. {action}"

"""Recipes in sources.yaml: what they give, what overrides them, and what the command line shows of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from eeg_ingest.cli import app
from eeg_ingest.recipe import load_recipe, recipe_names, recipes_with_code
from eeg_ingest.sources import Source, SourcesError, load_sources
from eeg_ingest.spec import spec_of
from labram_model.task import load_task
from typer.testing import CliRunner


def load(folder: Path, *entries: dict[str, Any]) -> tuple[Source, ...]:
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries)}), encoding="utf-8")
    return load_sources(path)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["recipes", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_equals_its_keys_written_out(tmp_path: Path, name: str) -> None:
    (short,) = load(tmp_path, {"recipe": name, "path": "x"})
    (written,) = load(tmp_path, {**load_recipe(name).keys, "path": "x"})
    assert short.model_copy(update={"recipe": None}) == written
    assert spec_of([short]) == spec_of([written])
    assert short.name == name


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_all_that_a_reader_needs(name: str) -> None:
    """How to get it, how to cite it, what to expect; lists of labels, so that an own list replaces them whole."""
    recipe = load_recipe(name)
    assert set(recipe.keys) >= {"files", "subject", "line_freq_hz", "licence", "about", "expected"}
    assert "path" not in recipe.keys
    assert "path" in recipe.about.get
    assert recipe.expected.channels is not None
    assert recipe.expected.sfreq_hz is not None
    assert isinstance(recipe.keys.get("labels", []), list)


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name in recipe_names() for task in load_recipe(name).tasks]
)
def test_the_tasks_of_a_recipe_are_ready_for_finetune(tmp_path: Path, name: str, task: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(run(name, "--task", task), encoding="utf-8")
    loaded = load_task(path)
    assert (loaded.name, loaded.sources) == (f"{name} {task}", (name,))
    assert path.read_text(encoding="utf-8").startswith(f"# {load_recipe(name).about.title}")


def test_keys_of_the_user_override(tmp_path: Path) -> None:
    mine = {"recipe": "siena", "path": "x", "name": "mine", "line_freq_hz": None, "files": "PN00/*.edf"}
    (plain,) = load(tmp_path, {"recipe": "siena", "path": "x"})
    (source,) = load(tmp_path, {**mine, "expected": {"subjects": 1}, "labels": {"from": "annotations"}})
    assert (source.name, source.line_freq_hz, source.files) == ("mine", "auto", ("PN00/*.edf",))
    assert (source.expected and source.expected.subjects, source.expected and source.expected.channels) == (1, (29,))
    assert [label.from_ for label in source.labels] == ["annotations"]
    assert (source.subject, source.licence) == (plain.subject, plain.licence)


def test_mistakes_beside_a_recipe_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SourcesError) as error:
        load(
            tmp_path,
            {"recipe": "sienna", "path": "x", "unit": "volts"},
            {"recipe": "siena", "channels": {"drop": [1]}, "expcted": {}},
            {"recipe": 3, "path": "x", "name": "b"},
            {"recipe": "siena", "path": "y"},
        )
    assert error.value.mistakes == (
        "sources[0].recipe: expected a recipe of this package, found 'sienna'. Did you mean 'siena'?",
        "sources[0].unit: expected uV, mV, V, nV or auto, found 'volts'.",
        "sources[1].path: expected a value, found nothing. Add the key.",
        "sources[1].channels.drop[0]: expected text, found 1. Put it in quotes.",
        "sources[1].expcted: unknown key. Did you mean 'expected'?",
        "sources[1].name: expected each name once, found 'siena' 2 times. Rename one.",
        "sources[2].recipe: expected text, found 3. Put it in quotes.",
        "sources[3].name: expected each name once, found 'siena' 2 times. Rename one.",
    )


def test_code_is_of_the_package_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit")
    for name in ("evil", "os", "../evil", "eegmmi"):
        with pytest.raises(SourcesError, match="expected a recipe that reads labels itself"):
            load(tmp_path, {"name": "a", "path": "x", "labels": {"from": "recipe", "recipe": name}})
    for name in recipes_with_code():
        assert load(tmp_path, {"name": "a", "path": "x", "labels": {"from": "recipe", "recipe": name}})


def test_the_list_and_one_recipe() -> None:
    listed = json.loads(run("--json"))["recipes"]
    assert [entry["name"] for entry in listed] == list(recipe_names())
    table = run().splitlines()
    assert table[0].split() == ["recipe", "subjects", "hours", "title,", "access"]
    assert [line.split()[0] for line in table[1:]] == list(recipe_names())
    text = run("siena")
    for part in (
        "physionet.org",
        "10.3390/pr8070846",
        "- recipe: siena",
        "recordings: 41",
        "--task seizure",
        "CC-BY-4.0",
    ):
        assert part in text
    assert json.loads(run("siena", "--json"))["keys"]["line_freq_hz"] == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sienna"], "expected a recipe of this package, found 'sienna'. Did you mean 'siena'?"),
        (["siena", "--task", "seizures"], "expected one of its tasks (seizure), found 'seizures'. Did you mean"),
        (["--task", "seizure"], "--task needs a recipe"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["recipes", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr

"""Recipes in sources.yaml: what they give, what overrides them, and what the command line shows of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import scipy.io
import yaml
from eeg_ingest.cli import app
from eeg_ingest.plan import make_plan
from eeg_ingest.recipe import load_recipe, recipe_names, recipes_with_code
from eeg_ingest.sources import Source, SourcesError, load_sources
from eeg_ingest.spec import spec_of
from labram_model.task import load_task
from typer.testing import CliRunner

from tests.eeg_ingest.recipes.mimic import InProcess

RELEASES = [(name, release) for name in recipe_names() for release in load_recipe(name).releases]


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


@pytest.mark.parametrize(("name", "release"), RELEASES)
def test_a_release_is_the_recipe_with_other_keys(tmp_path: Path, name: str, release: str) -> None:
    recipe = load_recipe(name)
    (short,) = load(tmp_path, {"recipe": name, "release": release, "path": "x"})
    (written,) = load(tmp_path, {**recipe.keys_of(release), "path": "x"})
    assert short.model_copy(update={"recipe": None, "release": None}) == written
    (own,) = load(tmp_path, {"recipe": name, "path": "x"})
    assert (short.name, short.licence, short.line_freq_hz) == (own.name, own.licence, own.line_freq_hz)
    assert short.files != own.files
    assert short.about is not None
    assert "path" in short.about.get
    assert (
        f"the release {release}" in " ".join(recipe.about.get.split()) or f"the release {release}" in recipe.about.get
    )
    assert "\n" not in recipe.notes[release].strip()
    assert short.expected is not None
    assert short.expected.channels == (recipe.expected.channels or ())


def test_keys_of_the_user_override_those_of_a_release(tmp_path: Path) -> None:
    mine = {
        "expected": {"hours": None},
        "reader": {"sfreq_hz": 250},
        "sessions_by": None,
        "channels": {"drop": ["CB1"]},
    }
    (source,) = load(tmp_path, {"recipe": "seed", "release": "preprocessed", "path": "x", **mine})
    assert source.expected is not None
    assert (source.expected.hours, source.expected.sfreq_hz, source.expected.subjects) == (None, (200,), 15)
    assert source.reader is not None
    assert source.reader.format == "matlab"
    assert (getattr(source.reader, "sfreq_hz", None), source.sessions_by) == (250, None)
    assert source.channels.drop == ("CB1",)


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


def test_mistakes_of_releases_are_told_among_the_others(tmp_path: Path) -> None:
    with pytest.raises(SourcesError) as error:
        load(
            tmp_path,
            {"recipe": "seed", "release": "preprocesed", "path": "x", "unit": "volts"},
            {"recipe": "siena", "release": "edf", "path": "x"},
            {"name": "a", "release": "gdf", "path": "x", "subject": "(?P<subject>a)", "sessions_by": "day"},
            {"recipe": "bci_competition_iv_1", "release": 100, "path": "x"},
        )
    assert error.value.mistakes == (
        "sources[0].release: expected a release of the recipe seed (preprocessed), found 'preprocesed'. Did you mean "
        "'preprocessed'?",
        "sources[0].unit: expected uV, mV, V, nV or auto, found 'volts'.",
        "sources[1].release: expected no release, of which the recipe siena has none, found 'edf'. Remove it.",
        "sources[2].release: expected a recipe beside it, found none. Add recipe, or remove release.",
        "sources[2].sessions_by: expected named groups of subject (subject), found 'day'. Add (?P<day>...) to subject.",
        "sources[3].release: expected text, found 100. Put it in quotes.",
    )


def reasons(folder: Path, files: tuple[str, ...], **entry: str) -> list[str]:
    """Why the plan fails on files that hold nothing."""
    for file in files:
        (folder / "data" / file).parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(folder / "data" / file, {"classlabel": [[1.0]]}, appendmat=False)
    plan = make_plan(load(folder, {"path": "data", **entry}), None, InProcess())
    return [failure.reason for failure in plan.failures]


@pytest.mark.parametrize(("name", "release"), RELEASES)
def test_files_of_another_release_are_not_taken_silently(tmp_path: Path, name: str, release: str) -> None:
    example = {
        "gdf": ("A01T.mat", "BCICIV_2a_gdf/A01T.gdf"),
        "mat": ("s_01/subject_01_session_01.csv", "subject_01_mat/subject_01_session_01.mat"),
        "preprocessed": ("SEED_EEG/SEED_RAW_EEG/1_1.cnt", "SEED_EEG/Preprocessed_EEG/1_20131027.mat"),
        "100hz": ("a/BCICIV_calib_ds1a_1000Hz.mat", "BCICIV_1_mat/BCICIV_calib_ds1a.mat"),
    }
    own, other = example[release]
    (tmp_path / "b").mkdir()
    (reason,) = reasons(tmp_path, (other,), recipe=name)
    assert reason.endswith(f"found those of the release {release} of {name}. Add the key release: {release}.")
    (reason,) = reasons(tmp_path / "b", (own,), recipe=name, release=release)
    assert reason.endswith(f"found those of the recipe {name} itself. Remove the key release.")


def test_labels_of_one_release_that_pass_for_recordings_of_another(tmp_path: Path) -> None:
    """True labels beside the GDF files are called as BNCI's recordings."""
    (reason,) = reasons(tmp_path, ("A01E.gdf", "A01E.mat"), recipe="bci_competition_iv_2a")
    assert "The variable 'data' is not in the file" in reason
    assert reason.endswith(
        " There are files of the release gdf of bci_competition_iv_2a, too. Add the key release: gdf."
    )
    (tmp_path / "b").mkdir()
    (reason,) = reasons(tmp_path / "b", ("A01E.gdf", "true_labels/A01E.mat"), recipe="bci_competition_iv_2a")
    assert reason.endswith("Add the key release: gdf.")


def test_a_folder_too_deep_is_told_before_another_release(tmp_path: Path) -> None:
    other = "data/Preprocessed_EEG/1_20131027.mat"
    (reason,) = reasons(tmp_path, ("SEED_RAW_EEG/1_1.cnt", other), recipe="seed", path="data/SEED_RAW_EEG")
    assert reason.endswith(f"Set path to {tmp_path / 'data'}.")
    (reason,) = reasons(tmp_path, (), recipe="seed", path="data/data/Preprocessed_EEG")
    assert reason.endswith("Add the key release: preprocessed.")


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


def test_one_recipe_shows_its_releases() -> None:
    recipe = load_recipe("bci_competition_iv_2a")
    text = run("bci_competition_iv_2a")
    for part in ("Release gdf:", recipe.notes["gdf"], "`release: gdf`", "**/A0?[TE].gdf", "true_labels.zip"):
        assert part in text
    assert "&id" not in text
    told = json.loads(run("bci_competition_iv_2a", "--json"))["releases"]
    assert told == {"gdf": {"note": recipe.notes["gdf"], "keys": recipe.releases["gdf"]}}
    assert "Release" not in run("siena")


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

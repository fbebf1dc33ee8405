"""The tasks of the recipes on all subjects of their datasets: who is in which split, and how long the trials are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from eeg_ingest.recipe import load_recipe
from labram_model.labelled import Labelled, LabelledWindow
from labram_model.split import divide
from labram_model.task import Task

SIENA = [f"PN{number:02d}" for number in (0, 1, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 17)]


def task_of(recipe: str, task: str) -> Task:
    keys = {key: value for key, value in load_recipe(recipe).tasks[task].items() if key != "note"}
    return Task.model_validate({"name": task, **keys})


def windows(subjects: Iterable[str], n_classes: int, n_events: int) -> Labelled:
    """A window for each event of each subject; the classes take turns."""
    return Labelled(
        tuple(
            LabelledWindow(f"lab/{subject}", f"lab/{subject}", "a", number, number % n_classes, number, subject, None)
            for subject in subjects
            for number in range(1, n_events + 1)
        ),
        0,
    )


@pytest.mark.parametrize(
    ("recipe", "task", "subjects", "sizes"),
    [
        ("siena", "seizure", SIENA, (10, 2, 2)),
        ("chb_mit", "seizure", [f"chb{number:02d}" for number in range(1, 25)], (21, 1, 2)),
        ("eegmmi", "imagery", [f"S{number:03d}" for number in range(1, 110)], (70, 19, 20)),
        ("eegmmi", "execution", [f"S{number:03d}" for number in range(1, 110)], (70, 19, 20)),
        ("eegmmi", "eyes", [f"S{number:03d}" for number in range(1, 110)], (70, 19, 20)),
        ("eegmat", "arithmetic", [f"Subject{number:02d}" for number in range(36)], (28, 4, 4)),
        ("faced", "emotion", [f"sub{number:03d}" for number in range(123)], (80, 20, 23)),
        ("tuar", "artifacts", [f"aaaaa{number:03d}" for number in range(213)], (149, 32, 32)),
        ("tuep", "epilepsy", [f"aaaaa{number:03d}" for number in range(200)], (160, 20, 20)),
        ("tusl", "slowing", [f"aaaaa{number:03d}" for number in range(38)], (30, 4, 4)),
        ("hbn_eeg", "paradigm", [f"NDAR{number:08d}" for number in range(1000)], (800, 100, 100)),
        ("hbn_eeg", "eyes", [f"NDAR{number:08d}" for number in range(1000)], (800, 100, 100)),
    ],
)
def test_subjects_of_the_official_splits(
    recipe: str, task: str, subjects: list[str], sizes: tuple[int, int, int]
) -> None:
    loaded = task_of(recipe, task)
    n_classes = len(loaded.classes)
    division = divide(loaded.split, windows(subjects, n_classes, n_classes), list(loaded.classes))
    assert tuple(len(members) for members in division.subjects.values()) == sizes
    assert sum(sizes) == len(subjects)
    assert division.shared_subjects == []


def test_people_of_tuab_in_both_classes_are_in_one_split() -> None:
    """As published: train has 2,076 people, 54 of them in both classes; eval has 253 others."""
    train = [
        ("train", number, label) for label, numbers in ((0, range(1237)), (1, range(1183, 2076))) for number in numbers
    ]
    test = [("eval", number, label) for label, numbers in ((0, range(148)), (1, range(148, 253))) for number in numbers]
    found = tuple(
        LabelledWindow(
            *(f"tuab/{part}{number:04d}", f"{part}{number}{label}", "a", 0, label, 1),
            *(f"edf/{part}/{('normal', 'abnormal')[label]}/01_tcp_ar/{part}{number:04d}_s00{label}_t000.edf", "s001"),
        )
        for part, number, label in [*train, *test]
    )
    division = divide(task_of("tuab", "abnormal").split, Labelled(found, 0), ["normal", "abnormal"])
    assert division.shared_subjects == []
    assert {name: len(members) for name, members in division.subjects.items()} == {
        "train": 1661,
        "val": 415,
        "test": 253,
    }
    assert all(subject.startswith("tuab/eval") for subject in division.subjects["test"])


def test_the_same_person_is_on_one_side() -> None:
    """chb21 is chb01."""
    assert {"chb01", "chb21"} <= {
        name.partition("/")[2]
        for name in divide(
            task_of("chb_mit", "seizure").split, windows([f"chb{n:02d}" for n in range(1, 25)], 2, 2), ("a", "b")
        ).subjects["train"]
    }


@pytest.mark.parametrize(("recipe", "n_trials", "numbers"), [("seed", 15, (9, 3, 3)), ("seed_v", 15, (5, 5, 5))])
def test_trials_of_the_official_splits(recipe: str, n_trials: int, numbers: Sequence[int]) -> None:
    loaded = task_of(recipe, "emotion")
    division = divide(loaded.split, windows(["1", "2"], len(loaded.classes), n_trials), list(loaded.classes))
    assert tuple(len(found) // 2 for found in division.windows.values()) == tuple(numbers)
    assert division.shared_subjects == ["lab/1", "lab/2"]


def test_the_trials_of_seed_v_give_the_published_numbers_of_windows() -> None:
    """117,744 seconds of 16 subjects, in three parts."""
    tables = load_recipe("seed_v").keys["labels"]
    lengths = [[b - a for a, b in zip(t["start_s"], t["stop_s"], strict=True)] for t in tables]
    parts = [16 * sum(sum(trials[first : first + 5]) for trials in lengths) for first in (0, 5, 10)]
    assert parts == [34_432, 42_960, 40_352]
    for table in tables:
        assert {label: table["labels"].count(label) for label in table["labels"]} == dict.fromkeys(
            ["disgust", "fear", "sad", "neutral", "happy"], 3
        )


@pytest.mark.parametrize(("recipe", "seconds", "n_trials"), [("seed", 3394, 15), ("seed_fra", 3370, 21)])
def test_the_trials_of_a_session_are_as_long_as_is_known(recipe: str, seconds: int, n_trials: int) -> None:
    (table,) = load_recipe(recipe).keys["labels"]
    assert sum(table["stop_s"]) - sum(table["start_s"]) == seconds
    assert len(table["labels"]) == n_trials

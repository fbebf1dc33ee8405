"""Splits: by subject nobody twice, every class everywhere, or a message that says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labram_model.errors import LabramError
from labram_model.labelled import Labelled, LabelledWindow
from labram_model.split import divide, split_subjects
from labram_model.task import SPLITS, Split

CLASSES = ("rest", "left", "right")
populations = st.dictionaries(
    st.integers(0, 60).map(lambda number: f"lab/S{number:03d}"),
    st.sets(st.integers(0, 2), min_size=1),
    min_size=1,
    max_size=40,
)


@given(populations, st.integers(0, 1000), st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.2, 0.2, 0.6)]))
def test_no_subject_twice_and_every_class_everywhere(
    subjects: dict[str, set[int]], seed: int, shares: tuple[float, float, float]
) -> None:
    split = Split(train=shares[0], val=shares[1], test=shares[2], seed=seed)
    scarcest = min(sum(index in has for has in subjects.values()) for index in range(3))
    parts, reason = {}, ""
    try:
        parts = split_subjects(split, subjects, CLASSES)
    except LabramError as error:
        reason = str(error)
    assert ("at least 3 subjects for every class" in reason) == (scarcest < 3)
    if reason:
        assert all(f"{name}: " in reason for name in CLASSES)
        return
    members = [subject for part in parts.values() for subject in part]
    assert sorted(members) == sorted(subjects)
    assert tuple(parts) == SPLITS
    for part in parts.values():
        assert set().union(*(subjects[subject] for subject in part)) == {0, 1, 2}
    assert split_subjects(split, dict(reversed(list(subjects.items()))), CLASSES) == parts


@given(st.integers(0, 1000))
def test_a_split_is_found_where_each_class_has_three_subjects(seed: int) -> None:
    # Patients and controls: no subject has two classes, and three of each is the fewest that can do.
    subjects = {f"lab/S{number}": {number % 3} for number in range(9)}
    parts = split_subjects(Split(seed=seed), subjects, CLASSES)
    assert [len(parts[name]) for name in SPLITS] == [3, 3, 3]


def test_shares_are_kept_and_the_seed_draws() -> None:
    subjects = {f"lab/S{number:03d}": {0, 1, 2} for number in range(100)}
    parts = split_subjects(Split(train=0.7, val=0.1, test=0.2), subjects, CLASSES)
    assert [len(parts[name]) for name in SPLITS] == [70, 10, 20]
    assert split_subjects(Split(train=0.7, val=0.1, test=0.2, seed=1), subjects, CLASSES) != parts


def test_too_few_subjects_are_listed() -> None:
    subjects = {"lab/S1": {0, 1, 2}, "lab/S2": {0, 1, 2}, "lab/S3": {0, 1}}
    with pytest.raises(LabramError, match=r"at least 3 subjects for every class.*right: 2 \(lab/S1, lab/S2\)"):
        split_subjects(Split(), subjects, CLASSES)


def test_lists_are_taken_as_they_are() -> None:
    subjects = {f"lab/S{number}": {0, 1, 2} for number in range(5)} | {"other/S1": {0, 1, 2}}
    parts = split_subjects(Split(train=("S0", "lab/S1"), val=("S2",), test=("S3",)), subjects, CLASSES)
    assert parts == {"train": ("lab/S0", "lab/S1"), "val": ("lab/S2",), "test": ("lab/S3",)}
    with pytest.raises(LabramError, match=r"S1 is in several sources: found lab/S1, other/S1"):
        split_subjects(Split(train=("S1",), val=("S2",), test=("S3",)), subjects, CLASSES)
    with pytest.raises(LabramError, match=r"none named S9. Choose among lab/S0"):
        split_subjects(Split(train=("S9",), val=("S2",), test=("S3",)), subjects, CLASSES)
    with pytest.raises(LabramError, match="found twice: lab/S0"):
        split_subjects(Split(train=("S0",), val=("lab/S0",), test=("S3",)), subjects, CLASSES)
    subjects["lab/S3"] = {0}
    with pytest.raises(LabramError, match="every class in test, found no window of left, right in its subjects lab/S3"):
        split_subjects(Split(train=("S0",), val=("S2",), test=("S3",)), subjects, CLASSES)


def labelled(*windows: tuple[str, str, int, int]) -> Labelled:
    """Windows of (subject, file, class, event's number); the session is the file's folder."""
    return Labelled(
        tuple(
            LabelledWindow(f"lab/{subject}", f"lab/{file}", "a", 0, label, event, file, file.split("/")[0])
            for subject, file, label, event in windows
        ),
        0,
    )


def both(subject: str, file: str) -> list[tuple[str, str, int, int]]:
    return [(subject, file, 0, 1), (subject, file, 1, 2)]


@given(st.integers(0, 100))
def test_the_official_test_set_stays_and_the_rest_is_drawn_by_subject(seed: int) -> None:
    """TUAB: a person with a normal and an abnormal recording is in one split, whatever is drawn."""
    windows = [(f"p{n}", f"edf/train/{c}/p{n}.edf", n % 2, 1) for n in range(10) for c in ("normal", "abnormal")]
    windows += [("twice", f"edf/train/{label}/twice.edf", label, 1) for label in (0, 1)]
    windows += both("q", "edf/eval/q.edf")
    split = Split.model_validate({"train": 0.8, "val": 0.2, "test": {"file": ["edf/eval/*"]}, "seed": seed})
    division = divide(split, labelled(*windows), ("normal", "abnormal"))
    assert division.subjects["test"] == ("lab/q",)
    assert division.shared_subjects == []
    assert len(division.subjects["train"]) + len(division.subjects["val"]) == 11
    assert sum(len(found) for found in division.windows.values()) == len(windows)
    assert len(division.subjects["val"]) in (2, 3)


def test_a_person_on_both_sides_of_the_files_is_refused_by_subject_and_told_by_file() -> None:
    windows = labelled(*both("a", "train/a.edf"), *both("a", "eval/a.edf"), *both("b", "dev/b.edf"))
    parts = {"train": ["train/*"], "val": ["dev/*"], "test": ["eval/*"]}
    by_subject = Split.model_validate({name: {"file": patterns} for name, patterns in parts.items()})
    with pytest.raises(LabramError, match=r"found 1 subjects in several: lab/a in test and train\. .* `by: file`"):
        divide(by_subject, windows, ("x", "y"))
    division = divide(Split.model_validate({"by": "file", **parts}), windows, ("x", "y"))
    assert division.shared_subjects == ["lab/a"]
    assert {name: {w.file for w in found} for name, found in division.windows.items()} == {
        "train": {"train/a.edf"},
        "val": {"dev/b.edf"},
        "test": {"eval/a.edf"},
    }
    with pytest.raises(LabramError, match=r"expected train/a\.edf in one split, found it in train and test"):
        divide(Split.model_validate({"by": "file", **parts, "test": ["*/a.edf"]}), windows, ("x", "y"))
    with pytest.raises(LabramError, match=r"expected recordings for val, .* a file is called train/a\.edf"):
        divide(
            Split.model_validate({"train": {"file": ["*/a*"]}, "val": {"file": ["x"]}, "test": {"file": ["dev/*"]}}),
            windows,
            ("x", "y"),
        )


def test_by_session_and_by_number_of_the_event() -> None:
    events = labelled(*[("a", "1/a.edf", number % 2, number) for number in range(1, 16)])
    split = Split.model_validate({"by": "event", "train": ["1..9"], "val": ["10..12"], "test": ["13..15"]})
    division = divide(split, events, ("x", "y"))
    assert {name: [w.event for w in found] for name, found in division.windows.items()} == {
        "train": list(range(1, 10)),
        "val": [10, 11, 12],
        "test": [13, 14, 15],
    }
    assert division.shared_subjects == ["lab/a"]
    sessions = labelled(*[window for session in "123" for window in both("a", f"{session}/a.edf")])
    split = Split.model_validate({"by": "session", "train": ["1"], "val": ["2"], "test": ["3"]})
    assert [w.session for w in divide(split, sessions, ("x", "y")).windows["test"]] == ["3", "3"]
    with pytest.raises(LabramError, match="expected every class in test, found no window of x, y in it"):
        divide(Split.model_validate({"by": "session", "train": ["1"], "val": ["2"], "test": ["4"]}), sessions, "xy")


def test_by_label_of_the_event() -> None:
    found = tuple(
        LabelledWindow("lab/a", "a.edf", "a", 0, 0, number, "a.edf", None, label)
        for number, label in enumerate(["walk train", "walk 1", "walk test", "1"], 1)
    )
    split = Split.model_validate({"by": "event", "train": ["walk train"], "val": ["2"], "test": ["*test"]})
    division = divide(split, Labelled(found, 0), ["any target"])
    assert {name: [w.event for w in part] for name, part in division.windows.items()} == {
        "train": [1],
        "val": [2],
        "test": [3],
    }
    numbers = Split.model_validate({"by": "event", "train": ["1"], "val": ["2"], "test": ["3"]})
    assert [w.event for w in divide(numbers, Labelled(found, 0), "x").windows["train"]] == [1]  # not the label "1"
    twice = Split.model_validate({"by": "event", "train": ["walk tr*"], "val": ["1..2"], "test": ["3"]})
    with pytest.raises(LabramError, match=r"expected event 1 \(walk train\) in one split, found it in train and val"):
        divide(twice, Labelled(found, 0), "x")


def test_ranges_name_the_subjects_that_exist() -> None:
    subjects = {f"lab/S{number:03d}": {0, 1, 2} for number in (1, 2, 9, 10, 11)}
    split = Split.model_validate({"train": ["S001..S009"], "val": ["lab/S010..lab/S010"], "test": ["S011..S020"]})
    assert split_subjects(split, subjects, CLASSES) == {
        "train": ("lab/S001", "lab/S002", "lab/S009"),
        "val": ("lab/S010",),
        "test": ("lab/S011",),
    }

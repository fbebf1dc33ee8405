"""Splits by subject: nobody twice, every class everywhere, or a message that says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labram_model.errors import LabramError
from labram_model.split import split_subjects
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

"""Subjects into train, val and test: never a subject in two, and every class in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np

from labram_model.errors import LabramError
from labram_model.task import SPLITS, Split

_SHUFFLES = (
    200  # covering each split by few subjects is a hard problem; a greedy cover of a shuffle solves all but freaks
)


def split_subjects(
    split: Split, subjects: Mapping[str, Set[int]], classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Divide subjects (name `source/subject` to the indices of the classes it has windows of).

    Shares are drawn by `split.seed`: first each split gets subjects until it has every class, then the shares are
    filled. Lists are taken as they are; subjects that no list names are left out.

    Raises:
        LabramError: a listed subject is unknown or ambiguous; a class is missing in a split; too few subjects.
    """
    listed = split.listed
    if listed is None:
        return _drawn(split, subjects, classes)
    named = {part: tuple(_resolve(name, subjects) for name in names) for part, names in listed.items()}
    everyone = [subject for members in named.values() for subject in members]
    if twice := sorted({subject for subject in everyone if everyone.count(subject) > 1}):
        raise LabramError(f"Cannot split: expected each subject once, found twice: {', '.join(twice)}. Name it once.")
    for part, members in named.items():
        found: set[int] = set().union(*(subjects[subject] for subject in members))
        if missing := [name for index, name in enumerate(classes) if index not in found]:
            raise LabramError(
                f"Cannot split: expected every class in {part}, found no window of {', '.join(missing)} in its "
                f"subjects {', '.join(members)}. Give {part} a subject that has it."
            )
    return named


def _resolve(name: str, subjects: Mapping[str, Set[int]]) -> str:
    fits = [subject for subject in subjects if subject == name or subject.partition("/")[2] == name]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise LabramError(
            f"Cannot split: subject {name} is in several sources: found {', '.join(fits)}. Name it as source/subject."
        )
    raise LabramError(
        f"Cannot split: expected subjects with windows of the task, found none named {name}. "
        f"Choose among {', '.join(sorted(subjects))}."
    )


def _drawn(split: Split, subjects: Mapping[str, Set[int]], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    of_class = {name: sorted(s for s, has in subjects.items() if index in has) for index, name in enumerate(classes)}
    counts = "; ".join(f"{name}: {len(members)} ({', '.join(members)})" for name, members in of_class.items())
    if min(map(len, of_class.values())) < len(SPLITS):
        raise LabramError(
            f"Cannot split by subject: expected at least {len(SPLITS)} subjects for every class, found {counts}. "
            "Add recordings of more subjects, or take the class out of the task."
        )
    rng = np.random.default_rng(split.seed)
    names = sorted(subjects)
    for _ in range(_SHUFFLES):
        order = [names[index] for index in rng.permutation(len(names))]
        parts = _cover(order, subjects, len(classes))
        if parts is not None:
            _fill(parts, order, {name: getattr(split, name) for name in SPLITS})
            return {name: tuple(sorted(parts[name])) for name in SPLITS}
    raise LabramError(
        f"Cannot split by subject: found no way to have every class in each of {', '.join(SPLITS)} from {counts}. "
        "Add recordings of more subjects, or take a class out of the task."
    )


def _cover(order: Sequence[str], subjects: Mapping[str, Set[int]], n_classes: int) -> dict[str, set[str]] | None:
    """Give each split the fewest subjects, in this order, that have all classes between them; None where that fails.

    The scarcest class goes first, to the first subject that brings the most classes still missing.
    """
    free = list(order)
    scarcity = sorted(range(n_classes), key=lambda index: sum(index in has for has in subjects.values()))
    parts: dict[str, set[str]] = {}
    for name in reversed(SPLITS):
        missing = set(range(n_classes))
        parts[name] = set()
        for index in scarcity:
            if index not in missing:
                continue
            able = [subject for subject in free if index in subjects[subject]]
            if not able:
                return None
            chosen = max(able, key=lambda subject: len(subjects[subject] & missing))
            free.remove(chosen)
            parts[name].add(chosen)
            missing -= subjects[chosen]
    return parts


def _fill(parts: dict[str, set[str]], order: Sequence[str], shares: Mapping[str, float]) -> None:
    """Give each subject that is left to the split that lacks most to its share."""
    taken = set().union(*parts.values())
    for subject in order:
        if subject not in taken:
            lacking = max(SPLITS, key=lambda name: shares[name] * len(order) - len(parts[name]))
            parts[lacking].add(subject)

"""Windows into train, val and test, with every class in each. By subject, never a subject in two."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from labram_model.errors import LabramError
from labram_model.labelled import Labelled, LabelledWindow
from labram_model.task import SPLITS, Files, Split, expand, is_range

logger = logging.getLogger(__name__)

_SHUFFLES = (
    200  # covering each split by few subjects is a hard problem; a greedy cover of a shuffle solves all but freaks
)


@dataclass(frozen=True)
class Division:
    """The windows of each split, and the subjects (`source/subject`) that they come from."""

    windows: dict[str, tuple[LabelledWindow, ...]]
    subjects: dict[str, tuple[str, ...]]

    @property
    def shared_subjects(self) -> list[str]:
        """Subjects that are in more than one split: never, if it is by subject."""
        places = Counter(subject for members in self.subjects.values() for subject in members)
        return sorted(subject for subject, count in places.items() if count > 1)


def divide(split: Split, labelled: Labelled, classes: Sequence[str]) -> Division:
    """Divide the windows of a task.

    Raises:
        LabramError: a class is missing in a split; a file, subject, session or event belongs to two splits; by subject,
            whatever `split_subjects` raises.
    """
    if split.by == "subject":
        subjects = _subjects_of_files(split, labelled)
        if any(not isinstance(part, Files) for part in split.parts.values()):
            taken = set().union(*subjects.values())
            left = {name: has for name, has in labelled.classes_of.items() if name not in taken}
            subjects |= split_subjects(split, left, classes)
        windows = {name: labelled.of(subjects[name]) for name in SPLITS}
    else:
        windows = {name: windows_of(split, name, labelled) for name in SPLITS}
        _check_apart(split, labelled)
        subjects = {name: tuple(sorted({window.subject for window in windows[name]})) for name in SPLITS}
    if unused := len(labelled.windows) - sum(map(len, windows.values())):
        logger.info("%d of %d windows belong to no split.", unused, len(labelled.windows))
    for name in SPLITS:
        found = {window.label for window in windows[name]}
        if missing := [known for index, known in enumerate(classes) if index not in found]:
            raise LabramError(
                f"Cannot split by {split.by}: expected every class in {name}, found no window of "
                f"{', '.join(missing)} in it. Correct split.{name}, or add recordings."
            )
    return Division(windows, {name: subjects[name] for name in SPLITS})


def windows_of(split: Split, name: str, labelled: Labelled) -> tuple[LabelledWindow, ...]:
    """Return the windows that a split by file, session or event gives to one of its parts."""
    part = split.parts[name]
    entries = expand(part) if isinstance(part, tuple) else []
    return tuple(window for window in labelled.windows if _belongs(split.by, entries, window))


def _belongs(by: str, entries: Sequence[str], window: LabelledWindow) -> bool:
    if by == "file":
        return any(fnmatchcase(window.file, pattern) for pattern in entries)
    if by == "session":
        return window.session in entries
    labels = [entry for entry in entries if not entry.isdecimal()]
    return str(window.event) in entries or any(fnmatchcase(window.event_label, pattern) for pattern in labels)


def _check_apart(split: Split, labelled: Labelled) -> None:
    """Raise LabramError for a file or an event that the entries of two splits fit."""
    known = {(window.file, window.event, window.event_label): window for window in labelled.windows}
    parts = {name: expand(part) for name, part in split.parts.items() if isinstance(part, tuple)}
    for window in known.values():
        fits = [name for name, entries in parts.items() if _belongs(split.by, entries, window)]
        if len(fits) > 1:
            what = window.file if split.by == "file" else f"event {window.event} ({window.event_label})"
            raise LabramError(
                f"Cannot split by {split.by}: expected {what} in one split, found it in {' and '.join(fits)}. "
                f"Correct split.{' or split.'.join(fits)}."
            )


def _subjects_of_files(split: Split, labelled: Labelled) -> dict[str, tuple[str, ...]]:
    """The subjects of the splits that are given by files. Raises LabramError where one has other recordings too."""
    places: dict[str, set[str]] = {}
    for window in labelled.windows:
        fits = [
            name
            for name, part in split.parts.items()
            if isinstance(part, Files) and any(fnmatchcase(window.file, pattern) for pattern in part.file)
        ]
        places.setdefault(window.subject, set()).update(fits or [""])
    found: dict[str, list[str]] = {name: [] for name, part in split.parts.items() if isinstance(part, Files)}
    torn = {subject: names for subject, names in places.items() if len(names) > 1}
    if torn:
        shown = "; ".join(
            f"{subject} in {' and '.join(sorted(name or 'none of them' for name in names))}"
            for subject, names in sorted(torn.items())[:12]
        )
        raise LabramError(
            f"Cannot split by subject: expected all files of a subject in one split, found {len(torn)} subjects in "
            f"several: {shown}. Correct the patterns, or write `by: file`, which lets subjects be in several splits."
        )
    for subject in sorted(places):
        (name,) = places[subject]
        if name:
            found[name].append(subject)
    if empty := [name for name, members in found.items() if not members]:
        raise LabramError(
            f"Cannot split by subject: expected recordings for {', '.join(empty)}, found no file that its patterns "
            f"fit. Correct them: a file is called {labelled.windows[0].file}."
        )
    return {name: tuple(members) for name, members in found.items()}


def split_subjects(
    split: Split, subjects: Mapping[str, Set[int]], classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Divide subjects (name `source/subject` to the indices of the classes it has windows of), but for `Files`.

    Shares are drawn by `split.seed`: first each split gets subjects until it has every class, then the shares are
    filled. Lists are taken as they are; of a range, the subjects that exist. Subjects that no list names are left out.

    Raises:
        LabramError: a listed subject is unknown or ambiguous; a class is missing in a split; too few subjects.
    """
    shares = {name: part for name, part in split.parts.items() if isinstance(part, float)}
    if shares:
        return _drawn(split.seed, shares, subjects, classes)
    listed = {name: part for name, part in split.parts.items() if isinstance(part, tuple)}
    named = {part: tuple(_members(entries, subjects)) for part, entries in listed.items()}
    everyone = [subject for members in named.values() for subject in members]
    if twice := sorted({subject for subject in everyone if everyone.count(subject) > 1}):
        raise LabramError(f"Cannot split: expected each subject once, found twice: {', '.join(twice)}. Name it once.")
    for part, members in named.items():
        found: set[int] = set().union(*(subjects[subject] for subject in members))
        if missing := [name for index, name in enumerate(classes) if index not in found]:
            raise LabramError(
                f"Cannot split: expected every class in {part}, found no window of {', '.join(missing)} in its "
                f"subjects {', '.join(members) or '(none)'}. Give {part} a subject that has it."
            )
    return named


def _members(entries: Sequence[str], subjects: Mapping[str, Set[int]]) -> list[str]:
    members = []
    for entry in entries:
        if is_range(entry):
            members += [_resolve(name, subjects) for name in expand([entry]) if _fits(name, subjects)]
        else:
            members.append(_resolve(entry, subjects))
    return members


def _fits(name: str, subjects: Mapping[str, Set[int]]) -> list[str]:
    return [subject for subject in subjects if subject == name or subject.partition("/")[2] == name]


def _resolve(name: str, subjects: Mapping[str, Set[int]]) -> str:
    fits = _fits(name, subjects)
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


def _drawn(
    seed: int, shares: Mapping[str, float], subjects: Mapping[str, Set[int]], classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    of_class = {name: sorted(s for s, has in subjects.items() if index in has) for index, name in enumerate(classes)}
    counts = "; ".join(f"{name}: {len(members)} ({', '.join(members)})" for name, members in of_class.items())
    if min(map(len, of_class.values())) < len(shares):
        raise LabramError(
            f"Cannot split by subject: expected at least {len(shares)} subjects for every class, found {counts}. "
            "Add recordings of more subjects, or take the class out of the task."
        )
    rng = np.random.default_rng(seed)
    names = sorted(subjects)
    for _ in range(_SHUFFLES):
        order = [names[index] for index in rng.permutation(len(names))]
        parts = _cover(list(shares), order, subjects, len(classes))
        if parts is not None:
            _fill(parts, order, shares)
            return {name: tuple(sorted(parts[name])) for name in shares}
    raise LabramError(
        f"Cannot split by subject: found no way to have every class in each of {', '.join(shares)} from {counts}. "
        "Add recordings of more subjects, or take a class out of the task."
    )


def _cover(
    names: Sequence[str], order: Sequence[str], subjects: Mapping[str, Set[int]], n_classes: int
) -> dict[str, set[str]] | None:
    """Give each split the fewest subjects, in this order, that have all classes between them; None where that fails.

    The scarcest class goes first, to the first subject that brings the most classes still missing.
    """
    free = list(order)
    scarcity = sorted(range(n_classes), key=lambda index: sum(index in has for has in subjects.values()))
    parts: dict[str, set[str]] = {}
    for name in reversed(names):
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
            lacking = max(shares, key=lambda name: shares[name] * len(order) - len(parts[name]))
            parts[lacking].add(subject)

"""Files that belong to a recording: beside it or in its source's path, their names filled in from its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from eeg_ingest.labels import PLACEHOLDER
from eeg_ingest.recording import IngestError


def fill(text: str, groups: Mapping[str, str | None], path: Path) -> str:
    """Fill in {stem} and the named groups of the file at `path`. Raises IngestError for a group without a value."""
    return PLACEHOLDER.sub(lambda m: path.stem if m[1] == "stem" else group_of(groups, m[1], path), text)


def group_of(groups: Mapping[str, str | None], name: str, path: Path) -> str:
    """Return a named group of the file at `path`. Raises IngestError where it has no value."""
    value = groups.get(name)
    if value is None:
        raise IngestError(
            f"The labels of {path.name} cannot be found: expected the path to hold the named group {name!r} of "
            "subject, found nothing there. Correct subject in sources.yaml."
        )
    return value


def find_beside(
    names: Sequence[str], groups: Mapping[str, str | None], path: Path, source_path: Path, *, what: str = "table"
) -> Path:
    """Return the first of `names` that exists beside the recording at `path` or above it, up to `source_path`.

    A * in the last part of a name stands for anything, if one file fits. Raises IngestError where there is none.
    """
    filled = [fill(name, groups, path) for name in names]
    above = [folder for folder in path.parent.parents if folder.is_relative_to(source_path)]
    for name in filled:
        for folder in (path.parent, *above):
            found = _matches(folder / name)
            if len(found) > 1:
                raise IngestError(
                    f"The labels of {path.name} cannot be read: expected one file {name}, found "
                    f"{', '.join(file.name for file in found)}. Leave one of them out."
                )
            if found:
                return found[0]
    raise MissingFileError(
        f"The labels of {path.name} cannot be read: expected the {what} {' or '.join(filled)} beside the recording or "
        f"in {source_path}, found no such file. Add the {what}, or correct labels in sources.yaml."
    )


class MissingFileError(IngestError):
    """A file that belongs to a recording is not there."""


def _matches(path: Path) -> list[Path]:
    if "*" not in path.name:
        return [path] if path.is_file() else []
    inside = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted(file for file in inside if fnmatchcase(file.name, path.name) and file.is_file())

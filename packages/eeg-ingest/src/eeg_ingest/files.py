"""The files of a source: a walk over its folder that leaves nothing out without a reason."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eeg_ingest.bids import NO_RECORDINGS, recording_globs
from eeg_ingest.recipe import load_recipe
from eeg_ingest.sources import Source

SUFFIXES = (
    *("edf", "bdf", "gdf", "vhdr", "set", "fif", "fif.gz", "cnt", "mff", "raw"),
    *("eeg", "cdt", "dap", "lay", "nxe", "nwb", "xdf", "easy"),
)


@dataclass(frozen=True)
class FoundFile:
    """A file (or an .mff folder) that a source names. `file` is its path relative to the source's, with /."""

    source: str
    file: str
    path: Path

    @property
    def recording(self) -> str:
        """Name of the recording: unique, readable, stable."""
        return f"{self.source}/{self.file}"


@dataclass(frozen=True)
class Failure:
    """A row of the failures table. `file` may also be a folder or a pattern."""

    source: str
    file: str
    reason: str


def find_files(source: Source) -> tuple[list[FoundFile], list[Failure]]:
    """Find the files of a source in sorted order: hidden and excluded ones are skipped, symbolic links followed once.

    A missing path, a folder that cannot be read and a pattern that matches nothing are failures.
    """
    if not os.path.isdir(source.path):  # noqa: PTH112  # unlike Path.is_dir, False where permissions are missing
        found = "something else" if os.path.lexists(source.path) else "nothing there"
        reason = f"The path of the source cannot be read: expected a folder, found {found}. Correct it in sources.yaml."
        return [], [Failure(source.name, str(source.path), reason)]
    failures: list[Failure] = []
    everything = _list(source, failures)
    anywhere = recording_globs(SUFFIXES) if source.bids else [f"**/*.{suffix}" for suffix in SUFFIXES]
    patterns = {text: glob_pattern(text) for text in source.files or anywhere}
    flags = 0 if source.files else re.IGNORECASE
    matches = {text: re.compile(pattern, flags) for text, pattern in patterns.items()}
    used = set()
    found_files = []
    for file in everything:
        hits = [text for text, pattern in matches.items() if pattern.fullmatch(file)]
        used.update(hits)
        if hits:
            problem = _problem(source.path / file)
            if problem:
                failures.append(Failure(source.name, _printable(file), problem))
            else:
                found_files.append(FoundFile(source.name, file, source.path / file))
    unused = [text for text in source.files or () if text not in used]
    failures += [Failure(source.name, text, _nothing(source, text, everything)) for text in unused]
    if source.files is None and not used:
        what = "sub-*/**/*_eeg." if source.bids else "*."
        reason = (
            f"No recording found in {source.path}: expected files named {what}SUFFIX, with the suffix "
            f"{', '.join(SUFFIXES)}, found none."
        )
        failures.append(Failure(source.name, ".", reason))
    return found_files, failures


def glob_pattern(glob: str) -> str:
    """Translate a glob over relative paths to a regular expression: * and ? stay in a folder, ** is any folders."""
    pattern, i = "", 0
    while i < len(glob):
        if glob.startswith("**/", i) and (i == 0 or glob[i - 1] == "/"):
            pattern, i = pattern + "(?:[^/]+/)*", i + 3
        elif glob[i:] == "**" and (i == 0 or glob[i - 1] == "/"):
            pattern, i = pattern + ".+", i + 2
        elif glob[i] == "[" and (end := glob.find("]", i + 2)) > 0:
            pattern, i = pattern + _character_class(glob[i + 1 : end]), end + 1
        else:
            pattern += {"*": "[^/]*", "?": "[^/]"}.get(glob[i], re.escape(glob[i]))
            i += 1
    return pattern


def _character_class(inside: str) -> str:
    """Translate the inside of [...]: characters and ranges, none of them with ! in front; never a /."""
    negated = inside.startswith("!")
    escaped = ""
    for member in re.findall(r".-.|.", inside[negated:], re.DOTALL):
        first, last = member[0], member[-1]
        if first <= last:  # z-a holds nothing
            escaped += re.escape(first) if len(member) == 1 else f"{re.escape(first)}-{re.escape(last)}"
    if negated:
        return f"[^/{escaped}]"
    return f"(?!/)[{escaped}]" if escaped else "(?!)"


def _list(source: Source, failures: list[Failure]) -> list[str]:
    """Return the relative paths of all files that the source does not exclude, sorted."""
    excluded = [re.compile(glob_pattern(glob)) for glob in source.exclude]
    return sorted(file for file in _walk(source, failures) if not any(e.fullmatch(file) for e in excluded))


def _walk(source: Source, failures: list[Failure]) -> Iterator[str]:
    """Yield the relative path of every file and .mff folder; note folders that cannot be read."""

    def unreadable(error: OSError) -> None:
        folder = os.path.relpath(error.filename, source.path)
        reason = f"The folder cannot be read: expected a readable folder, found: {error.strerror}. Permit it."
        failures.append(Failure(source.name, _printable(folder), reason))

    # The real paths of each folder and of those above it, to notice a link that leads back up.
    real_paths: dict[str, tuple[str, ...]] = {os.fspath(source.path): (os.path.realpath(source.path),)}
    for folder, names, files in os.walk(source.path, onerror=unreadable, followlinks=True):
        above = real_paths.pop(folder)
        inside = [name for name in names if not name.startswith(".")]
        names[:] = []
        if source.bids and folder == os.fspath(source.path):
            inside = [name for name in inside if name not in NO_RECORDINGS]
        for name in inside:
            path = os.path.join(folder, name)  # noqa: PTH118  # os.walk works on text, and datasets have many files
            real = os.path.realpath(path)
            if name.lower().endswith(".mff"):
                files.append(name)
            elif real not in above:  # a link to a folder above would never end
                names.append(name)
                real_paths[path] = (*above, real)
        for name in files:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), source.path).replace(os.sep, "/")  # noqa: PTH118


def _problem(path: Path) -> str | None:
    """Return why a file cannot even be looked at: a broken link, a pipe, a name that no table can hold."""
    try:
        str(path).encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError:
        return "The file's name cannot be stored: expected UTF-8, found other bytes. Rename the file."
    except OSError as error:
        return f"The file cannot be read: expected a file, found: {error.strerror}. Restore it."
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "The file cannot be read: expected a file, found a pipe, socket or device. Leave it out."
    return None


def _nothing(source: Source, glob: str, everything: Sequence[str]) -> str:
    deeper = re.compile(glob_pattern(f"**/{glob}"))
    count = sum(1 for file in everything if deeper.fullmatch(file))
    folder = _folder_for(source, glob, everything)
    found, action = "found none", "Correct files in sources.yaml"
    if folder is not None:
        action = f"Set path to {folder}"
    elif count:
        action = f"**/{glob} would match {count}"
    elif other := _other_release(source, everything):
        found, action = f"found those of {other[0]}", other[1]
    return f"The pattern matches nothing: expected files in {source.path}, {found}. {action}."


def _folder_for(source: Source, glob: str, everything: Sequence[str]) -> Path | None:
    """Return the folder above the source's path from which a pattern would match: then path is a folder too deep."""
    pattern, above = re.compile(glob_pattern(glob)), ""
    for folder in (source.path, *source.path.parents[:2]):
        above = f"{folder.name}/{above}"
        if any(pattern.fullmatch(above + file) for file in everything):
            return folder.parent
    return None


def advise_release(source: Source) -> str:
    """Return what to add to the failures of a source whose files cannot be read: nothing, or the other release there.

    Labels of one release may have the names of another's recordings.
    """
    other = _other_release(source, _list(source, []))
    return f" There are files of {other[0]}, too. {other[1]}." if other else ""


def _other_release(source: Source, everything: Sequence[str]) -> tuple[str, str] | None:
    """Return of which other release of the source's recipe there are files, and the key to add or to remove."""
    if source.recipe is None:
        return None
    recipe = load_recipe(source.recipe)
    for release in (None, *recipe.releases):
        globs = [] if release == source.release else recipe.keys_of(release)["files"]
        patterns = [re.compile(glob_pattern(glob)) for glob in globs]
        if any(pattern.fullmatch(file) for pattern in patterns for file in everything) or any(
            _folder_for(source, glob, everything) for glob in globs
        ):
            if release is None:
                return f"the recipe {recipe.name} itself", "Remove the key release"
            return f"the release {release} of {recipe.name}", f"Add the key release: {release}"
    return None


def _printable(file: str) -> str:
    return file.encode(errors="surrogateescape").decode(errors="replace")

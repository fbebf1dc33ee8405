"""The files of a source: what patterns match, what is passed over, and what is a failure."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from eeg_ingest.duplicates import content_hash, fingerprint
from eeg_ingest.files import SUFFIXES, find_files, glob_pattern
from eeg_ingest.plan import make_plan
from eeg_ingest.sources import Source
from eeg_ingest.workers import Workers
from hypothesis import given
from hypothesis import strategies as st

FILES = ("a.edf", "b.EDF", "c[1].edf", "d/a.edf", "d/e/a.edf", "d/e/x.bdf", "f.edf/g.bdf", "notes.txt")


def _source(path: Path, **keys: Any) -> Source:
    return Source(name="s", path=path, **keys)


def _make(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)


def _found(source: Source) -> list[str]:
    return [found.file for found in find_files(source)[0]]


def _failures(source: Source) -> dict[str, str]:
    return {failure.file: failure.reason for failure in find_files(source)[1]}


@pytest.mark.parametrize(
    "pattern",
    [
        "*.edf",
        "**/*.edf",
        "*/*.edf",
        "d/**/*.edf",
        "**/a.edf",
        "d/**",
        "?.edf",
        "[ab].edf",
        "[!a].edf",
        "**/*",
        "c[[]1].edf",
    ],
)
def test_patterns_mean_what_pathlib_means(tmp_path: Path, pattern: str) -> None:
    _make(tmp_path, *FILES)
    globbed = tmp_path.glob(pattern if not pattern.endswith("**") else pattern + "/*")
    expected = sorted(path.relative_to(tmp_path).as_posix() for path in globbed if path.is_file())
    assert _found(_source(tmp_path, files=pattern)) == expected


@given(st.text("a*?[]!-^\\{}()+.d/", max_size=12).filter(lambda text: "***" not in text))
def test_any_pattern_is_a_regular_expression(pattern: str) -> None:
    re.compile(glob_pattern(pattern))


def test_a_file_that_two_patterns_match_is_found_once(tmp_path: Path) -> None:
    _make(tmp_path, *FILES)
    assert _found(_source(tmp_path, files=["*.edf", "a*", "**/*.edf"])).count("a.edf") == 1


def test_without_patterns_every_known_suffix_is_found(tmp_path: Path) -> None:
    _make(tmp_path, *(f"x/recording.{suffix}" for suffix in SUFFIXES), "UPPER.EDF", "x.txt", "x.dat", "x.vmrk", "x.fdt")
    expected = sorted([*(f"x/recording.{suffix}" for suffix in SUFFIXES), "UPPER.EDF"])
    assert _found(_source(tmp_path)) == expected


def test_excluded_files_are_passed_over(tmp_path: Path) -> None:
    _make(tmp_path, "sub-1/a.edf", "sub-2/eeg/b.edf", "sub-2/c.edf")
    source = _source(tmp_path, files="**/*.edf", exclude=("**/sub-2/**", "**/sub-3/**"))
    assert (_found(source), _failures(source)) == (["sub-1/a.edf"], {})
    assert _found(_source(tmp_path, exclude=("*/a.edf",))) == ["sub-2/c.edf", "sub-2/eeg/b.edf"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    _make(tmp_path, "a.edf", "._a.edf", ".git/b.edf")
    assert _found(_source(tmp_path, files="**/*")) == ["a.edf"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    _make(tmp_path, "data/one/a.edf", "elsewhere/b.edf")
    (tmp_path / "data" / "one" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "one" / "self").symlink_to(tmp_path / "data" / "one")
    (tmp_path / "data" / "two").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    assert _found(_source(tmp_path / "data")) == ["one/a.edf", "two/b.edf"]


def test_an_mff_folder_is_one_recording(tmp_path: Path) -> None:
    _make(tmp_path, "a.mff/info.xml", "a.mff/signal1.bin", "a.mff/inner.edf")
    assert _found(_source(tmp_path)) == ["a.mff"]


def test_what_matches_nothing_says_what_would(tmp_path: Path) -> None:
    _make(tmp_path, "d/a.edf", "d/e/b.edf")
    reasons = _failures(_source(tmp_path, files=["*.edf", "*.set", "d/*.edf"]))
    assert reasons.keys() == {"*.edf", "*.set"}
    assert "**/*.edf would match 2." in reasons["*.edf"]
    assert "Correct files in sources.yaml." in reasons["*.set"]


@pytest.mark.parametrize(("path", "found"), [("German", "German"), ("German/01-EEG-raw", "01-EEG-raw")])
def test_a_path_within_the_dataset_says_which_one_is_meant(tmp_path: Path, path: str, found: str) -> None:
    _make(tmp_path, "SEED_GER/German/01-EEG-raw/1_1.cnt")
    source = _source(tmp_path / "SEED_GER" / path, files="**/German/01-EEG-raw/*.cnt")
    assert _failures(source)["**/German/01-EEG-raw/*.cnt"].endswith(
        f"{found}, found none. Set path to {tmp_path / 'SEED_GER'}."
    )


def test_an_empty_source_is_a_failure(tmp_path: Path) -> None:
    _make(tmp_path, "notes.txt")
    assert "No recording found" in _failures(_source(tmp_path))["."]


@pytest.mark.parametrize(("name", "found"), [("none", "nothing there"), ("file", "something else")])
def test_a_path_that_is_no_folder(tmp_path: Path, name: str, found: str) -> None:
    _make(tmp_path, "file")
    assert found in _failures(_source(tmp_path / name))[str(tmp_path / name)]


def test_names_that_no_table_can_hold_are_failures(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.edf")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "expected UTF-8" in _failures(_source(tmp_path))["caf\ufffd.edf"]


def test_files_that_belong_to_another_are_passed_over(tmp_path: Path) -> None:
    """With their header in the plan: alone they are failures like any file that is no recording."""
    header = "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=a.eeg\nMarkerFile=a.vmrk\n"
    (tmp_path / "a.vhdr").write_text(header)
    _make(tmp_path, "a.eeg", "a.vmrk", "b.eeg")
    with Workers(1) as workers:
        plan = make_plan([_source(tmp_path, files=["*"])], None, workers)
        assert [entry.file for entry in plan.entries] == ["a.vhdr", "b.eeg"]
        plan = make_plan([_source(tmp_path, files="*.eeg")], None, workers)
        assert [(entry.file, entry.status) for entry in plan.entries] == [("a.eeg", "failed"), ("b.eeg", "failed")]


@given(content=st.binary(max_size=300), position=st.integers(0, 299))
def test_hashes_depend_on_content_and_not_on_names(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, position: int
) -> None:
    folder = tmp_path_factory.mktemp("hash")
    files = [str(folder / name) for name in "ab"]
    changed = bytearray(content)
    if position < len(changed):
        changed[position] ^= 1
    for file, data in zip(files, (content, bytes(changed)), strict=True):
        Path(file).write_bytes(data)
    same = bytes(changed) == content
    assert (content_hash(files[:1]) == content_hash(files[1:])) == same
    assert (fingerprint(files[:1]) == fingerprint(files[1:])) == same


def test_where_files_of_one_recording_begin_enters_the_hash(tmp_path: Path) -> None:
    for name, text in (("a", "xy"), ("b", "z"), ("c", "x"), ("d", "yz")):
        (tmp_path / name).write_text(text)
    first, second = [[str(tmp_path / name) for name in names] for names in ("ab", "cd")]
    assert content_hash(first) != content_hash(second)
    assert fingerprint(first).n_bytes == fingerprint(second).n_bytes == 3

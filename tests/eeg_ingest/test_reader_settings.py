"""`reader` and `targets` in sources.yaml: each mistake has its place and an action; what they say enters the spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from eeg_ingest.sources import Source, SourcesError, load_sources
from eeg_ingest.spec import spec_of

MATLAB: dict[str, Any] = {"format": "matlab", "signal": "x", "axes": ["channel", "sample"], "sfreq_hz": 250}
TABLE: dict[str, Any] = {"format": "table", "sfreq_hz": 250}
TARGETS: dict[str, Any] = {"table": "j.txt", "time": {"column": "t"}, "names": ["a", "b"], "units": "degree"}


def load(folder: Path, **keys: Any) -> Source:
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [{"name": "a", "path": "x", **keys}]}), encoding="utf-8")
    return load_sources(path)[0]


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ({"reader": {**MATLAB, "singal": "x"}}, "sources[0].reader.singal: unknown key. Did you mean 'signal'?"),
        ({"reader": {"format": "matlab"}}, "sources[0].reader.signal: expected a value, found nothing. Add the key."),
        (
            {"reader": {**MATLAB, "axes": ["channel", "time"]}},
            "sources[0].reader.axes[1]: expected 'sample', 'channel' or 'trial', found 'time'.",
        ),
        (
            {"reader": {**MATLAB, "axes": ["sample"]}},
            "sources[0].reader.axes: expected sample and channel, and trial where there is such an axis, "
            "found a list of 1.",
        ),
        (
            {"reader": {**MATLAB, "sfreq_hz": -1}},
            "sources[0].reader.sfreq_hz: expected a rate in Hz or the variable that holds it, found -1.",
        ),
        (
            {"reader": {**MATLAB, "names": []}},
            "sources[0].reader.names: expected a list of names or the variable that holds them, found a list of 0.",
        ),
        (
            {"reader": {**MATLAB, "events": {"onset": "o", "label": "l", "codes": [1]}}},
            "sources[0].reader.events: expected codes and names, or neither, found a mapping. Give both.",
        ),
        (
            {"reader": {**MATLAB, "events": {"onset": "o", "label": "l", "bsae": 1}}},
            "sources[0].reader.events.bsae: unknown key. Did you mean 'base'?",
        ),
        (
            {"reader": {"format": "table"}},
            "sources[0].reader: expected sfreq_hz or time among the keys, found a mapping. Add one of them.",
        ),
        (
            {"reader": {**TABLE, "time": {"colunm": "t"}}},
            "sources[0].reader.time.colunm: unknown key. Did you mean 'column'?",
        ),
        (
            {"reader": {**TABLE, "separator": ","}},
            "sources[0].reader.separator: expected 'comma', 'tab', 'semicolon' or 'space', found ','.",
        ),
        ({"targets": {**TARGETS, "unit": "m"}}, "sources[0].targets.unit: unknown key. Did you mean 'units'?"),
        (
            {"targets": {**TARGETS, "units": ["m", "s", "N"]}},
            "sources[0].targets: expected one unit, or one for each name, found a mapping. Correct units.",
        ),
        (
            {"targets": {**TARGETS, "table": "{joint}.txt"}},
            "sources[0].targets.table: expected named groups of subject (none), found 'joint'. "
            "Add (?P<joint>...) to subject.",
        ),
    ],
)
def test_each_mistake_has_its_place_and_action(tmp_path: Path, keys: dict[str, Any], mistake: str) -> None:
    with pytest.raises(SourcesError) as caught:
        load(tmp_path, **keys)
    assert mistake in caught.value.mistakes


@pytest.mark.parametrize(("reader", "found"), [({}, "nothing"), ({"format": "mat"}, "'mat'")])
def test_an_unknown_format_is_told_the_known_ones(tmp_path: Path, reader: dict[str, Any], found: str) -> None:
    with pytest.raises(SourcesError) as caught:
        load(tmp_path, reader=reader)
    (mistake,) = caught.value.mistakes
    assert re.fullmatch(rf"sources\[0\]\.reader\.format: expected .*\bmatlab\b.*\btable\b.*, found {found}\.", mistake)


def test_what_changes_the_data_enters_the_spec(tmp_path: Path) -> None:
    """And a source without a reader has the spec that it had before there were readers."""
    plain = spec_of([load(tmp_path)])["sources"]["a"]
    assert not {"reader", "targets"} & set(plain)
    one = spec_of([load(tmp_path, reader=MATLAB)])
    assert one != spec_of([load(tmp_path, reader={**MATLAB, "scale": 0.1})])
    assert one == spec_of([load(tmp_path, reader={**MATLAB, "scale": 1})])
    assert load(tmp_path, targets=TARGETS).spec()["targets"]["names"] == ["a", "b"]


def test_the_examples_of_the_documentation_load(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs/readers.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)]
    (source,) = blocks[0]["sources"]
    assert load(tmp_path, **{key: value for key, value in source.items() if key not in ("name", "path")}).reader
    assert load(tmp_path, **blocks[1]).reader
    assert load(tmp_path, **blocks[2]).targets

"""`sources.yaml`: every mistake at once, each with its place, what was expected and what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from eeg_ingest.init import EXAMPLE
from eeg_ingest.labels import PathLabels, TableLabels
from eeg_ingest.sources import Source, Sources, SourcesError, load_sources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KINDS = "annotations, path, table, flags, trials, recipe or remainder"


def _load(folder: Path, text: str) -> tuple[Source, ...]:
    path = folder / "sources.yaml"
    path.write_text(text, encoding="utf-8")
    return load_sources(path)


def _one(folder: Path, **keys: Any) -> Source:
    return _load(folder, yaml.safe_dump({"sources": [{"name": "a", "path": "x", **keys}]}))[0]


def _mistakes(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(SourcesError) as error:
        _load(folder, text)
    return error.value.mistakes


def test_five_mistakes_are_reported_together(tmp_path: Path) -> None:
    found = _mistakes(
        tmp_path,
        """
sources:
  - name: First Source
    path: data
    line_freq_hz: 50 Hz
  - name: second
    path: data
    subjct: '(?P<subject>x)'
    unit: volts
  - name: third
    files: ['*.edf']
""",
    )
    assert found == (
        "sources[0].name: expected a name of letters, digits, ., _ and - other than tables, found 'First Source'.",
        "sources[0].line_freq_hz: expected a frequency in Hz or auto, found '50 Hz'.",
        "sources[1].unit: expected uV, mV, V, nV or auto, found 'volts'.",
        "sources[1].subjct: unknown key. Did you mean 'subject'?",
        "sources[2].path: expected a value, found nothing. Add the key.",
    )


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("unit: UV", "sources[0].unit: expected uV, mV, V, nV or auto, found 'UV'. Did you mean 'uV'?"),
        ("line_freq_hz: -50", "sources[0].line_freq_hz: expected a frequency in Hz or auto, found -50."),
        ("line_freq_hz: true", "sources[0].line_freq_hz: expected a frequency in Hz or auto, found True."),
        ("line_freq_hz: .inf", "sources[0].line_freq_hz: expected a frequency in Hz or auto, found inf."),
        ("files: []", "sources[0].files: expected at least one entry, found a list of 0."),
        (
            "files: ['*.edf', '/abs/*.edf']",
            "sources[0].files[1]: expected a pattern relative to the path of the source, with /, found '/abs/*.edf'.",
        ),
        (
            "files: ../*.edf",
            "sources[0].files: expected a pattern relative to the path of the source, with /, found '../*.edf'.",
        ),
        (
            "exclude: /abs",
            "sources[0].exclude: expected a pattern relative to the path of the source, with /, found '/abs'.",
        ),
        (
            "subject: '(?P<subject>x'",
            "sources[0].subject: expected a regular expression, found '(?P<subject>x'. "
            "Missing ), unterminated subpattern at position 0.",
        ),
        (
            "subject: '(?P<s>x)'",
            "sources[0].subject: expected a regular expression with a named group (?P<subject>...), found '(?P<s>x)'.",
        ),
        ("channels: {drop: [21]}", "sources[0].channels.drop[0]: expected text, found 21. Put it in quotes."),
        ("channels: {renam: {}}", "sources[0].channels.renam: unknown key. Did you mean 'rename'?"),
        ("channels: [Cz]", "sources[0].channels: expected a mapping of keys to values, found a list of 1."),
        (
            "channels: {montage: biosemi46}",
            "sources[0].channels.montage: expected a montage of MNE, found 'biosemi46'. Did you mean 'biosemi64'?",
        ),
        (
            "labels: {from: pth}",
            f"sources[0].labels.from: expected {KINDS}, found 'pth'.",
        ),
        (
            "labels: {rename: {}}",
            f"sources[0].labels.from: expected {KINDS}, found nothing.",
        ),
        (
            "reader: {format: xdf, steam: EEG}",
            "sources[0].reader.steam: unknown key. Did you mean 'stream'?",
        ),
        (
            "reader: {stream: EEG}",
            "sources[0].reader.format: expected matlab, table, arff, npz, neuroscan-cnt, xdf or nwb, found nothing.",
        ),
        (
            "reader: {format: edf}",
            "sources[0].reader.format: expected matlab, table, arff, npz, neuroscan-cnt, xdf or nwb, found 'edf'.",
        ),
        (
            "labels: {from: path, group: tusk}\n    bids: true",
            "sources[0].labels.group: expected named groups of subject (acquisition, run, session, subject, task), "
            "found 'tusk'. Did you mean 'task'?",
        ),
        (
            "labels: [{from: annotations}, {from: path, groop: x}]",
            "sources[0].labels[1].groop: unknown key. Did you mean 'group'?",
        ),
        (
            "labels: {from: path, group: state}",
            "sources[0].labels.group: expected named groups of subject (none), found 'state'. "
            "Add (?P<state>...) to subject.",
        ),
        (
            "labels: {from: table, table: '{sbject}.csv', onset: on, column: c}\n    subject: '(?P<subject>x)'",
            "sources[0].labels.table: expected named groups of subject (subject), found 'sbject'. "
            "Did you mean 'subject'?",
        ),
        (
            "labels: {from: table, table: t.csv, column: c}",
            "sources[0].labels: expected onset (a row an event) or key (a row a recording), found neither. Give one.",
        ),
        (
            "labels: {from: table, table: t.csv, column: c, onset: o, stop: s, duration: d}",
            "sources[0].labels: expected duration or stop, found both. Remove one.",
        ),
        (
            "labels: {from: trials, labels: [a, b], start_s: [1, 2], stop_s: [3]}",
            "sources[0].labels.stop_s: expected a time for each of 2 labels, found 1.",
        ),
        (
            "labels: {from: trials, labels: [a, b], start_s: [1, 2], stop_s: [1.5, 2]}",
            "sources[0].labels.stop_s[1]: expected an end after the start 2, found 2.",
        ),
        (
            "labels: {from: trials, labels: [a], start_s: [1]}",
            "sources[0].labels: expected start_s and stop_s, or neither, found start_s. Give both.",
        ),
        (
            "labels: {from: annotations, where: {run: '1'}}",
            "sources[0].labels.where: expected named groups of subject (none), found 'run'. "
            "Add (?P<run>...) to subject.",
        ),
        (
            "labels: {from: table, table: t.csv, column: c, key: k, channel: ch}\n    subject: '(?P<subject>x)'",
            "sources[0].labels.channel: expected channel only beside onset, found no onset. Remove channel.",
        ),
        (
            "labels: {from: table, table: t.csv, column: c, onset: o, rename_channels: {TERM: ''}}",
            "sources[0].labels.rename_channels: expected rename_channels only beside channel, found no channel. "
            "Remove rename_channels.",
        ),
        (
            "labels: {from: table, table: t.csv, column: label, onset: o, columns: [o, lable]}",
            "sources[0].labels.column: expected one of columns, found 'label'. Did you mean 'lable'?",
        ),
        ("name: b", "line 5: expected each key once, found the key 'name' twice, on lines 3 and 5. Remove one."),
    ],
)
def test_each_mistake_has_its_place_and_action(tmp_path: Path, keys: str, mistake: str) -> None:
    assert mistake in _mistakes(tmp_path, f"sources:\n  -\n    name: a\n    path: x\n    {keys}\n")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "expected a mapping of keys to values, found nothing."),
        ("- 1", "expected a mapping of keys to values, found a list of 1."),
        ("sources: []", "sources: expected at least one entry, found a list of 0."),
        ("sources: {name: a}", "sources: expected a list, found a mapping."),
        ("source: []", "source: unknown key. Did you mean 'sources'?"),
        ("sources: [", "line 1, column 11: expected YAML, found a syntax error"),
        ("sources: !!python/object/apply:os.system [ls]", "expected YAML, found a syntax error"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, mistake: str) -> None:
    assert any(mistake in found for found in _mistakes(tmp_path, text))


def test_names_must_differ(tmp_path: Path) -> None:
    found = _mistakes(tmp_path, "sources: [{name: a, path: x}, {name: b, path: x}, {name: a, path: y}]")
    assert [mistake.split(":")[0] for mistake in found] == ["sources[0].name", "sources[2].name"]


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match="No such file"):
        load_sources(tmp_path / "none.yaml")
    (tmp_path / "sources.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourcesError, match="not UTF-8"):
        load_sources(tmp_path / "sources.yaml")


def test_paths_are_relative_to_the_file_and_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EEG_ROOT", "/data")
    monkeypatch.delenv("EEG_NONE", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert _one(tmp_path, path="sub/x").path == tmp_path / "sub" / "x"
    assert _one(tmp_path, path="${EEG_ROOT}/x").path == Path("/data/x")
    assert _one(tmp_path, path="${EEG_NONE:-../y}/x").path == tmp_path / "../y/x"
    assert _one(tmp_path, path="~/x").path == Path("/home/someone/x")
    found = _mistakes(tmp_path, "sources: [{name: a, path: '${EEG_NONE}/x'}]")
    assert found == (
        "sources[0].path: expected the environment variable EEG_NONE to be set, found '${EEG_NONE}/x'. "
        "Set it, or write ${EEG_NONE:-default}.",
    )


@pytest.mark.parametrize("montage", ["standard_1005", "biosemi64", "GSN-HydroCel-129"])
def test_montages_of_mne_are_known_also_by_their_older_names(tmp_path: Path, montage: str) -> None:
    assert _one(tmp_path, channels={"montage": montage}).channels.montage == montage


@pytest.mark.parametrize("unit", ["uV", "\u00b5V", "\u03bcV"])
def test_micro_is_written_in_three_ways(tmp_path: Path, unit: str) -> None:
    assert _one(tmp_path, unit=unit).unit == "uV"


def test_one_entry_may_stand_for_a_list(tmp_path: Path) -> None:
    source = _one(tmp_path, files="*.edf", labels={"from": "annotations"})
    assert source.files == ("*.edf",)
    assert len(source.labels) == 1


def test_keys_are_text_whatever_yaml_makes_of_them(tmp_path: Path) -> None:
    """`01` would be the number 1, `no` would be false, 1.10 would be 1.1."""
    text = "sources: [{name: a, path: x, channels: {rename: {01: Cz, no: Pz, 1.10: Oz}}}]"
    assert _load(tmp_path, text)[0].channels.rename == {"01": "Cz", "no": "Pz", "1.10": "Oz"}


def test_the_spec_holds_what_changes_the_data_and_nothing_else(tmp_path: Path) -> None:
    plain = _one(tmp_path)
    for same in ({"path": "elsewhere"}, {"files": "*.edf"}, {"licence": "CC0"}, {"line_freq_hz": "auto"}):
        assert _one(tmp_path, **same).spec() == plain.spec()
    for other in (
        {"subject": "(?P<subject>x)"},
        {"line_freq_hz": 50},
        {"unit": "mV"},
        {"channels": {"drop": ["A1"]}},
        {"labels": {"from": "annotations", "rename": {"T0": "rest"}}},
    ):
        assert _one(tmp_path, **other).spec() != plain.spec()


def test_the_example_is_valid_and_shows_every_key(tmp_path: Path) -> None:
    sources = _load(tmp_path, EXAMPLE)
    assert [type(label) for label in sources[1].labels] == [PathLabels, TableLabels]
    for model in (Source, TableLabels):
        for name, field in model.model_fields.items():
            assert f"{field.alias or name}:" in EXAMPLE


def test_the_schema_knows_every_key_and_refuses_others() -> None:
    schema = Sources.model_json_schema(by_alias=True)
    assert schema["required"] == ["sources"]
    assert all(part["additionalProperties"] is False for part in [schema, *schema["$defs"].values()])
    assert schema["$defs"]["Source"]["required"] == ["path"]
    assert schema["$defs"]["Source"]["anyOf"] == [{"required": ["name"]}, {"required": ["recipe"]}]
    source = schema["$defs"]["Source"]["properties"]
    assert set(source) == set(Source.model_fields)
    assert all("description" in key for key in source.values())
    assert {"array", "string"} <= {option.get("type") for option in source["files"]["anyOf"]}


_KEYS = st.sampled_from(["sources", "name", "path", "files", "subject", "line_freq_hz", "unit", "labels", "from", "x"])
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["path", "table"])
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=25
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_VALUES | st.fixed_dictionaries({"sources": st.lists(st.dictionaries(_KEYS, _VALUES), max_size=3)}))
def test_whatever_the_file_holds_the_answer_is_sources_or_mistakes(tmp_path: Path, value: Any) -> None:
    try:
        assert _load(tmp_path, yaml.safe_dump(value, allow_unicode=True))
    except SourcesError as error:
        assert error.mistakes  # noqa: PT017
        assert all("expected" in text or "unknown key" in text for text in error.mistakes)  # noqa: PT017

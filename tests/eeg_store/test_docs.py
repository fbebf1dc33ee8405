"""The code in docs/store.md runs, and its tables name all columns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from eeg_store import Store, WindowReader, tables

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "store.md").read_text(encoding="utf-8")


def test_the_examples_run_and_agree(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled.path.name == "data.zarr"
    monkeypatch.chdir(filled.path.parent)
    plain, ours = (dict[str, object](), dict[str, object]())
    for block, names in zip(re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL), (plain, ours), strict=True):
        exec(compile(block, "docs/store.md", "exec"), names)
    row = plain["row"]
    assert isinstance(row, dict)
    stored = WindowReader(filled).read_seconds(row["array"], row["first_second"], row["n_seconds"])
    np.testing.assert_array_equal(plain["microvolts"], stored * 0.1)
    continuous = plain["continuous"]
    assert isinstance(continuous, np.ndarray)
    np.testing.assert_array_equal(continuous[1, 200:400], stored[1, 1] * 0.1)
    assert plain["sample"] == 0
    window = ours["window"]
    assert isinstance(window, np.ndarray)
    assert window.shape[1:] == (3, 200)
    assert ours["problems"] == []


def test_every_column_is_explained() -> None:
    for schema in (tables.RECORDINGS, tables.EVENTS, tables.FAILURES, tables.CODES, tables.TARGETS):
        for field in schema:
            assert f"`{field.name}`" in DOCUMENT, field.name
    rows = re.findall(r"^\| (`.*?) \| .*? \| .*? \| (.*?)\|$", DOCUMENT.split("## Columns")[1], re.MULTILINE)
    nullable = {name: bool(empty.strip()) for names, empty in rows for name in re.findall(r"`(\w+)`", names)}
    assert nullable == {field.name: field.nullable for field in tables.RECORDINGS}

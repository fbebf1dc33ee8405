"""What a log file shows of a build that takes a while."""

from __future__ import annotations

import re

import pytest
from eeg_ingest.progress import SourceProgress


def test_lines_for_each_source_and_for_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter(range(0, 10_000, 60))  # every look at the clock is a minute later
    monkeypatch.setattr("eeg_ingest.progress.time.monotonic", lambda: float(next(seconds)))
    recordings = [("rest", 0.5)] * 3 + [("task", 1.0)] * 2
    with SourceProgress(recordings) as shown:
        for source, hours in recordings:
            shown.advance(source, hours, failed=source == "task")
    lines = capsys.readouterr().err.splitlines()
    rest = [line for line in lines if line.startswith("rest: ")]
    assert re.fullmatch(r"rest: 1 of 1\.5 h, 2 of 3 recordings, 0 failed, [\d:]+ elapsed, [\d:]+ left", rest[1])
    assert rest[-1].startswith("rest: 1.5 of 1.5 h, 3 of 3 recordings, 0 failed")
    assert any(line.startswith("task: 2 of 2 h, 0 of 2 recordings, 2 failed") for line in lines)
    assert any(re.fullmatch(r"all sources: 2\.5 of 3\.5 h, [\d:]+ elapsed, [\d:]+ left", line) for line in lines)


def test_a_short_build_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with SourceProgress([("rest", 0.5)]) as shown:
        shown.advance("rest", 0.5, failed=False)
    assert capsys.readouterr().err == ""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eeg_store import Store
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.examples import load_examples, save_examples
from eeg_tokenizer.figures import draw_codes
from eeg_tokenizer.loader import StoredWindows
from eeg_tokenizer.metrics import MetricsLog
from eeg_tokenizer.page import write_page
from eeg_tokenizer.run import RunError
from eeg_tokenizer.runs import differing_options, find_runs, shared_numbers
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from eeg_tokenizer.windows import cut_windows

SECTIONS = [
    "In short",
    "Loss",
    "Code use and perplexity",
    "Learning rate",
    "Throughput",
    "Original and reconstructed patches",
    "Most used codes",
    "Held-out scores, last",
    "Configuration",
    "Sessions",
]
EMPTY = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page: its headings, images, whatever it would load, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "data", "action")]
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def trained(mixed_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tokenizers of two rates, <b>named</b> like no one should."""
    folder = tmp_path_factory.mktemp("runs")
    for name, lr in (("<b>one", 1e-3), ("two", 2e-3)):
        train_tokenizer(
            TrainOptions(store=mixed_store.path, output=folder / name, steps=2, batch_size=8, n_codes=16, lr=lr)
        )
    return folder


def test_the_page_has_all_sections_and_loads_nothing(trained: Path) -> None:
    text = (trained / "<b>one" / "report.html").read_text()
    page = Page(text)
    assert page.headings == SECTIONS
    assert len(page.loads) == page.tags.count("img") == 6
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert not re.search(r"(https?:)?//\w|url\(|@import|<script", re.sub(r"base64,[^\"]*", "", text))
    assert "b" not in page.tags
    assert "&lt;b&gt;one" in text
    assert str(trained) not in text.replace(str(trained / "<b>one"), "")


def test_a_page_can_be_made_of_a_run_that_only_began(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((trained / "two" / "config.json").read_bytes())
    page = Page(write_page(tmp_path).read_text())
    assert page.headings == SECTIONS
    assert page.loads == []


def test_the_most_used_codes_are_counted_and_averaged(mixed_store: Store, tmp_path: Path) -> None:
    stored = StoredWindows(mixed_store, cut_windows(mixed_store, stride_seconds=16))
    batch = stored.read(torch.arange(3).numpy())
    codes = (batch.time % 5).masked_fill(~batch.valid, -1)
    save_examples(tmp_path, [batch], codes_of=lambda _: codes, n_codes=5, tokenizer=None, held_out=True)
    shown = load_examples(tmp_path)
    assert "signal_uv" not in shown
    top = int(shown["codes"][0])
    chosen = batch.valid & (codes == top)
    assert int(shown["counts"][0]) == int(chosen.sum()) == max(int((codes == code).sum()) for code in range(5))
    assert float(shown["share"].sum()) == pytest.approx(1)
    scaled = []
    for row in range(3):
        own = batch.patches[row, batch.valid[row]]
        scaled.append(batch.patches[row, chosen[row]] / own.square().mean().sqrt())
    assert shown["waveforms"][0].numpy() == pytest.approx(torch.cat(scaled).mean(0).numpy(), abs=1e-5)


def test_codes_of_flat_signals_are_drawn() -> None:
    flat = np.zeros((1, 200))
    assert draw_codes(np.array([3]), np.ones(1), flat, np.zeros((1, 101)), flat[None])


def test_runs_are_found_and_compared(trained: Path) -> None:
    runs = find_runs([trained])
    assert [run.path.name for run in runs] == ["<b>one", "two"]
    assert [(run.kind, run.state, run.step, run.steps) for run in runs] == [("vqnsp", "done", 2, 2)] * 2
    assert not any(run.problems for run in runs)
    differing = differing_options(runs)
    assert differing["lr"] == [1e-3, 2e-3]
    assert "size" not in differing
    numbers = shared_numbers(runs)
    for column, run in enumerate(runs):
        last = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
        assert numbers["loss"][column] == last["loss"]
        assert numbers["held_out.perplexity"][column] == last["held_out"]["perplexity"]
    assert json.loads(json.dumps([run.as_json() for run in runs]))[0]["options"]["lr"] == 1e-3


def test_half_written_damaged_and_running_runs_are_told_from_others(trained: Path, tmp_path: Path) -> None:
    def copy(name: str, **changed: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in ("config.json", "run.json", "metrics.jsonl"):
            text = (trained / "two" / file).read_text()
            (folder / file).write_text(changed.get(file.split(".")[0], text))
        return folder

    record: dict[str, Any] = json.loads((trained / "two" / "run.json").read_text())
    record["state"] = "running"
    (copy("config gone") / "config.json").unlink()
    copy("half a config", config='{"model": "vq')
    copy("half a line", metrics=(trained / "two" / "metrics.jsonl").read_text()[:-20])
    copy("a broken line", metrics='{"step": 1, "loss": 2.0}\n{"st\n{"step": 3, "loss": 1.0}\n')
    copy("a list", run="[]")
    copy("no object a line", metrics="[1, 2]\n")
    copy("no number", metrics='{"step": "three"}\n')
    copy("another shape", run='{"sessions": [3], "state": "running"}')
    record["sessions"][-1]["updated"] = "2020-01-01T00:00:00+00:00"
    copy("killed", run=json.dumps(record))
    record["sessions"][-1]["updated"] = datetime.now(UTC).isoformat()
    copy("running", run=json.dumps(record))
    runs = {run.path.name: run for run in find_runs([tmp_path])}
    assert runs["config gone"].kind == "vqnsp"
    assert runs["half a line"].step == 1
    assert runs["killed"].state == "broken off"
    assert runs["running"].state == "running"
    healthy = {"half a line", "killed", "running"}
    assert {name for name, run in runs.items() if not run.problems} == healthy
    assert len(runs) == 10
    damaged = tmp_path / "no object a line"
    with pytest.raises(CheckpointError, match=r"expected a JSON object with a step in each line, found \[1, 2\]"):
        write_page(damaged)
    with pytest.raises(CheckpointError, match="or remove it to go on without the curves so far"):
        MetricsLog(damaged / "metrics.jsonl", last_step=3)


def test_folders_without_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No runs in"):
        find_runs([tmp_path])
    with pytest.raises(RunError, match="expected a directory, found none"):
        find_runs([tmp_path / "absent"])

"""Builds, one after another, on a small corpus that grows and changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import zarr
from eeg_ingest.build import build
from eeg_ingest.errors import UsageError
from eeg_ingest.plan import make_plan
from eeg_ingest.sources import load_sources
from eeg_ingest.summary import summarize
from eeg_ingest.workers import Workers
from eeg_store import Store

LONG_S = 60


class Corpus:
    """Two sources of three files, and a store of them."""

    def __init__(self, folder: Path, write_edf: Callable[..., Path], write_sources: Callable[..., Path]) -> None:
        self.folder, self.store = folder, folder / "data.zarr"
        self.write_edf, self.write_sources = write_edf, write_sources
        self.sources: list[dict[str, Any]] = [
            {
                "name": "rest",
                "path": "rest",
                "subject": r"sub(?P<subject>\d+)_(?P<state>\w+)\.edf",
                "labels": {"from": "path", "group": "state", "rename": {"eo": "eyes open"}},
                "licence": "CC0-1.0",
            },
            {"name": "tasks", "path": "tasks", "line_freq_hz": 50},
        ]
        marks = ((0.5, 1.0, "go"), (3.0, 0.0, "stop"))
        write_edf(folder / "rest" / "sub01_eo.edf", 1)
        write_edf(folder / "rest" / "sub02_ec.edf", 2, seconds=LONG_S)
        write_edf(folder / "tasks" / "a.edf", 3, annotations=marks)

    def build(self, workers: Workers) -> Any:
        return build(load_sources(self.yaml()), self.store, workers)

    def yaml(self) -> Path:
        return self.write_sources(self.folder / "sources.yaml", *self.sources)

    def failures(self) -> dict[str, str]:
        rows = Store.open(self.store).failures().to_pylist()
        return {f"{row['source']}/{row['file']}": row["reason"] for row in rows}

    def recordings(self) -> list[str]:
        names: list[str] = Store.open(self.store).recordings(["recording"])["recording"].to_pylist()
        return names


@pytest.fixture
def corpus(tmp_path: Path, write_edf: Callable[..., Path], write_sources: Callable[..., Path]) -> Corpus:
    return Corpus(tmp_path, write_edf, write_sources)


@pytest.fixture
def built(corpus: Corpus, workers: Workers) -> Corpus:
    result = corpus.build(workers)
    assert (result.ingested, result.present, result.failed) == (3, 0, 0)
    return corpus


def test_a_recording_is_in_the_store_with_its_row_and_events(built: Corpus) -> None:
    store = Store.open(built.store)
    assert built.recordings() == ["rest/sub01_eo.edf", "rest/sub02_ec.edf", "tasks/a.edf"]
    row = store.recordings().to_pylist()[1]
    expected: dict[str, Any] = {
        "source": "rest",
        "subject": "02",
        "session": None,
        "file": "sub02_ec.edf",
        "format": "edf",
    }
    expected |= {"n_seconds": LONG_S, "n_channels": 6, "original_sfreq_hz": 200.0, "original_unit": "uV"}
    expected |= {"licence": "CC0-1.0", "original_names": ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]}
    assert {key: row[key] for key in expected} == expected
    assert row["segments"] == [{"first_second": 0, "n_seconds": LONG_S, "original_onset_s": 0.0, "dropped_s": 0.0}]
    events = {(e["recording"], e["onset_s"], e["duration_s"], e["label"]) for e in store.events().to_pylist()}
    assert events == {
        ("rest/sub01_eo.edf", 0.0, 4.0, "eyes open"),
        ("rest/sub02_ec.edf", 0.0, float(LONG_S), "ec"),
        ("tasks/a.edf", 0.5, 1.0, "go"),
        ("tasks/a.edf", 3.0, 0.0, "stop"),
    }
    assert store.validate() == []


def test_the_stored_signal_is_what_mne_makes_of_the_file(built: Corpus) -> None:
    """Each channel at its place in the array, on one scale, not shifted; away from the edges, where MNE pads."""
    row = Store.open(built.store).recordings().to_pylist()[1]
    assert row["line_freq_hz"] is None
    array = zarr.open_array(built.store / row["array"], mode="r")
    stored = np.asarray(array[row["first_second"] : row["first_second"] + LONG_S], dtype=np.float64)
    stored_uv = 0.1 * stored.transpose(1, 0, 2).reshape(len(row["original_names"]), -1)
    raw = mne.io.read_raw_edf(built.folder / "rest" / "sub02_ec.edf", preload=True, verbose="ERROR")
    raw.filter(0.1, 75.0, verbose="ERROR")
    difference_uv = (stored_uv - 1e6 * raw.get_data())[:, 20 * 200 : -20 * 200]
    assert np.sqrt(np.mean(difference_uv**2, axis=1)).max() < 0.03


def test_a_second_build_changes_nothing(built: Corpus, workers: Workers, stamps: Any, contents: Any) -> None:
    shutil.copy(built.folder / "tasks" / "a.edf", built.folder / "tasks" / "b.edf")  # a failure: a duplicate
    (built.folder / "tasks" / "empty.edf").touch()
    built.build(workers)
    before = stamps(built.store), contents(built.store)
    result = built.build(workers)
    assert (result.ingested, result.present, result.failed) == (0, 3, 2)
    assert (stamps(built.store), contents(built.store)) == before


def test_new_files_are_added_and_old_ones_left_alone(built: Corpus, workers: Workers, stamps: Any) -> None:
    before = stamps(built.store)
    built.write_edf(built.folder / "rest" / "sub00_eo.edf", 7)
    built.sources.append({"name": "more", "path": "more"})
    built.write_edf(built.folder / "more" / "x.edf", 8, names=("Cz", "Pz"))
    result = built.build(workers)
    assert (result.ingested, result.present, result.failed) == (2, 3, 0)
    assert built.recordings()[:2] == ["more/x.edf", "rest/sub00_eo.edf"]
    after = stamps(built.store)
    rows = [name for name in before if name.startswith(("tables/recordings/", "tables/events/")) or "/c." in name]
    assert rows
    assert {name: after[name] for name in rows} == {name: before[name] for name in rows}
    assert Store.open(built.store).validate() == []
    assert set(Store.open(built.store).spec["sources"]) == {"rest", "tasks", "more"}


def test_a_source_that_is_not_named_any_more_stays(built: Corpus, workers: Workers) -> None:
    built.sources = built.sources[:1]
    result = built.build(workers)
    assert (result.ingested, result.present) == (0, 2)
    assert "tasks/a.edf" in built.recordings()
    assert set(Store.open(built.store).spec["sources"]) == {"rest", "tasks"}


def test_a_changed_file_fails_and_the_stored_data_stay(built: Corpus, workers: Workers) -> None:
    built.write_edf(built.folder / "tasks" / "a.edf", 99)
    result = built.build(workers)
    assert (result.present, result.failed) == (2, 1)
    assert "has changed since it was ingested" in built.failures()["tasks/a.edf"]
    assert "tasks/a.edf" in built.recordings()
    built.write_edf(built.folder / "tasks" / "a.edf", 3, annotations=((0.5, 1.0, "go"), (3.0, 0.0, "stop")))
    assert built.build(workers).failed == 0
    assert built.failures() == {}


def test_failures_go_when_their_cause_goes(built: Corpus, workers: Workers) -> None:
    (built.folder / "tasks" / "b.edf").touch()
    (built.folder / "tasks" / "c.edf").write_text("Meeting at noon.")
    assert built.build(workers).failed == 2
    assert "empty" in built.failures()["tasks/b.edf"]
    assert "text" in built.failures()["tasks/c.edf"]
    built.write_edf(built.folder / "tasks" / "b.edf", 11)
    (built.folder / "tasks" / "c.edf").unlink()
    result = built.build(workers)
    assert (result.ingested, result.failed) == (1, 0)
    assert built.failures() == {}


def test_duplicates_within_across_and_against_the_store(built: Corpus, workers: Workers) -> None:
    shutil.copy(built.folder / "rest" / "sub01_eo.edf", built.folder / "tasks" / "0.edf")
    built.write_edf(built.folder / "tasks" / "x.edf", 20)
    shutil.copy(built.folder / "tasks" / "x.edf", built.folder / "tasks" / "y.edf")
    shutil.copy(built.folder / "tasks" / "x.edf", built.folder / "rest" / "sub03_eo.edf")
    assert built.build(workers).ingested == 1
    failures = built.failures()
    assert failures.keys() == {"tasks/0.edf", "tasks/x.edf", "tasks/y.edf"}
    assert "the same content as rest/sub01_eo.edf" in failures["tasks/0.edf"]
    assert "the same content as rest/sub03_eo.edf" in failures["tasks/x.edf"]
    assert "the same content as rest/sub03_eo.edf" in failures["tasks/y.edf"]


def test_files_that_only_look_alike_are_no_duplicates(corpus: Corpus, workers: Workers) -> None:
    """Equal sizes and equal sampled blocks, and one byte that differs between them."""
    first = corpus.write_edf(corpus.folder / "tasks" / "long.edf", 30, seconds=200)
    content = bytearray(first.read_bytes())
    content[100_000] ^= 1
    (corpus.folder / "tasks" / "other.edf").write_bytes(content)
    result = corpus.build(workers)
    assert (result.ingested, result.failed) == (5, 0)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"line_freq_hz": 60}, "sources.tasks.line_freq_hz: 50.0 in the store, 60.0 now"),
        ({"unit": "mV"}, "sources.tasks.unit: None in the store, 'mV' now"),
        ({"channels": {"drop": ["C3"]}}, "sources.tasks.channels.drop: [] in the store, ['C3'] now"),
    ],
)
def test_another_spec_is_refused_with_both_values(
    built: Corpus, workers: Workers, stamps: Any, options: dict[str, Any], shown: str
) -> None:
    before = stamps(built.store)
    built.sources[1] |= options
    with pytest.raises(UsageError) as refused:
        built.build(workers)
    assert shown in str(refused.value)
    assert stamps(built.store) == before


def test_all_differences_are_shown_at_once(built: Corpus, workers: Workers) -> None:
    built.sources[0]["subject"] = r"(?P<subject>sub\d+)_(?P<state>\w+)\.edf"
    built.sources[1]["line_freq_hz"] = "auto"
    with pytest.raises(UsageError) as refused:
        built.build(workers)
    assert "sources.rest.subject" in str(refused.value)
    assert "sources.tasks.line_freq_hz: 50.0 in the store, 'auto' now" in str(refused.value)


def test_paths_and_patterns_may_change(built: Corpus, workers: Workers) -> None:
    (built.folder / "tasks").rename(built.folder / "moved")
    built.sources[1] |= {"path": "moved", "files": "*.edf"}
    result = built.build(workers)
    assert (result.ingested, result.present, result.failed) == (0, 3, 0)


def test_the_plan_says_what_a_build_would_do(built: Corpus, workers: Workers) -> None:
    built.write_edf(built.folder / "tasks" / "new.edf", 40, seconds=5, sfreq_hz=256)
    (built.folder / "tasks" / "bad.edf").touch()
    sources = load_sources(built.yaml())
    entries = make_plan(sources, Store.open(built.store), workers).entries
    status = [(entry.recording, entry.status) for entry in entries]
    assert status == [
        ("rest/sub01_eo.edf", "present"),
        ("rest/sub02_ec.edf", "present"),
        ("tasks/a.edf", "present"),
        ("tasks/bad.edf", "failed"),
        ("tasks/new.edf", "new"),
    ]
    new = entries[-1].to_json()
    assert (new["n_channels"], new["sfreq_hz"], new["seconds"], new["format"]) == (6, 256.0, 5, "edf")
    assert entries[0].to_json()["subject"] == "01"
    assert built.recordings() == ["rest/sub01_eo.edf", "rest/sub02_ec.edf", "tasks/a.edf"]


def test_the_summary_counts_by_source(built: Corpus, workers: Workers) -> None:
    built.sources.append({"name": "void", "path": "void"})
    built.build(workers)
    store = Store.open(built.store)
    summary = summarize(store)
    assert summary["recordings"] == 3
    assert summary["hours"] == pytest.approx((4 + LONG_S + 4) / 3600)
    assert summary["spec"]["hash"] == store.spec_hash
    rest, tasks, void = summary["sources"]
    assert (rest["name"], rest["recordings"], rest["subjects"], rest["failures"]) == ("rest", 2, 2, [])
    assert rest["hours"] == pytest.approx((4 + LONG_S) / 3600)
    assert (tasks["name"], tasks["subjects"]) == ("tasks", 0)
    assert (void["recordings"], len(void["failures"])) == (0, 1)
    assert "found nothing there" in void["failures"][0]["reason"]

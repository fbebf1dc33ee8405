"""A BIDS dataset and files with several signals, through the build that a user runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eeg_ingest.build import build
from eeg_ingest.sources import load_sources
from eeg_ingest.workers import Workers
from eeg_store import Store

from tests.eeg_ingest.test_readers_xdf import two_amplifiers


def test_sidecars_and_the_chosen_stream_reach_the_store(
    tmp_path: Path, workers: Workers, write_edf: Callable[..., Path], write_sources: Callable[..., Path]
) -> None:
    for subject in ("01", "02"):
        folder = tmp_path / f"bids/sub-{subject}/eeg"
        stem = f"sub-{subject}_task-rest_run-1"
        write_edf(folder / f"{stem}_eeg.edf", int(subject))
        (folder / f"{stem}_channels.tsv").write_text("name\ttype\tstatus\nFp1\teog\tn/a\nC3\tEEG\tbad\n")
        (folder / f"{stem}_events.tsv").write_text("onset\tduration\ttrial_type\n1\t0.5\tgo\n")
    write_edf(tmp_path / "bids/derivatives/sub-01/eeg/sub-01_task-rest_run-1_eeg.edf", 1)
    (tmp_path / "bids/task-rest_eeg.json").write_text('{"PowerLineFrequency": 60}')
    (tmp_path / "lsl").mkdir()
    two_amplifiers(tmp_path / "lsl/x.xdf")
    sources = write_sources(
        tmp_path / "sources.yaml",
        {"name": "bids", "path": "bids", "bids": True, "labels": {"from": "annotations", "rename": {"go": "walk"}}},
        {"name": "one", "path": "lsl", "reader": {"format": "xdf", "stream": "DSI7"}},
        {"name": "both", "path": "lsl"},
    )
    result = build(load_sources(sources), tmp_path / "data.zarr", workers)
    assert (result.ingested, result.failed) == (3, 1)
    store = Store.open(tmp_path / "data.zarr")
    rows = {row["recording"]: row for row in store.recordings().to_pylist()}
    row = rows["bids/sub-01/eeg/sub-01_task-rest_run-1_eeg.edf"]
    assert (row["subject"], row["session"], row["run"], row["line_freq_hz"]) == ("01", None, "1", 60.0)
    assert row["original_names"] == ["Fp2", "C3", "C4", "O1", "O2"]
    assert row["warnings"] == ["channels.tsv marks as bad: C3"]
    events = [event for event in store.events().to_pylist() if event["recording"] == row["recording"]]
    assert [(event["onset_s"], event["label"]) for event in events] == [(1.0, "walk")]
    assert rows["one/x.xdf"]["original_sfreq_hz"] == 300
    (failure,) = store.failures().to_pylist()
    assert "expected one stream of type EEG, found 'DSI7'" in failure["reason"]
    assert store.spec["sources"]["one"]["reader"] == {"format": "xdf", "stream": "DSI7"}


def test_a_file_that_antio_cannot_read_is_a_row(
    eeg_data: Path, tmp_path: Path, workers: Workers, write_edf: Callable[..., Path], write_sources: Callable[..., Path]
) -> None:
    sound = (eeg_data / "mne_testing_data/antio/CA_208/test_CA_208.cnt").read_bytes()
    write_edf(tmp_path / "data/a.edf")
    (tmp_path / "data/b.cnt").write_bytes(sound[:16] + bytes(len(sound) - 16))
    sources = write_sources(tmp_path / "sources.yaml", tmp_path / "data")
    result = build(load_sources(sources), tmp_path / "data.zarr", workers)
    assert (result.ingested, result.failed) == (1, 1)
    (failure,) = Store.open(tmp_path / "data.zarr").failures().to_pylist()
    assert failure["reason"].startswith("antio ")

"""Every recipe, with nothing but its name and a path, on a mimic of the published tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import yaml
from eeg_ingest.audit import audit
from eeg_ingest.build import build
from eeg_ingest.recipe import load_recipe, recipe_names, write_task
from eeg_ingest.sources import load_sources
from eeg_store import QUALITY_MEASURES, Store, WindowReader
from labram_model.labelled import labelled_windows
from labram_model.split import divide
from labram_model.task import load_task

from tests.eeg_ingest.recipes import biosemi, hbn, physionet, seed, tuh
from tests.eeg_ingest.recipes.mimic import InProcess
from tests.eeg_ingest.recipes.published import Mimic, Stored

MIMICS = {mimic.recipe: mimic for module in (physionet, biosemi, seed, tuh, hbn) for mimic in module.MIMICS}
RECORDINGS = [(recipe, file) for recipe, mimic in MIMICS.items() for file in mimic.stored]


@dataclass(frozen=True)
class Built:
    """A store of all mimics."""

    store: Store
    rows: dict[str, dict[str, Any]]
    failures: list[dict[str, Any]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("mimics")
    for name, mimic in MIMICS.items():
        mimic.write(root / name)
    sources = {"sources": [{"recipe": name, "path": name} for name in MIMICS]}
    (root / "sources.yaml").write_text(yaml.safe_dump(sources))
    build(load_sources(root / "sources.yaml"), root / "data.zarr", InProcess())
    store = Store.open(root / "data.zarr")
    return Built(store, {row["recording"]: row for row in store.recordings().to_pylist()}, store.failures().to_pylist())


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_mimic_and_a_row_in_the_docs(name: str) -> None:
    here = Path(__file__).parent
    tests = [file.read_text(encoding="utf-8") for file in here.glob("test_*.py")]
    assert name in MIMICS or any(f'ingest("{name}"' in text for text in tests)
    for release in load_recipe(name).releases:
        assert any(f'ingest("{name}"' in text and f'release="{release}"' in text for text in tests)
    page = (here.parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert page.count(f"\n| `{name}` | ") == 1


@pytest.mark.parametrize("mimic", MIMICS.values(), ids=MIMICS)
def test_what_is_stored_and_what_failed(built: Built, mimic: Mimic) -> None:
    files = {row["file"] for row in built.rows.values() if row["source"] == mimic.recipe}
    assert files == set(mimic.stored), built.failures
    failed = {row["file"]: row["reason"] for row in built.failures if row["source"] == mimic.recipe}
    assert set(failed) == set(mimic.failures)
    assert all(part in failed[file] for file, part in mimic.failures.items())


@pytest.mark.parametrize(("recipe", "file"), RECORDINGS)
def test_a_recording_is_what_the_dataset_says(built: Built, recipe: str, file: str) -> None:
    row, wanted = built.rows[f"{recipe}/{file}"], MIMICS[recipe].stored[file]
    assert (row["subject"], row["session"], row["run"]) == (wanted.subject, wanted.session, wanted.run)
    assert (row["original_sfreq_hz"], row["n_seconds"]) == (wanted.sfreq_hz, wanted.n_seconds)
    assert (row["original_unit"], row["line_freq_hz"]) == (wanted.unit, wanted.line_freq_hz)
    assert tuple(built.store.array(row["array"]).channels) == wanted.channels
    assert row["reference"] == wanted.reference
    assert row["licence"] == load_recipe(recipe).keys["licence"]
    expected = load_recipe(recipe).expected
    assert row["n_channels"] in (expected.channels or ())
    assert row["original_sfreq_hz"] in (expected.sfreq_hz or ())
    _check_events(built, row, wanted)
    assert len(row["warnings"]) == len(wanted.warnings), row["warnings"]
    for part in wanted.warnings:
        assert any(part in warning for warning in row["warnings"])


@pytest.mark.parametrize(
    ("recipe", "task"), [(mimic.recipe, task) for mimic in MIMICS.values() for task in mimic.splits]
)
def test_the_dataset_s_own_splits(built: Built, tmp_path: Path, recipe: str, task: str) -> None:
    (tmp_path / "task.yaml").write_text(write_task(load_recipe(recipe), task), encoding="utf-8")
    loaded = load_task(tmp_path / "task.yaml")
    division = divide(loaded.split, labelled_windows(built.store, loaded), list(loaded.event_labels))
    for name, subjects in MIMICS[recipe].splits[task].items():
        assert set(division.subjects[name]) == {f"{recipe}/{subject}" for subject in subjects}
    assert division.shared_subjects == []


def test_windows_of_chb_mit_fit_the_model_in_every_montage(built: Built, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(write_task(load_recipe("chb_mit"), "seizure"), encoding="utf-8")
    windows = labelled_windows(built.store, load_task(tmp_path / "task.yaml")).windows
    assert {"chb_mit/chb01", "chb_mit/chb12"} <= {window.subject for window in windows}


def test_the_audit_of_a_published_dataset_has_no_finding_about_its_channels(built: Built) -> None:
    found = [f for f in audit(built.store, InProcess()) if f.name in ("railed_channels", "channels", "sampling_rate")]
    assert [(finding.source, finding.name, finding.found) for finding in found] == []


def _check_events(built: Built, row: dict[str, Any], wanted: Stored) -> None:
    events = built.store.events(where=pc.field("recording") == row["recording"]).to_pylist()
    found = sorted((event["original_onset_s"], event["duration_s"], event["label"]) for event in events)
    assert [event[2] for event in found] == [event[2] for event in sorted(wanted.events)]
    times = [event[:2] for event in found]
    np.testing.assert_allclose(np.array(times), np.array([e[:2] for e in sorted(wanted.events)]), atol=1e-3)
    for event in events:
        inside = event["original_onset_s"] < row["n_seconds"]
        assert event["onset_s"] == (pytest.approx(event["original_onset_s"]) if inside else None)


@pytest.mark.parametrize(("recipe", "file"), RECORDINGS)
def test_the_signal_is_microvolts(built: Built, recipe: str, file: str) -> None:
    """White noise of 20 µV has less after the filters, the less the faster it was sampled."""
    row = built.rows[f"{recipe}/{file}"]
    low_hz, high_hz = row["band_low_hz"], row["band_high_hz"]
    expected_uv = 20 * np.sqrt((high_hz - low_hz) / (row["original_sfreq_hz"] / 2))
    quality = WindowReader(built.store).read_quality(row["array"], row["first_second"], row["n_seconds"])
    assert np.median(quality[..., QUALITY_MEASURES.index("amplitude_uv")]) == pytest.approx(expected_uv, rel=0.15)

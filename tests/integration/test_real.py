"""Real recordings, as they are published, through the commands of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.file import harmonize_file
from eeg_ingest.files import find_files
from eeg_ingest.harmonize import harmonize
from eeg_ingest.readers import is_companion, recording_files
from eeg_ingest.sources import Source
from eeg_store import SCALE_UV, WindowReader

from tests.integration.conftest import Built
from tests.integration.mne_reference import harmonize_with_mne

EDGE_SAMPLES = 20 * 200  # both differ there in how they go on beyond the ends


def row_of(built: Built, file: str) -> dict[str, Any]:
    rows = [row for row in built.store.recordings().to_pylist() if row["file"].endswith(file)]
    assert len(rows) == 1, f"{file}: {rows}"
    row: dict[str, Any] = rows[0]
    return row


def stored_uv(built: Built, row: dict[str, Any]) -> npt.NDArray[np.float64]:
    """A recording's signal as it lies in the store: (C, S) in µV."""
    seconds = WindowReader(built.store).read_seconds(row["array"], row["first_second"], row["n_seconds"])
    return seconds.transpose(1, 0, 2).reshape(seconds.shape[1], -1).astype(np.float64) * SCALE_UV


# Files of the folder that no source names, by pattern, and what they are.
NO_RECORDINGS = {
    "README.md": "about the folder",
    "*/README.md": "about a dataset",
    "*/LICENSE": "about a dataset",
    "*/subject-info.csv": "a table of labels",
    "**/*.edf.event": "annotations, which the .edf has too",
    "**/*-eve.fif": "events of a FIF",
    "**/*.info": "the header of an .easy",
    "**/SUBJECT-INFO": "about the subjects",
    "**/subject_info.csv": "about the subjects",
    "**/*-summary.txt": "the seizures of CHB-MIT",
    "**/Seizures-list-*.txt": "the seizures of Siena",
    "**/*.csv_bi": "the seizures of TUH",
    "**/*_a1.tsv": "the seizures of SeizeIT",
}


def test_every_file_is_a_recording_of_a_source_or_none(real_sources: dict[str, Source], eeg_data: Path) -> None:
    named = {found.path for source in real_sources.values() for found in find_files(source)[0]}
    parts = {path for file in named for path in ([*file.rglob("*")] if file.is_dir() else recording_files(file))}
    others = {path: text for text in NO_RECORDINGS for path in eeg_data.glob(text)}
    assert set(NO_RECORDINGS) == set(others.values())
    assert not named & set(others)
    for path in eeg_data.rglob("*"):
        if path.is_file():
            assert path in named | parts | set(others) or is_companion(path), path


def test_every_recording_is_stored_or_fails_for_a_reason(real_store: Built, real_sources: dict[str, Source]) -> None:
    expected = {(found.source, found.file) for source in real_sources.values() for found in find_files(source)[0]}
    stored = {(row["source"], row["file"]) for row in real_store.store.recordings().to_pylist()}
    failures = {(row["source"], row["file"]): row["reason"] for row in real_store.store.failures().to_pylist()}
    assert stored | set(failures) == expected
    assert not stored & set(failures)
    assert failures == {
        ("eeglab_epochs", "test_epochs_onefile.set"): "longest of 4 segments 0.16 s: shorter than one second, so there "
        "is nothing to store. Leave the file out."
    }
    assert real_store.exit_code == 1
    assert real_store.store.validate() == []


# source: format, unit, rates in Hz, numbers of channels, recordings. What the channels are called stands in
# tests/eeg_ingest/expected_channels.yaml and test_readers_declared_real.py.
FACTS: dict[str, tuple[str, str, set[float], set[int], int]] = {
    "eegmat": ("edf", "uV", {500}, {19}, 14),
    "eegmmidb": ("edf", "uV", {160}, {64}, 6),
    "ssvep_gdf": ("gdf", "mV", {256}, {8}, 4),
    "ssvep_fif": ("fif", "mV", {256}, {8}, 1),
    "biosig_sample": ("gdf", "uV", {256}, {4}, 1),
    "eeglab": ("eeglab", "uV", {128}, {30}, 1),
    "brainvision": ("brainvision", "uV", {250, 1000}, {25, 26}, 2),
    "biosemi_cap": ("bdf", "uV", {256}, {16}, 1),
    "biosemi": ("bdf", "uV", {2048}, {66}, 1),
    "edf_labels": ("edf", "uV", {250}, {2}, 1),
    "edf_types": ("edf", "uV", {200}, {29}, 1),
    "yasa": ("fif", "V", {200}, {2}, 1),
    "neuroscan": ("neuroscan-cnt", "uV", {400}, {124}, 1),
    "egi": ("egi-mff", "uV", {250}, {256}, 1),
    "innopolis": ("openbci", "uV", {250}, {2}, 24),
    "muse_mental_state": ("muse", "uV", {256}, {4}, 9),
    "muse_p300": ("muse", "uV", {256}, {4}, 2),
    "alcoholism": ("matlab", "uV", {256}, {61}, 10),
    "eye_state": ("arff", "uV", {128}, {14}, 1),
    "marley_enobio": ("enobio", "nV", {500}, {8}, 1),
    "marley_epoc": ("edf", "uV", {128}, {14}, 2),
    "marley_openbci": ("openbci", "uV", {250}, {8}, 1),
    "ant": ("ant-cnt", "uV", {1000}, {63}, 1),
    "nihon_kohden": ("nihon-kohden", "uV", {200}, {21}, 1),
    "curry": ("curry", "uV", {250}, {3}, 1),
    "eximia": ("eximia", "uV", {1450}, {60}, 1),
    "lab_streaming_layer": ("xdf", "uV", {256, 300}, {4, 16}, 2),
    "chb_mit": ("edf", "uV", {256}, {22}, 4),
    "siena": ("edf", "uV", {512}, {29}, 5),
    "tusz": ("edf", "uV", {250, 400}, {19, 23}, 14),
    "seizeit": ("edf", "uV", {250}, {19}, 4),
}


def test_format_unit_rate_and_channels_of_each_source(real_store: Built, real_sources: dict[str, Source]) -> None:
    assert set(FACTS) == set(real_sources) - {"eeglab_epochs"}  # it fails
    stored = real_store.store.recordings().to_pylist()
    for source, (kind, unit, rates_hz, n_channels, count) in FACTS.items():
        rows = [row for row in stored if row["source"] == source]
        assert len(rows) == count, source
        assert {(row["format"], row["original_unit"]) for row in rows} == {(kind, unit)}
        assert {row["original_sfreq_hz"] for row in rows} == rates_hz, source
        assert {row["n_channels"] for row in rows} == n_channels, source
        assert all(row["subject"] for row in rows), source


@pytest.mark.parametrize(
    "file",
    [
        "Subject00_2.edf",
        "Subject04_1.edf",
        "S001R04.edf",
        "S001R02_trunc60s.edf",
        "Newtest17-256.bdf",
        "data_resting_EO_200Hz_raw.fif",
    ],
)
def test_equals_mne_before_and_after_int16(real_store: Built, eeg_data: Path, file: str) -> None:
    row = row_of(real_store, file)
    path = next(eeg_data.rglob(file))
    reference = harmonize_with_mne(path, row["original_names"], row["line_freq_hz"])
    inside = slice(EDGE_SAMPLES, reference.shape[1] - EDGE_SAMPLES)
    after = stored_uv(real_store, row)
    assert after.shape == reference.shape
    assert rms(after[:, inside] - reference[:, inside]).max() <= 0.03
    montage = "biosemi16" if file.startswith("Newtest17") else None
    whole = harmonize_file(path, line_freq_hz=row["line_freq_hz"], montage=montage)
    blocks = harmonize(whole.recording, whole.indices, line_freq_hz=whole.line_freq_hz)
    seconds = np.concatenate([block.signal for block in blocks])
    before = seconds.transpose(1, 0, 2).reshape(seconds.shape[1], -1)
    assert rms(before[:, inside] - reference[:, inside]).max() <= 0.002


def rms(error: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(error).mean(axis=1)))


def test_gdf_and_fif_of_one_session_are_the_same_signal(real_store: Built) -> None:
    gdf = stored_uv(real_store, row_of(real_store, "subject01/record-2012.07.06-19.02.16.gdf"))
    fif = stored_uv(real_store, row_of(real_store, "subject01/record-2012.07.06-19.02.16_raw.fif"))
    assert 1 < np.median(gdf.std(axis=1)) < 100
    assert rms(gdf - fif).max() < 0.1


def test_sessions_of_one_kind_are_on_one_scale(real_store: Built) -> None:
    """The median over seconds and channels does not feel artifacts."""
    scales = {}
    for row in real_store.store.recordings().to_pylist():
        if row["source"].startswith("ssvep"):
            signal = stored_uv(real_store, row).reshape(row["n_channels"], -1, 200)
            scales[row["recording"]] = float(np.median(signal.std(axis=2)))
    assert len(scales) == 5
    assert max(scales.values()) < 4 * min(scales.values())


def test_events_of_eegmmidb_are_those_of_its_event_files(real_store: Built, eeg_data: Path) -> None:
    events = real_store.store.events().to_pylist()
    for run in ("04", "06", "10", "14"):
        path = eeg_data / f"physionet_eegmmidb/S001/S001R{run}.edf"
        expected = mne.read_annotations(path)
        found = [event for event in events if event["recording"] == f"eegmmidb/S001/S001R{run}.edf"]
        assert [event["label"] for event in found] == list(expected.description)
        np.testing.assert_allclose([event["onset_s"] for event in found], expected.onset, atol=1e-6)
        np.testing.assert_allclose([event["duration_s"] for event in found], expected.duration, atol=1e-6)


def test_identical_and_saturated_channels_are_stored_as_they_are(real_store: Built) -> None:
    """The calibration signal drives all channels but the first alike; the net without a head drifts by millivolts."""
    calibration = stored_uv(real_store, row_of(real_store, "Newtest17-256.bdf"))
    assert np.corrcoef(calibration[1:]).min() > 0.99
    row = row_of(real_store, "test_egi_multiepoch_eprime.mff")
    quality = WindowReader(real_store.store).read_quality(row["array"], row["first_second"], row["n_seconds"])
    assert quality[..., 1].mean() > 0.5
    assert np.median(quality[..., 2]) > 1000
    assert any("beyond" in warning for warning in row["warnings"])

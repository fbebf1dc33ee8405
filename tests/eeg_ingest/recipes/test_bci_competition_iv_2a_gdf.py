"""The GDF files of BCI Competition IV-2a: pauses between runs, and cues that the second day does not name."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.io

from tests.eeg_ingest.recipes.mimic import Array, Ingested, eeg_uv, ingest
from tests.eeg_ingest.recipes.test_bci_competition_iv_2a import NAMES, RATE_HZ
from tests.integration.mne_reference import filter_with_mne

LABELS = ["EEG-Fz", *(f"EEG-{n}" for n in range(6)), "EEG-C3", "EEG-6", "EEG-Cz", "EEG-7", "EEG-C4"]
LABELS += [*(f"EEG-{n}" for n in range(8, 17)), "EEG-Pz", "EOG-left", "EOG-central", "EOG-right"]
RUNS_S = (20, 31, 30)  # the first with open eyes
PAUSE = 100  # samples
STARTS = (0, 20 * RATE_HZ + PAUSE, 51 * RATE_HZ + 2 * PAUSE)
CUES = tuple(start + RATE_HZ * after for start in STARTS[1:] for after in (4, 14))  # 2 s after the cross
MOVEMENTS = {"A01T": (1, 4, 2, 3), "A01E": (3, 3, 1, 2), "A06T": (2, 1, 4, 3), "A08E": (4, 1, 2, 3)}
TEXTS = dict(enumerate(("left hand", "right hand", "feet", "tongue"), 1))
LOWEST = -32768


def write_gdf(path: Path, runs_uv: Sequence[Array], events: Sequence[tuple[int, int, int]]) -> None:
    """GDF 2.20, a sample in a record, int16 of 0.1 µV; `events` are sample, code and duration in samples.

    The pause is of the lowest number, which BioSig shows as NaN.
    """
    n, gap = len(LABELS), np.full((len(LABELS), PAUSE), LOWEST, "<i2")
    parts = [part for uv in runs_uv for part in (gap, np.rint(uv / 0.1).astype("<i2"))][1:]
    samples = np.concatenate(parts, axis=1)
    fixed = (b"GDF 2.20" + bytes(176) + struct.pack("<H", n + 1)).ljust(236, b"\0")
    fixed += struct.pack("<qIIHH", samples.shape[1], 1, RATE_HZ, n, 0)
    body = b"".join(label.encode().ljust(16) for label in LABELS) + bytes(86 * n) + struct.pack("<H", 4275) * n
    for limit in (-3276.8, 3276.7, -32768.0, 32767.0):
        body += struct.pack("<d", limit) * n
    body += bytes(68 * n) + struct.pack("<f", 100.0) * n + struct.pack("<f", 0.5) * n + bytes(4 * n)
    body += struct.pack("<I", 1) * n + struct.pack("<I", 3) * n + bytes(32 * n)
    positions, codes, durations = zip(*events, strict=True)
    count = len(events)
    table = b"\x03" + count.to_bytes(3, "little") + struct.pack("<f", RATE_HZ)
    table += struct.pack(f"<{count}I", *(p + 1 for p in positions)) + struct.pack(f"<{count}H", *codes)
    table += bytes(2 * count) + struct.pack(f"<{count}I", *durations)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(fixed + body + np.ascontiguousarray(samples.T).tobytes() + table)


def write_day(folder: Path, stem: str, seed: int) -> None:
    """One file, and for the second day its true labels."""
    events = [(start, 32766, 1) for start in STARTS] + [(0, 276, 20 * RATE_HZ)]
    for cue, movement in zip(CUES, MOVEMENTS[stem], strict=True):
        code = 768 + movement if stem.endswith("T") else 783
        events += [(cue - 2 * RATE_HZ, 768, 1875), (cue, code, 313)]
    events.append((CUES[1] - 2 * RATE_HZ, 1023, 1875))
    runs_uv = [eeg_uv(10 * seed + number, 25, length * RATE_HZ, RATE_HZ) for number, length in enumerate(RUNS_S)]
    write_gdf(folder / f"BCICIV_2a_gdf/{stem}.gdf", runs_uv, sorted(events))
    if stem.endswith("E"):
        (folder / "true_labels").mkdir(exist_ok=True)
        labels = np.array(MOVEMENTS[stem], np.uint8)[:, None]
        scipy.io.savemat(folder / f"true_labels/{stem}.mat", {"classlabel": labels})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bci") / "BCICIV_2a"
    for seed, stem in enumerate(MOVEMENTS):
        write_day(folder, stem, seed)
    return folder


@pytest.fixture(scope="module")
def ingested(tree: Path) -> Ingested:
    return ingest("bci_competition_iv_2a", tree, release="gdf")


def file_of(stem: str) -> str:
    return f"BCICIV_2a_gdf/{stem}.gdf"


def test_subjects_channels_rate_and_unit(ingested: Ingested) -> None:
    assert ingested.failures == {}
    rows = ingested.rows
    assert {Path(file).stem: (row["subject"], row["session"]) for file, row in rows.items()} == {
        stem: (stem[1:3], stem[3]) for stem in MOVEMENTS
    }
    for file, row in rows.items():
        assert ingested.channels(file) == NAMES
        assert [channel["name"] for channel in row["left_out"]] == ["EOG-left", "EOG-central", "EOG-right"]
        assert (row["format"], row["original_sfreq_hz"], row["original_unit"], row["line_freq_hz"]) == (
            *("gdf", 250, "uV"),
            50,
        )


def test_runs_are_segments_on_the_clock_of_the_file_and_pauses_are_not_stored(tree: Path, ingested: Ingested) -> None:
    raw = mne.io.read_raw_gdf(tree / file_of("A01T"), preload=True, verbose="error")
    samples_uv = raw.get_data(picks=LABELS[:22]) * 1e6
    row, whole = ingested.rows[file_of("A01T")], ingested.signal_uv(file_of("A01T"))
    assert row["warnings"] == ["3 segments: cut at marks of a new one; 200 samples hold nothing"]
    assert [segment["n_seconds"] for segment in row["segments"]] == list(RUNS_S)
    assert [segment["original_onset_s"] for segment in row["segments"]] == [start / RATE_HZ for start in STARTS]
    for segment, start in zip(row["segments"], STARTS, strict=True):
        first, n_seconds = segment["first_second"], segment["n_seconds"]
        wanted = filter_with_mne(samples_uv[:, start : start + n_seconds * RATE_HZ], RATE_HZ, 50)
        part = whole[:, first * 200 : (first + n_seconds) * 200]
        assert np.abs(part[:, 1000:-1000] - wanted[:, 1000:-1000]).max() < 0.3
        assert wanted[:, 1000:-1000].std() > 5
        assert np.abs(part).max() < 1000  # the pause, at -3277 µV, leaves no trace


@pytest.mark.parametrize("stem", MOVEMENTS)
def test_movements_are_those_of_the_recipe_s_own_release(ingested: Ingested, stem: str) -> None:
    imagined = [event for event in ingested.events(file_of(stem)) if event[2] in TEXTS.values()]
    assert imagined == [(cue / RATE_HZ, 4.0, TEXTS[m]) for cue, m in zip(CUES, MOVEMENTS[stem], strict=True)]


def test_marks_of_the_file_are_there_too(tree: Path, ingested: Ingested) -> None:
    raw = mne.io.read_raw_gdf(tree / file_of("A08E"), verbose="error")
    cues = [
        onset for onset, text in zip(raw.annotations.onset, raw.annotations.description, strict=True) if text == "783"
    ]
    events = ingested.events(file_of("A08E"))
    assert [onset for onset, _, label in events if label == "783"] == pytest.approx(cues, abs=1.01 / RATE_HZ)
    labels = [label for _, _, label in events]
    assert {text: labels.count(text) for text in ("fixation", "new run", "rejected trial", "eyes open")} == {
        **{"fixation": 4, "new run": 3},
        **{"rejected trial": 1, "eyes open": 1},
    }


def test_the_task_of_the_recipe_takes_them_as_they_are(ingested: Ingested) -> None:
    movements = set(TEXTS.values())
    assert ingested.classes("imagery") == {
        "train": {("01", movement) for movement in movements},
        "val": {("06", movement) for movement in movements},
        "test": {("08", movement) for movement in movements},
    }


def test_labels_may_lie_beside_the_recording_and_without_them_a_warning_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    for stem in ("A01E", "A08E"):
        write_day(folder, stem, 5 + int(stem[2]))
    (folder / "true_labels/A01E.mat").rename(folder / "BCICIV_2a_gdf/A01E.mat")
    (folder / "true_labels/A08E.mat").unlink()
    ingested = ingest("bci_competition_iv_2a", folder, release="gdf")
    assert ingested.failures == {}
    assert {"feet", "left hand", "right hand"} < set(ingested.labels(file_of("A01E")))
    assert ingested.rows[file_of("A08E")]["warnings"][1] == (
        "no labels: there is no true_labels/A08E.mat with it. Fetch it and build a new store"
    )
    assert not set(TEXTS.values()) & set(ingested.labels(file_of("A08E")))


def test_labels_that_are_no_labels_of_the_cues_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    for stem, content in (
        ("A01E", {"data": np.zeros((3, 3))}),
        ("A08E", {"classlabel": np.array([[1], [2], [5], [1]])}),
    ):
        write_day(folder, stem, 7 + int(stem[2]))
        scipy.io.savemat(folder / f"true_labels/{stem}.mat", content)
    failures = ingest("bci_competition_iv_2a", folder, release="gdf").failures
    for stem, found in (("A01E", "data"), ("A08E", "4 of 1, 2, 5")):
        assert "expected classlabel with one of 1 to 4 for each of 4 cues in" in failures[file_of(stem)]
        assert f"found {found}. " in failures[file_of(stem)]

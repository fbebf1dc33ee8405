"""Labelled windows lie within their events and never cross a break, and hold what the store holds there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from eeg_store import SFREQ_HZ, Store
from eeg_store.channels import VOCABULARY
from hypothesis import given
from hypothesis import strategies as st
from labram_model.errors import LabramError
from labram_model.labelled import labelled_windows, window_starts
from labram_model.labelled_batches import LabelledReader
from labram_model.task import Task

StoreMaker = Callable[..., Path]
BLOCK_S = 8  # of the store: seconds of one state


def task(**keys: object) -> Task:
    return Task.model_validate({"name": "t", "classes": {"slow": ["slow"], "fast": ["fast"]}, "window_s": 2, **keys})


@st.composite
def recordings(draw: st.DrawFn) -> list[dict[str, float]]:
    """Segments with gaps between them on the file's clock."""
    segments, first, clock_s = [], 0, 0.0
    for n_seconds, gap_s in draw(st.lists(st.tuples(st.integers(0, 20), st.floats(0.1, 30)), min_size=1, max_size=4)):
        segments.append({"first_second": first, "n_seconds": n_seconds, "original_onset_s": clock_s})
        first, clock_s = first + n_seconds, clock_s + n_seconds + gap_s
    return segments


@given(recordings(), st.floats(0, 80), st.floats(0.5, 40), st.integers(1, 4), st.floats(0.1, 5))
def test_windows_lie_in_the_event_and_in_one_segment(
    segments: list[dict[str, float]], onset_s: float, duration_s: float, window_s: int, stride_s: float
) -> None:
    event = {"original_onset_s": onset_s, "duration_s": duration_s}
    starts = window_starts(task(window_s=window_s, stride_s=stride_s), event, segments)
    for start in starts:
        (home,) = [s for s in segments if s["first_second"] <= start / SFREQ_HZ < s["first_second"] + s["n_seconds"]]
        assert start / SFREQ_HZ + window_s <= home["first_second"] + home["n_seconds"]
        clock_s = start / SFREQ_HZ - home["first_second"] + home["original_onset_s"]
        assert onset_s - 0.5 / SFREQ_HZ <= clock_s + 1e-9
        assert clock_s + window_s <= onset_s + duration_s + 1.5 / SFREQ_HZ
    for segment in segments:  # none is missing: the overlap of event and segment holds so many strides
        begin_s = max(onset_s, segment["original_onset_s"])
        end_s = min(onset_s + duration_s, segment["original_onset_s"] + segment["n_seconds"])
        inside = [s for s in starts if 0 <= s / SFREQ_HZ - segment["first_second"] < segment["n_seconds"]]
        if end_s - begin_s > window_s + 2 / SFREQ_HZ:
            room = (end_s - begin_s - window_s) * SFREQ_HZ / round(stride_s * SFREQ_HZ)
            assert abs(len(inside) - 1 - np.floor(room)) <= 1


def test_a_window_for_each_moment() -> None:
    segments = [
        {"first_second": 0, "n_seconds": 10, "original_onset_s": 0.0},
        {"first_second": 10, "n_seconds": 10, "original_onset_s": 60.0},
    ]

    def starts(onset_s: float, duration_s: float, **keys: float) -> list[int]:
        return window_starts(task(**keys), {"original_onset_s": onset_s, "duration_s": duration_s}, segments)

    assert starts(1.005, 0.0) == [201]
    assert starts(3.0, 6.0) == [600, 1000, 1400]
    assert starts(3.0, 6.0, stride_s=4) == [600, 1400]
    assert starts(3.0, 6.0, offset_s=-0.5) == [500]
    assert starts(8.5, 0.0) == []  # reaches into the gap
    assert starts(30.0, 0.0) == []  # in the gap
    assert starts(61.0, 0.0) == [2200]
    assert starts(7.0, 56.0) == [1400, 2000]  # on both sides of the gap: 7 to 10 s, and 60 to 63 s
    assert starts(0.0, 1.5) == []


def test_windows_hold_the_store_s_samples(make_store: StoreMaker) -> None:
    path = make_store({"channels": ("FZ", "NOWHERE", "PZ"), "n_subjects": 2})
    store, asked = Store.open(path), task(offset_s=1.005)
    found = labelled_windows(store, asked)
    reader = LabelledReader(store, found.windows, asked.window_s)
    assert len(reader) == 2 * 6
    batch = reader.read(np.array([7, 3]))
    for row, index in enumerate([7, 3]):
        window = found.windows[index]
        seconds = np.asarray(zarr.open_array(path / window.array, mode="r")[:])
        samples = seconds.transpose(1, 0, 2).reshape(3, -1)
        stretch = samples[[0, 2], window.start_sample : window.start_sample + 2 * SFREQ_HZ]
        np.testing.assert_allclose(batch.windows.patches[row].numpy().reshape(2, -1), stretch * 0.001, rtol=1e-6)
        turn = (window.start_sample // SFREQ_HZ - zarr_first(store, window.recording)) // BLOCK_S
        assert batch.labels[row] == turn % 2


def test_a_window_of_several_events_counts_once_or_for_each(make_store: StoreMaker) -> None:
    """An event that is seen on three channels is three events (TUEV)."""
    store = Store.open(make_store({"n_subjects": 1, "copies": 3}))
    once = labelled_windows(store, task(offset_s=1)).windows
    each = labelled_windows(store, task(offset_s=1, every_event=True)).windows
    assert (len(once), len(each)) == (6, 18)
    assert Counter((window.start_sample, window.label) for window in each) == {
        (window.start_sample, window.label): 3 for window in once
    }
    assert [window.event for window in each] == list(range(1, 19))


def zarr_first(store: Store, recording: str) -> int:
    rows = {row["recording"]: row for row in store.recordings().to_pylist()}
    return int(rows[recording]["first_second"])


def test_windows_with_broken_seconds_are_left_out_and_counted(make_store: StoreMaker) -> None:
    asked = task(window_s=4)
    whole = labelled_windows(Store.open(make_store({"n_subjects": 3}, name="a.zarr")), asked)
    broken = labelled_windows(
        Store.open(make_store({"n_subjects": 3, "broken_seconds": (9, 10)}, name="b.zarr")), asked
    )
    assert len(whole.windows) == 3 * 12
    assert (len(broken.windows), broken.left_out_not_finite) == (3 * 11, 3)
    gone = set(whole.windows) - set(broken.windows)
    assert {window.start_sample // SFREQ_HZ % 48 for window in gone} == {8}


@pytest.mark.parametrize(
    ("lab", "keys", "message"),
    [
        (
            {},
            {"classes": {"slow": ["slow"], "rest": ["still"]}},
            r"expected rest: still; found slow \(18\), fast \(18\)",
        ),
        ({}, {"sources": ["labb"]}, r"expected one of lab, found labb. Did you mean lab\?"),
        ({}, {"window_s": 9}, "No window of the class slow: expected events of at least window_s = 9 s, found 18"),
        ({"subject_known": False}, {}, r"found none for 6 of 6: lab/S00, lab/S01"),
        ({"channels": VOCABULARY[:80]}, {"window_s": 4}, "found 80 channels of 4 s. Set window_s to at most 3"),
        ({"channels": ("E1", "E2")}, {}, "expected channels of the vocabulary, found none"),
    ],
)
def test_a_store_that_cannot_serve_the_task(
    make_store: StoreMaker, lab: dict[str, object], keys: dict[str, object], message: str
) -> None:
    store = Store.open(make_store(lab))
    with pytest.raises(LabramError, match=message):
        labelled_windows(store, task(**keys))

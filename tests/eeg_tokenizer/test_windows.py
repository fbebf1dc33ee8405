from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from eeg_store import Store
from eeg_store.channels import VOCABULARY
from eeg_tokenizer.windows import Windows, WindowsError, cut_grid, cut_windows, data_digest, hold_out
from hypothesis import given, settings
from hypothesis import strategies as st

MakeStore = Callable[..., Store]


def stretches(windows: Windows) -> list[tuple[str, int, int]]:
    """Return (recording, first second along the array, seconds) of each window."""
    names = [windows.recordings[index] for index in windows.recording]
    return list(zip(names, windows.first_second.tolist(), windows.n_seconds.tolist(), strict=True))


def segments_of(store: Store) -> dict[str, list[range]]:
    """Return each recording's unbroken stretches, in seconds along the array."""
    return {
        row["recording"]: [
            range(row["first_second"] + s["first_second"], row["first_second"] + s["first_second"] + s["n_seconds"])
            for s in row["segments"]
        ]
        for row in store.recordings().to_pylist()
    }


recordings = st.lists(
    st.tuples(st.integers(1, 128), st.lists(st.integers(1, 40), min_size=1, max_size=4)), min_size=1, max_size=3
)


@settings(max_examples=20, deadline=None)
@given(recordings, st.integers(1, 20))
def test_windows_lie_in_segments_and_hold_at_most_256_patches(
    make_store: MakeStore, given_recordings: list[tuple[int, list[int]]], stride_seconds: int
) -> None:
    store = make_store(
        *(
            {"name": f"r{i}", "channels": VOCABULARY[:n], "segments": tuple(segments), "seed": None}
            for i, (n, segments) in enumerate(given_recordings)
        )
    )
    segments = segments_of(store)
    length = {f"r{i}": min(16, 256 // n) for i, (n, _) in enumerate(given_recordings)}
    cut = Counter(stretches(cut_windows(store, stride_seconds=stride_seconds)))
    expected: Counter[tuple[str, int, int]] = Counter()
    for name, ranges in segments.items():
        for seconds in ranges:
            if len(seconds) < length[name]:
                expected[name, seconds.start, len(seconds)] += 1
                continue
            start = seconds.start
            while start + length[name] <= seconds.stop:
                expected[name, start, length[name]] += 1
                start += min(stride_seconds, length[name])
    assert cut == expected


@settings(max_examples=20, deadline=None)
@given(recordings)
def test_the_grid_covers_every_second_once_within_segments(
    make_store: MakeStore, given_recordings: list[tuple[int, list[int]]]
) -> None:
    store = make_store(
        *(
            {"name": f"r{i}", "channels": VOCABULARY[:n], "segments": tuple(segments), "seed": None}
            for i, (n, segments) in enumerate(given_recordings)
        )
    )
    covered: dict[str, list[int]] = {name: [] for name in segments_of(store)}
    for name, first, n_seconds in stretches(cut_grid(store)):
        assert any(first in seconds and first + n_seconds <= seconds.stop for seconds in segments_of(store)[name])
        assert n_seconds * given_recordings[int(name[1:])][0] <= 256
        covered[name] += range(first, first + n_seconds)
    assert covered == {name: [s for seconds in ranges for s in seconds] for name, ranges in segments_of(store).items()}


def test_windows_with_samples_that_were_not_numbers_are_left_out_and_counted(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    channels = VOCABULARY[:64]  # windows of 4 s
    store = make_store({"name": "r", "channels": channels, "segments": (12,), "broken_seconds": [5]})
    sliding = cut_windows(store, stride_seconds=1)
    assert sliding.first_second.tolist() == [0, 1, 6, 7, 8]
    assert sliding.n_left_out == 4
    assert "Left out 4 windows" in caplog.text
    assert cut_grid(store).first_second.tolist() == [0, 8]


def test_a_broken_channel_without_a_slot_harms_no_window(make_store: MakeStore) -> None:
    store = make_store({"name": "r", "channels": ("ECGX", "FZ"), "broken_seconds": [5], "broken_channel": 0})
    assert cut_grid(store).n_left_out == 0


def test_channels_without_a_slot_are_named_once_and_do_not_shorten_windows(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    channels = (*VOCABULARY[:64], *VOCABULARY[-8:], "EXG1")
    store = make_store(
        {"name": "a", "channels": channels, "segments": (8,)}, {"name": "b", "channels": channels, "segments": (8,)}
    )
    with caplog.at_level(logging.WARNING):
        windows = cut_grid(store)
    assert len(caplog.records) == 1
    assert f"{', '.join(VOCABULARY[-8:])}, EXG1" in caplog.text
    (montage,) = windows.montages
    assert montage.array in caplog.text
    assert montage.slots.tolist() == list(range(1, 65))
    assert set(windows.n_seconds.tolist()) == {4}


@pytest.mark.parametrize(
    "stored",
    [
        (),
        ({"name": "a", "channels": ("EXG1", "EXG2")},),
        ({"name": "a", "segments": (3,), "broken_seconds": [1]},),
    ],
)
def test_a_store_without_usable_windows_is_an_error(
    make_store: MakeStore, stored: tuple[dict[str, object], ...]
) -> None:
    store = make_store(*stored)
    with pytest.raises(WindowsError, match=rf"No windows in .*found {len(stored)} recordings"):
        cut_windows(store, stride_seconds=1)


def test_the_index_of_ten_million_windows_stays_small(make_store: MakeStore) -> None:
    windows = cut_windows(make_store({"name": "r", "segments": (2000,)}), stride_seconds=1)
    n_bytes = sum(sys.getsizeof(getattr(windows, name)) for name in ("recording", "first_second", "n_seconds"))
    assert n_bytes / len(windows) < 16


def test_whole_subjects_are_held_out(make_store: MakeStore) -> None:
    stored = [
        {"name": f"{source}{subject}-{run}", "source": source, "subject": f"{subject:02d}", "segments": (17 + run,)}
        for source in ("lab", "clinic")
        for subject in range(10)
        for run in range(2)
    ]
    windows = cut_windows(make_store(*stored, {"name": "x", "subject": None}), stride_seconds=4)
    training, held_out = hold_out(windows, share=0.1, seed=3)
    assert held_out is not None
    of = [{part.subjects[index] for index in part.recording} for part in (training, held_out)]
    assert len(of[1]) == 2  # a tenth of 20, where subject 01 of one source is not subject 01 of the other
    assert not of[0] & of[1]
    assert None in of[0]
    assert sorted(stretches(training) + stretches(held_out)) == sorted(stretches(windows))
    again = hold_out(windows, share=0.1, seed=3)[1]
    assert again is not None
    assert stretches(again) == stretches(held_out)
    others = {frozenset(map(str, hold_out(windows, share=0.1, seed=seed)[1].recording)) for seed in range(5)}  # type: ignore[union-attr]  # 20 subjects
    assert len(others) > 1


@pytest.mark.parametrize("subjects", [("01",), ("01", None), (None, None)])
def test_nobody_is_held_out_where_one_subject_is_known(make_store: MakeStore, subjects: tuple[str | None, ...]) -> None:
    stored = [{"name": f"r{i}", "subject": subject} for i, subject in enumerate(subjects)]
    windows = cut_windows(make_store(*stored), stride_seconds=4)
    training, held_out = hold_out(windows, share=0.1, seed=0)
    assert held_out is None
    assert len(training) == len(windows)


def test_the_digest_names_the_data(make_store: MakeStore) -> None:
    one, same = (make_store({"name": "a", "seed": 1}) for _ in range(2))
    other, more = make_store({"name": "a", "seed": 2}), make_store({"name": "a", "seed": 1}, {"name": "b"})
    assert data_digest(one) == data_digest(same)
    assert len({data_digest(store) for store in (one, other, more)}) == 3


def test_selected_windows_keep_their_order(mixed_store: Store) -> None:
    windows = cut_grid(mixed_store)
    chosen = np.array([5, 0, 3])
    assert stretches(windows.select(chosen)) == [stretches(windows)[i] for i in chosen]
    assert windows.of(0).array == mixed_store.recordings(["array"]).to_pylist()[0]["array"]

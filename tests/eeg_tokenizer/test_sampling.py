from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from eeg_store import Store
from eeg_tokenizer.batch_plan import BatchOptions, BatchPlan, TokenBatches, plan_batches
from eeg_tokenizer.loader import BatchLoader, StoredWindows
from eeg_tokenizer.sampling import BLOCK, Permutations, WeightedOrder, window_order
from eeg_tokenizer.windows import Windows, WindowsError, cut_windows
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def windows(make_store: Callable[..., Store]) -> Windows:
    """Three sources of 400, 40 and 4 windows of 16 s."""
    lengths = {"big": 415, "mid": 55, "small": 19}
    stored = [{"name": name, "source": name, "segments": (n,), "seed": None} for name, n in lengths.items()]
    return cut_windows(make_store(*stored), stride_seconds=1)


def sources(windows: Windows, weights: str, n_draws: int = 40_000) -> Counter[str]:
    drawn = window_order(windows, seed=1, weights=weights).at(np.arange(n_draws))
    return Counter(windows.of(index).source for index in drawn.tolist())


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("hours", (400, 40, 4)),
        ("temperature:1", (400, 40, 4)),
        ("temperature:2", (20, np.sqrt(40), 2)),
        ("temperature:1e9", (1, 1, 1)),
        ("temperature:1e-300", (1, 0, 0)),
        ("uniform", (1, 1, 1)),
        ("big=1,mid=3,small=4", (1, 3, 4)),
        ("big=1e308,mid=1e308,small=0", (1, 1, 0)),
        ("small=0.5, big=0, mid=0.5", (0, 1, 1)),
    ],
)
def test_sources_are_drawn_by_their_weights(windows: Windows, weights: str, expected: tuple[float, ...]) -> None:
    drawn = sources(windows, weights)
    for name, weight in zip(("big", "mid", "small"), expected, strict=True):
        assert drawn[name] / drawn.total() == pytest.approx(weight / sum(expected), abs=0.006)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("evenly", "expected hours, uniform"),
        ("temperature:0", "a number above 0, found '0'"),
        ("temperature:warm", "found 'warm'"),
        ("big=1", "no mid; no small"),
        ("big=1,mid=1,smal=1", "no small; smal, which has no windows"),
        ("big=0,mid=0,small=0", "no weight above 0"),
        ("big=1,big=1,mid=1,small=2", "a source twice"),
        ("big=-1,mid=1,small=1", "numbers of 0 or more, found '-1'"),
    ],
)
def test_wrong_weights_are_refused(windows: Windows, weights: str, said: str) -> None:
    with pytest.raises(WindowsError, match=said):
        window_order(windows, seed=0, weights=weights)


def test_weights_need_mixed_batches(windows: Windows) -> None:
    with pytest.raises(WindowsError, match="mixed_batches"):
        window_order(windows, seed=0, weights="uniform", mixed=False)


def test_every_source_is_gone_through_without_replacement(windows: Windows) -> None:
    drawn = window_order(windows, seed=1, weights="big=5,mid=3,small=2").at(np.arange(3 * BLOCK))
    of_source = windows.source_numbers()[drawn]
    for number in range(3):
        own = np.flatnonzero(windows.source_numbers() == number)
        series = drawn[of_source == number]
        epochs = series[: len(series) // len(own) * len(own)].reshape(-1, len(own))
        assert len(epochs) > 100
        assert (np.sort(epochs) == own).all()
        assert len({tuple(epoch) for epoch in epochs[:10].tolist()}) > 1


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2 * BLOCK), st.integers(1, 300), st.integers(0, 1))
def test_any_stretch_of_draws_is_reached_at_once(first: int, n_draws: int, seed: int) -> None:
    source = np.repeat([0, 1, 2], [500, 70, 30])
    whole = WHOLE.setdefault(seed, order(source, seed).at(np.arange(2 * BLOCK + 300)))
    assert order(source, seed).at(np.arange(first, first + n_draws)).tolist() == whole[first:][:n_draws].tolist()


WHOLE: dict[int, NDArray[np.int64]] = {}


def order(source: NDArray[np.int64], seed: int) -> WeightedOrder:
    return WeightedOrder(source, np.array([0.2, 0.5, 0.3]), seed)


def test_sources_mix_in_every_batch(windows: Windows) -> None:
    drawn = window_order(windows, seed=0, weights="uniform").at(np.arange(64 * 100))
    counts = [np.bincount(batch, minlength=3) for batch in windows.source_numbers()[drawn].reshape(100, 64)]
    assert np.min(counts) >= 6  # binomial (64, 1/3): 21 and 3.8
    assert np.std([count[0] for count in counts]) > 2


def test_shares_are_told(windows: Windows, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        window_order(windows, seed=0, weights="big=1,mid=1,small=2")
    assert "big 25.0%, mid 25.0%, small 50.0%" in caplog.text


lengths = st.lists(st.integers(1, 256), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(256, 4_000), st.integers(0, 3))
def test_batches_keep_within_their_tokens_and_are_full(lengths: list[int], tokens: int, seed: int) -> None:
    n_patches = np.array(lengths)
    order = Permutations(len(lengths), (seed,))
    sizes = TokenBatches(order, n_patches, tokens)
    end = 0
    for step in range(12):
        first, last = sizes.bounds(step)
        assert first == end  # no window is passed over
        end = last
        drawn = n_patches[order.at(np.arange(first, last + sizes.granule))]
        n = last - first
        assert n > 0
        assert n % sizes.granule == 0
        assert n * drawn[:n].max() <= tokens
        assert len(drawn) * drawn.max() > tokens
    assert TokenBatches(order, n_patches, tokens).bounds(7) == sizes.bounds(7)
    assert sizes.mean_windows >= tokens // n_patches.max() * 7 / 8 - 1


def test_processes_share_batches_of_tokens_evenly_and_draw_what_one_draws(mixed_store: Store) -> None:
    windows = cut_windows(mixed_store, stride_seconds=1)
    plan = plan_batches(windows, BatchOptions(tokens=2000), batch_size=1, seed=0, mixed=True)
    stored = StoredWindows(mixed_store, windows)
    whole = list(BatchLoader(stored.read, plan).batches(0, 6))
    shares = [list(BatchLoader(stored.read, plan, rank=rank, world_size=2).batches(0, 6)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert batch.valid.numel() <= 2000
        parts = [share[step].window.tolist() for share in shares]
        assert len(parts[0]) == len(parts[1])
        assert parts[0] + parts[1] == batch.window.tolist()


@pytest.mark.parametrize(("tokens", "world_size", "said"), [(40, 1, "at least 64"), (2000, 3, "that 3 processes")])
def test_tokens_that_cannot_be_are_refused(mixed_store: Store, tokens: int, world_size: int, said: str) -> None:
    windows = cut_windows(mixed_store, stride_seconds=1)
    with pytest.raises(WindowsError, match=said):
        plan_batches(windows, BatchOptions(tokens=tokens), batch_size=1, seed=0, mixed=True, world_size=world_size)


def test_only_options_that_change_the_result_are_lasting() -> None:
    def lasting(**options: Any) -> dict[str, Any]:
        return BatchOptions(**options).lasting()

    assert lasting(loader_workers=3) == {}
    assert lasting(where="flat < 1", weights="uniform", tokens=5) == {
        "where": "flat < 1",
        "weights": "uniform",
        "tokens": 5,
    }


def test_ten_million_windows_are_drawn_within_moments() -> None:
    source = np.repeat(np.arange(20), 500_000)
    order = WeightedOrder(source, np.full(20, 0.05), 0)
    plan = BatchPlan(order, TokenBatches(order, np.full(len(source), 256), 512 * 256))
    loader = BatchLoader(lambda indices: indices, plan)
    assert len(np.unique(loader.batch(10_000))) == 512

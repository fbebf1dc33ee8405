from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from eeg_store import QUALITY_MEASURES, Store
from eeg_tokenizer.queries import COLUMNS, Query, QueryError
from eeg_tokenizer.windows import WindowsError, cut_grid, cut_windows

ROW: dict[str, Any] = {
    **dict.fromkeys(COLUMNS),
    "source": "siena",
    "subject": None,
    "session": "2",
    "original_sfreq_hz": 512.0,
    "n_channels": 29,
    "line_freq_hz": None,
}
LINE_NOISE = np.array([0.1, 0.2, 0.3, np.nan])


def fits(text: str) -> list[bool]:
    measures = np.zeros((4, len(QUALITY_MEASURES)))
    measures[:, QUALITY_MEASURES.index("line_noise")] = LINE_NOISE
    measures[:, QUALITY_MEASURES.index("amplitude_uv")] = [5, 10, 20, 40]
    found: list[bool] = Query(text).fits(ROW, measures).tolist()
    return found


ALL, NONE = [True] * 4, [False] * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("line_noise < 0.2", [True, False, False, False]),
        ("0.1 < line_noise <= 0.3", [False, True, True, False]),
        ("line_noise < 0.25 and source != 'tusl'", [True, True, False, False]),
        ("line_noise < 0.15 or amplitude_uv >= 40", [True, False, False, True]),
        ("not line_noise < 0.2", [False, True, True, True]),
        ("amplitude_uv in [10, 20]", [False, True, True, False]),
        ("amplitude_uv > -1", ALL),
        ("source == 'siena'", ALL),
        ("source not in ('tusl', 'siena')", NONE),
        ("source in ['siena'] and n_channels >= 29", ALL),
        ("original_sfreq_hz == 512 or line_noise < 0", ALL),
        ("subject is None", ALL),
        ("subject == '01'", NONE),
        ("subject != '01'", ALL),
        ("subject not in ['01']", ALL),
        ("line_freq_hz > 0", NONE),
        ("line_freq_hz <= 60 or line_freq_hz is None", ALL),
        ("session is not None", ALL),
        ("(source == 'a' or source == 'siena') and not (n_channels > 30)", ALL),
    ],
)
def test_a_condition_chooses_windows(text: str, expected: list[bool]) -> None:
    assert fits(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found"),
        ("line_noise <", "invalid syntax"),
        ("line_noise", "expected a comparison, found 'line_noise'"),
        ("True", "expected a comparison, found 'True'"),
        ("line_nois < 1", "did you mean line_noise"),
        ("sorce == 'a' and durations > 3", "did you mean source.*found 'durations'"),
        ("source < 3", "two texts or two numbers, found 'source < 3', text and number"),
        ("source == siena", "found 'siena'"),
        ("source in 'siena'", "expected a list of texts after 'in'"),
        ("line_noise in ['a']", "expected a list of numbers"),
        ("line_noise in []", "a list of texts or of numbers"),
        ("subject < None", "expected 'is None'"),
        ("source is 'a'", "expected None after 'is'"),
        ("source == ['a']", "expected 'in' before a list"),
        ("warnings == 'a'", "found 'warnings'"),
        ("len(source) > 3", "a name, a number, a text"),
        ("source.upper() == 'A'", "a name, a number, a text"),
        ("__import__('os').system('true') == 0", "a name, a number, a text"),
        ("(lambda: 1)() == 1", "a name, a number, a text"),
        ("[x for x in (1,)] == 1", "a name, a number, a text"),
        ("line_noise < True", "a name, a number, a text"),
        ("line_noise < 2 ** 9", "a name, a number, a text"),
        ("-source == 'a'", "a name, a number, a text"),
        ("(" * 500 + "1", "found"),
    ],
)
def test_what_is_no_condition_is_refused_and_never_run(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        Query(text)


def test_windows_that_fit_are_kept_and_the_rest_told(
    make_store: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    noisy = [*range(8, 12)]
    store = make_store(
        {"name": "a", "segments": (16, 5), "channels": tuple("FZ CZ PZ EXG1".split()), "noisy_seconds": noisy},
        {"name": "b", "source": "tusl", "segments": (20,), "subject": "02"},
    )
    assert len(cut_grid(store)) == 4
    with caplog.at_level(logging.INFO):
        windows = cut_grid(store, where="line_noise < 0.2 and source != 'tusl'")
    assert windows.first_second.tolist() == [16]  # a quarter of the first window is noise: mean 0.25
    assert "lab: 1 of 2 windows (0.0 of 0.0 h)" in caplog.text
    assert "tusl: 0 of 2 windows" in caplog.text
    assert len(cut_grid(store, where="line_noise <= 0.25")) == 4
    sliding = cut_windows(store, stride_seconds=1, where="subject == '02' and n_seconds >= 20")
    assert sliding.first_second.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(WindowsError, match="found none of 4"):
        cut_grid(store, where="original_sfreq_hz > 1000")


def test_overlapping_windows_count_their_hours_once(
    make_store: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store({"name": "a", "segments": (3600, 1800), "seed": None})
    with caplog.at_level(logging.INFO):
        cut_windows(store, stride_seconds=4, where="line_noise < 1")
    assert "lab: 1344 of 1344 windows (1.5 of 1.5 h)" in caplog.text


def test_a_query_of_ten_million_windows_takes_seconds() -> None:
    query = Query("line_noise < 0.2 and source != 'tusl' and amplitude_uv < 100")
    measures = np.zeros((1000, len(QUALITY_MEASURES)))
    began = time.process_time()
    assert sum(int(query.fits(ROW, measures).sum()) for _ in range(2000)) == 2_000_000
    assert time.process_time() - began < 5


def test_quality_that_is_not_known_hides_its_own_window_alone(make_store: Callable[..., Store]) -> None:
    store = make_store({"name": "a", "segments": (64,)})  # four windows of 16 s
    (array,) = store.arrays()
    quality = zarr.open_array(store.path / array.quality_path, mode="r+")
    quality[17, 0, QUALITY_MEASURES.index("line_noise")] = np.nan
    quality[33, 1, QUALITY_MEASURES.index("non_finite")] = np.nan
    assert cut_grid(store).first_second.tolist() == [0, 16, 48]
    assert cut_grid(store, where="line_noise < 0.2").first_second.tolist() == [0, 48]
    assert cut_grid(store, where="not line_noise < 0.2").first_second.tolist() == [16]

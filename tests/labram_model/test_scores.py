"""Scores against published tables and against their definitions, counted out one sample at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from labram_model import scores
from labram_model.errors import LabramError


def test_kappa_of_the_textbook_table() -> None:
    # 50 proposals, two readers: both yes 20, yes-no 5, no-yes 10, both no 15. Observed 0.7, expected 0.5.
    assert scores.cohen_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_three_classes_by_hand() -> None:
    # Rows true, columns predicted; recalls 2/3, 0, 2/2; F1 4/5, 0, 4/5 as 2*tp/(true+predicted).
    confusion = scores.confusion_matrix(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 2, 2, 2, 2]), 3)
    assert confusion.tolist() == [[2, 0, 1], [0, 0, 1], [0, 0, 2]]
    assert scores.balanced_accuracy(confusion) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert scores.weighted_f1(confusion) == pytest.approx((3 * 0.8 + 1 * 0 + 2 * (4 / 6)) / 6)
    assert scores.cohen_kappa(confusion) == pytest.approx((4 / 6 - (3 * 2 + 0 + 2 * 4) / 36) / (1 - 14 / 36))


def test_average_precision_by_hand() -> None:
    # The documented example of scikit-learn's average_precision_score: 0.83.
    positive = np.array([False, False, True, True])
    score = np.array([0.1, 0.4, 0.35, 0.8])
    assert scores.auc_pr(positive, score) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert scores.auroc(positive, score) == pytest.approx(0.75)


labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda pairs: len({positive for positive, _ in pairs}) == 2
)


@given(labelled)
def test_auroc_is_the_share_of_ordered_pairs(pairs: list[tuple[bool, int]]) -> None:
    positive = [score for is_positive, score in pairs if is_positive]
    negative = [score for is_positive, score in pairs if not is_positive]
    won = sum((p > n) + 0.5 * (p == n) for p, n in itertools.product(positive, negative))
    found = scores.auroc(np.array([p for p, _ in pairs]), np.array([s for _, s in pairs], dtype=np.float64))
    assert found == pytest.approx(won / (len(positive) * len(negative)))


@given(labelled)
def test_average_precision_walks_the_thresholds(pairs: list[tuple[bool, int]]) -> None:
    n_positive = sum(positive for positive, _ in pairs)
    area, recall_before = 0.0, 0.0
    for threshold in sorted({score for _, score in pairs}, reverse=True):
        above = [positive for positive, score in pairs if score >= threshold]
        recall = sum(above) / n_positive
        area += (recall - recall_before) * sum(above) / len(above)
        recall_before = recall
    found = scores.auc_pr(np.array([p for p, _ in pairs]), np.array([s for _, s in pairs], dtype=np.float64))
    assert found == pytest.approx(area)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3).filter(lambda x: len({t for t, _ in x}) == 3)
)
def test_all_scores_from_single_samples(pairs: list[tuple[int, int]]) -> None:
    true = np.array([t for t, _ in pairs])
    probability = np.eye(3)[[p for _, p in pairs]]
    found = scores.classification_scores(true, probability)["scores"]
    recalls = [np.mean([p == k for t, p in pairs if t == k]) for k in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    f1 = []
    for k in range(3):
        hits = sum(t == k and p == k for t, p in pairs)
        misses = sum((t == k) != (p == k) for t, p in pairs)
        f1.append(2 * hits / (2 * hits + misses))
    assert found["weighted_f1"] == pytest.approx(np.average(f1, weights=np.bincount(true, minlength=3)))
    assert "auroc" not in found


def test_chance_of_a_skewed_task() -> None:
    true = np.array([0] * 9 + [1])
    result = scores.classification_scores(true, np.tile([0.9, 0.1], (10, 1)))
    assert result["chance"] == pytest.approx(
        {"balanced_accuracy": 0.5, "cohen_kappa": 0.0, "weighted_f1": 0.82, "auroc": 0.5, "auc_pr": 0.1}
    )
    assert result["scores"]["balanced_accuracy"] == 0.5  # 90 % right, yet no better than guessing
    assert result["scores"]["cohen_kappa"] == 0.0
    assert result["scores"]["auroc"] == 0.5
    assert result["scores"]["auc_pr"] == pytest.approx(0.1)


def test_a_class_without_samples_has_no_score() -> None:
    with pytest.raises(LabramError, match="found none of class 1"):
        scores.classification_scores(np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    with pytest.raises(LabramError, match="not finite"):
        scores.classification_scores(np.array([0, 1]), np.array([[0.9, 0.1], [np.nan, 0.2]]))


samples = st.lists(st.tuples(*[st.floats(-2, 2, width=16)] * 4), min_size=3, max_size=30).map(
    lambda rows: np.array(rows, dtype=np.float64)
)  # true of two targets, then what was predicted


@given(samples)
def test_regression_scores_are_scipy_s_and_the_definition_s(rows: np.ndarray) -> None:
    true, predicted = rows[:, :2], rows[:, 2:]
    if np.ptp(true, axis=0).min() == 0:
        return
    guess = np.array([0.25, -0.5])
    found = scores.regression_scores(true, predicted, guess)
    for target, row in enumerate(found["per_target"]):
        own, said = true[:, target], predicted[:, target]
        varies = np.ptp(said) > 0
        assert row["pearson_r"] == pytest.approx(scipy.stats.pearsonr(own, said)[0] if varies else 0.0, abs=1e-9)
        assert row["r2"] == pytest.approx(1 - np.mean((own - said) ** 2) / np.var(own))
        assert row["rmse"] == pytest.approx(np.mean((own - said) ** 2) ** 0.5)
    for name in ("pearson_r", "r2", "rmse"):
        assert found["scores"][name] == pytest.approx(np.mean([row[name] for row in found["per_target"]]))
    wanted = np.mean([1 - np.mean((true[:, t] - guess[t]) ** 2) / np.var(true[:, t]) for t in (0, 1)])
    assert (found["chance"]["pearson_r"], found["chance"]["r2"]) == (0.0, pytest.approx(wanted))


def test_the_mean_of_the_same_samples_explains_nothing() -> None:
    true = np.array([[1.0, 5.0], [2.0, 3.0], [6.0, 1.0]])
    found = scores.regression_scores(true, true, true.mean(axis=0))
    assert found["scores"] == pytest.approx({"pearson_r": 1.0, "r2": 1.0, "rmse": 0.0})
    assert found["chance"] == pytest.approx({"pearson_r": 0.0, "r2": 0.0, "rmse": np.std(true, axis=0).mean()})


def test_a_target_that_does_not_vary_is_left_out_of_the_means() -> None:
    true, predicted = np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]), np.array([[1.0, 5.0], [2.0, 7.0], [3.0, 9.0]])
    found = scores.regression_scores(true, predicted, np.zeros(2))
    assert found["per_target"][1] == {"pearson_r": None, "r2": None, "rmse": pytest.approx((8 / 3) ** 0.5)}
    assert (found["scores"]["pearson_r"], found["scores"]["r2"]) == pytest.approx((1.0, 1.0))
    with pytest.raises(LabramError, match="expected targets that vary, found none"):
        scores.regression_scores(true[:, 1:], predicted[:, 1:], np.zeros(1))
    with pytest.raises(LabramError, match="not finite"):
        scores.regression_scores(true, predicted * np.inf, np.zeros(2))

"""Scores of a model (paper, section 1.2 of the downstream sets): each beside what guessing would give.

Shape legend: S samples, K classes, T targets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from labram_model.errors import LabramError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def confusion_matrix(true: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """Count samples by true class (row) and predicted class (column): (K, K)."""
    counts = np.bincount(true * n_classes + predicted, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def balanced_accuracy(confusion: IntArray) -> float:
    """Mean over classes of the share of a class that is found."""
    return float(np.mean(np.diag(confusion) / confusion.sum(axis=1)))


def cohen_kappa(confusion: IntArray) -> float:
    """Agreement above that of independent guesses with the same margins (Cohen 1960): 1 perfect, 0 by chance."""
    total = confusion.sum()
    observed = np.trace(confusion) / total
    expected = float(confusion.sum(axis=1) @ confusion.sum(axis=0)) / float(total) ** 2
    return float((observed - expected) / (1 - expected))


def weighted_f1(confusion: IntArray) -> float:
    """F1 of each class, weighted by the class's share of the samples; a class never predicted has F1 0."""
    support = confusion.sum(axis=1)
    f1 = 2 * np.diag(confusion) / (support + confusion.sum(axis=0))
    return float(f1 @ support / support.sum())


def auroc(positive: npt.NDArray[np.bool_], score: FloatArray) -> float:
    """Probability that a positive sample scores above a negative one, ties counting half (Mann and Whitney 1947)."""
    _, group, size = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[group]  # the mean rank, from 1, of samples of equal score
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def auc_pr(positive: npt.NDArray[np.bool_], score: FloatArray) -> float:
    """Average precision: the precision at each threshold, weighted by the recall that the threshold adds."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_tie = np.append(np.diff(score[order]) != 0, True)  # samples of equal score pass a threshold together
    hits_at = hits[last_of_tie]
    precision = hits_at / (np.flatnonzero(last_of_tie) + 1)
    return float(np.diff(hits_at, prepend=0) @ precision / hits[-1])


def classification_scores(true: IntArray, probability: FloatArray) -> dict[str, Any]:
    """Score probabilities (S, K) against true classes (S,).

    Returns `scores`, `chance` (what guessing by the class shares gives; balanced accuracy 1/K) and `confusion`
    (rows true, columns predicted). Two classes add AUROC and AUC-PR, the second class being the positive one.

    Raises:
        LabramError: a class has no sample, so that no score is defined, or a probability is not finite.
    """
    n_classes = probability.shape[1]
    counts = np.bincount(true, minlength=n_classes)
    if (counts == 0).any():
        raise LabramError(
            f"Cannot score: expected windows of all {n_classes} classes, found none of class {int(np.argmin(counts))}."
        )
    if not np.isfinite(probability).all():
        raise LabramError("Cannot score: expected probabilities, found some that are not finite. Train anew.")
    confusion = confusion_matrix(true, probability.argmax(axis=1), n_classes)
    share = counts / counts.sum()
    scores = {
        "balanced_accuracy": balanced_accuracy(confusion),
        "cohen_kappa": cohen_kappa(confusion),
        "weighted_f1": weighted_f1(confusion),
    }
    chance = {"balanced_accuracy": 1 / n_classes, "cohen_kappa": 0.0, "weighted_f1": float(share @ share)}
    if n_classes == 2:
        positive = true == 1
        scores |= {"auroc": auroc(positive, probability[:, 1]), "auc_pr": auc_pr(positive, probability[:, 1])}
        chance |= {"auroc": 0.5, "auc_pr": float(share[1])}
    return {"scores": scores, "chance": chance, "confusion": confusion.tolist()}


def pearson_r(true: FloatArray, predicted: FloatArray) -> float:
    """Correlation of a target (S,) with its prediction; 0 where the prediction is the same for all samples."""
    if np.ptp(predicted) == 0:
        return 0.0
    true, predicted = true - true.mean(), predicted - predicted.mean()
    return float(true @ predicted / np.sqrt((true @ true) * (predicted @ predicted)))


def r2(true: FloatArray, predicted: FloatArray) -> float:
    """Share of the variance of a target (S,) that is predicted; below 0 where its own mean would do better."""
    return float(1 - np.square(true - predicted).sum() / np.square(true - true.mean()).sum())


def rmse(true: FloatArray, predicted: FloatArray) -> float:
    """Root of the mean squared error of a target (S,)."""
    return float(np.sqrt(np.square(true - predicted).mean()))


def regression_scores(true: FloatArray, predicted: FloatArray, guess: FloatArray) -> dict[str, Any]:
    """Score predictions (S, T) against true values (S, T).

    Returns `scores`, means over targets; `chance`, the same of `guess` (T,), one value for all samples; and
    `per_target`. A target that does not vary has no Pearson r and no R2: null there, and left out of their means.

    Raises:
        LabramError: no target varies, so that no score is defined, or a prediction is not finite.
    """
    if not np.ptp(true, axis=0).any():
        raise LabramError("Cannot score: expected targets that vary, found none. Choose other targets or windows.")
    if not np.isfinite(predicted).all():
        raise LabramError("Cannot score: expected predictions, found some that are not finite. Train anew.")
    found, chance = (
        [_scores_of_target(*pair) for pair in zip(true.T, said.T, strict=True)]
        for said in (predicted, np.broadcast_to(guess, true.shape))
    )
    return {"scores": _means(found), "chance": _means(chance), "per_target": found}


def _scores_of_target(true: FloatArray, predicted: FloatArray) -> dict[str, float | None]:
    varies = np.ptp(true) > 0
    return {
        "pearson_r": pearson_r(true, predicted) if varies else None,
        "r2": r2(true, predicted) if varies else None,
        "rmse": rmse(true, predicted),
    }


def _means(rows: list[dict[str, float | None]]) -> dict[str, float]:
    known = {name: [value for row in rows if (value := row[name]) is not None] for name in rows[0]}
    return {name: float(np.mean(values)) for name, values in known.items()}

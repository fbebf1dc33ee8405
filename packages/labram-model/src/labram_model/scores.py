"""Scores of a classifier (paper, section 1.2 of the downstream sets): each beside what guessing would give.

Shape legend: S samples, K classes.
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

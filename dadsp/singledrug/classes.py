"""Resistant, moderate or sensitive: a response cut at its quartiles, and how often predictions fall into the same class."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, recall_score

from dadsp.schema import IntArray

CLASSES = ("resistant", "moderate", "sensitive")
COINCIDE = "the quartiles coincide"


class Quartiles(NamedTuple):
    """Where a drug's response is cut.

    Attributes:
        low: 25th percentile; at or below it a line is resistant.
        high: 75th percentile; at or above it a line is sensitive.
    """

    low: float
    high: float


def quartiles(responses: NDArray[Any]) -> Quartiles:
    """The quartiles of these responses, interpolated linearly."""
    low, high = np.quantile(np.asarray(responses, dtype=np.float64), [0.25, 0.75])
    return Quartiles(float(low), float(high))


def classify(responses: NDArray[Any], cuts: Quartiles) -> IntArray:
    """Row numbers into ``CLASSES``, int64, one per response."""
    return np.where(responses >= cuts.high, 2, np.where(responses <= cuts.low, 0, 1)).astype(np.int64)


def class_scores(y_true: NDArray[Any], y_pred: NDArray[Any], cuts: Quartiles) -> dict[str, Any]:
    """Agreement of predicted with measured classes, both cut at the same values.

    Returns:
        ``accuracy``; ``balanced_accuracy``, the mean recall of the classes that were measured; ``kappa``,
        quadratic-weighted; ``confusion``, counts as rows of measured by columns of predicted, in the order of ``CLASSES``.
        All None, with a ``reason``, where the quartiles coincide (most lines share one value, as with capped IC50): no class
        is defined there. Kappa alone is None where measured and predicted classes are one and the same constant.
    """
    if cuts.low == cuts.high:
        return dict.fromkeys(("accuracy", "balanced_accuracy", "kappa", "confusion")) | {"reason": COINCIDE}
    true, pred = classify(y_true, cuts), classify(y_pred, cuts)
    constant = len(np.union1d(true, pred)) == 1
    return {
        "accuracy": float(accuracy_score(true, pred)),
        "balanced_accuracy": float(recall_score(true, pred, labels=np.unique(true), average="macro", zero_division=0)),
        "kappa": None if constant else float(cohen_kappa_score(true, pred, weights="quadratic")),
        "confusion": confusion_matrix(true, pred, labels=range(len(CLASSES))).tolist(),
        "reason": "measured and predicted are all of one class" if constant else "",
    }

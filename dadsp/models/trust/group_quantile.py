"""Quantiles of errors when groups of pairs, not pairs, are exchangeable."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dadsp.schema import IntArray

Values = NDArray[np.float64]
TOLERANCE = 1e-9  # of sums of weights


def group_quantiles(score: Values, group: IntArray, levels: Sequence[float] | Values) -> Values:
    """The reach that holds a pair of a new group with probability ≥ level, for each level, shape (n_levels,).

    Each of K groups weighs 1/(K + 1), shared evenly by its pairs; the last 1/(K + 1) stands at infinity. The reach is the
    level's quantile of this distribution: infinite where level > K/(K + 1), since K groups cannot tell.

    Args:
        score: Size of the error of each pair, ≥ 0, shape (n,).
        group: Which line, or which drug, each pair is of; shape (n,).
        levels: In (0, 1).

    Reference: Dunn, Wasserman & Ramdas, JASA 2023; Lee, Barber & Willett, arXiv 2306.06342.
    """
    _, which, n_pairs = np.unique(group, return_inverse=True, return_counts=True)
    n_groups = len(n_pairs)
    order = np.argsort(score, kind="stable")
    weight = np.cumsum(1 / n_pairs[which[order]])
    wanted = np.asarray(levels, dtype=np.float64) * (n_groups + 1)
    slack = TOLERANCE * (n_groups + 1)
    known = wanted <= n_groups + slack
    place = np.searchsorted(weight, np.minimum(wanted, n_groups) - slack)
    reach = np.append(score[order], np.inf)[np.where(known, np.minimum(place, len(score)), len(score))]
    return np.asarray(reach, dtype=np.float64)


def group_mean(values: NDArray[np.generic], group: IntArray) -> float:
    """Mean over groups of the mean over each group's pairs; NaN without a pair."""
    if not len(values):
        return float("nan")
    _, which, n_pairs = np.unique(group, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(which, weights=values.astype(np.float64)) / n_pairs))

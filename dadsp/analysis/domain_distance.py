"""How far two sets of features lie apart as distributions: proxy A-distance, and MMD with a permutation test.

Many lines stand in both screens. Treated as independent rows they would mislead both measures: a classifier that saw a line
in one screen takes it for that screen in the other, and a free permutation forgets that partners resemble each other. So a
line stays on one side of every fold, and a permutation exchanges partners with each other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dadsp.schema import BoolArray, IntArray
from dadsp.seeding import derive_seed

Values = NDArray[np.float64]

KERNELS = 5  # Gaussian, each twice as wide as the one before; as DADSP-B's
PERMUTATIONS_AT_ONCE = 100


def proxy_a_distance(features: Values, is_target: BoolArray, line: IntArray, folds: int, seed: int) -> float:
    """2·(1 − 2ε), ε the cross-validated error of a linear classifier that tells target rows from source rows.

    ε is the mean of both screens' error rates, so that their sizes do not matter, and at most ½.

    Args:
        features: Shape (n, d).
        is_target: Which rows are the target's, shape (n,).
        line: Number of each row's line, equal for partners; shape (n,).
        folds: At most; as many as the smaller screen has lines where it has fewer.
        seed: Of the folds.

    Returns:
        0 where a linear classifier cannot tell the screens apart, 2 where it always can.

    Reference: Ben-David et al., NIPS 2006; Ganin et al., JMLR 2016, section 5.1.5.
    """
    fewest = min(len(np.unique(line[is_target])), len(np.unique(line[~is_target])))
    split = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    told = cross_val_predict(classifier, features, is_target, groups=line, cv=split)
    error = min(1 - balanced_accuracy_score(is_target, told), 0.5)
    return float(2 * (1 - 2 * error))


class MmdTest(NamedTuple):
    """Squared maximum mean discrepancy with what chance gives.

    Attributes:
        mmd2: Biased estimate, ≥ 0.
        by_chance: Its mean over permutations of the screens.
        p: Share of permutations that reach it, itself counted: at least 1/(permutations + 1).
    """

    mmd2: float
    by_chance: float
    p: float


def mmd_test(squared: Values, is_target: BoolArray, line: IntArray, permutations: int, seed: int) -> MmdTest:
    """MMD² between the screens' rows under five Gaussian kernels, and its permutation test.

    k(a, b) = Σᵢ exp(−‖a − b‖² / hᵢ), hᵢ = h / 4 · 2ⁱ, h the mean squared distance between different rows. Being relative to
    h, it can be compared between feature spaces of different scale. A permutation exchanges the screens of partners with
    probability ½ and shuffles the screens of all other rows.

    Args:
        squared: Squared distances of all rows, shape (n, n).
        is_target: Which rows are the target's, shape (n,).
        line: Number of each row's line; a number that stands once in each screen makes partners. Shape (n,).
        permutations: How many.
        seed: Of the permutations.

    Reference: Gretton et al., JMLR 2012, eq. 5; bandwidths as ``dadsp.nets.mmd``.
    """
    n = len(squared)
    h = squared.sum() / (n * (n - 1))
    kernel: Values = sum((np.exp(-squared / (h / 4 * 2**i)) for i in range(KERNELS)), np.zeros_like(squared))
    labels = _permuted_screens(is_target, line, permutations, seed)
    # wᵀKw with w = 1/n on the source and −1/m on the target is mean(K_ss) + mean(K_tt) − 2·mean(K_st).
    weights = np.where(labels, -1 / is_target.sum(), 1 / (~is_target).sum())
    values = np.concatenate(
        [((part @ kernel) * part).sum(axis=1) for part in np.array_split(weights, -(-len(weights) // PERMUTATIONS_AT_ONCE))]
    )
    observed, permuted = values[0], values[1:]
    reached = int((permuted >= observed * (1 - 1e-9)).sum())
    return MmdTest(float(max(observed, 0.0)), float(permuted.mean()), (1 + reached) / (1 + permutations))


def _permuted_screens(is_target: BoolArray, line: IntArray, permutations: int, seed: int) -> BoolArray:
    """The screens of all rows as they are, then permuted; shape (1 + permutations, n)."""
    random = np.random.default_rng(derive_seed(seed, "permutations"))
    source, target = partners(is_target, line)
    free = np.setdiff1d(np.arange(len(line)), np.concatenate([source, target]))
    labels = np.tile(is_target, (1 + permutations, 1))
    for row in labels[1:]:
        row[free] = random.permutation(is_target[free])
        exchanged = random.random(len(source)) < 0.5
        row[source], row[target] = exchanged, ~exchanged
    return labels


def partners(is_target: BoolArray, line: IntArray) -> tuple[IntArray, IntArray]:
    """Source and target rows of the lines that stand exactly once in each screen, line by line."""
    rows = [np.flatnonzero(~is_target), np.flatnonzero(is_target)]
    once = []
    for part in rows:
        names, first, count = np.unique(line[part], return_index=True, return_counts=True)
        once.append((names[count == 1], part[first[count == 1]]))
    (source_names, source), (target_names, target) = once
    _, in_source, in_target = np.intersect1d(source_names, target_names, assume_unique=True, return_indices=True)
    return source[in_source], target[in_target]

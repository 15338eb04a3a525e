"""The target's error without a target label: source errors of held-out lines, weighted by how like target lines these are.

All of it rests on covariate shift: labels given a line must follow one law in both screens. Where the assays differ, no
weight of lines corrects that.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dadsp.schema import IntArray
from dadsp.seeding import derive_seed

Values = NDArray[np.float64]
Features = NDArray[np.floating[Any]]

INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 0.1, 1.0)  # C of the classifier
FOLDS = 5


class LineErrors(NamedTuple):
    """Squares of pairs after drugs' means are taken away.

    Attributes:
        error: (ỹ − p̃)², shape (n_pairs,).
        label: ỹ².
    """

    error: Values
    label: Values


def density_ratio(source: Features, target: Features, line: IntArray, at: Features, seed: int) -> Values:
    """p_target(x) / p_source(x), from the odds of a logistic classifier that tells target rows from source rows.

    p_t(x)/p_s(x) = n_s/n_t · P(target | x)/P(source | x). Features are standardised; the ridge penalty is that of the least
    cross-validated log loss, and rows of one line stand on one side of every fold.

    Args:
        source: Features of source rows, shape (n_s, d).
        target: Of target rows, shape (n_t, d).
        line: Number of each row's line, the source's first, equal for rows of one line; shape (n_s + n_t,).
        at: Where the ratio is asked for, shape (k, d): rows that the classifier need not have seen.
        seed: Of the folds.

    Returns:
        Shape (k,), positive. Its mean over fresh source rows is about 1.

    Reference: Bickel, Brückner and Scheffer, ICML 2007; You et al., ICML 2019, eq. 9.
    """
    features = np.concatenate([source, target]).astype(np.float64)
    is_target = np.repeat([False, True], [len(source), len(target)])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    classifiers = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)) for c in INVERSE_PENALTIES]
    losses = [
        log_loss(is_target, cross_val_predict(each, features, is_target, groups=line, cv=folds, method="predict_proba"))
        for each in classifiers
    ]
    best = classifiers[int(np.argmin(losses))].fit(features, is_target)
    odds: Values = np.exp(best.decision_function(np.asarray(at, dtype=np.float64)))
    return odds * len(source) / len(target)


def effective_sample_size(weights: Values) -> float:
    """(Σ w)² / Σ w²: as many equal weights would estimate as surely (Kish)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def weighted_mean(losses: Values, weights: Values) -> float:
    """Σ wℓ / Σ w: importance-weighted validation with weights that are normalised over what is validated.

    Reference: Sugiyama, Krauledat and Müller, JMLR 2007, section 3.
    """
    return float((weights * losses).sum() / weights.sum())


def deep_embedded_validation(losses: Values, weights: Values) -> float:
    """mean(wℓ) + η·(mean(w) − 1), η = −cov(wℓ, w)/var(w): a control variate takes away what the weights' spread adds.

    Args:
        losses: Of held-out source pairs, shape (n,).
        weights: Density ratio of the network's own codes of their lines, not normalised.

    Returns:
        The estimate, which may be negative where few pairs carry the weight. Plain ``mean(wℓ)`` where all weights are equal.

    Reference: You et al., ICML 2019, algorithm 1.
    """
    weighted = weights * losses
    if np.ptp(weights) == 0:
        return float(weighted.mean())
    eta = -np.cov(weighted, weights)[0, 1] / np.var(weights, ddof=1)
    return float(weighted.mean() + eta * (weights.mean() - 1))


def line_errors(truth: Values, predicted: Values, drug: IntArray, weights: Values) -> LineErrors:
    """Squared errors and labels of pairs, each less its drug's weighted mean over the pairs.

    With equal weights Σ error / Σ label is ``unexplained``, by which networks that learn lines choose their epoch.

    Args:
        truth: Labels, shape (n_pairs,).
        predicted: Likewise.
        drug: Which drug each pair is of.
        weights: Positive.
    """
    return LineErrors(_centred(truth - predicted, drug, weights) ** 2, _centred(truth, drug, weights) ** 2)


def blend_weight(truth: Values, first: Values, second: Values, drug: IntArray) -> float:
    """The w in [0, 1] for which w·first + (1 − w)·second tells the lines of each drug apart with the least squared error.

    w = ⟨ỹ − s̃, f̃ − s̃⟩ / ‖f̃ − s̃‖², where ~ takes the drug's mean away: the error is a parabola in w, so that its lowest
    point, cut to the interval, is the lowest in it. 1 where both predictions say the same of lines.

    Args:
        truth: Labels of held-out pairs, shape (n_pairs,).
        first: Predictions of one system.
        second: Of another.
        drug: Which drug each pair is of.
    """
    equal = np.ones(len(truth))
    left, apart = _centred(truth - second, drug, equal), _centred(first - second, drug, equal)
    return float(np.clip((left @ apart) / (apart @ apart), 0, 1)) if apart.any() else 1.0


def _centred(values: Values, drug: IntArray, weights: Values) -> Values:
    """Values less their drug's weighted mean."""
    _, drug = np.unique(drug, return_inverse=True)
    mean = np.bincount(drug, weights * values) / np.bincount(drug, weights)
    return np.asarray(values - mean[drug], dtype=np.float64)

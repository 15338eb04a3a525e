"""Weighted logistic regression over pairs, in sums over distinct lines and drugs."""

import numpy as np

from dadsp.models.systems.pair_design import PairDesign, Values


def logistic_weights(design: PairDesign, label: Values, penalties: Values, start: Values) -> Values:
    """Minimiser of Σ log(1 + exp(z)) − y·z + Σ λᵢwᵢ²/2 with z = X·w, by Newton steps in a trust region."""
    from scipy.optimize import minimize  # seconds that predicting does without
    from scipy.special import expit

    def loss(weights: Values) -> tuple[float, Values]:
        z = design.times(weights)
        value = np.logaddexp(0, z).sum() - label @ z + penalties @ weights**2 / 2
        return float(value), design.transposed_times(expit(z) - label) + penalties * weights

    def curvature(weights: Values) -> Values:
        p = expit(design.times(weights))
        return design.gram(p * (1 - p)) + np.diag(penalties)

    found = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-6 * len(label)})
    minimiser: Values = found.x
    return minimiser

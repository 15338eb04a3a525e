"""How potent a drug is over all lines: its mean label, or that of drugs of similar structure where it has none."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.models.kernels.similarity import Values
from dadsp.schema import BoolArray


@dataclass(frozen=True, eq=False)
class DrugLevel:
    """Mean label of each training drug, and a kernel ridge regression of these means on structure.

    m(d) = m̄ + k(d)ᵀ w with w = (T^e + λI)⁻¹ (m − m̄), T the Tanimoto similarity of training drugs to each other, k(d) that
    of a drug to them, raised to the same power e; m̄ is the plain mean of the drugs' means.

    Attributes:
        means: Of each drug's labels, in their unit, shape (n_drugs,); NaN for a drug without any.
        weights: w, shape (n_drugs,), 0 for a drug without labels.
        centre: m̄.
        variance: Variance of the regression's prior, wᵀ(m − m̄)/n: in squared units of the labels.
    """

    means: Values
    weights: Values
    centre: float
    variance: float

    @classmethod
    def fit(cls, labels: Values, measured: BoolArray, similarity: Values, power: float, penalty: float) -> Self:
        """The level that these labels show.

        Args:
            labels: Shape (n_lines, n_drugs).
            measured: Which of them there are.
            similarity: Tanimoto similarity of the drugs, shape (n_drugs, n_drugs).
            power: e.
            penalty: λ.
        """
        known: BoolArray = np.any(measured, axis=0)
        means = np.full(len(known), np.nan)
        means[known] = np.where(measured, labels, 0.0).sum(0)[known] / measured.sum(0)[known]
        centre = float(means[known].mean())
        kernel = similarity[np.ix_(known, known)] ** power + penalty * np.eye(int(known.sum()))
        weights = np.zeros(len(known))
        weights[known] = np.linalg.solve(kernel, means[known] - centre)
        return cls(means, weights, centre, float(weights[known] @ (means[known] - centre) / known.sum()))

    def __call__(self, same: Values, similarity: Values, power: float) -> Values:
        """Level of some drugs, shape (n,): the mean of their own means where they were measured, else the regression's.

        Args:
            same: 1 where a drug has the structure of a training drug, shape (n, n_drugs).
            similarity: Tanimoto similarity to the training drugs, shape (n, n_drugs).
            power: e.
        """
        own = same * np.isfinite(self.means)
        count = own.sum(axis=1)
        pooled = own @ np.nan_to_num(self.means) / np.maximum(count, 1)
        return np.where(count > 0, pooled, self.centre + similarity**power @ self.weights)

    def uncertainty(self, same: Values, similarity: Values, training: Values, power: float, penalty: float) -> Values:
        """Variance of the level, shape (n,): 0 for a measured drug, else that of the regression's Gaussian process.

        Args:
            same: As for calling.
            similarity: As for calling.
            training: Tanimoto similarity of the training drugs to each other.
            power: e.
            penalty: λ.
        """
        known = np.isfinite(self.means)
        kernel = training[np.ix_(known, known)] ** power + penalty * np.eye(int(known.sum()))
        to_known = similarity[:, known] ** power
        explained = np.einsum("nd,nd->n", to_known, np.linalg.solve(kernel, to_known.T).T)
        spread = self.variance * np.maximum(1 + penalty - explained, 0)
        measured = (same * known).sum(axis=1) > 0
        return np.where(measured, 0.0, spread)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What ``from_arrays`` reads."""
        return {"means": self.means, "weights": self.weights, "facts": np.array([self.centre, self.variance])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """The level whose ``arrays`` these are."""
        centre, variance = arrays["facts"].tolist()
        return cls(arrays["means"], arrays["weights"], centre, variance)

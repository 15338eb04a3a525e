"""What a Gaussian process over pairs still does not know of them: covariances that its training labels leave.

    cov(f, f') = K_L(l, l') K_D(d, d') − k(l, d)ᵀ (K_L ⊗ K_D + ν'I)⁻¹ k(l', d')

The inverse is taken on the whole grid of training lines × drugs, as in ``PairSystem.explained``. With the decompositions
K_L = U Λ Uᵀ, K_D = V M Vᵀ and the projections a = Uᵀ k_L(l), b = Vᵀ k_D(d), the second term is Σ_pq a_p a'_p b_q b'_q /
(λ_p μ_q + ν'), so that the covariances of one pair with a grid of n lines × m drugs cost n·m·(training lines + drugs).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dadsp.models.base import GridUncertainty
from dadsp.models.kernels.similarity import Values
from dadsp.schema import IntArray


@dataclass(frozen=True, eq=False)
class Side:
    """Some lines and drugs.

    Attributes:
        lines: Projections a, shape (n_lines, n_training_lines).
        drugs: Projections b, shape (n_drugs, n_training_drugs).
        scale: From units of the kernels to −log10 IC50(µM), shape (n_lines, n_drugs).
        level: Standard deviation of each drug's level, shape (n_drugs,); 0 where it was measured.
    """

    lines: Values
    drugs: Values
    scale: Values
    level: Values


@dataclass(frozen=True, eq=False)
class Posterior(GridUncertainty):
    """Covariances of potency between two sets of lines and drugs, −log10 IC50(µM) squared.

    Attributes:
        of: The pairs asked for.
        given: The pairs with which they vary.
        alike_lines: Prior covariance K_L of both, shape (n_lines, n_given_lines).
        alike_drugs: K_D, shape (n_drugs, n_given_drugs).
        same_drug: 1 where both are one structure, the same shape.
        gain: 1/(λ_p μ_q + ν'), shape (n_training_lines, n_training_drugs).
        noise: Variance of a label, on average.
    """

    of: Side
    given: Side
    alike_lines: Values
    alike_drugs: Values
    same_drug: Values
    gain: Values
    noise: float

    @cached_property
    def _through(self) -> Values:
        """Σ_q b_q b'_q gain_pq for every given drug, shape (n_given_drugs, n_training_lines, n_drugs)."""
        return np.stack([self.gain @ (self.of.drugs * drug).T for drug in self.given.drugs])

    def with_pair(self, line: int, drug: int) -> Values:
        """Covariance of every pair asked for with one given pair, shape (n_lines, n_drugs)."""
        explained = (self.of.lines * self.given.lines[line]) @ self._through[drug]
        left = np.outer(self.alike_lines[:, line], self.alike_drugs[:, drug]) - explained
        level = self.of.level * self.given.level[drug] * self.same_drug[:, drug]
        result: Values = self.of.scale * self.given.scale[line, drug] * left + level
        return result

    def between(self, pairs: tuple[IntArray, IntArray], given: tuple[IntArray, IntArray]) -> Values:
        """Covariance of pairs (rows of lines and of drugs) with given ones, shape (n_pairs, n_given)."""
        columns = [self.with_pair(line, drug)[pairs] for line, drug in zip(*(rows.tolist() for rows in given), strict=True)]
        return np.stack(columns, axis=1) if columns else np.zeros((len(pairs[0]), 0))

    def times(self, weights: Values) -> Values:
        """The covariance matrix times a vector over the given pairs, both as grids; no matrix of pairs is made."""
        scaled = self.given.scale * weights
        explained = self.of.lines @ (self.gain * (self.given.lines.T @ scaled @ self.given.drugs)) @ self.of.drugs.T
        left = self.alike_lines @ scaled @ self.alike_drugs.T - explained
        level = self.of.level * (self.same_drug @ (self.given.level * weights.sum(axis=0)))
        result: Values = self.of.scale * left + level
        return result

    def variance(self) -> Values:
        """Of every pair, where both sets are one, shape (n_lines, n_drugs)."""
        explained = self.of.lines**2 @ self.gain @ (self.of.drugs**2).T
        left = np.outer(np.diag(self.alike_lines), np.diag(self.alike_drugs)) - explained
        result: Values = np.maximum(self.of.scale**2 * left + self.of.level**2, 0)
        return result

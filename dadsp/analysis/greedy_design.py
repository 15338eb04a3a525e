"""Which pairs to measure next: greedy reduction of the variance that is left over all pairs that matter.

The errors of predictions over a grid of lines × drugs have the covariance

    P = φC + τ₀²·1 + τ²·[same structure]

of ``dadsp.models.calibrated``: C is what the system states, τ₀ and τ the unknown level of the assay and of each structure in
it. Measuring pair j with noise ν² lowers the summed variance of the pairs that matter (weights w) by

    gain_j = Σ_i w_i P_ij² / (P_jj + ν²),    P ← P − P_j P_jᵀ / (P_jj + ν²)

Greedy choice takes the pair of largest gain, step by step. No matrix of pairs × pairs is made: a column P_j costs O(lines ·
drugs · training lines), earlier steps are taken off as rank-one terms. Σ_i w_i P_ij² for all j at once is estimated from
random signs ω, E[(P √w ω)_j²], drawn once and updated in each step; where there are no more pairs than probes, unit vectors
take their place and the choice is exact. What the chosen pairs gain is computed exactly either way.

Reference: Krause, Singh and Guestrin, Near-optimal sensor placements in Gaussian processes, JMLR 2008; Hutchinson, A
stochastic estimator of the trace, 1990.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dadsp.models.base import GridUncertainty
from dadsp.models.calibrated import Variances
from dadsp.schema import BoolArray, IntArray
from dadsp.seeding import derive_seed

Values = NDArray[np.float64]

PROBES = 128


@dataclass(frozen=True, eq=False)
class Errors:
    """Covariance P of predictions of all pairs of some lines and drugs.

    Attributes:
        stated: What the system says; None: nothing.
        same: 1 where two drugs have one structure, shape (n_drugs, n_drugs).
        n_lines: Of the grid.
        variances: Of the process; ``noise`` is that of a label.
    """

    stated: GridUncertainty | None
    same: Values
    n_lines: int
    variances: Variances

    @property
    def shape(self) -> tuple[int, int]:
        """Lines, drugs."""
        return self.n_lines, len(self.same)

    def with_pair(self, line: int, drug: int) -> Values:
        """P_j as a grid."""
        of = self.variances
        total = np.broadcast_to(of.assay + of.drug * self.same[drug], self.shape)
        return total + of.shared * self.stated.with_pair(line, drug) if self.stated else total.copy()

    def times(self, weights: Values) -> Values:
        """P times a vector, both as grids."""
        of, of_drug = self.variances, weights.sum(axis=0)
        total = np.broadcast_to(of.assay * of_drug.sum() + of.drug * (self.same @ of_drug), self.shape)
        return total + of.shared * self.stated.times(weights) if self.stated else total.copy()

    def variance(self) -> Values:
        """The diagonal of P as a grid."""
        of = self.variances
        own = np.full(self.shape, of.assay + of.drug)
        return own + of.shared * self.stated.variance() if self.stated else own


@dataclass(frozen=True, eq=False)
class Chosen:
    """Pairs in the order of choice.

    Attributes:
        line: int64, shape (n,).
        drug: int64, shape (n,).
        gain: Fall of the mean variance over the pairs that matter with each, float64, shape (n,).
        before: That mean variance before any is measured, without noise.
        left: Variance of every pair after all, without noise, shape (n_lines, n_drugs).
    """

    line: IntArray
    drug: IntArray
    gain: Values
    before: float
    left: Values


class _Process:
    """P while pairs are being measured."""

    def __init__(self, errors: Errors, weights: Values, seed: int) -> None:
        self.errors, self.weights = errors, weights.ravel()
        n = self.weights.size
        self.variance = errors.variance().ravel()
        self.columns: list[NDArray[np.float32]] = []
        root = np.sqrt(self.weights)
        if n <= PROBES:
            self.probes = np.eye(n, dtype=np.float32) * root.astype(np.float32)
        else:
            signs = np.random.default_rng(derive_seed(seed, "design")).choice(
                np.array([-1, 1], dtype=np.float32), (PROBES, n)
            )
            self.probes = signs * root.astype(np.float32)
        self.images = np.stack(
            [errors.times(probe.reshape(errors.shape).astype(np.float64)).ravel() for probe in self.probes]
        )
        self.images = self.images.astype(np.float32)
        self.scale = 1.0 if n <= PROBES else 1.0 / PROBES

    def gains(self) -> Values:
        """Of every pair, as fall of the weighted variance."""
        power = np.einsum("rn,rn->n", self.images, self.images).astype(np.float64) * self.scale
        return np.asarray(power / (self.variance + self.errors.variances.noise))

    def measure(self, place: int) -> float:
        """Takes one pair as measured; how much the weighted variance falls."""
        column = self.errors.with_pair(*divmod(place, self.errors.shape[1])).ravel().astype(np.float32)
        for earlier in self.columns:
            column -= earlier[place] * earlier
        column /= np.float32(np.sqrt(max(float(column[place]), 0.0) + self.errors.variances.noise))
        self.images -= np.outer(self.probes @ column, column)
        self.columns.append(column)
        square = column.astype(np.float64) ** 2
        self.variance = np.maximum(self.variance - square, 0)
        return float(self.weights @ square)


def choose(
    errors: Errors,
    allowed: BoolArray,
    matters: Values,
    budget: int,
    *,
    known: tuple[IntArray, IntArray] | None = None,
    per_line: int | None = None,
    per_drug: int | None = None,
    seed: int = 0,
    told: Callable[[int], None] = lambda done: None,
) -> Chosen:
    """Pairs to measure, the best first; fewer than ``budget`` where limits leave no more.

    Args:
        errors: Of all pairs.
        allowed: Which pairs may be chosen, shape (n_lines, n_drugs).
        matters: Weight of each pair's variance, the same shape, not all 0.
        budget: How many pairs.
        known: Rows of lines and drugs of pairs that were measured already; None: of none.
        per_line: At most so many of one line.
        per_drug: At most so many of one drug.
        seed: Of the probes.
        told: Is told how many pairs were chosen so far.
    """
    weights = matters / matters.sum()
    process, n_drugs = _Process(errors, weights, seed), errors.shape[1]
    for line, drug in zip(*known, strict=True) if known else ():
        process.measure(int(line) * n_drugs + int(drug))
    before = float(process.weights @ process.variance)
    free, of_line, of_drug = allowed.copy(), np.zeros(errors.n_lines, dtype=int), np.zeros(n_drugs, dtype=int)
    chosen: list[tuple[int, int, float]] = []
    while len(chosen) < budget and free.any():
        place = int(np.argmax(np.where(free.ravel(), process.gains(), -np.inf)))
        line, drug = divmod(place, n_drugs)
        chosen.append((line, drug, process.measure(place)))
        of_line[line] += 1
        of_drug[drug] += 1
        free[line, drug] = False
        if of_line[line] == per_line:
            free[line] = False
        if of_drug[drug] == per_drug:
            free[:, drug] = False
        told(len(chosen))
    lines, drugs, gains = zip(*chosen, strict=True) if chosen else ((), (), ())
    return Chosen(
        np.array(lines, dtype=np.int64),
        np.array(drugs, dtype=np.int64),
        np.array(gains, dtype=np.float64),
        before,
        process.variance.reshape(errors.shape),
    )

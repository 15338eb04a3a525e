"""Similarities of cell lines and of drugs, and the linear system that their Kronecker product makes over measured pairs.

A label minus its drug's mean is modelled as f(line, drug) + noise with f ~ N(0, K_L ⊗ K_D). Over the grid of all training
lines × drugs a matrix A stands for a vector over pairs, and (K_L ⊗ K_D) vec(A) is K_L A K_D: no matrix of pairs × pairs is
ever made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dadsp.schema import BoolArray

Values = NDArray[np.float64]
Matrix = NDArray[Any]
LineKernel = Literal["linear", "rbf", "mixed"]
SINGLE = 1e-4  # tolerances above it are reached in single precision


def tanimoto(a: Matrix, b: Matrix) -> Values:
    """x·y / (x·x + y·y − x·y) of rows, shape (n_a, n_b): shared bits over all bits of either where rows are fingerprints.

    1 for equal rows; rows of zeros are alike to themselves and to nothing else. A valid kernel for rows of any real numbers
    (Ralaivola et al., Graph kernels for chemical informatics, Neural Networks 2005).
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    inner = a @ b.T
    either = (a * a).sum(1)[:, None] + (b * b).sum(1) - inner
    return np.where(either > 0, inner / np.where(either > 0, either, 1), 1.0)


def squared_distances(a: Matrix, b: Matrix) -> Values:
    """‖x − y‖² of rows, shape (n_a, n_b)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares: Values = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
    return np.maximum(squares, 0)


def median_distance(rows: Matrix) -> float:
    """Median ‖x − y‖² over pairs of different rows; 1 where all rows are equal."""
    squares = squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    return float(np.median(squares)) if len(squares) and np.median(squares) > 0 else 1.0


def line_similarity(kind: LineKernel, a: Matrix, b: Matrix, width: float) -> Values:
    """How alike the expression of lines is, shape (n_a, n_b).

    Args:
        kind: ``"linear"``: x·y/p over p genes, which is 1 on average for z-scores; ``"rbf"``: exp(−‖x − y‖²/width);
            ``"mixed"``: the mean of the two.
        a: Scaled expression, shape (n_a, p).
        b: Scaled expression, shape (n_b, p).
        width: Of the radial kernel, in squared units of scaled expression.
    """
    linear = a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] if kind != "rbf" else np.zeros(())
    if kind == "linear":
        return linear
    radial: Values = np.exp(-squared_distances(a, b) / width)
    return radial if kind == "rbf" else (linear + radial) / 2


def own_similarity(kind: LineKernel, rows: Matrix) -> Values:
    """How alike each line's expression is to itself under ``line_similarity``, shape (n,)."""
    rows = rows.astype(np.float64)
    linear: Values = np.einsum("lg,lg->l", rows, rows) / rows.shape[1] if kind != "rbf" else np.ones(len(rows))
    return (linear + 1) / 2 if kind == "mixed" else linear


def equal(a: Sequence[str], b: Sequence[str]) -> Values:
    """1 where two keys are equal, else 0, shape (n_a, n_b)."""
    codes: dict[str, int] = {}
    left, right = (np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64) for keys in (a, b))
    same: Values = (left[:, None] == right).astype(np.float64)
    return same


def shared_targets(a: Sequence[frozenset[str]], b: Sequence[frozenset[str]]) -> Values:
    """Jaccard similarity of sets of target names, shape (n_a, n_b); 0 where either set is empty."""
    return np.array([[len(x & y) / len(x | y) if x and y else 0.0 for y in b] for x in a]).reshape(len(a), len(b))


def target_names(text: str | None) -> frozenset[str]:
    """The names in a published list of targets, separated by commas, semicolons or slashes."""
    if text is None:
        return frozenset()
    return frozenset(part.strip().casefold() for part in text.replace("/", ",").replace(";", ",").split(",")) - {""}


@dataclass(frozen=True, eq=False)
class PairSystem:
    """(P (K_L ⊗ K_D) Pᵀ + noise·I) α = r over the measured pairs, P choosing them from the grid.

    Attributes:
        lines: K_L, shape (n_lines, n_lines).
        drugs: K_D, shape (n_drugs, n_drugs).
        measured: Which pairs of the grid have a label, shape (n_lines, n_drugs).
        noise: Variance of the noise, in units of the kernels.
    """

    lines: Values
    drugs: Values
    measured: BoolArray
    noise: float

    @cached_property
    def spectra(self) -> tuple[Values, Values, Values, Values]:
        """Eigenvalues and eigenvectors of K_L, then of K_D."""
        of_lines, of_drugs = (np.linalg.eigh(kernel) for kernel in (self.lines, self.drugs))
        return np.maximum(of_lines[0], 0), of_lines[1], np.maximum(of_drugs[0], 0), of_drugs[1]

    def with_labels_of(self, measured: BoolArray, noise: float) -> "PairSystem":
        """The same kernels, decomposed once, with other measured pairs and noise."""
        other = PairSystem(self.lines, self.drugs, measured, noise)
        other.__dict__["spectra"] = self.spectra
        return other

    def solve(
        self, labels: Values, tolerance: float = 1e-3, start: Values | None = None, max_steps: int = 500
    ) -> tuple[Values, int]:
        """α on the grid, 0 where nothing was measured, and the steps that it took.

        Conjugate gradients, preconditioned with the inverse on the whole grid, which the two eigen-decompositions give
        exactly; where all pairs are measured the first step is the solution. A step is six products of grid and kernel; they
        are taken in single precision where the tolerance allows.

        Args:
            labels: r, shape (n_lines, n_drugs); what stands at unmeasured pairs does not matter.
            tolerance: Of the residual's norm, relative to that of the labels.
            start: Where to begin, e.g. the solution for fewer labels; 0 by default.
            max_steps: At most.
        """
        precision: type[Any] = np.float32 if tolerance > SINGLE else np.float64
        values_l, vectors_l, values_d, vectors_d = (part.astype(precision, copy=False) for part in self.spectra)
        lines, drugs, mask = (part.astype(precision) for part in (self.lines, self.drugs, self.measured))
        noise = precision(self.noise)
        inverse = 1 / (np.outer(values_l, values_d) + noise)

        def apply(grid: Matrix) -> Matrix:
            applied: Matrix = mask * (lines @ grid @ drugs) + noise * grid
            return applied

        def precondition(residual: Matrix) -> Matrix:
            solved: Matrix = mask * (vectors_l @ ((vectors_l.T @ residual @ vectors_d) * inverse) @ vectors_d.T)
            return solved

        residual: Matrix = np.where(self.measured, labels, 0.0).astype(precision)
        enough = tolerance * np.linalg.norm(residual)
        weights: Matrix = np.zeros_like(residual)
        if start is not None:
            weights = mask * start.astype(precision)
            residual = residual - apply(weights)
        direction, power = np.zeros_like(residual), 1.0
        for step in range(max_steps):
            if np.linalg.norm(residual) <= enough:
                break
            preconditioned = precondition(residual)
            previous, power = power, float(np.vdot(residual, preconditioned))
            direction = preconditioned + (power / previous if step else 0.0) * direction
            applied = apply(direction)
            length = power / float(np.vdot(direction, applied))
            weights = weights + length * direction
            residual = residual - length * applied
        else:
            step = max_steps
        return weights.astype(np.float64), step

    def explained(self, lines: Values, drugs: Values) -> Values:
        """Variance of f that the labels remove, for every pair of some lines and drugs, shape (n_new_lines, n_new_drugs).

        kᵀ (K_L ⊗ K_D + noise'·I)⁻¹ k on the grid of lines and drugs with any label, noise' = noise · (pairs of that grid /
        measured pairs): exact where all its pairs are measured. Elsewhere it spreads the labels evenly over the grid, which
        overstates what is known of a drug measured in few lines.

        Args:
            lines: Covariance of the lines with the training lines, shape (n_new_lines, n_lines).
            drugs: Covariance of the drugs with the training drugs, shape (n_new_drugs, n_drugs).
        """
        of_lines, of_drugs = self.measured.any(axis=1), self.measured.any(axis=0)
        part = self.labelled_part
        _, vectors_l, _, vectors_d = part.spectra
        result: Values = (lines[:, of_lines] @ vectors_l) ** 2 @ part.gain @ ((drugs[:, of_drugs] @ vectors_d) ** 2).T
        return result

    @cached_property
    def gain(self) -> Values:
        """1/(λ_p μ_q + noise'), the inverse on the whole grid between its eigenvectors; noise' as for ``explained``."""
        values_l, _, values_d, _ = self.spectra
        return 1 / (np.outer(values_l, values_d) + self.noise * self.measured.size / max(1, int(self.measured.sum())))

    @cached_property
    def labelled_part(self) -> "PairSystem":
        """The same system on the lines and drugs with any label; itself where all have one."""
        of_lines, of_drugs = self.measured.any(axis=1), self.measured.any(axis=0)
        if of_lines.all() and of_drugs.all():
            return self
        lines, drugs = self.lines[of_lines][:, of_lines], self.drugs[of_drugs][:, of_drugs]
        return PairSystem(lines, drugs, self.measured[of_lines][:, of_drugs], self.noise)

    def log_evidence(self, labels: Values) -> float:
        """Log marginal likelihood of the labels up to a constant, the scale of the kernels being free.

        −n/2·log(rᵀα) − ½·log det, the determinant from the largest n eigenvalues of the whole grid shrunk by the share that
        was measured; exact where all pairs are.

        Reference: Wilson, Gilboa, Nehorai and Cunningham, Fast kernel learning for multidimensional pattern extrapolation,
        NeurIPS 2014, section 4.2.
        """
        n = int(self.measured.sum())
        weights, _ = self.solve(labels)
        values_l, _, values_d, _ = self.spectra
        largest = np.sort(np.outer(values_l, values_d).ravel())[::-1][:n]
        determinant = np.log(largest * (n / self.measured.size) + self.noise).sum()
        return float(-n / 2 * np.log(np.vdot(np.where(self.measured, labels, 0.0), weights)) - determinant / 2)

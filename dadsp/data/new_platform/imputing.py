"""Genes that a table lacks, from those that it has."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dadsp.data.new_platform.reference import Reference
from dadsp.schema import FloatArray, IntArray

PENALTIES = (1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)  # times the number of genes: each has variance 1
FEWEST = 10  # lines to regress on
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regression:
    """Ridge regression of genes on others: ŷ = ȳ + (x − x̄)/s · XᵀA, where A = (XXᵀ + λI)⁻¹Y over standardised lines X.

    λ has the least squared error of lines left out in turn, over all genes of Y, each in units of its sd.

    Attributes:
        centre, scale: x̄ and s, shape (n,).
        lines: X, shape (n_lines, n).
        weights: A, shape (n_lines, m).
        level: ȳ, shape (m,).
        residuals: Of lines left out, shape (n_lines, m).
        explained: Share of variance that is explained of the median gene, of lines left out.
    """

    centre: Values
    scale: Values
    lines: Values
    weights: Values
    level: Values
    residuals: Values
    explained: float

    @classmethod
    def fit(cls, x: Values, y: Values) -> Self:
        """The regression of y, shape (n_lines, m), on x, shape (n_lines, n)."""
        centre, scale = x.mean(axis=0), _spread(x)
        level, of_y = y.mean(axis=0), _spread(y)
        x, y = (x - centre) / scale, y - level
        squared, vectors = np.linalg.eigh(x @ x.T)
        squared, rotated = np.maximum(squared, 0), vectors.T @ y
        errors, fits = [], []
        for penalty in PENALTIES:
            kept = squared / (squared + penalty * x.shape[1])
            leverage = (vectors**2) @ kept + 1 / len(x)
            residuals = (y - vectors @ (kept[:, None] * rotated)) / np.maximum(1 - leverage, 1e-6)[:, None]
            errors.append(float(((residuals / of_y) ** 2).mean()))
            fits.append(residuals)
        best = int(np.argmin(errors))
        weights = vectors @ (rotated / (squared + PENALTIES[best] * x.shape[1])[:, None])
        explained = float(np.median(1 - (fits[best] ** 2).mean(axis=0) / of_y**2))
        return cls(centre, scale, x, weights, level, fits[best], explained)

    def __call__(self, values: FloatArray) -> Values:
        """ŷ of lines, shape (n, m)."""
        found: Values = ((values - self.centre) / self.scale @ self.lines.T) @ self.weights + self.level
        return found


def _spread(values: Values) -> Values:
    spread = values.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


@dataclass(frozen=True, eq=False)
class Imputer:
    """Genes that a table lacks, and how far their imputation errs.

    Attributes:
        given: Genes that are present, shape (n,).
        absent: Genes to impute, shape (m,).
        reference: Of the fitted lines.
        regression: Over training lines; None imputes the fitted mean.
    """

    given: IntArray
    absent: IntArray
    reference: Reference
    regression: Regression | None

    @classmethod
    def fit(cls, training: FloatArray | None, given: IntArray, absent: IntArray, reference: Reference) -> Self:
        """By regression over ``training``, shape (n_lines, n_genes); by the mean where there are too few lines."""
        if training is None or len(training) < FEWEST or not len(given):
            return cls(given, absent, reference, None)
        x, y = (training[:, part].astype(np.float64) for part in (given, absent))
        return cls(given, absent, reference, Regression.fit(x, y))

    def __call__(self, values: FloatArray) -> FloatArray:
        """All genes of lines of which ``given`` are known, float32, shape (n_lines, n + m), in the model's order."""
        full = np.empty((len(values), len(self.given) + len(self.absent)), dtype=np.float32)
        full[:, self.given] = values
        full[:, self.absent] = self.reference.mean[self.absent] if self.regression is None else self.regression(values)
        return full

    def error(self, random: np.random.Generator) -> FloatArray:
        """A draw of what imputed genes are off by, float32, shape (m,): of one left-out line, so that they err together."""
        if self.regression is None:
            return np.asarray(random.normal(0, self.reference.sd[self.absent]), dtype=np.float32)
        residuals = self.regression.residuals
        return np.asarray(residuals[random.integers(len(residuals))], dtype=np.float32)

"""``alignment=quantile``: each gene of the target takes the distribution that it has in the source."""

from dataclasses import dataclass as plain_dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.data.alignment.base import Alignment, AlignmentLines, Arrays, FittedAlignment, array
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray

GENES_AT_ONCE = 1024


@plain_dataclass(frozen=True, eq=False)
class QuantileMap(FittedAlignment):
    """A rising map of each gene from its quantiles in the target to those in the source; the source stays as it is.

    Between quantiles it is linear. Beyond the outermost ones a value keeps its distance to them, in units of the gene's
    range: a new line that exceeds all fitted ones still does. Where quantiles of the target coincide (zeros in RNA-seq), all
    of them go to the mean of theirs in the source.

    Attributes:
        source: Quantiles of each gene, float32, shape (n_points, n_genes), rising; equal where the target's are.
        target: Quantiles of each gene, float32, shape (n_points, n_genes), rising.
    """

    source: FloatArray
    target: FloatArray

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """Expression on the source's scale, float32, shape (n_lines, n_genes)."""
        if domain == "source":
            return expression
        low, high = self.target[0], self.target[-1]
        span, of_source = high - low, self.source[-1] - self.source[0]
        ratio = np.where(span > 0, of_source / np.where(span > 0, span, 1), 1).astype(np.float32)
        aligned = (np.minimum(expression - low, 0) + np.maximum(expression - high, 0)) * ratio
        for gene in range(expression.shape[1]):
            aligned[:, gene] += np.interp(expression[:, gene], self.target[:, gene], self.source[:, gene])
        result: FloatArray = aligned.astype(np.float32, copy=False)
        return result

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Both grids of quantiles."""
        return {"source_quantiles": self.source, "target_quantiles": self.target}

    @classmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        """The map whose ``arrays`` these are."""
        return cls(stated, array(arrays, "source_quantiles"), array(arrays, "target_quantiles"))


@dataclass(frozen=True, config=STRICT)
class Quantile(Alignment):
    """Quantile mapping, gene by gene.

    Attributes:
        points: Quantiles kept of each gene, from the lowest value to the highest.
    """

    kind: ClassVar[str] = "quantile"
    fitted: ClassVar[type[FittedAlignment]] = QuantileMap
    points: int = Field(default=101, ge=2)

    def fit(self, lines: AlignmentLines) -> QuantileMap:
        """Quantiles of the training lines in the source and of the adapting lines in the target."""
        source, target = (_quantiles(expression, self.points) for expression in (lines.source, lines.target))
        for gene in np.flatnonzero((np.diff(target, axis=0) == 0).any(axis=0)):
            _, tie = np.unique(target[:, gene], return_inverse=True)
            source[:, gene] = (np.bincount(tie, source[:, gene]) / np.bincount(tie))[tie]
        return QuantileMap({"kind": self.kind, **lines.counts(), "points": self.points}, source, target)


def _quantiles(expression: FloatArray, points: int) -> FloatArray:
    """Equally spaced quantiles of each gene, float32, shape (points, n_genes)."""
    at = np.linspace(0, 1, points)
    quantiles = np.empty((points, expression.shape[1]), dtype=np.float32)
    for begin in range(0, expression.shape[1], GENES_AT_ONCE):
        some = slice(begin, begin + GENES_AT_ONCE)
        quantiles[:, some] = np.quantile(np.ascontiguousarray(expression[:, some].T), at, axis=1)
    return quantiles

"""``alignment=coral``: genes of the target vary together as they do in the source."""

from dataclasses import dataclass as plain_dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.data.alignment.axes import principal_axes
from dadsp.data.alignment.base import Alignment, AlignmentLines, Arrays, FittedAlignment, array
from dadsp.data.alignment.gene_wise import z_scores
from dadsp.data.scaling import ExpressionScaler
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray


@plain_dataclass(frozen=True, eq=False)
class Recolouring(FittedAlignment):
    """z ↦ z (C_t + λI)^(−½) (C_s + λI)^(½) for z-scores of the target; the source stays as its z-scores.

    With C = V diag(c) Vᵀ, (C + λI)^a = λ^a I + V diag((c + λ)^a − λ^a) Vᵀ, so that no matrix of genes × genes is needed.

    Attributes:
        scores: z-scores of each screen.
        whitening: Of the target: V, float32, shape (n_genes, r_t).
        whitening_gain: ((c + λ)^(−½) − λ^(−½)) / λ^(−½), shape (r_t,).
        colouring: Of the source: V, float32, shape (n_genes, r_s).
        colouring_gain: ((c + λ)^(½) − λ^(½)) / λ^(½), shape (r_s,).
    """

    gene_wise: ClassVar[bool] = False
    scores: ExpressionScaler
    whitening: FloatArray
    whitening_gain: FloatArray
    colouring: FloatArray
    colouring_gain: FloatArray

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """Aligned z-scores, float32, shape (n_lines, n_genes)."""
        z = self.scores.transform(expression, domain)
        if domain == "source":
            return z
        white = z + ((z @ self.whitening) * self.whitening_gain) @ self.whitening.T
        coloured = white + ((white @ self.colouring) * self.colouring_gain) @ self.colouring.T
        return coloured.astype(np.float32, copy=False)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """z-scores, axes and gains."""
        named = {name: getattr(self, name) for name in ("whitening", "whitening_gain", "colouring", "colouring_gain")}
        return {**self.scores.to_arrays(), **named}

    @classmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        """The map whose ``arrays`` these are."""
        named = (array(arrays, name) for name in ("whitening", "whitening_gain", "colouring", "colouring_gain"))
        return cls(stated, ExpressionScaler.from_arrays(arrays), *named)


@dataclass(frozen=True, config=STRICT)
class Coral(Alignment):
    """Correlation alignment of the target with the source.

    The paper recolours the source as the target and then trains; here the target is recoloured as the source, so that a
    model learns from the source as it was measured.

    Attributes:
        penalty: λ, added to each gene's variance, which is 1 (the paper's choice is 1).

    Reference: Sun, Feng and Saenko, Return of frustratingly easy domain adaptation, AAAI 2016, algorithm 1.
    """

    kind: ClassVar[str] = "coral"
    fitted: ClassVar[type[FittedAlignment]] = Recolouring
    penalty: float = Field(default=1.0, gt=0)

    def fit(self, lines: AlignmentLines) -> Recolouring:
        """Principal axes of the z-scores of each screen."""
        scores = z_scores(lines)
        whitening, of_target = principal_axes(scores.transform(lines.target, "target"))
        colouring, of_source = principal_axes(scores.transform(lines.source, "source"))
        in_target, in_source = (
            squared / n / self.penalty + 1 for squared, n in ((of_target, len(lines.target)), (of_source, len(lines.source)))
        )
        stated = {"kind": self.kind, **lines.counts(), "penalty": self.penalty}
        arrays = (whitening, 1 / np.sqrt(in_target) - 1, colouring, np.sqrt(in_source) - 1)
        return Recolouring(stated, scores, *(part.astype(np.float32) for part in arrays))

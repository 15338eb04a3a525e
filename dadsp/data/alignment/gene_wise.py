"""``alignment=zscore``, and what alignments have in common that shift and scale each gene of each screen."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from dadsp.data.alignment.base import Alignment, AlignmentLines, Arrays, FittedAlignment
from dadsp.data.scaling import ExpressionScaler, shift_and_scale
from dadsp.schema import Domain, FloatArray


@dataclass(frozen=True, eq=False)
class GeneWise(FittedAlignment):
    """(x − shift) / scale for each gene of each screen.

    Attributes:
        scores: The shifts and scales.
    """

    scores: ExpressionScaler

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """Shifted and scaled expression, float32, shape (n_lines, n_genes)."""
        return self.scores.transform(expression, domain)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Shift and scale of each screen, shape (n_genes,)."""
        return dict(self.scores.to_arrays())

    @classmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        """The alignment whose ``arrays`` these are."""
        return cls(stated, ExpressionScaler.from_arrays(arrays))


def z_scores(lines: AlignmentLines) -> ExpressionScaler:
    """Gene-wise z-scores of each screen by its own lines (population standard deviation; 1 for a constant gene)."""
    return ExpressionScaler(*shift_and_scale("zscore", [lines.source]), *shift_and_scale("zscore", [lines.target]))


@dataclass(frozen=True)
class ZScore(Alignment):
    """Gene-wise z-scores of each screen: the training lines' in the source, the adapting lines' in the target."""

    kind: ClassVar[str] = "zscore"
    fitted: ClassVar[type[FittedAlignment]] = GeneWise

    def fit(self, lines: AlignmentLines) -> GeneWise:
        """Mean and standard deviation of each gene in each screen."""
        return GeneWise({"kind": self.kind, **lines.counts()}, z_scores(lines))

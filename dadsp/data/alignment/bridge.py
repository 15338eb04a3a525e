"""``alignment=bridge``: the source's platform learned from lines that both screens profiled; and ``alignment=auto``."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.data.alignment.axes import Values, principal_axes
from dadsp.data.alignment.base import Alignment, AlignmentLines, Arrays, FittedAlignment, array
from dadsp.data.alignment.gene_wise import ZScore, z_scores
from dadsp.data.scaling import ExpressionScaler
from dadsp.errors import ConfigError
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray, IntArray

log = logging.getLogger(__name__)

Positive = Annotated[float, Field(gt=0)]
FEWEST = 10  # shared lines to bridge with
WITHOUT_SHARED_LINES = "zscore, rank, quantile, coral, combat or auto"


@plain_dataclass(frozen=True, eq=False)
class FittedBridge(FittedAlignment):
    """z ↦ z·W for z-scores of the target; the source stays as its z-scores. W = ``inward`` · ``outward``.

    Attributes:
        scores: z-scores of each screen.
        inward: float32, shape (n_genes, r).
        outward: float32, shape (r, n_genes).
    """

    gene_wise: ClassVar[bool] = False
    scores: ExpressionScaler
    inward: FloatArray
    outward: FloatArray

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """z-scores of the source's platform, measured or predicted, float32, shape (n_lines, n_genes)."""
        z = self.scores.transform(expression, domain)
        if domain == "source":
            return z
        return ((z @ self.inward) @ self.outward).astype(np.float32, copy=False)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """z-scores and the two factors of W."""
        return {**self.scores.to_arrays(), "inward": self.inward, "outward": self.outward}

    @classmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        """The bridge whose ``arrays`` these are."""
        return cls(stated, ExpressionScaler.from_arrays(arrays), array(arrays, "inward"), array(arrays, "outward"))


@dataclass(frozen=True, config=STRICT)
class Bridge(Alignment):
    """Ridge regression from all genes' z-scores in the target to each gene's in the source, over the shared lines.

    W minimises ‖Y − XW‖² + λ‖W‖². X and Y are z-scores by all lines of their screen that may be used, so the mean target
    line goes to the mean source line and there is no further intercept. With X = U diag(s) Vᵀ,
    W = V diag(1/(s² + λ)) (XV)ᵀ Y. λ is the candidate with the least squared error over all genes of shared lines held out
    in turn. z-scores are not fitted anew inside the folds; they say nothing of how the platforms relate.

    Attributes:
        penalties: Candidates for λ.
        folds: Of the cross-validation. Profiles of one line are held out together.
    """

    kind: ClassVar[str] = "bridge"
    fitted: ClassVar[type[FittedAlignment]] = FittedBridge
    penalties: tuple[Positive, ...] = Field(default=(10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5), min_length=1)
    folds: int = Field(default=5, ge=2)

    def fit(self, lines: AlignmentLines) -> FittedBridge:
        """The regression with the best penalty.

        Raises:
            ConfigError: There are too few shared lines.
        """
        self._check(lines)
        scores = z_scores(lines)
        x = scores.transform(lines.shared_target, "target").astype(np.float64)
        y = scores.transform(lines.shared_source, "source").astype(np.float64)
        residuals, alike = held_out_residuals(x, lines.shared_line, self.penalties, self.folds), y @ y.T
        errors = [float(((weights @ alike) * weights).sum()) for weights in residuals]
        best = int(np.argmin(errors))
        penalty = self.penalties[best]
        if len(self.penalties) > 1 and penalty in (min(self.penalties), max(self.penalties)):
            log.warning("alignment=bridge: the best penalty, %g, is the end of alignment.penalties; offer more.", penalty)
        axes, squared = principal_axes(x)
        outward = ((x @ axes).T @ y) / (squared + penalty)[:, None]
        unexplained = ((residuals[best] @ y) ** 2).sum(axis=0)
        spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        varies = spread > 0
        stated = {
            "kind": self.kind,
            **lines.counts(),
            "penalty": penalty,
            "penalties": list(self.penalties),
            "folds": self.folds,
            "mean_squared_errors": [error / y.size for error in errors],
            "median_r2_of_genes": float(np.median(1 - unexplained[varies] / spread[varies])) if varies.any() else None,
        }
        return FittedBridge(stated, scores, axes.astype(np.float32), outward.astype(np.float32))

    def _check(self, lines: AlignmentLines) -> None:
        if not lines.across:
            raise ConfigError(
                "alignment=bridge joins two platforms, and this split stands inside one screen. Set alignment=none, or "
                "split across screens."
            )
        fewest = max(FEWEST, self.folds)
        if lines.n_shared < fewest:
            raise ConfigError(
                f"alignment=bridge learns from lines that both screens profiled: {fewest} are needed and there are "
                f"{lines.n_shared} among {len(lines.target)} target lines. Give the lines of both screens common link ids, "
                f"or set alignment to {WITHOUT_SHARED_LINES}, which do without."
            )


def held_out_residuals(x: Values, line: IntArray, penalties: Sequence[float], folds: int) -> Values:
    """What ridge regression leaves of held-out lines, as weights of all lines: R with (R·Y)ᵢ = yᵢ − ŷᵢ for any Y.

    ŷᵢ = xᵢ Xᵀ (XXᵀ + λI)⁻¹ Y over the lines outside i's fold. Since R needs no Y, a penalty's error over all genes is
    tr(R YYᵀ Rᵀ), and nothing is multiplied out gene by gene until a penalty is chosen.

    Args:
        x: z-scores in the target, shape (n, n_genes).
        line: Number of each row's line, shape (n,); the lines go to the folds in turn.
        penalties: Candidates for λ.
        folds: At most the number of lines.

    Returns:
        R for each penalty, shape (n_penalties, n, n).
    """
    fold = np.unique(line, return_inverse=True)[1] % folds
    gram = x @ x.T
    residuals = np.tile(np.eye(len(x)), (len(penalties), 1, 1))
    for number in range(folds):
        out, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        squared, vectors = np.linalg.eigh(gram[np.ix_(rest, rest)])
        asked = gram[np.ix_(out, rest)] @ vectors
        for weights, penalty in zip(residuals, penalties, strict=True):
            weights[np.ix_(out, rest)] = -(asked / (squared + penalty)) @ vectors.T
    return residuals


@dataclass(frozen=True, config=STRICT)
class Auto(Alignment):
    """The bridge where enough lines are shared, else z-scores; the facts say which was taken.

    Attributes:
        min_shared: Shared lines from which on the bridge is taken.
    """

    kind: ClassVar[str] = "auto"
    min_shared: int = Field(default=30, ge=FEWEST)

    def fit(self, lines: AlignmentLines) -> FittedAlignment:
        """The chosen alignment, fitted."""
        chosen: Alignment = Bridge() if lines.across and lines.n_shared >= self.min_shared else ZScore()
        log.info("alignment=auto takes %s: %d shared lines", chosen.kind, lines.n_shared)
        fitted = chosen.fit(lines)
        return replace(fitted, stated={**fitted.stated, "chosen_by": f"auto (bridge from {self.min_shared} shared lines)"})

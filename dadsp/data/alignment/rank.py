"""``alignment=rank``: what counts is which genes a line expresses more than others, compared with its screen."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from dadsp.data.alignment.base import Alignment, AlignmentLines, FittedAlignment
from dadsp.data.alignment.gene_wise import GeneWise, z_scores
from dadsp.schema import Domain, FloatArray

LINES_AT_ONCE = 64  # bounds the memory that ranking takes


@dataclass(frozen=True, eq=False)
class RankScores(GeneWise):
    """Normal scores of the ranks of each line's genes, these being z-scores of the line's screen."""

    gene_wise: ClassVar[bool] = False

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """Φ⁻¹((rank − ½) / n_genes) of each gene within its line, float32; equal z-scores share their mean rank."""
        z = self.scores.transform(expression, domain)
        n_genes = z.shape[1]
        # Mean ranks are whole or half, so 2·rank − 2 numbers them without a gap.
        from scipy.stats import rankdata  # a second of imports that other alignments do without

        scores = ndtri((np.arange(2 * n_genes - 1) / 2 + 0.5) / n_genes).astype(np.float32)
        aligned = np.empty_like(z)
        for begin in range(0, len(z), LINES_AT_ONCE):
            some = slice(begin, begin + LINES_AT_ONCE)
            aligned[some] = scores[(2 * rankdata(z[some], axis=1) - 2).astype(np.int64)]
        return aligned


@dataclass(frozen=True)
class Rank(Alignment):
    """Gene-wise z-scores of each screen, then each line's genes by rank."""

    kind: ClassVar[str] = "rank"
    fitted: ClassVar[type[FittedAlignment]] = RankScores

    def fit(self, lines: AlignmentLines) -> RankScores:
        """The z-scores; ranks are a line's own."""
        return RankScores({"kind": self.kind, **lines.counts()}, z_scores(lines))

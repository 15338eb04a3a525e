"""Critical genes: the highest attributions of each line, and how far two rankings of the same genes agree."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from dadsp.schema import FloatArray, IntArray


class Overlap(NamedTuple):
    """How alike two attributions of one line are.

    Attributes:
        jaccard: Of the two sets of top genes: shared over all named.
        spearman: Rank correlation of the attributions; 0 where one side is constant.
        spearman_size: Of their sizes. Sizes share the factor |expression − baseline|, so even unrelated networks correlate.
    """

    jaccard: float
    spearman: float
    spearman_size: float


def top_order(values: FloatArray, n: int) -> IntArray:
    """Rows of the ``n`` values farthest from zero, farthest first; the earlier of equals first."""
    return np.argsort(-np.abs(values), kind="stable")[:n]


def top_genes(
    values: FloatArray, cell_ids: Sequence[str], genes: Sequence[str], expression: FloatArray, mean: FloatArray, n: int
) -> pd.DataFrame:
    """The ``n`` genes of largest attribution for each line.

    Args:
        values: Attributions, −log10 µM, shape (n_lines, n_genes).
        cell_ids: Of the lines.
        genes: Of the columns.
        expression: Raw expression of the lines, same shape.
        mean: Mean raw expression over their screen, shape (n_genes,).
        n: Genes per line.

    Returns:
        Columns cell_id, rank, gene, attribution, expression, screen_mean.
    """
    frames = []
    for cell_id, attribution, measured in zip(cell_ids, values, expression, strict=True):
        rows = top_order(attribution, n)
        columns = {
            "cell_id": cell_id,
            "rank": np.arange(1, len(rows) + 1),
            "gene": [genes[row] for row in rows],
            "attribution": attribution[rows],
            "expression": measured[rows],
            "screen_mean": mean[rows],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def rank_overlap(a: FloatArray, b: FloatArray, n: int) -> Overlap:
    """How alike two attributions of the same line to the same genes are; the top ``n`` genes are compared as sets."""
    first, second = set(top_order(a, n).tolist()), set(top_order(b, n).tolist())
    return Overlap(len(first & second) / len(first | second), spearman(a, b), spearman(np.abs(a), np.abs(b)))


def overlaps(comparison: str, other: str, a: FloatArray, b: FloatArray, cell_ids: Sequence[str], n: int) -> pd.DataFrame:
    """``rank_overlap`` of each line as a table: columns comparison, other, cell_id and those of ``Overlap``."""
    found = pd.DataFrame([rank_overlap(one, another, n)._asdict() for one, another in zip(a, b, strict=True)])
    return pd.concat([pd.DataFrame({"comparison": comparison, "other": other, "cell_id": list(cell_ids)}), found], axis=1)


def chance_jaccard(n_genes: int, n: int) -> float:
    """Jaccard index of two random sets of ``n`` genes whose overlap is the expected one, n²/n_genes."""
    n = min(n, n_genes)
    shared = n * n / n_genes
    return shared / (2 * n - shared)


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Rank correlation; 0 where one side is constant."""
    ranks = rankdata(a), rankdata(b)
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])

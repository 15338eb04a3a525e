"""How sure a comparison of systems is: a bootstrap over lines and drugs, and ranks with a critical difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from dadsp.schema import PredictionTable
from dadsp.seeding import derive_seed

Values = NDArray[np.float64]


def bootstrap_rmse(tables: Sequence[PredictionTable], replicates: int, seed: int) -> Values:
    """RMSE of each table in each bootstrap replicate, shape (replicates, n_tables).

    A replicate draws lines with replacement and, independently, drugs with replacement; a measured pair weighs as often as
    its line times as often as its drug was drawn. Pairs of one line or one drug are not independent, so drawing pairs would
    give intervals that are too narrow; this way they are rather too wide. All tables see the same draws, hence differences
    between columns are paired. NaN where a replicate drew no measured pair.

    Args:
        tables: Predictions, possibly of different pairs.
        replicates: How many.
        seed: Root of the draws.

    Reference: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    frames = [table.frame for table in tables]
    lines = pd.Index(np.unique(np.concatenate([frame["cell_id"].to_numpy(dtype=object) for frame in frames])))
    drugs = pd.Index(np.unique(np.concatenate([frame["drug_id"].to_numpy(dtype=object) for frame in frames])))
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    of_lines, of_drugs = (
        random.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=replicates).astype(np.float64)
        for ids in (lines, drugs)
    )

    def weighted(place: NDArray[np.int64], values: Values | None) -> Values:
        """Σ w_line·w_drug·value over the pairs, for each replicate."""
        grid = np.bincount(place, values, len(lines) * len(drugs)).reshape(len(lines), len(drugs))
        total: Values = ((of_lines @ grid) * of_drugs).sum(axis=1)
        return total

    counts: dict[bytes, Values] = {}  # most tables hold the same pairs
    columns = []
    for frame in frames:
        place = lines.get_indexer(frame["cell_id"]) * len(drugs) + drugs.get_indexer(frame["drug_id"])
        key = np.sort(place).tobytes()
        if key not in counts:
            counts[key] = weighted(place, None)
        errors = (frame["y_pred"] - frame["y_true"]).to_numpy()
        with np.errstate(invalid="ignore"):
            columns.append(np.sqrt(weighted(place, errors**2) / counts[key]))
    return np.column_stack(columns)


def interval(samples: Values, level: float = 0.95) -> tuple[float, float]:
    """The central share ``level`` of bootstrap samples, shape (replicates,); replicates without a value are left out."""
    tail = 50 * (1 - level)
    low, high = np.percentile(samples[~np.isnan(samples)], [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Ranks:
    """Ranks of systems over blocks, and which of them the Nemenyi test cannot tell apart.

    Attributes:
        mean: Mean rank of each system, 1 is best, in ascending order.
        n_blocks: Blocks (drugs) that ranked them.
        critical_difference: Mean ranks further apart than this differ, at ``level``.
        level: Of the family of all pairs.
        p_value: Friedman's test that all systems rank alike; NaN with fewer than three systems or without any difference.
        cliques: Largest sets of neighbours in rank, two or more, that cannot be told apart.
    """

    mean: dict[str, float]
    n_blocks: int
    critical_difference: float
    level: float
    p_value: float
    cliques: tuple[tuple[str, ...], ...]


def rank_systems(scores: pd.DataFrame, level: float = 0.05) -> Ranks:
    """Friedman ranks and Nemenyi's critical difference.

    Args:
        scores: One row per block, one column per system, two or more; lower is better; no missing values.
        level: Error probability.

    Reference: Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    n_blocks, n_systems = scores.shape
    ranks = rankdata(scores.to_numpy(), axis=1)
    mean = pd.Series(ranks.mean(axis=0), index=scores.columns).sort_values(kind="stable")
    spread = float(studentized_range.ppf(1 - level, n_systems, np.inf)) / np.sqrt(2)
    critical = float(spread * np.sqrt(n_systems * (n_systems + 1) / (6 * n_blocks)))
    differs = bool((ranks != ranks[0, 0]).any())
    p_value = float(friedmanchisquare(*ranks.T).pvalue) if n_systems > 2 and differs else float("nan")
    reach = np.searchsorted(mean.to_numpy(), mean.to_numpy() + critical, side="right")
    before = np.concatenate([[0], reach[:-1]])
    cliques = tuple(
        tuple(mean.index[first:last])
        for first, (last, previous) in enumerate(zip(reach, before, strict=True))
        if last > previous and last - first > 1
    )
    return Ranks({str(name): float(rank) for name, rank in mean.items()}, n_blocks, critical, level, p_value, cliques)

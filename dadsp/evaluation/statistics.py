"""How sure a comparison of systems is: a bootstrap over lines and drugs, and ranks with a critical difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.evaluation.grouped_pairs import GroupedPairs, Values
from dadsp.evaluation.metric import PEARSON, within_groups
from dadsp.schema import PredictionTable
from dadsp.seeding import derive_seed

_ROUNDING = 1e-12  # of a sum of squares: less than this around the mean is no spread


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
    draws = _Draws.of(tables, replicates, seed)
    counts: dict[bytes, Values] = {}  # most tables hold the same pairs
    columns = []
    for table in tables:
        frame = table.frame
        place = draws.place(frame)
        key = np.sort(place).tobytes()
        if key not in counts:
            counts[key] = draws.total(place, None)
        errors = (frame["y_pred"] - frame["y_true"]).to_numpy()
        with np.errstate(invalid="ignore"):
            columns.append(np.sqrt(draws.total(place, errors**2) / counts[key]))
    return np.column_stack(columns)


def bootstrap_pearson(tables: Sequence[PredictionTable], replicates: int, seed: int, min_pairs: int = 5) -> Values:
    """Median over drugs of Pearson r within a drug, of each table in each replicate, shape (replicates, n_tables).

    The draws are those of ``bootstrap_rmse``. Within a drug a line weighs as often as it was drawn, and in the median a drug
    stands as often as it was drawn. Drugs with fewer pairs than ``min_pairs`` or without an r over all of them enter no
    replicate; others enter where the lines drawn differ in label and in prediction. NaN where no drug is left.

    r = (S_xy − S_x·S_y/S)/sqrt((S_xx − S_x²/S)(S_yy − S_y²/S)) with sums weighted by lines, so a table takes six products of
    draws × lines with lines × drugs, of which tables of the same pairs share three.
    """
    draws = _Draws.of(tables, replicates, seed)
    of_labels: dict[bytes, tuple[Values, Values, Values]] = {}
    columns = []
    for table in tables:
        frame = table.frame.sort_values(["cell_id", "drug_id"])  # so that equal pairs give equal keys and equal sums
        place, drug = draws.place(frame), draws.drugs.get_indexer(pd.Index(frame["drug_id"]))
        true, pred = frame["y_true"].to_numpy(), frame["y_pred"].to_numpy()
        pairs = GroupedPairs(true, pred, np.zeros(len(true), dtype=bool), drug, len(draws.drugs))
        usable = np.isfinite(within_groups(PEARSON, pairs)) & (pairs.n >= min_pairs)
        if not usable.any():  # such as a drug's mean, which ranks no lines
            columns.append(np.full(replicates, np.nan))
            continue
        # Around each drug's mean, so that differences of large sums stay exact.
        y, x = (values - pd.Series(values).groupby(drug).transform("mean").to_numpy() for values in (true, pred))
        key = place.tobytes() + true.tobytes()
        if key not in of_labels:
            of_labels[key] = draws.of_drug(place, None), draws.of_drug(place, y), draws.of_drug(place, y * y)
        n, sum_y, square_y = of_labels[key]
        sum_x, square_x, product = (draws.of_drug(place, values) for values in (x, x * x, x * y))
        with np.errstate(invalid="ignore", divide="ignore"):
            spread_y, spread_x = square_y - sum_y**2 / n, square_x - sum_x**2 / n
            r = np.clip((product - sum_x * sum_y / n) / np.sqrt(spread_x * spread_y), -1, 1)
            differ = (spread_y > _ROUNDING * square_y) & (spread_x > _ROUNDING * square_x)
        columns.append(_repeated_median(r, np.where(usable & differ, draws.of_drugs, 0)))
    return np.column_stack(columns)


@dataclass(frozen=True, eq=False)
class _Draws:
    """How often each line and each drug was drawn, shape (replicates, n) each, in the order of their ids."""

    lines: pd.Index
    drugs: pd.Index
    of_lines: Values
    of_drugs: Values

    @classmethod
    def of(cls, tables: Sequence[PredictionTable], replicates: int, seed: int) -> "_Draws":
        frames = [table.frame for table in tables]
        lines = pd.Index(np.unique(np.concatenate([frame["cell_id"].to_numpy(dtype=object) for frame in frames])))
        drugs = pd.Index(np.unique(np.concatenate([frame["drug_id"].to_numpy(dtype=object) for frame in frames])))
        random = np.random.default_rng(derive_seed(seed, "bootstrap"))
        of_lines, of_drugs = (
            random.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=replicates).astype(np.float64)
            for ids in (lines, drugs)
        )
        return cls(lines, drugs, of_lines, of_drugs)

    def place(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """Where each pair stands in the flattened grid of lines × drugs."""
        found: NDArray[np.int64] = self.lines.get_indexer(pd.Index(frame["cell_id"])) * len(self.drugs)
        return found + self.drugs.get_indexer(pd.Index(frame["drug_id"]))

    def of_drug(self, place: NDArray[np.int64], values: Values | None) -> Values:
        """Σ w_line·value over each drug's pairs, shape (replicates, n_drugs); values of 1 where None."""
        size = len(self.lines) * len(self.drugs)
        product: Values = self.of_lines @ np.bincount(place, values, size).reshape(len(self.lines), len(self.drugs))
        return product

    def total(self, place: NDArray[np.int64], values: Values | None) -> Values:
        """Σ w_line·w_drug·value over the pairs, for each replicate."""
        total: Values = (self.of_drug(place, values) * self.of_drugs).sum(axis=1)
        return total


def _repeated_median(values: Values, times: Values) -> Values:
    """Median of each row, in which each value stands ``times`` times; NaN where none does."""
    order = np.argsort(np.where(times > 0, values, np.inf), axis=1)
    ordered, reached = (np.take_along_axis(each, order, axis=1) for each in (values, times))
    reached = reached.cumsum(axis=1)
    total = reached[:, -1:]
    # Places count from 0; an even number of values has two in the middle.
    middle = [(reached > np.floor((total - shift) / 2)).argmax(axis=1)[:, None] for shift in (1, 0)]
    lower, upper = (np.take_along_axis(ordered, place, axis=1)[:, 0] for place in middle)
    return np.where(total[:, 0] > 0, (lower + upper) / 2, np.nan)


def interval(samples: Values, level: float = 0.95) -> tuple[float, float]:
    """The central share ``level`` of bootstrap samples, shape (replicates,); NaN twice where no replicate has a value."""
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def mean_interval(values: Values, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values and Student's interval of it; the interval is the mean itself where there is one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    from scipy.stats import t as student  # a second that predicting does without

    reach = float(student.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach


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
    from scipy.stats import friedmanchisquare, rankdata, studentized_range  # a second that only comparing systems needs

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

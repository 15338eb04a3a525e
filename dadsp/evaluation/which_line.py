"""Which line is sensitive: what a prediction says of lines once the drugs' own potencies are set aside.

RMSE is mostly a matter of *which drug*. Here drugs count one by one, or their means are taken out, and predictions are held
against what the source screen itself measured of the same pairs: the label ceiling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dadsp.evaluation.grouped_pairs import CONSTANT_TOLERANCE, GroupedPairs, Values, is_constant, ties_within
from dadsp.evaluation.metric import PEARSON, within_groups
from dadsp.schema import BoolArray, IntArray

TOP = 0.1  # share of a drug's lines that precision asks for
PER_DRUG = ("precision_10", "n_source", "ceiling", "pearson_with_source", "pearson_unprofiled", "pearson_unseen")


@dataclass(frozen=True)
class WhichLine:
    """How well lines are told apart. NaN where undefined.

    Attributes:
        removed: For ``"drug"`` and ``"drug_line"``, ``pearson`` and ``rmse`` over all pairs after the means of drugs, or the
            effects of drugs and lines, were taken out of labels and predictions, each for itself.
        precision_10: Median over drugs of the share of a drug's ``ceil(n/10)`` most sensitive lines among as many that were
            predicted to be; by chance about 0.1.
        ceiling: Median over drugs of Pearson r between the source's own label and the label, over pairs that have both.
        ceiling_drugs: Over how many drugs.
        ceiling_pairs: Over how many pairs.
        share_of_ceiling: The system's median r over those drugs and pairs, divided by the ceiling's; drugs where the
            system's r is undefined enter neither.
        pearson_unprofiled: Median r per drug over lines whose expression the source does not hold.
        pearson_unseen: Median r per drug over lines without training labels.
        coverage_90: Share of labels inside the system's own 90 % intervals: ``all``, ``drug_seen``, ``drug_unseen``.
    """

    removed: Mapping[str, Mapping[str, float]]
    precision_10: float
    ceiling: float
    ceiling_drugs: int
    ceiling_pairs: int
    share_of_ceiling: float
    pearson_unprofiled: float
    pearson_unseen: float
    coverage_90: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The same content with null for undefined values."""

        def plain(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: plain(each) for name, each in value.items()}
            return value if isinstance(value, int) else null_if_nan(value)

        return {name: plain(value) for name, value in vars(self).items()}


def null_if_nan(value: float) -> float | None:
    """The number, or None where it is undefined, since JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def which_line(frame: pd.DataFrame, min_pairs: int) -> tuple[WhichLine, dict[str, Values | IntArray]]:
    """The scores, and the columns ``PER_DRUG`` with one value per drug, drugs in the order of their ids.

    Args:
        frame: Of a prediction table whose labels and predictions are finite.
        min_pairs: A drug with fewer pairs than this has no value and enters no median.
    """
    codes, ids = pd.factorize(frame["drug_id"], sort=True)
    drug, n_drugs = codes.astype(np.int64), len(ids)
    line = pd.factorize(frame["cell_id"], sort=True)[0].astype(np.int64)
    true, pred, source = (frame[name].to_numpy(dtype=np.float64) for name in ("y_true", "y_pred", "y_source"))

    def pearson(first: Values, second: Values, rows: BoolArray) -> Values:
        pairs = GroupedPairs(first[rows], second[rows], np.zeros(rows.sum(), dtype=bool), drug[rows], n_drugs)
        return np.where(pairs.n >= min_pairs, within_groups(PEARSON, pairs), np.nan)

    both = np.isfinite(source)
    counts = np.bincount(drug, minlength=n_drugs)
    columns: dict[str, Values | IntArray] = {
        "precision_10": np.where(counts >= min_pairs, precision_at_top(true, pred, drug, n_drugs), np.nan),
        "n_source": np.bincount(drug[both], minlength=n_drugs),
        "ceiling": pearson(true, source, both),
        "pearson_with_source": pearson(true, pred, both),
        "pearson_unprofiled": pearson(true, pred, ~frame["cell_profiled"].to_numpy()),
        "pearson_unseen": pearson(true, pred, ~frame["cell_seen"].to_numpy()),
    }
    ceiling, own = columns["ceiling"], columns["pearson_with_source"]
    known = np.isfinite(ceiling)
    shared = known & np.isfinite(own)
    reachable = _median(ceiling[shared])
    scores = WhichLine(
        removed=_means_removed(true, pred, drug, line),
        precision_10=_median(columns["precision_10"]),
        ceiling=_median(ceiling),
        ceiling_drugs=int(known.sum()),
        ceiling_pairs=int(columns["n_source"][known].sum()),
        share_of_ceiling=_median(own[shared]) / reachable if reachable > 0 else float("nan"),
        pearson_unprofiled=_median(columns["pearson_unprofiled"]),
        pearson_unseen=_median(columns["pearson_unseen"]),
        coverage_90=_coverage(frame),
    )
    return scores, columns


def precision_at_top(true: Values, pred: Values, group: IntArray, n_groups: int) -> Values:
    """Share of each group's k most sensitive pairs among its k predicted ones, k = ceil(n/10); shape (n_groups,).

    Pairs that tie at the border of the first k, of labels or of predictions, enter with the chance they would have in a
    random order: Σ P(among the k by label)·P(among the k by prediction)/k. NaN where the labels are all alike or there are
    none; predictions all alike get k/n.
    """
    n = np.bincount(group, minlength=n_groups)
    first = np.ceil(TOP * n - 1e-9)

    def chance(values: Values) -> Values:
        alike = is_constant(values, group, n_groups)
        below, ties = ties_within(np.where(alike[group], 0.0, values), group)
        above = n[group] - below - ties  # pairs strictly above this one
        chosen: Values = np.clip((first[group] - above) / ties, 0.0, 1.0)
        return chosen

    with np.errstate(invalid="ignore"):
        share = np.bincount(group, chance(true) * chance(pred), minlength=n_groups) / first
    return np.where(is_constant(true, group, n_groups), np.nan, share)


def additive_residuals(values: Values, line: IntArray, drug: IntArray) -> Values:
    """What the least-squares fit of line effect + drug effect leaves of the values, shape (n_pairs,).

    Exact on tables with gaps: the normal equations, with the effects of the more numerous side eliminated, are solved for
    the other side; where the effects are not unique, the residuals are.

    Args:
        values: Shape (n_pairs,), or (n_pairs, k) for k sets of values at once.
        line: Numbers from 0 without gaps.
        drug: The same.
    """
    if not len(values):
        return values
    many, few = (line, drug) if line.max() >= drug.max() else (drug, line)
    columns = values.reshape(len(values), -1)
    n_many, n_few = int(many.max()) + 1, int(few.max()) + 1
    counts = np.bincount(many * n_few + few, minlength=n_many * n_few).reshape(n_many, n_few).astype(np.float64)
    of_many = counts.sum(axis=1, keepdims=True)

    def sums(group: IntArray, size: int) -> Values:
        return np.column_stack([np.bincount(group, column, minlength=size) for column in columns.T])

    mean_many = sums(many, n_many) / of_many
    system = np.diag(counts.sum(axis=0)) - counts.T @ (counts / of_many)
    right = sums(few, n_few) - counts.T @ mean_many
    # One direction at least has no effect on the fit; its singular value is rounding.
    effect_few = np.linalg.lstsq(system, right, rcond=1e-10)[0]
    effect_many = mean_many - (counts @ effect_few) / of_many
    residuals: Values = columns - effect_many[many] - effect_few[few]
    return residuals.reshape(values.shape)


def _means_removed(true: Values, pred: Values, drug: IntArray, line: IntArray) -> dict[str, dict[str, float]]:
    both = np.column_stack([true, pred])
    with np.errstate(all="ignore"):  # beyond floating-point range a score is NaN, as elsewhere
        means = pd.DataFrame(both).groupby(drug).transform("mean").to_numpy() if len(both) else both
        left = {"drug": both - means, "drug_line": additive_residuals(both, line, drug)}
        return {name: _centred_scores(residuals, both) for name, residuals in left.items()}


def _centred_scores(residuals: Values, values: Values) -> dict[str, float]:
    """Pearson r and RMSE of two columns; r is NaN where one of them is rounding of what it was made from."""
    if not len(residuals):
        return {"pearson": float("nan"), "rmse": float("nan")}
    rmse = float(np.sqrt(np.mean((residuals[:, 0] - residuals[:, 1]) ** 2)))
    flat = (np.abs(residuals).max(axis=0) <= CONSTANT_TOLERANCE * np.abs(values).max(axis=0)).any()
    defined = np.isfinite(rmse) and not flat
    first, second = (residuals - residuals.mean(axis=0)).T
    scale = np.sqrt(first @ first) * np.sqrt(second @ second)
    pearson = float(np.clip(first @ second / scale, -1, 1)) if defined else float("nan")
    return {"pearson": pearson, "rmse": rmse if np.isfinite(rmse) else float("nan")}


def _coverage(frame: pd.DataFrame) -> dict[str, float]:
    true, low, high, seen = (frame[name].to_numpy() for name in ("y_true", "y_low", "y_high", "drug_seen"))
    stated, inside = ~np.isnan(low), (low <= true) & (true <= high)
    sides = {"all": stated, "drug_seen": stated & seen, "drug_unseen": stated & ~seen}
    return {name: float(inside[rows].mean()) if rows.any() else float("nan") for name, rows in sides.items()}


def _median(values: Values | IntArray) -> float:
    defined = values[np.isfinite(values)]
    return float(np.median(defined)) if len(defined) else float("nan")

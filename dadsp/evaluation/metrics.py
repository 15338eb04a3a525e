"""How well predicted potencies match measured ones: pooled, by stratum, per drug and per cell line.

Potency is −log10 IC50(µM) throughout, so RMSE and MAE are in log10 units of concentration. Most of the variance of a screen
is *which drug*; the per-drug tables show what is left when that is taken out. A number that does not exist (a correlation
with constant predictions) is NaN and carries its reason; nothing here warns or raises because a model did badly.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dadsp.errors import SchemaError, examples
from dadsp.evaluation.grouped_pairs import GroupedPairs
from dadsp.evaluation.metric import METRICS, group_scores
from dadsp.evaluation.which_line import WhichLine, null_if_nan, which_line
from dadsp.schema import BoolArray, IntArray, PredictionTable

__all__ = ["METRICS", "Evaluation", "GroupSummary", "Metrics", "evaluate", "null_if_nan", "regression_metrics", "skill"]


@dataclass(frozen=True)
class Metrics:
    """Agreement of predicted with measured potencies over one set of pairs; ``metrics.rmse`` is ``metrics.values["rmse"]``.

    Attributes:
        n: Pairs.
        n_censored: Pairs whose label is capped at the top dose.
        values: Each of ``METRICS`` (``dadsp.evaluation.metric``, which states the formulas) by name, NaN where undefined.
        reasons: For each metric that is NaN, why.
    """

    n: int
    n_censored: int
    values: Mapping[str, float]
    reasons: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> float:
        """The metric of this name."""
        values: Mapping[str, float] = self.__dict__.get("values", {})
        if name not in values:
            raise AttributeError(f"There is no metric '{name}' among {', '.join(values)}.")
        return values[name]

    def to_json(self) -> dict[str, Any]:
        """The same content with null for undefined values, fit for JSON without NaN."""
        values = {name: null_if_nan(value) for name, value in self.values.items()}
        return {"n": self.n, "n_censored": self.n_censored, **values, "reasons": dict(self.reasons)}


@dataclass(frozen=True)
class GroupSummary:
    """Medians over drugs (or cell lines) of the metrics within each.

    Attributes:
        groups: Drugs in the table.
        min_pairs: A drug with fewer pairs than this enters no median.
        median: For each metric, the median over the drugs where it is defined; NaN where there is none.
        defined: For each metric, how many drugs that were.
        undefined: For each metric, reason → how many drugs were left out for it.
    """

    groups: int
    min_pairs: int
    median: Mapping[str, float]
    defined: Mapping[str, int]
    undefined: Mapping[str, Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The same content with null for undefined medians."""
        return {
            "groups": self.groups,
            "min_pairs": self.min_pairs,
            "median": {name: null_if_nan(value) for name, value in self.median.items()},
            "defined": dict(self.defined),
            "undefined": {name: dict(counts) for name, counts in self.undefined.items()},
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything reported about one system's predictions.

    Attributes:
        pooled: All pairs.
        uncensored: Pairs whose IC50 was reached.
        censored: Pairs whose label is capped.
        strata: ``pair_seen``, ``pair_unseen``, the same for ``cell`` and ``drug``, and the four combinations
            ``cell_seen_drug_seen`` … ``cell_unseen_drug_unseen``; ``cell_profiled`` and ``cell_unprofiled``, by whether the
            source holds the line's expression, with or without labels.
        per_drug: One row per drug in the order of ids: drug_id, drug_seen (all its pairs are), n, n_censored, the metrics,
            ``undefined``: why some of them are NaN, empty where none is; and the columns of ``which_line.PER_DRUG``.
        per_line: The same per cell line, with cell_id and cell_seen.
        per_drug_summary: Medians over drugs.
        per_line_summary: Medians over cell lines.
        which_line: How well lines are told apart, whatever the drugs' own potency is.
        pairs_key: Equal for two evaluations over the same pairs and labels, in whatever order.
    """

    pooled: Metrics
    uncensored: Metrics
    censored: Metrics
    strata: Mapping[str, Metrics]
    per_drug: pd.DataFrame
    per_line: pd.DataFrame
    per_drug_summary: GroupSummary
    per_line_summary: GroupSummary
    which_line: WhichLine
    pairs_key: str

    def value(self, part: str, metric: str) -> float:
        """One metric over one of ``dadsp.evaluation.metric.PARTS``, NaN where undefined or registered later than this."""
        medians = {"median_drug": self.per_drug_summary, "median_line": self.per_line_summary}
        whole = {"pooled": self.pooled, "uncensored": self.uncensored, "censored": self.censored}
        values = medians[part].median if part in medians else (whole.get(part) or self.strata[part]).values
        return values.get(metric, float("nan"))


def regression_metrics(y_true: ArrayLike, y_pred: ArrayLike, censored: ArrayLike | None = None) -> Metrics:
    """Agreement of predictions with labels over one set of pairs.

    Args:
        y_true: Measured potency, −log10 IC50(µM), shape (n,).
        y_pred: Predicted potency, same unit and shape.
        censored: Bool, same shape, True where the label is an upper bound; none is when left out.

    Returns:
        All metrics. With n = 0 all are NaN, with n = 1 or constant labels R² and the correlations are, with constant
        predictions the correlations are; ``reasons`` says so.

    Raises:
        ValueError: Shapes differ or are not one-dimensional, or a value is not finite.
    """
    true, pred = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    capped = np.zeros(true.shape, dtype=bool) if censored is None else np.asarray(censored, dtype=bool)
    if true.ndim != 1 or not true.shape == pred.shape == capped.shape:
        shapes = f"labels {true.shape}, predictions {pred.shape}, censoring {capped.shape}"
        raise ValueError(f"Expected one value of each per pair, got {shapes}.")
    if not (np.isfinite(true).all() and np.isfinite(pred).all()):
        raise ValueError("Labels and predictions must be finite numbers.")
    return _metrics(GroupedPairs.in_one_group(true, pred, capped))[0]


def _metrics(pairs: GroupedPairs) -> list[Metrics]:
    """All metrics over the pairs of each group."""
    found = group_scores(pairs)
    every = []
    for group, why in enumerate(found.undefined):
        values = {name: float(column[group]) for name, column in found.values.items()}
        own = {name: "" if why == "no pairs" else METRICS[name].undefined for name in values}
        reasons = {name: own[name] or str(why) for name, value in values.items() if np.isnan(value)}
        every.append(Metrics(int(found.n[group]), int(found.n_censored[group]), values, reasons))
    return every


def evaluate(table: PredictionTable, min_pairs_per_group: int = 5) -> Evaluation:
    """All metrics of one system on one held-out set.

    Args:
        table: Predictions of one domain and one split.
        min_pairs_per_group: Drugs and cell lines with fewer pairs are listed but enter no median.

    Raises:
        SchemaError: Labels are missing, or the table mixes domains or splits.
    """
    frame = table.frame
    _check_scorable(frame)
    parts = _parts(frame)
    chosen = [np.flatnonzero(rows) for rows in parts.values()]
    part = np.repeat(np.arange(len(parts)), [len(rows) for rows in chosen])
    scores = dict(zip(parts, _metrics(_grouped(frame, part, len(parts), np.concatenate(chosen))), strict=True))
    per_drug, per_line = _per_group(frame, "drug"), _per_group(frame, "cell")
    lines, of_drugs = which_line(frame, min_pairs_per_group)
    per_drug = per_drug.assign(**of_drugs)
    return Evaluation(
        pooled=scores.pop("pooled"),
        uncensored=scores.pop("uncensored"),
        censored=scores.pop("censored"),
        strata=scores,
        per_drug=per_drug,
        per_line=per_line,
        per_drug_summary=_summary(per_drug, min_pairs_per_group),
        per_line_summary=_summary(per_line, min_pairs_per_group),
        which_line=lines,
        pairs_key=_pairs_key(frame),
    )


def _parts(frame: pd.DataFrame) -> dict[str, BoolArray]:
    """The rows of everything that is scored as a whole: all pairs, by censoring, and ``dadsp.evaluation.metric.STRATA``."""
    capped, profiled = frame["censored"].to_numpy(), frame["cell_profiled"].to_numpy()
    parts = {"pooled": np.ones(len(frame), dtype=bool), "uncensored": ~capped, "censored": capped}
    for what in ("pair", "cell", "drug"):
        seen = frame[f"{what}_seen"].to_numpy()
        parts |= {f"{what}_seen": seen, f"{what}_unseen": ~seen}
    for line in ("cell_seen", "cell_unseen"):
        for drug in ("drug_seen", "drug_unseen"):
            parts[f"{line}_{drug}"] = parts[line] & parts[drug]
    return parts | {"cell_profiled": profiled, "cell_unprofiled": ~profiled}


def skill(rmse_model: float, rmse_naive: float) -> float:
    """Share of the naive predictor's squared error that the model removes: 1 − MSE/MSE_naive.

    Returns:
        At most 1; 0 for no better than naive, negative for worse; NaN where the naive error is 0 or a value is undefined.
    """
    return 1 - (rmse_model / rmse_naive) ** 2 if rmse_naive > 0 else float("nan")


def _check_scorable(frame: pd.DataFrame) -> None:
    unlabelled = frame["y_true"].isna() | ~np.isfinite(frame["y_true"])
    if unlabelled.any():
        pairs = frame.loc[unlabelled, "cell_id"] + " × " + frame.loc[unlabelled, "drug_id"]
        raise SchemaError(
            f"{len(pairs)} of {len(frame)} predicted pairs have no finite label (e.g. {examples(pairs)}). "
            "Score measured pairs only: table.where(table.frame.y_true.notna())."
        )
    for column in ("domain", "split"):
        kinds = frame[column].unique()
        if len(kinds) > 1:
            raise SchemaError(
                f"The table mixes {len(kinds)} {column}s ({examples(kinds)}); pooled over them the numbers mean nothing. "
                f'Score each by itself: table.where(table.frame.{column} == "{kinds[0]}").'
            )


def _per_group(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    codes, ids = pd.factorize(frame[f"{what}_id"], sort=True)
    group = codes.astype(np.int64)
    scores = group_scores(_grouped(frame, group, len(ids)))
    n_seen = np.bincount(group[frame[f"{what}_seen"].to_numpy()], minlength=len(ids))
    known = {f"{what}_id": np.asarray(ids, dtype=object), f"{what}_seen": n_seen == scores.n}
    return pd.DataFrame({**known, **scores.columns()})


def _grouped(frame: pd.DataFrame, group: IntArray, n_groups: int, rows: IntArray | slice = slice(None)) -> GroupedPairs:
    """Rows of a prediction table, which may be repeated, in groups."""
    columns = ("y_true", "y_pred", "censored", "y_source", "y_low", "y_high")
    true, pred, capped, source, low, high = (frame[name].to_numpy()[rows] for name in columns)
    return GroupedPairs(true, pred, capped, group, n_groups, source, low, high)


def _summary(per_group: pd.DataFrame, min_pairs: int) -> GroupSummary:
    large = per_group["n"].to_numpy() >= min_pairs
    reason = np.where(large, per_group["undefined"].to_numpy(dtype=object), f"fewer than {min_pairs} pairs")
    median, defined, undefined = {}, {}, {}
    counted: dict[bytes, dict[str, int]] = {}  # most metrics are undefined for the same groups
    for name in METRICS:
        values = per_group[name].to_numpy()
        usable = large & ~np.isnan(values)
        median[name] = float(np.median(values[usable])) if usable.any() else float("nan")
        defined[name] = int(usable.sum())
        key = usable.tobytes()
        if key not in counted:
            counted[key] = dict(Counter(reason[~usable]).most_common())
        undefined[name] = counted[key]
    return GroupSummary(groups=len(per_group), min_pairs=min_pairs, median=median, defined=defined, undefined=undefined)


def _pairs_key(frame: pd.DataFrame) -> str:
    # float32, as labels are stored: a table that went through text may differ in the last digit of a float64.
    key = frame[["domain", "cell_id", "drug_id"]].assign(label=frame["y_true"].astype(np.float32))
    # A wrapping sum of row hashes does not depend on the order of rows.
    total = np.add.reduce(pd.util.hash_pandas_object(key, index=False).to_numpy())
    return f"{len(frame)}-{int(total):016x}"

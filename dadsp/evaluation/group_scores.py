"""The formulas of ``dadsp.evaluation.metrics``, for many groups of pairs at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dadsp.schema import BoolArray, IntArray

Values = NDArray[np.float64]

METRICS = ("rmse", "rmse_censored_aware", "mae", "r2", "r2_origin", "pearson", "spearman")

# A collapsed network repeats one number up to float32 rounding; correlating that rounding would report noise as signal.
CONSTANT_TOLERANCE = 8 * float(np.finfo(np.float32).eps)
_BEYOND_RANGE = "values are beyond floating-point range"


def by_group(true: Values, pred: Values, capped: BoolArray, group: IntArray, n_groups: int) -> dict[str, Any]:
    """Counts, ``METRICS`` and ``undefined`` (the first reason that applies), each with one value per group.

    ``group`` numbers the groups from 0 to n_groups − 1, one number per pair.
    """
    n = np.bincount(group, minlength=n_groups)
    columns = _raw_scores(true, pred, capped, group, n)
    flat_true, flat_pred = is_constant(true, group, n_groups), is_constant(pred, group, n_groups)
    # Where squares overflow, a quotient by infinity would read as r = 0; ranks do not overflow.
    beyond = ~np.isfinite(columns["rmse"])
    hidden = {
        "r2": (n < 2) | flat_true | beyond,
        "r2_origin": (n < 2) | flat_true | beyond,
        "pearson": (n < 2) | flat_true | flat_pred | beyond,
        "spearman": (n < 2) | flat_true | flat_pred,
    }
    for name, values in columns.items():
        columns[name] = np.where(np.isfinite(values) & ~hidden.get(name, False), values, np.nan)
    reasons = {
        "no pairs": n == 0,
        _BEYOND_RANGE: beyond,
        "fewer than 2 pairs": n < 2,
        "labels and predictions are constant": flat_true & flat_pred,
        "labels are constant": flat_true,
        "predictions are constant": flat_pred,
    }
    otherwise = np.where(np.isnan(list(columns.values())).any(axis=0), _BEYOND_RANGE, "").astype(object)
    why = np.select(list(reasons.values()), [np.array(reason, dtype=object) for reason in reasons], default=otherwise)
    return {"n": n, "n_censored": np.bincount(group[capped], minlength=n_groups), **columns, "undefined": why}


def _raw_scores(true: Values, pred: Values, capped: BoolArray, group: IntArray, n: IntArray) -> dict[str, Values]:
    """The formulas of ``Metrics`` per group of ``n`` pairs, meaningless where a group is empty or constant."""

    def total(values: Values) -> Values:
        return np.bincount(group, weights=values, minlength=len(n)).astype(np.float64, copy=False)

    def centred(values: Values) -> Values:
        mean: Values = total(values) / n
        return values - mean[group]

    def correlation(a: Values, b: Values) -> Values:
        a, b = centred(a), centred(b)
        scale: Values = np.sqrt(total(a * a)) * np.sqrt(total(b * b))
        return total(a * b) / scale

    # Dividing by nothing is expected in an empty or constant group; the caller replaces such results.
    with np.errstate(all="ignore"):
        error = pred - true
        excess = np.where(capped, np.maximum(error, 0), error)
        spread = total(centred(true) ** 2)
        power = total(true * true)
        slope = total(true * pred) / power
        return {
            "rmse": np.sqrt(total(error * error) / n),
            "rmse_censored_aware": np.sqrt(total(excess * excess) / n),
            "mae": total(np.abs(error)) / n,
            "r2": 1 - total(error * error) / spread,
            "r2_origin": 1 - (1 - slope) ** 2 * power / spread,  # Σ(y − k·y)² = (1 − k)²Σy²
            "pearson": np.clip(correlation(true, pred), -1, 1),
            "spearman": np.clip(correlation(ranks(true, group), ranks(pred, group)), -1, 1),
        }


def ranks(values: Values, group: IntArray) -> Values:
    """Rank of each value within its group, from 1; equal values share their mean rank."""
    if not len(values):
        return values.astype(np.float64)
    order = np.lexsort((values, group))
    ordered, of_group = values[order], group[order]
    first_of_group = np.diff(of_group, prepend=of_group[0] - 1) != 0
    number = np.arange(len(values))
    within = number - np.maximum.accumulate(np.where(first_of_group, number, 0))
    first_of_tie = first_of_group | (ordered != np.roll(ordered, 1))
    tie = np.cumsum(first_of_tie) - 1
    # A tie of n values from place p on has the mean rank p + (n + 1)/2, a whole number of halves and so exact.
    found = np.empty(len(values))
    found[order] = within[first_of_tie][tie] + (np.bincount(tie)[tie] + 1) / 2
    return found


def is_constant(values: Values, group: IntArray, n_groups: int) -> BoolArray:
    """Whether each group's values are one number up to float32 rounding; an empty group's are."""
    low, high = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    with np.errstate(over="ignore"):
        constant: BoolArray = high - low <= CONSTANT_TOLERANCE * np.maximum(np.abs(low), np.abs(high))
    return constant

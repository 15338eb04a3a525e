"""A metric as an object: what it is called, how it is computed within groups of pairs, and which tables show it.

Everything that scores iterates over ``METRICS`` and over ``dadsp.evaluation.scores.SCORES``; no other file names a metric to
show it. ``dadsp.evaluation.scores.register`` adds one from outside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dadsp.evaluation.grouped_pairs import GroupedPairs, Values
from dadsp.schema import BoolArray, IntArray

if TYPE_CHECKING:
    from dadsp.evaluation.metrics import Evaluation

POTENCY_UNIT = "−log10 IC50 (µM)"
BEYOND_RANGE = "values are beyond floating-point range"

Direction = Literal["lower", "higher", "none"]
Table = Literal[
    "strata",  # report: one system by what training had seen of a pair; a column per metric
    "per_drug",  # report: one system within each drug; a column per metric
    "run",  # dadsp train in a terminal, and the same table of a report
    "run_page",  # that table of a report alone
    "systems",  # dadsp compare in a terminal, and its page
    "systems_page",  # its page alone
    "compare",  # compare.csv and compare.json
    "lines",  # report: telling the lines of a drug apart
    "back_test",  # dadsp impute: measured pairs as if they were missing
    "tracking",  # final metrics of a tracking run
]
_SEEN = ("seen", "unseen")
STRATA = (
    *(f"{what}_{side}" for what in ("pair", "cell", "drug") for side in _SEEN),
    *(f"cell_{line}_drug_{drug}" for line in _SEEN for drug in _SEEN),
    *(f"cell_{side}" for side in ("profiled", "unprofiled")),
)
PARTS = ("pooled", "uncensored", "censored", *STRATA, "median_drug", "median_line")
# Terminals have no room for more.
SHOWN: frozenset[Table] = frozenset({"strata", "per_drug", "run_page", "systems_page", "compare", "back_test", "tracking"})


@dataclass(frozen=True)
class Score:
    """One number of a system: a column of tables that hold many systems, ``comparison.csv`` among them.

    Attributes:
        name: Of the column.
        label: Heading; its lines stand below each other where a table is narrow.
        value: The number, NaN where undefined.
        title: Heading where there is room.
        about: What it means, for captions: one sentence without a full stop; empty where the caption says it otherwise.
        direction: Which of two values is better; ``"none"`` where neither is, as of a count.
        digits: After the point, where it is shown.
        percent: Whether it is shown as whole percents.
        place: Among the columns of a table: smaller further left, equal ones in the order of ``SCORES``.
        tables: Which tables show it.
    """

    name: str
    label: str
    value: "Callable[[Evaluation], float]"
    title: str = ""
    about: str = ""
    direction: Direction = "higher"
    digits: int = 3
    percent: bool = False
    place: int = 9
    tables: frozenset[Table] = frozenset()

    @property
    def heading(self) -> str:
        """The label in one line."""
        return self.label.replace("\n", " ")


@dataclass(frozen=True)
class Metric:
    """How well predictions match labels over a set of pairs, for many sets at once.

    Attributes:
        name: Lower case, one word of letters, digits and underscores; the key in files and the stem of columns.
        label: Heading in tables.
        by_group: One value for each group, shape (n_groups,); NaN or infinite where undefined. Nothing warns
            of dividing by zero.
        direction: Which of two values is better.
        about: What it means, for captions: one sentence without a full stop.
        unit: Of its values; empty for none.
        digits: After the point, where it is shown.
        undefined: Why a value may be missing, if for another reason than constant labels or predictions or too few pairs.
        place: Among the columns of a table: smaller further left, equal ones in the order of ``METRICS``.
        parts: Over which pairs it is a column of ``comparison.csv`` and of the tables of many systems: some of ``PARTS``, of
            which ``"median_drug"`` and ``"median_line"`` are medians of what it is within each drug or line. All of them
            stand in ``metrics.json``, whatever is named here.
        tables: Which tables show it.
    """

    name: str
    label: str
    by_group: Callable[[GroupedPairs], Values]
    direction: Direction
    about: str = ""
    unit: str = ""
    digits: int = 3
    undefined: str = ""
    place: int = 9
    parts: tuple[str, ...] = ("pooled", "median_drug")
    tables: frozenset[Table] = SHOWN

    @property
    def explained(self) -> str:
        """``about`` with its unit and which values are better; empty where nothing is said of it."""
        better = "" if self.direction == "none" else f"{self.direction} is better"
        aside = "; ".join(filter(None, (self.unit, better)))
        return f"{self.about} ({aside})" if self.about and aside else self.about

    def score(self, part: str, tables: "frozenset[Table] | set[Table] | None" = None, **words: Any) -> Score:
        """Its value over one of ``parts``, as a column; ``words`` are attributes of ``Score`` that differ from its own."""
        name = {"pooled": self.name}.get(
            part, f"{part}_{self.name}" if part.startswith("median_") else f"{self.name}_{part}"
        )
        label = {"pooled": self.label, "median_drug": f"{self.label} per drug", "median_line": f"{self.label} per line"}
        own: dict[str, Any] = {
            "label": label.get(part, "\n".join([self.label, *part.split("_")])),
            "about": self.explained if part == "pooled" else "",
            "direction": self.direction,
            "digits": self.digits,
            "place": self.place,
            "tables": self.tables if tables is None else frozenset(tables),
        }
        return Score(name, value=lambda evaluation: evaluation.value(part, self.name), **(own | words))


def _rmse(pairs: GroupedPairs) -> Values:
    return np.sqrt(pairs.mean(pairs.error * pairs.error))


def _rmse_censored_aware(pairs: GroupedPairs) -> Values:
    excess = np.where(pairs.capped, np.maximum(pairs.error, 0), pairs.error)
    return np.sqrt(pairs.mean(excess * excess))


def _mae(pairs: GroupedPairs) -> Values:
    return pairs.mean(np.abs(pairs.error))


def _r2(pairs: GroupedPairs) -> Values:
    spread = pairs.total(pairs.centred(pairs.true) ** 2)
    values = 1 - pairs.total(pairs.error * pairs.error) / spread
    return _nan_where(pairs.labels_constant | pairs.beyond_range, values)


def _r2_origin(pairs: GroupedPairs) -> Values:
    spread = pairs.total(pairs.centred(pairs.true) ** 2)
    power = pairs.total(pairs.true * pairs.true)
    slope = pairs.total(pairs.true * pairs.pred) / power
    values = 1 - (1 - slope) ** 2 * power / spread  # Σ(y − k·y)² = (1 − k)²Σy²
    return _nan_where(pairs.labels_constant | pairs.beyond_range, values)


def _pearson(pairs: GroupedPairs) -> Values:
    hidden = pairs.labels_constant | pairs.predictions_constant | pairs.beyond_range
    return _nan_where(hidden, pairs.correlation(pairs.true, pairs.pred))


def _spearman(pairs: GroupedPairs) -> Values:
    values = pairs.correlation(pairs.ranks(pairs.true), pairs.ranks(pairs.pred))
    return _nan_where(pairs.labels_constant | pairs.predictions_constant, values)  # ranks do not overflow


def _nan_where(hidden: BoolArray, values: Values) -> Values:
    return np.where(hidden, np.nan, values)


_OF_ONE: frozenset[Table] = frozenset({"strata", "per_drug"})
RMSE = Metric(
    "rmse",
    "RMSE",
    _rmse,
    "lower",
    "root mean squared error, sqrt(Σ(y − ŷ)²/n), DADSP eq. 10",
    POTENCY_UNIT,
    place=0,
    tables=_OF_ONE,
)
RMSE_CENSORED_AWARE = Metric(
    "rmse_censored_aware",
    "RMSE, caps as bounds",
    _rmse_censored_aware,
    "lower",
    "RMSE in which a capped label counts as an error only where the prediction lies above it: the label is an upper bound "
    "on potency, so any lower prediction agrees with what was measured",
    POTENCY_UNIT,
    tables=frozenset(),
)
MAE = Metric("mae", "MAE", _mae, "lower", "mean absolute error", POTENCY_UNIT, place=2, tables=frozenset({"strata"}))
R2 = Metric(
    "r2",
    "R²",
    _r2,
    "higher",
    "coefficient of determination, 1 − Σ(y − ŷ)²/Σ(y − ȳ)²; negative when worse than the mean of these labels",
    place=1,
    tables=_OF_ONE,
)
R2_ORIGIN = Metric(
    "r2_origin",
    "R² through the origin",
    _r2_origin,
    "none",
    "variant of DADSP eq. 11–12: k = Σyŷ/Σy², ŷ_r0 = k·y, R²₀ = 1 − Σ(y − ŷ_r0)²/Σ(y − ȳ)²; predictions enter only through "
    "k, so it is 1 for any of k = 1, however scattered: kept to compare with the text, never a measure of accuracy",
    tables=frozenset(),
)
PEARSON = Metric("pearson", "r", _pearson, "higher", "linear correlation", place=3, tables=_OF_ONE)
SPEARMAN = Metric(
    "spearman",
    "ρ",
    _spearman,
    "higher",
    "rank correlation, ties at their mean rank",
    place=4,
    tables=frozenset({"per_drug"}),
)

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (RMSE, RMSE_CENSORED_AWARE, MAE, R2, R2_ORIGIN, PEARSON, SPEARMAN)
}


@dataclass(frozen=True)
class GroupScores:
    """Every metric within every group.

    Attributes:
        n: Pairs, shape (n_groups,).
        n_censored: Capped pairs, the same shape.
        values: One array for each of ``METRICS``, in its order, NaN where undefined.
        undefined: The first reason that applies to any of them in a group, empty where none does.
    """

    n: IntArray
    n_censored: IntArray
    values: Mapping[str, Values]
    undefined: NDArray[np.object_]

    def columns(self) -> dict[str, Any]:
        """The same as columns of a table with one row per group."""
        return {"n": self.n, "n_censored": self.n_censored, **self.values, "undefined": self.undefined}


def group_scores(pairs: GroupedPairs) -> GroupScores:
    """All ``METRICS`` within each group."""
    with np.errstate(all="ignore"):  # dividing by nothing is expected in an empty or constant group
        values = {name: within_groups(metric, pairs) for name, metric in METRICS.items()}
    flat_true, flat_pred = pairs.labels_constant, pairs.predictions_constant
    reasons = {
        "no pairs": pairs.n == 0,
        BEYOND_RANGE: pairs.beyond_range,
        "fewer than 2 pairs": pairs.n < 2,
        "labels and predictions are constant": flat_true & flat_pred,
        "labels are constant": flat_true,
        "predictions are constant": flat_pred,
    }
    otherwise = np.full(pairs.n_groups, "", dtype=object)
    for name, column in reversed(values.items()):
        otherwise[np.isnan(column)] = METRICS[name].undefined or BEYOND_RANGE
    why = np.select(list(reasons.values()), [np.array(reason, dtype=object) for reason in reasons], default=otherwise)
    return GroupScores(pairs.n, pairs.n_capped, values, why)


def within_groups(metric: Metric, pairs: GroupedPairs) -> Values:
    """One metric within each group, float64, shape (n_groups,); NaN where undefined.

    Raises:
        ValueError: Its function gives another number of values than there are groups.
    """
    with np.errstate(all="ignore"):
        values = np.asarray(metric.by_group(pairs), dtype=np.float64)
    if values.shape != (pairs.n_groups,):
        raise ValueError(f"The metric {metric.name} gave values of shape {values.shape} for {pairs.n_groups} groups.")
    return np.where(np.isfinite(values), values, np.nan)

"""Response values in any published unit → −log10 IC50(µM), with censoring and replicates made explicit."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.problems import refuse
from dadsp.data.units import CONCENTRATIONS, TO_POTENCY, Unit, fitting
from dadsp.errors import ConfigError, SchemaError, UnitsError, examples
from dadsp.schema import BoolArray, FloatArray, Measure, Note, Responses

Replicates = Literal["median", "error", "first"]
OnImplausible = Literal["error", "drop"]
At = Callable[[Sequence[int]], list[str]]

PLAUSIBLE = (-7.0, 10.0)  # −log10 µM, so 10 M to 0.1 fM: wider than any assay, narrow enough to catch a wrong unit

RISES: dict[Measure, bool] = {  # does the published number rise with sensitivity?
    "ic50": False,
    "ec50": False,
    "auc": False,
    "aac": True,
    "act_area": True,
    "amax": False,
}
SHARES_OF_AREA: frozenset[Measure] = frozenset({"auc", "aac"})  # both labels are the share of the area that is lost
TYPICAL = (-2.5, 2.5)  # −log10 µM; the median of a whole screen lies well inside
# (power of ten, distance from the drug's median, share of the labels beyond it on one side). GDSC1, GDSC2 and CCLE hold at
# most 0.5 % beyond 2.5, and none beyond 4.5.
_MIXED = ((6, 4.5, 0.001), (3, 2.5, 0.01))
_LINES_TO_JUDGE = 10  # fewer say little about a drug's median
_LINES_OF_A_SPREAD, _DRUGS_OF_A_SPREAD = 20, 5
# Standard deviation of a drug's labels, median over drugs: 0.54 to 0.59 in GDSC1, GDSC2 and CCLE's EC50, 0.36 in CCLE's
# capped IC50. Natural logarithms read as log10 are 2.303 times as wide, log10 read as ln as narrow.
_WIDE, _NARROW = 0.95, 0.3

_BELOW = {"<", "<=", "<<", "≤", "≪"}
_EQUAL = {"", "=", "==", "~", "≈", "false", "0", "no"}
_NOT_REACHED = {">", ">=", ">>", "≥", "≫", "true", "1", "yes"}
_MIRROR = str.maketrans("<>≤≥≪≫", "><≥≤≫≪")


def to_label(
    values: NDArray[np.float64],
    measure: Measure,
    unit: Unit | None,
    plausible: tuple[float, float] | None = None,
    where: str = "The responses",
    on_implausible: OnImplausible = "error",
    at: At | None = None,
) -> FloatArray:
    """What a model learns from published values, float32, same shape; higher is more sensitive.

    IC50 and EC50 become −log10 µM. An AUC in [0, 1] becomes 1 − AUC, which is the area above the curve. Amax, the response
    at the top dose in percent (negative means fewer cells), changes its sign. AAC and ActArea stay.

    Args:
        values: As published, no NaN.
        measure: What they are.
        unit: Unit of an IC50 or EC50; None for the others, which have none.
        plausible: Lowest and highest credible label; None takes the measure's own.
        where: What holds the values, for an error.
        on_implausible: ``"drop"`` gives NaN for labels outside ``plausible`` instead of refusing them.
        at: Says where the first of some rows stand, for an error.

    Raises:
        ConfigError: A unit is missing, or given where there is none.
        UnitsError: Values cannot be in the unit.
    """
    if (unit is not None) != (measure in ("ic50", "ec50")):
        raise ConfigError(
            f"{where}: measure {measure} "
            + ("needs a unit. Set responses.unit." if unit is None else f"has no unit {unit}. Leave responses.unit out.")
        )
    if unit is not None:
        return to_potency(values, unit, plausible or PLAUSIBLE, where, on_implausible, at)
    formula, own_range = _AREAS[measure]
    labels = formula(np.asarray(values, dtype=np.float64))
    low, high = plausible or own_range
    outside = ~((labels >= low) & (labels <= high))
    if on_implausible == "drop":
        return np.where(outside, np.nan, labels).astype(np.float32)
    if outside.any():
        shown = _few(values, outside, at)
        refuse(
            UnitsError(
                f"{where}: {int(outside.sum())} of {len(values)} values read as {measure} (e.g. {shown}) "
                f"give labels outside [{low:g}, {high:g}]. Set responses.measure, give the value of a full area as "
                "responses.full_area (100 for percent, else the number of doses or so), or widen responses.plausible."
            )
        )
    return labels.astype(np.float32)


def same_measure(one: Measure, other: Measure) -> bool:
    """Whether labels of both are the same quantity: 1 − AUC and AAC are."""
    return one == other or {one, other} <= SHARES_OF_AREA


def share_of_area(values: NDArray[np.float64], full_area: float) -> NDArray[np.float64]:
    """Published areas as shares of a full one, so that areas over different doses compare.

    Args:
        values: As published.
        full_area: The published value where the whole area is meant, e.g. 8 for an ActArea that sums eight doses.
    """
    return np.asarray(values, dtype=np.float64) / full_area


def suspicions(potency: FloatArray, pairs: pd.DataFrame, unit: Unit) -> tuple[Note, ...]:
    """A note if another unit is likelier, for the whole screen or for some of its rows.

    The whole screen: its median is far from usual potencies. Some rows: more labels lie far from the median of their drug
    than in any screen at hand. A few rows, or all rows of a drug, cannot be told from real differences.

    Args:
        potency: −log10 µM, no NaN, shape (n,).
        pairs: Columns ``cell_id`` and ``drug_id``, one row per potency.
        unit: As which they were read.
    """
    if len(potency) < 20:  # a handful of drugs may well be extreme
        return ()
    labels = pd.Series(potency)
    drugs = pairs["drug_id"].to_numpy()
    other_log = _other_logarithm(labels, drugs, unit)
    median = float(np.median(potency))
    if not TYPICAL[0] <= median <= TYPICAL[1]:
        steps = 6 if abs(median) > 4.5 else 3
        off = f"a factor of 10^{steps} off" + (f", or {other_log}" if other_log else "")
        return (
            Note(f"suspicious unit {unit}: the median label is {median:.2f} −log10 µM, as if {off}; labels", len(potency)),
        )
    if other_log:
        return (Note(f"suspicious unit {unit}: labels of a drug spread as if {other_log}; labels", len(potency)),)
    by_drug = labels.groupby(drugs)
    away = (labels - by_drug.transform("median")).where(by_drug.transform("size") >= _LINES_TO_JUDGE, 0.0)
    for steps, distance, share in _MIXED:
        for side, sign in (("above", 1), ("below", -1)):
            far = (sign * away >= distance).to_numpy()
            if far.sum() >= max(10, share * len(away)):
                named = [f"{cell}/{drug}" for cell, drug in pairs.loc[far, ["cell_id", "drug_id"]].head().to_numpy()]
                what = (
                    f"suspicious unit {unit}: labels {distance:g} or more {side} their drug's median, as if 10^{steps} off"
                )
                return (Note(what, int(far.sum()), examples(named)),)
    return ()


def _other_logarithm(labels: "pd.Series[float]", drugs: NDArray[Any], unit: Unit) -> str:
    """What the spread within drugs says of the logarithm; "" where it says nothing.

    Drugs with many labels at their lowest are left out: they are capped, and narrower for it.
    """
    by_drug = labels.groupby(drugs)
    at_lowest = (labels == by_drug.transform("min")).groupby(drugs).mean()
    spread = by_drug.std()[(by_drug.size() >= _LINES_OF_A_SPREAD) & (at_lowest <= 0.1)]
    if len(spread) < _DRUGS_OF_A_SPREAD:
        return ""
    if "log10" in unit and spread.median() > _WIDE:
        return "natural logarithms were read as log10 (a factor of 2.303)"
    if unit.startswith("ln_") and spread.median() < _NARROW:
        return "log10 were read as natural logarithms (a factor of 2.303)"
    return ""


def to_potency(
    values: NDArray[np.float64],
    unit: Unit,
    plausible: tuple[float, float] = PLAUSIBLE,
    where: str = "The responses",
    on_implausible: OnImplausible = "error",
    at: At | None = None,
) -> FloatArray:
    """−log10 IC50(µM) of each value, float32, same shape; higher is more sensitive.

    Args:
        values: In ``unit``, no NaN.
        unit: ln, log10 or plain µM, nM, M, or a negative log10 of µM or M.
        plausible: Lowest and highest potency that can be true, −log10 µM.
        where: What holds the values, for an error.
        on_implausible: ``"drop"`` gives NaN for potencies outside ``plausible`` instead of refusing them.
        at: Says where the first of some rows stand, for an error.

    Raises:
        UnitsError: Some concentrations are not positive, or some potencies are outside ``plausible``.
    """
    values = np.asarray(values, dtype=np.float64)
    refused = (values <= 0) if unit in CONCENTRATIONS else np.zeros(values.shape, dtype=bool)
    if refused.any():
        shown = _few(values, refused, at)
        advice = (
            "Is the file in ln_um, log10_um or neg_log10_um? Set responses.unit."
            if (values < 0).any()
            else "Empty those cells and set responses.on_missing_value: drop; if they are logarithms, set responses.unit."
        )
        refuse(
            UnitsError(
                f"{where}: {int(refused.sum())} of {len(values)} values are zero or negative (e.g. {shown}), which no "
                f"concentration in {unit} can be. {advice}"
            )
        )
        values = np.where(refused, np.nan, values)
    potency = TO_POTENCY[unit](values)
    low, high = plausible
    outside = ~((potency >= low) & (potency <= high)) & ~refused
    if on_implausible == "drop":
        return np.where(outside, np.nan, potency).astype(np.float32)
    if outside.any() and not refused.any():  # else the first message says what is wrong
        shown = _few(values, outside, at)
        units = fitting(values[~refused], low, high)
        advice = f"All of them would be plausible in {examples(units, 6)}. " if units else ""
        refuse(
            UnitsError(
                f"{where}: {int(outside.sum())} of {len(values)} values read as {unit} (e.g. {shown}) give "
                f"−log10 µM outside [{low:g}, {high:g}]. {advice}Set responses.unit, or widen responses.plausible."
            )
        )
    return potency.astype(np.float32)


def dose_bounds(doses: NDArray[np.float64], unit: Unit) -> FloatArray:
    """−log10 µM of tested doses, float32, same shape; NaN for what can be no dose in this unit."""
    doses = np.asarray(doses, dtype=np.float64)
    possible = (doses > 0) if unit in CONCENTRATIONS else np.isfinite(doses)
    potency = TO_POTENCY[unit](np.where(possible, doses, np.nan))
    possible &= (potency >= PLAUSIBLE[0]) & (potency <= PLAUSIBLE[1])
    return np.where(possible, potency, np.nan).astype(np.float32)


def not_reached(relations: "pd.Series[str]", unit: Unit, where: str = "The responses") -> tuple[BoolArray, tuple[Note, ...]]:
    """Where the IC50 was not reached: a relation ``>`` (``<`` for the negative-log units), true, yes or 1.

    The opposite sign (IC50 below the lowest dose) has no place in the schema: such values are taken as they stand, with a
    note.

    Args:
        relations: How the true value relates to the written one; missing means equal.
        unit: Unit of the values.
        where: What holds them, for an error.

    Raises:
        SchemaError: Some relations are none of the known ones.
    """
    kinds = relation_kinds(relations, unit)
    unknown = relations[kinds == "unknown"]
    if len(unknown):
        refuse(
            SchemaError(
                f"{where}: {len(unknown)} of {len(kinds)} relations cannot be read (e.g. {examples(unknown.unique())}). "
                "Write '>' where the IC50 was not reached and '=' or nothing elsewhere."
            )
        )
    below = int((kinds == "below").sum())
    notes = (Note("responses below the lowest dose, taken as they stand", below),) if below else ()
    return kinds == "not reached", notes


def relation_kinds(relations: "pd.Series[str]", unit: Unit | None) -> NDArray[np.str_]:
    """What each relation says of the IC50: "equal", "not reached", "below" the lowest dose, or "unknown"."""
    marks = relations.fillna("").astype("str").str.strip().str.lower()
    if unit is not None and unit.startswith("neg_"):  # a larger IC50 is a smaller −log10
        marks = marks.str.translate(_MIRROR)
    known = [marks.isin(_BELOW), marks.isin(_EQUAL), marks.isin(_NOT_REACHED)]
    return np.select(known, ["below", "equal", "not reached"], "unknown")


class Censored(NamedTuple):
    """Labels with their censoring.

    Attributes:
        potency: float32, −log10 µM, nothing below ``cap``.
        censored: bool, True where the potency is only an upper bound.
        cap: Potency at the cap as a float32 value, so that labels at the cap equal it exactly; None without one.
    """

    potency: FloatArray
    censored: BoolArray
    cap: float | None


def censor(potency: FloatArray, flags: BoolArray | None, cap: float | None, unit: Unit) -> Censored:
    """Marks labels whose IC50 was not reached, and sets those at or beyond the cap to the cap.

    Args:
        potency: −log10 IC50(µM).
        flags: Rows the file itself marks as not reached; None if it marks none.
        cap: Highest tested concentration in ``unit``; None when there is no common one.
        unit: Unit of ``cap``.

    Raises:
        UnitsError: The cap is impossible in its unit.
    """
    censored = np.zeros(len(potency), dtype=bool) if flags is None else flags
    if cap is None:
        return Censored(potency, censored, None)
    at_cap = dose_bounds(np.array([cap]), unit)[0]
    if np.isnan(at_cap):
        raise UnitsError(
            f"responses.cap={cap:g} can be no dose in {unit}. Give the highest tested concentration in that unit."
        )
    return Censored(np.maximum(potency, at_cap), censored | (potency <= at_cap), float(at_cap))


def replicates(
    responses: Responses,
    policy: Replicates,
    cell_ids: tuple[str, ...],
    drug_ids: tuple[str, ...],
    where: str = "The responses",
) -> tuple[Responses, tuple[Note, ...]]:
    """Each (line, drug) pair once, in order of first appearance, and a note on what was merged.

    The merged label is the median (mean of the middle two), and is censored when the measurement(s) in the middle are: so
    when the median stands at the cap, and always when all are censored.

    Args:
        responses: Measurements, pairs possibly repeated.
        policy: ``"median"`` merges, ``"first"`` keeps the first row of each pair, ``"error"`` refuses.
        cell_ids: Names of the rows that ``cell_idx`` counts.
        drug_ids: Names of the rows that ``drug_idx`` counts.
        where: What holds the measurements, for an error.

    Raises:
        SchemaError: Pairs are repeated and the policy is ``"error"``.
    """
    key = responses.cell_idx * len(drug_ids) + responses.drug_idx
    _, first, group, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    if len(first) == len(key):
        return responses, ()
    repeated = first[count > 1]
    named = [f"{cell_ids[responses.cell_idx[row]]}/{drug_ids[responses.drug_idx[row]]}" for row in repeated[:4]]
    if policy == "error":
        refuse(
            SchemaError(
                f"{where}: {len(repeated)} of {len(first)} (line, drug) pairs stand more than once "
                f"(e.g. {examples(named)}). Keep one row of each, or set replicates: median."
            )
        )
    order = np.lexsort((responses.censored, responses.potency, group))
    start = np.cumsum(count) - count
    sorted_potency = responses.potency[order].astype(np.float64)
    spread = (sorted_potency[start + count - 1] - sorted_potency[start])[count > 1]
    done = "merged by their median" if policy == "median" else "reduced to their first row"
    note = Note(
        f"repeated (line, drug) pairs {done}; {int(count[count > 1].sum())} rows, spread median {np.median(spread):.3g}, "
        f"largest {spread.max():.3g} −log10 µM",
        len(repeated),
        examples(named),
    )
    once = responses.take(first)
    if policy == "median":
        low, high = order[start + (count - 1) // 2], order[start + count // 2]
        middle = (responses.potency[low].astype(np.float64) + responses.potency[high]) / 2
        bound = responses.censored[low] & responses.censored[high]
        once = Responses(once.cell_idx, once.drug_idx, middle.astype(np.float32), bound)
    return once.take(np.argsort(first)), (note,)


# ActArea sums eight doses, each at most 1; Amax is a percentage.
_AREAS: dict[Measure, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], tuple[float, float]]] = {
    "auc": (lambda values: 1 - values, (-0.5, 1.0)),
    "aac": (lambda values: values, (-0.5, 1.0)),
    "act_area": (lambda values: values, (-1.0, 9.0)),
    "amax": (lambda values: -values, (-150.0, 300.0)),
}


def _few(values: NDArray[np.float64], which: BoolArray, at: At | None) -> str:
    rows = [int(row) for row in np.flatnonzero(which)[:4]]
    shown = [f"{values[row]:g}" for row in rows]
    return examples(shown if at is None else [f"{place}: {value}" for place, value in zip(at(rows), shown, strict=True)])

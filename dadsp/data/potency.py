"""Response values in any published unit → −log10 IC50(µM), with censoring and replicates made explicit."""

import unicodedata
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.problems import refuse
from dadsp.errors import ConfigError, SchemaError, UnitsError, examples
from dadsp.schema import BoolArray, FloatArray, Measure, Note, Responses

Unit = Literal["ln_um", "log10_um", "um", "nm", "m", "neg_log10_um", "neg_log10_m"]
Replicates = Literal["median", "error", "first"]
OnImplausible = Literal["error", "drop"]

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

_BELOW = {"<", "<=", "<<"}
_REACHED = {"", "=", "==", "~", "false", "0", "no"} | _BELOW
_NOT_REACHED = {">", ">=", ">>", "true", "1", "yes"}
_MIRROR = str.maketrans("<>", "><")


def to_label(
    values: NDArray[np.float64],
    measure: Measure,
    unit: Unit | None,
    plausible: tuple[float, float] | None = None,
    where: str = "The responses",
    on_implausible: OnImplausible = "error",
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
        return to_potency(values, unit, plausible or PLAUSIBLE, where, on_implausible)
    formula, own_range = _AREAS[measure]
    labels = formula(np.asarray(values, dtype=np.float64))
    low, high = plausible or own_range
    outside = ~((labels >= low) & (labels <= high))
    if on_implausible == "drop":
        return np.where(outside, np.nan, labels).astype(np.float32)
    if outside.any():
        refuse(
            UnitsError(
                f"{where}: {int(outside.sum())} of {len(values)} values read as {measure} (e.g. {_few(values[outside])}) "
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
    median = float(np.median(potency))
    if not TYPICAL[0] <= median <= TYPICAL[1]:
        steps = 6 if abs(median) > 4.5 else 3
        what = (
            f"suspicious unit {unit}: the median label is {median:.2f} −log10 µM, as if a factor of 10^{steps} off; labels"
        )
        return (Note(what, len(potency)),)
    labels = pd.Series(potency)
    by_drug = labels.groupby(pairs["drug_id"].to_numpy())
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


def to_potency(
    values: NDArray[np.float64],
    unit: Unit,
    plausible: tuple[float, float] = PLAUSIBLE,
    where: str = "The responses",
    on_implausible: OnImplausible = "error",
) -> FloatArray:
    """−log10 IC50(µM) of each value, float32, same shape; higher is more sensitive.

    Args:
        values: In ``unit``, no NaN.
        unit: ln, log10 or plain µM, nM, M, or a negative log10 of µM or M.
        plausible: Lowest and highest potency that can be true, −log10 µM.
        where: What holds the values, for an error.
        on_implausible: ``"drop"`` gives NaN for potencies outside ``plausible`` instead of refusing them.

    Raises:
        UnitsError: Some concentrations are not positive, or some potencies are outside ``plausible``.
    """
    values = np.asarray(values, dtype=np.float64)
    refused = (values <= 0) if unit in _CONCENTRATIONS else np.zeros(values.shape, dtype=bool)
    if refused.any():
        bad = values[refused]
        refuse(
            UnitsError(
                f"{where}: {len(bad)} of {len(values)} values are zero or negative (e.g. {_few(bad)}), which no "
                f"concentration in {unit} can be. Is the file in ln_um, log10_um or neg_log10_um? Set responses.unit."
            )
        )
        values = np.where(refused, np.nan, values)
    potency = _FORMULAS[unit](values)
    low, high = plausible
    outside = ~((potency >= low) & (potency <= high)) & ~refused
    if on_implausible == "drop":
        return np.where(outside, np.nan, potency).astype(np.float32)
    if outside.any():
        fitting = [name for name in _FORMULAS if _fits(values, name, low, high)]
        advice = f"All of them would be plausible in {examples(fitting, 6)}. " if fitting else ""
        refuse(
            UnitsError(
                f"{where}: {int(outside.sum())} of {len(values)} values read as {unit} (e.g. {_few(values[outside])}) give "
                f"−log10 µM outside [{low:g}, {high:g}]. {advice}Set responses.unit, or widen responses.plausible."
            )
        )
    return potency.astype(np.float32)


def check_units(written: "pd.Series[str]", unit: Unit, where: str = "The responses", key: str = "responses.unit") -> None:
    """Passes only if every row's own unit is the declared one; spelling and case are forgiven ("µM", "uM", "um").

    Raises:
        UnitsError: Some rows are in another unit; the message counts them per unit.
    """
    counts = written.fillna("(none)").value_counts()
    other = {name: int(n) for name, n in counts.items() if _plain(str(name)) != unit}
    if other:
        listed = examples((f"{n} in {name}" for name, n in other.items()), 6)
        refuse(
            UnitsError(
                f"{where}: mixed units: {sum(other.values())} of {len(written)} rows are not in the declared {unit} "
                f"({listed}). Convert them to one unit, or correct {key}."
            )
        )


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
    marks = relations.fillna("").astype("str").str.lower()
    if unit.startswith("neg_"):  # a larger IC50 is a smaller −log10
        marks = marks.str.translate(_MIRROR)
    unknown = marks[~marks.isin(_REACHED | _NOT_REACHED)]
    if len(unknown):
        refuse(
            SchemaError(
                f"{where}: {len(unknown)} of {len(marks)} relations cannot be read (e.g. {examples(unknown.unique())}). "
                "Write '>' where the IC50 was not reached and '=' or nothing elsewhere."
            )
        )
    below = int(marks.isin(_BELOW).sum())
    notes = (Note("responses below the lowest dose, taken as they stand", below),) if below else ()
    return marks.isin(_NOT_REACHED).to_numpy(dtype=bool), notes


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
    at_cap = to_potency(np.array([cap]), unit, where="responses.cap")[0]
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


_FORMULAS: dict[Unit, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "ln_um": lambda values: -values / np.log(10),
    "log10_um": lambda values: -values,
    "um": lambda values: -np.log10(values),
    "nm": lambda values: 3 - np.log10(values),
    "m": lambda values: -6 - np.log10(values),
    "neg_log10_um": lambda values: values,
    "neg_log10_m": lambda values: values - 6,
}

_CONCENTRATIONS = ("um", "nm", "m")
# ActArea sums eight doses, each at most 1; Amax is a percentage.
_AREAS: dict[Measure, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], tuple[float, float]]] = {
    "auc": (lambda values: 1 - values, (-0.5, 1.0)),
    "aac": (lambda values: values, (-0.5, 1.0)),
    "act_area": (lambda values: values, (-1.0, 9.0)),
    "amax": (lambda values: -values, (-150.0, 300.0)),
}


def _fits(values: NDArray[np.float64], unit: Unit, low: float, high: float) -> bool:
    if unit in _CONCENTRATIONS and (values <= 0).any():
        return False
    potency = _FORMULAS[unit](values)
    return bool((potency >= low).all() and (potency <= high).all())


def _few(values: NDArray[np.float64]) -> str:
    return examples(f"{value:g}" for value in values[:4])


def _plain(written: str) -> str:
    """A unit as people write it ("ln(µM)", "uM", "−log10 M") in our spelling, or something that equals none of ours."""
    text = unicodedata.normalize("NFKC", written).casefold().replace("μ", "u").replace("−", "-")
    text = text.replace("-log10", "neg_log10").replace("micromolar", "um").replace("nanomolar", "nm")
    return "_".join("".join(letter if letter.isalnum() else " " for letter in text).split())

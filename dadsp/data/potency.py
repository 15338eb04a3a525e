"""Response values in any published unit → −log10 IC50(µM), with censoring and replicates made explicit."""

import unicodedata
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import SchemaError, UnitsError, examples
from dadsp.schema import BoolArray, FloatArray, Note, Responses

Unit = Literal["ln_um", "log10_um", "um", "nm", "neg_log10_um", "neg_log10_m"]
Replicates = Literal["median", "error", "first"]

PLAUSIBLE = (-7.0, 10.0)  # −log10 µM, so 10 M to 0.1 fM: wider than any assay, narrow enough to catch a wrong unit

_BELOW = {"<", "<=", "<<"}
_REACHED = {"", "=", "==", "~", "false", "0", "no"} | _BELOW
_NOT_REACHED = {">", ">=", ">>", "true", "1", "yes"}
_MIRROR = str.maketrans("<>", "><")


def to_potency(
    values: NDArray[np.float64], unit: Unit, plausible: tuple[float, float] = PLAUSIBLE, where: str = "The responses"
) -> FloatArray:
    """−log10 IC50(µM) of each value, float32, same shape; higher is more sensitive.

    Args:
        values: In ``unit``, no NaN.
        unit: ln, log10 or plain µM, nM, or a negative log10 of µM or M.
        plausible: Lowest and highest potency that can be true, −log10 µM.
        where: What holds the values, for an error.

    Raises:
        UnitsError: Some concentrations are not positive, or some potencies are outside ``plausible``.
    """
    values = np.asarray(values, dtype=np.float64)
    if unit in ("um", "nm") and (values <= 0).any():
        bad = values[values <= 0]
        raise UnitsError(
            f"{where}: {len(bad)} of {len(values)} values are zero or negative (e.g. {_few(bad)}), which no concentration "
            f"in {unit} can be. Is the file in ln_um, log10_um or neg_log10_um? Set responses.unit."
        )
    potency = _FORMULAS[unit](values)
    low, high = plausible
    outside = ~((potency >= low) & (potency <= high))
    if outside.any():
        fitting = [name for name in _FORMULAS if _fits(values, name, low, high)]
        advice = f"All of them would be plausible in {examples(fitting, 6)}. " if fitting else ""
        raise UnitsError(
            f"{where}: {int(outside.sum())} of {len(values)} values read as {unit} (e.g. {_few(values[outside])}) give "
            f"−log10 µM outside [{low:g}, {high:g}]. {advice}Set responses.unit, or widen responses.plausible."
        )
    return potency.astype(np.float32)


def check_units(written: "pd.Series[str]", unit: Unit, where: str = "The responses") -> None:
    """Passes only if every row's own unit is the declared one; spelling and case are forgiven ("µM", "uM", "um").

    Raises:
        UnitsError: Some rows are in another unit; the message counts them per unit.
    """
    counts = written.fillna("(none)").value_counts()
    other = {name: int(n) for name, n in counts.items() if _plain(str(name)) != unit}
    if other:
        listed = examples((f"{n} in {name}" for name, n in other.items()), 6)
        raise UnitsError(
            f"{where}: mixed units: {sum(other.values())} of {len(written)} rows are not in the declared {unit} ({listed}). "
            "Convert them to one unit, or correct responses.unit."
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
        raise SchemaError(
            f"{where}: {len(unknown)} of {len(marks)} relations cannot be read (e.g. {examples(unknown.unique())}). "
            "Write '>' where the IC50 was not reached and '=' or nothing elsewhere."
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
        raise SchemaError(
            f"{where}: {len(repeated)} of {len(first)} (line, drug) pairs stand more than once (e.g. {examples(named)}). "
            "Keep one row of each, or set replicates: median."
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
    "neg_log10_um": lambda values: values,
    "neg_log10_m": lambda values: values - 6,
}


def _fits(values: NDArray[np.float64], unit: Unit, low: float, high: float) -> bool:
    if unit in ("um", "nm") and (values <= 0).any():
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

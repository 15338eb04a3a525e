"""Units of an IC50: their names here, how people write them, and what each means in −log10 µM."""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.data.problems import refuse
from dadsp.errors import UnitsError, examples

Unit = Literal[
    "ln_um", "log10_um", "um", "nm", "m", "neg_log10_um", "neg_log10_m", "pm", "ln_nm", "ln_m", "log10_nm", "log10_m"
]  # fmt: skip

CONCENTRATIONS: tuple[Unit, ...] = ("um", "nm", "pm", "m")

TO_POTENCY: dict[Unit, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {  # value → −log10 µM
    "ln_um": lambda values: -values / np.log(10),
    "log10_um": lambda values: -values,
    "um": lambda values: -np.log10(values),
    "nm": lambda values: 3 - np.log10(values),
    "m": lambda values: -6 - np.log10(values),
    "neg_log10_um": lambda values: values,
    "neg_log10_m": lambda values: values - 6,
    "pm": lambda values: 6 - np.log10(values),
    "ln_nm": lambda values: 3 - values / np.log(10),
    "ln_m": lambda values: -6 - values / np.log(10),
    "log10_nm": lambda values: 3 - values,
    "log10_m": lambda values: -6 - values,
}

_WORDS = {
    "micromolar": "um", "nanomolar": "nm", "picomolar": "pm", "molar": "m",
    "umol": "um", "nmol": "nm", "pmol": "pm", "mol": "m",
    "micromol": "um", "nanomol": "nm", "picomol": "pm",
    "micromole": "um", "nanomole": "nm", "picomole": "pm", "mole": "m",
    "micromoles": "um", "nanomoles": "nm", "picomoles": "pm", "moles": "m",
    "loge": "ln",
}  # fmt: skip
_SILENT = {"ic50", "ec50", "gi50", "l", "l1", "1", "liter", "litre", "per", "of", "in"}  # "ln(IC50) in umol/L", "nmol l-1"
_PREFIXED = re.compile(r"p(ic|ec|gi)50(_m)?")  # pIC50 is in M by convention


def unit_of(written: str) -> str:
    """A unit as people write it ("ln(µM)", "umol/L", "−log10 M", "pIC50") in our spelling, or a text that is none of ours.

    "log" alone stays what it is: it may be either logarithm.
    """
    text = unicodedata.normalize("NFKC", written).casefold().replace("μ", "u").replace("−", "-")
    text = re.sub(r"^\W*(?:-|neg(?:ative)?\W|minus\W)\W*(?=l)", "neg ", text.strip())
    parts = [_WORDS.get(part, part) for part in re.findall(r"[^\W_]+", text)]
    name = "_".join(part for part in parts if part not in _SILENT)
    return "neg_log10_m" if _PREFIXED.fullmatch(name) else name


def check_units(written: "pd.Series[str]", unit: Unit, where: str = "The responses", key: str = "responses.unit") -> None:
    """Passes only if every row's own unit is the declared one; spelling and case are forgiven ("µM", "uM", "um").

    Raises:
        UnitsError: Some rows are in another unit; the message counts them per unit.
    """
    counts = written.fillna("(none)").value_counts()
    other = {name: int(n) for name, n in counts.items() if unit_of(str(name)) != unit}
    if other:
        listed = examples((f"{n} in {name}" for name, n in other.items()), 6)
        refuse(
            UnitsError(
                f"{where}: mixed units: {sum(other.values())} of {len(written)} rows are not in the declared {unit} "
                f"({listed}). Convert them to one unit, or correct {key}."
            )
        )


def fitting(values: NDArray[np.float64], low: float, high: float) -> list[Unit]:
    """Units in which all values would be potencies within these bounds, −log10 µM."""
    return [unit for unit in TO_POTENCY if _fits(values, unit, low, high)]


def _fits(values: NDArray[np.float64], unit: Unit, low: float, high: float) -> bool:
    if unit in CONCENTRATIONS and (values <= 0).any():
        return False
    potency = TO_POTENCY[unit](values)
    return bool((potency >= low).all() and (potency <= high).all())

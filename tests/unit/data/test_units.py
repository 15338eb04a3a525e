"""Units of an IC50: what each means, how people write it, and what betrays the wrong one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.data.potency import suspicions, to_potency
from dadsp.data.units import TO_POTENCY, check_units, unit_of
from dadsp.errors import UnitsError

# 50 nM in each unit, by hand.
FIFTY_NM = {
    "um": 0.05, "nm": 50, "pm": 50_000, "m": 5e-8, "ln_um": np.log(0.05), "ln_nm": np.log(50), "ln_m": np.log(5e-8),
    "log10_um": np.log10(0.05), "log10_nm": np.log10(50), "log10_m": np.log10(5e-8), "neg_log10_um": 1.30103,
    "neg_log10_m": 7.30103,
}  # fmt: skip


def test_every_unit_reads_the_same_dose() -> None:
    assert set(FIFTY_NM) == set(TO_POTENCY)
    for unit, value in FIFTY_NM.items():
        assert to_potency(np.array([value]), unit)[0] == pytest.approx(1.30103, abs=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        ("um", ["uM", "µM", "\u03bcM", "micromolar", "umol/L", "µmol·L⁻¹", "umol l-1", "micromoles per liter", "IC50 (µM)"]),
        ("nm", ["nM", "NM", "nmol/l", "nanomolar", "[nM]"]),
        ("pm", ["pM", "picomolar", "pmol/L"]),
        ("m", ["M", "molar", "mol/L"]),
        ("ln_um", ["ln(uM)", "LN IC50 (µM)", "ln_um", "loge uM"]),
        ("log10_m", ["log10(M)", "Log10 M", "log10_M", "log10 [M]"]),
        ("log10_nm", ["log10 nM", "log10(IC50 in nM)"]),
        ("neg_log10_m", ["pIC50", "pIC50 (M)", "-log10(M)", "−log10 M", "neg log10 M", "- log10(IC50 [M])", "pEC50"]),
    ],
)
def test_a_unit_is_known_by_its_spellings(unit: Any, spellings: list[str]) -> None:
    assert [unit_of(text) for text in spellings] == [unit] * len(spellings)
    check_units(pd.Series(spellings), unit)


@pytest.mark.parametrize("written", ["log(uM)", "log M", "mM", "mg/ml", "%", "", "ug/mL", "-log M", "uM nM", "µM/h"])
def test_what_is_no_unit_of_ours_or_may_be_two_is_refused(written: str) -> None:
    assert unit_of(written) not in TO_POTENCY
    with pytest.raises(UnitsError, match=r"mixed units: 1 of 2 rows are not in the declared um"):
        check_units(pd.Series(["uM", written]), "um")


def screen(spread: float = 0.55) -> tuple[np.ndarray, pd.DataFrame]:
    """log10 µM of 60 lines and 12 drugs, with the spread within a drug of real screens."""
    random = np.random.default_rng(0)
    drugs, lines = np.repeat(np.arange(12), 60), np.tile(np.arange(60), 12)
    values = 0.9 + random.normal(0, 0.8, 12)[drugs] + random.normal(0, spread, 720)
    return values, pd.DataFrame({"cell_id": lines.astype(str), "drug_id": drugs.astype(str)})


LOGS = {"um": 0, "nm": 3, "m": -6}


@pytest.mark.parametrize("base", LOGS)
@pytest.mark.parametrize("held", ["ln", "log10"])
def test_the_other_logarithm_is_suspicious(base: str, held: str) -> None:
    values, pairs = screen()
    written = (values + LOGS[base]) * (np.log(10) if held == "ln" else 1)
    own: Any = f"{held}_{base}"
    other: Any = f"{'log10' if held == 'ln' else 'ln'}_{base}"
    assert suspicions(to_potency(written, own), pairs, own) == ()
    (note,) = suspicions(to_potency(written, other, (-30, 30)), pairs, other)
    assert note.what.startswith(f"suspicious unit {other}")
    said = "natural logarithms were read as log10" if held == "ln" else "log10 were read as natural logarithms"
    assert f"{said} (a factor of 2.303)" in note.what
    assert note.count == len(pairs)


def test_a_capped_screen_is_not_taken_for_another_logarithm() -> None:
    values, pairs = screen()
    capped = np.minimum(values, 0.7) * np.log(10)
    assert suspicions(to_potency(capped, "ln_um"), pairs, "ln_um") == ()


@pytest.mark.parametrize(("unit", "factor"), [("log10_nm", 3), ("log10_m", 6), ("ln_nm", 3), ("pm", 3), ("pm", -6)])
def test_new_units_are_suspicious_by_powers_of_ten(unit: Any, factor: int) -> None:
    values, pairs = screen(0.4)
    pairs_of = values - 0.9  # around 1 µM
    raw = {
        "log10_nm": pairs_of + 3,
        "log10_m": pairs_of - 6,
        "ln_nm": (pairs_of + 3) * np.log(10),
        "pm": 10 ** (pairs_of + 6),
    }[unit]
    assert suspicions(to_potency(raw, unit), pairs, unit) == ()
    off = raw * 10.0**factor if unit == "pm" else raw + factor * (np.log(10) if unit == "ln_nm" else 1)
    (note,) = suspicions(to_potency(off, unit, (-20, 20)), pairs, unit)
    assert f"10^{abs(factor)} off" in note.what


def test_an_implausible_value_names_the_new_units_that_would_fit() -> None:
    with pytest.raises(UnitsError, match=r"2 of 2 values read as log10_um .*plausible in ln_um, ln_m\. Set"):
        to_potency(np.array([-20.7, -13.8]), "log10_um")

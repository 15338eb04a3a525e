from statistics import median

import numpy as np
import pandas as pd
import pytest

from dadsp.data.potency import censor, not_reached, replicates, to_potency
from dadsp.data.units import check_units
from dadsp.errors import SchemaError, UnitsError
from dadsp.schema import Responses


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (8.0, "um", -0.90309),
        (1.0, "um", 0.0),
        (0.0025, "um", 2.60206),
        (1000.0, "nm", 0.0),
        (1.0, "nm", 3.0),
        (0.0, "ln_um", 0.0),
        (np.log(8.0), "ln_um", -0.90309),
        (2.302585093, "ln_um", -1.0),
        (2.0, "log10_um", -2.0),
        (1.5, "neg_log10_um", 1.5),
        (6.0, "neg_log10_m", 0.0),
        (9.0, "neg_log10_m", 3.0),
    ],
)
def test_potency_equals_hand_arithmetic(value: float, unit: str, expected: float) -> None:
    potency = to_potency(np.array([value]), unit)  # type: ignore[arg-type]
    assert potency.dtype == np.float32
    assert potency[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("unit", ["um", "nm"])
def test_a_concentration_that_is_not_positive_is_refused_with_the_likely_unit(unit: str) -> None:
    with pytest.raises(UnitsError, match=r"2 of 3 values are zero or negative \(e.g. -1.5, 0\).*ln_um"):
        to_potency(np.array([-1.5, 0.0, 3.0]), unit)  # type: ignore[arg-type]


def test_implausible_potency_is_refused_and_names_the_units_that_would_fit() -> None:
    with pytest.raises(UnitsError, match=r"1 of 2 values read as ln_um \(e.g. 8000\).*plausible in um, nm, pm\.") as caught:
        to_potency(np.array([8000.0, 0.5]), "ln_um")
    assert "\n" not in str(caught.value)


def test_the_plausible_range_can_be_widened() -> None:
    assert to_potency(np.array([8.0]), "log10_um", (-9, 10))[0] == -8
    with pytest.raises(UnitsError, match="outside"):
        to_potency(np.array([8.0]), "log10_um")


def test_not_a_number_is_never_a_potency() -> None:
    with pytest.raises(UnitsError, match="1 of 2"):
        to_potency(np.array([np.nan, 1.0]), "um")


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        ("um", ["uM", "µM", "\u03bcM", " um "]),
        ("nm", ["nM", "nanomolar"]),
        ("ln_um", ["ln(uM)", "LN_uM"]),
        ("neg_log10_m", ["-log10(M)", "neg_log10_m"]),
    ],
)
def test_units_of_rows_may_be_spelt_as_people_do(unit: str, spellings: list[str]) -> None:
    check_units(pd.Series(spellings), unit)  # type: ignore[arg-type]


def test_mixed_units_are_refused_with_counts_per_unit() -> None:
    with pytest.raises(UnitsError, match=r"mixed units: 3 of 5 rows .*declared um \(2 in nM, 1 in \(none\)\)\. Convert"):
        check_units(pd.Series(["uM", "nM", "uM", "nM", None]), "um")


def test_relations_mark_what_was_not_reached() -> None:
    flags, notes = not_reached(pd.Series([">", "=", None, "TRUE", "false", ">=", "1", "0"]), "um")
    assert flags.tolist() == [True, False, False, True, False, True, True, False]
    assert notes == ()


def test_relations_turn_round_for_negative_logarithms() -> None:
    flags, notes = not_reached(pd.Series(["<", ">", "="]), "neg_log10_m")
    assert flags.tolist() == [True, False, False]
    assert notes[0].count == 1


def test_an_ic50_below_the_lowest_dose_is_kept_and_noted() -> None:
    flags, notes = not_reached(pd.Series(["<", "<", ">"]), "um")
    assert flags.tolist() == [False, False, True]
    assert notes[0].count == 2


def test_an_unreadable_relation_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"2 of 3 relations cannot be read \(e.g. maybe, \?\)\. Write '>'"):
        not_reached(pd.Series(["=", "maybe", "?"]), "um")


def test_values_at_or_beyond_the_cap_are_censored_and_set_to_it() -> None:
    labels = censor(to_potency(np.array([8.0, 20.0, 7.9, 0.1]), "um"), None, 8.0, "um")
    assert labels.censored.tolist() == [True, True, False, False]
    assert labels.potency.tolist() == pytest.approx([-0.90309, -0.90309, -0.897627, 1.0], abs=1e-5)
    assert labels.cap == labels.potency[0] == labels.potency[1]  # exactly, so that readers may compare


def test_cap_is_read_in_the_declared_unit() -> None:
    assert censor(np.zeros(1, np.float32), None, np.log(8.0), "ln_um").cap == pytest.approx(-0.90309, abs=1e-5)


def test_flags_of_the_file_censor_above_the_cap_too() -> None:
    potency = to_potency(np.array([2.0, 8.0, 1.0]), "um")
    labels = censor(potency, np.array([True, False, False]), 8.0, "um")
    assert labels.censored.tolist() == [True, True, False]
    assert labels.potency[0] == potency[0]


def _responses(rows: list[tuple[int, int, float, bool]]) -> Responses:
    cells, drugs, potency, censored = zip(*rows, strict=True)
    return Responses(np.array(cells), np.array(drugs), np.array(potency, np.float32), np.array(censored))


def test_replicates_merge_to_the_median_of_a_slow_loop() -> None:
    random = np.random.default_rng(3)
    rows = [
        (int(c), int(d), float(p), False)
        for c, d, p in zip(*random.integers(0, 6, (2, 200)), random.normal(size=200), strict=True)
    ]
    merged, notes = replicates(_responses(rows), "median", tuple("abcdef"), tuple("uvwxyz"))
    expected: dict[tuple[int, int], list[float]] = {}
    for cell, drug, potency, _ in rows:
        expected.setdefault((cell, drug), []).append(potency)
    assert list(zip(merged.cell_idx, merged.drug_idx, strict=True)) == list(expected)  # order of first appearance
    np.testing.assert_allclose(merged.potency, [median(values) for values in expected.values()], atol=1e-6)
    assert notes[0].count == sum(len(values) > 1 for values in expected.values())
    assert f"largest {max(max(v) - min(v) for v in expected.values()):.3g}" in notes[0].what


@pytest.mark.parametrize(
    ("measured", "censored"),
    [
        ([(-0.9, True), (-0.9, True), (0.5, False)], True),  # the median stands at the cap
        ([(-0.9, True), (0.2, False), (0.5, False)], False),
        ([(-0.9, True), (0.5, False)], False),  # the median is half way
        ([(-0.9, True), (-0.3, True)], True),  # all are bounds
    ],
)
def test_a_merged_label_is_censored_when_its_middle_is(measured: list[tuple[float, bool]], censored: bool) -> None:
    merged, _ = replicates(_responses([(0, 0, p, c) for p, c in measured]), "median", ("a",), ("u",))
    assert merged.censored.tolist() == [censored]


def test_first_keeps_the_first_row_of_a_pair() -> None:
    merged, notes = replicates(
        _responses([(1, 0, 0.3, False), (0, 0, 0.1, False), (1, 0, 0.9, True)]), "first", ("a", "b"), ("u",)
    )
    assert merged.potency.tolist() == pytest.approx([0.3, 0.1])
    assert merged.censored.tolist() == [False, False]
    assert notes[0].examples == "b/u"


def test_replicates_can_be_refused() -> None:
    with pytest.raises(
        SchemaError, match=r"1 of 1 .* pairs stand more than once \(e.g. a/u\)\. Keep one .*replicates: median"
    ):
        replicates(_responses([(0, 0, 0.3, False), (0, 0, 0.1, False)]), "error", ("a",), ("u",))


def test_pairs_measured_once_pass_untouched() -> None:
    responses = _responses([(0, 0, 0.3, False), (1, 0, 0.1, True)])
    assert replicates(responses, "error", ("a", "b"), ("u",)) == (responses, ())

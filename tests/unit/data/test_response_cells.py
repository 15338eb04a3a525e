"""Cells of a response file that are no plain number: each is read, left out by the policy or refused, and counted."""

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dadsp.data.problems import collecting
from dadsp.data.response_cells import parsed
from dadsp.data.sources.tidy import tidy_screen
from dadsp.data.tables import Frame, read_table
from dadsp.errors import DadspError, SchemaError, UnitsError
from dadsp.schema import Screen
from tests.support.raw_files import write_source

WORDS = [
    "", "Inf", "-inf", "#N/A", "-", "--", "—", "<NA>", "not tested", "Not_Tested", "ND", "n.d.", "N/T", "?", ".", "#DIV/0!",
    "#VALUE!", "NA", "NaN", "null", "1.#QNAN", "∞",
]  # fmt: skip


def screen_of(
    tmp_path: Path, values: Sequence[str], columns: dict[str, Sequence[str]] | None = None, **options: Any
) -> Screen:
    """The source panel with these values in its first rows, read; ``columns``: further ones under their own names."""
    given = write_source(tmp_path / "source")
    path = tmp_path / "source/responses.csv"
    header, *rows = list(csv.reader(path.read_text().splitlines()))
    for row, value in zip(rows, values, strict=False):
        row[2] = value
    for name, cells in (columns or {}).items():
        header.append(name)
        given["responses"]["columns"][name] = name
        for number, row in enumerate(rows):
            row.append(cells[number] if number < len(cells) else "")
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    given["responses"] |= options
    return tidy_screen(given, tmp_path)


def refused(tmp_path: Path, kind: type[DadspError], message: str, *args: Any, **options: Any) -> None:
    with pytest.raises(kind, match=message) as caught:
        screen_of(tmp_path, *args, **options)
    assert "responses.csv: " in str(caught.value)
    assert "\n" not in str(caught.value)


def notes_of(screen: Screen) -> dict[str, tuple[int, str]]:
    return {note.what: (note.count, note.examples) for note in screen.notes}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_nothing_follows_the_policy(tmp_path: Path, word: str) -> None:
    said = re.escape(f" (2 {word!r})") if word else ""
    refused(
        tmp_path,
        SchemaError,
        rf"2 of 20 responses have no value{said}, e\.g\. line 2, line 3\..*on_missing_value: drop",
        [word, word],
    )
    screen = screen_of(tmp_path, [word, word], on_missing_value="drop")
    assert len(screen.responses) == 18
    ((what, (count, places)),) = notes_of(screen).items()
    assert (count, places) == (2, "line 2, line 3")
    assert what.startswith("responses of 20 that have no value")


def test_each_word_is_counted(tmp_path: Path) -> None:
    words = ["ND", "", "ND", "#N/A", "ND"]
    refused(tmp_path, SchemaError, r"5 of 20 responses have no value \(3 'ND', 1 empty, 1 '#N/A'\), e\.g\. line 2", words)


@pytest.mark.parametrize(
    "word",
    ["high", "inactive", "4-5", "5 ± 1", "1,5", ">", "10 (n=3)", "0x1F", "1e999", "3 nM or so, 2", "10³", "1.5¹", "<>1"],
)
def test_what_is_neither_a_number_nor_a_known_word_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(SchemaError) as caught:
        screen_of(tmp_path, ["4", word], on_missing_value="drop")
    remedy = {"1,5": "They are written with a comma", "0x1F": "They are written with hexadecimal"}.get(
        word, "Write one number"
    )
    assert f"1 of 20 values of 'ln_ic50' are not finite numbers (e.g. line 3: {word!r}). {remedy}" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "value", "censored"),
    [
        (">2", 2, True),
        (">= 2.5", 2.5, True),
        ("> 1e0", 1, True),
        ("≥2", 2, True),
        (">>3", 3, True),
        ("<-1.5", -1.5, False),
        ("≤ 0.01", 0.01, False),
        ("~2", 2, False),
        ("=2", 2, False),
        ("−1.5", -1.5, False),  # a true minus
        ("2 ln(µM)", 2, False),
        (">2 ln uM", 2, True),
    ],
)
def test_a_number_with_a_relation_or_its_unit_is_read_and_counted(
    tmp_path: Path, written: str, value: float, censored: bool
) -> None:
    screen = screen_of(tmp_path, ["1", written])
    assert screen.responses.potency[1] == pytest.approx(-value / math.log(10), abs=1e-6)
    assert screen.responses.censored.tolist() == [False, censored] + [False] * 18
    (read,) = [note for note in screen.notes if "more than a number" in note.what]
    assert (read.count, read.examples) == (1, f"line 3: {written!r}")
    below = [note.count for note in screen.notes if "below the lowest dose, taken as they stand" in note.what]
    assert below == ([1] if written[0] in "<≤" else [])


def test_relations_of_negative_logarithms_are_mirrored(tmp_path: Path) -> None:
    screen = screen_of(tmp_path, ["<0.5", "> 2"], unit="neg_log10_um")
    assert screen.responses.censored.tolist()[:3] == [True, False, False]
    assert screen.responses.potency[:2].tolist() == [0.5, 2]
    (read,) = [note for note in screen.notes if "more than a number" in note.what]
    assert "(1 taken as not reached, 1 below the lowest dose)" in read.what


@pytest.mark.parametrize(
    ("cells", "listed"),
    [(["10 nM", "2 nM", "1 mg/ml"], r"\(2 in nm, 1 in mg/ml\)"), (["3 µM", "4 %", "5 M"], r"\(1 in (.m|%|m), ")],
)
def test_another_unit_in_cells_is_refused_and_counted(tmp_path: Path, cells: list[str], listed: str) -> None:
    refused(
        tmp_path,
        UnitsError,
        rf"3 of 20 values of 'ln_ic50' are written in another unit than the declared ln_um {listed}.*line 2: '{cells[0]}'.*"
        r"Convert them .* responses\.unit",
        cells,
    )


def test_the_declared_unit_may_stand_in_cells(tmp_path: Path) -> None:
    plain = [f"{n}" for n in range(1, 21)]
    written = [f"{n} {unit}" for n, unit in zip(plain, ["nM", "nmol/L", "nanomolar", "NM"] * 5, strict=True)]
    expected, screen = (screen_of(tmp_path / f"{n}", cells, unit="nm") for n, cells in enumerate((plain, written)))
    assert screen.content_hash == expected.content_hash
    assert [note.count for note in screen.notes] == [20]
    assert "(20 with their unit)" in screen.notes[0].what


@pytest.mark.parametrize(("cell", "column"), [(">2", "="), (">2", "<"), ("<2", ">"), (">2", "false"), ("=2", "true")])
def test_a_cell_that_contradicts_the_relation_column_is_refused(tmp_path: Path, cell: str, column: str) -> None:
    refused(
        tmp_path,
        SchemaError,
        rf"1 of 20 values of 'ln_ic50' contradict the relation column of their row \(e\.g\. line 2: '{cell}'\)\. Correct",
        [cell],
        {"relation": [column]},
    )


@pytest.mark.parametrize(("cell", "column"), [(">2", ">"), (">2", ""), ("2", ">"), (">2", "yes"), (">= 2", "True")])
def test_a_cell_and_the_relation_column_go_together(tmp_path: Path, cell: str, column: str) -> None:
    screen = screen_of(tmp_path, [cell], {"relation": [column]})
    assert screen.responses.censored.tolist() == [True] + [False] * 19


@pytest.mark.parametrize("cell", [">0.5", "< 0.2", "≥0.9"])
def test_areas_know_no_bounds(tmp_path: Path, cell: str) -> None:
    values = [cell] + [f"{n / 25}" for n in range(1, 20)]
    refused(
        tmp_path,
        SchemaError,
        rf"1 of 20 values of 'ln_ic50' are bounds, which only an IC50 or EC50 may be \(e\.g\. line 2: '{cell}'\)\.",
        values,
        measure="auc",
        unit=None,
    )


def test_relations_beside_areas_are_passed_over_with_a_note(tmp_path: Path) -> None:
    screen = screen_of(tmp_path, [f"{n / 25}" for n in range(20)], {"relation": [">", "="]}, measure="auc", unit=None)
    assert notes_of(screen) == {"relations of the auc passed over: only an IC50 or EC50 is censored": (1, "")}


def test_percent_signs_stand_where_values_are_percentages(tmp_path: Path) -> None:
    screen = screen_of(tmp_path, [f"{n} %" for n in range(20)], measure="auc", unit=None, full_area=100)
    assert screen.responses.potency.tolist() == pytest.approx([1 - n / 100 for n in range(20)])
    refused(
        tmp_path, SchemaError, "1 of 20 values .* not finite numbers", ["0.5 %"] + ["0.5"] * 19, measure="auc", unit=None
    )


@pytest.mark.parametrize("dose", ["0", "-1", "1e9", "0.0"])
def test_a_top_dose_that_is_none_is_told_as_such(tmp_path: Path, dose: str) -> None:
    refused(
        tmp_path,
        UnitsError,
        rf"1 of 20 top doses in 'top_dose' can be no dose in µM \(e\.g\. line 3: {re.escape(f'{float(dose):g}')}\)\. "
        "Correct or empty .*top_dose: null",
        [],
        {"top_dose": ["10", dose, ""]},
    )


@pytest.mark.parametrize("cap", [0, -3, 1e9])
def test_a_cap_that_is_no_dose_is_told_as_such(tmp_path: Path, cap: float) -> None:
    with pytest.raises(UnitsError, match=r"responses\.cap=.* can be no dose in um\. Give the highest tested"):
        screen_of(tmp_path, ["1"] * 20, unit="um", cap=cap)


def test_zeros_have_a_remedy_of_their_own(tmp_path: Path) -> None:
    refused(
        tmp_path,
        UnitsError,
        r"1 of 20 values are zero or negative \(e\.g\. line 3: 0\).*Empty those .*on_missing_value: drop",
        ["1", "0", *["2"] * 18],
        unit="um",
    )


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (["high"], {}),
        (["ND"], {}),
        (["3 nM"], {}),
        (["0", "-1", "1e20"] + ["1"] * 17, {"unit": "um"}),  # one message, not a second one on the implausible
        ([">0.5"] + ["0.5"] * 19, {"measure": "auc", "unit": None}),
    ],
)
def test_one_fault_is_one_problem(tmp_path: Path, values: list[str], options: dict[str, Any]) -> None:
    with collecting() as problems:
        screen_of(tmp_path, values, **options)
    assert len(problems) == 1


def test_a_reader_of_its_own_may_know_numbers_only() -> None:
    table = pd.DataFrame({"value": [1.0, 2.0]})
    assert parsed(table, "um", Path("r.csv")) == (table, ())


def test_tables_in_memory_are_read_alike() -> None:
    table = pd.DataFrame({"value": ["1", ">2 uM", "ND", "3"]})
    columns = {"value": "value"}
    read = read_table(Frame("responses", table), columns, optional=("value",), written=("value",))
    rows, (note,) = parsed(read, "um", Frame("responses", table))
    assert rows["value"].tolist()[:2] == [1, 2]
    assert np.isnan(rows["value"][2])
    assert rows["relation"].tolist() == ["", ">", "", ""]
    assert note.count == 1


@settings(max_examples=40, deadline=None)
@given(
    number=st.floats(-50, 50).map(lambda value: round(value, 3)),
    relation=st.sampled_from(["", ">", "<", ">=", "<=", "~", "=", "≥", "≤"]),
    blank=st.sampled_from(["", " ", "\u00a0"]),
    unit=st.sampled_from(["", "ln(uM)", "LN µM", "ln_um"]),
)
def test_any_relation_number_and_unit_is_read_back(number: float, relation: str, blank: str, unit: str) -> None:
    text = f"{relation}{blank}{number}{blank}{unit}"
    table = pd.DataFrame({"value": [np.nan], "value_written": pd.Series([text], dtype="str")})
    rows, (note,) = parsed(table, "ln_um", Frame("r", table))
    assert rows["value"].tolist() == [number]
    assert note.count == 1
    kind = {">": ">", "≥": ">", "<": "<", "≤": "<"}.get(relation[:1], "=" if relation else "")
    assert list(rows.get("relation", [""])) == [kind]

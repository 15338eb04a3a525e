"""Cells as names and as numbers: the same however they are written, or refused with what is wrong with them."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dadsp.data.cell_values import cleaned
from dadsp.data.table_files import Frame
from dadsp.data.tables import read_matrix, read_table
from dadsp.errors import SchemaError


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["905906.0", "none", "905907"], ["905906", "none", "905907"]),
        (["905906.", "905907.00", "ACH-1"], ["905906", "905907", "ACH-1"]),
        (["1.0", "1.1", "a"], ["1.0", "1.1", "a"]),  # versions
        (["1.5", "2.0"], ["1.5", "2.0"]),
        (["007", "7.0"], ["007", "7"]),
        (["9.07295E5", "9.05906E+05", "x"], ["907295", "905906", "x"]),
        (["1e+05", "9.07e+05"], ["100000", "907000"]),  # as R writes
        (["2310009E13", "1E8", "5e3"], ["2310009E13", "1E8", "5e3"]),  # names
        (["'905906", '="905907"', '="00123"'], ["905906", "905907", "00123"]),
        (["\u200b905906.0\ufeff", "\u00a0x "], ["905906", "x"]),
        (["-1.0", ""], ["-1", None]),
        (["22RV1", "697.0", "786-0"], ["22RV1", "697", "786-0"]),
    ],
)
def test_ids_are_the_same_however_a_program_wrote_them(written: list[str], expected: list[str | None]) -> None:
    assert cleaned(written) == expected


@given(ids=st.lists(st.integers(0, 10**15), min_size=1), words=st.lists(st.sampled_from(["none", "ACH-1", "", "NA", "x y"])))
def test_whole_numbers_with_and_without_zeros_are_equal_beside_any_words(ids: list[int], words: list[str]) -> None:
    plain = cleaned([*map(str, ids), *words])
    assert cleaned([*(f"{number}.0" for number in ids), *words]) == plain
    assert plain[: len(ids)] == [str(number) for number in ids]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["9.06E+05", "905907"], r"1 of 2 cells of 'id' have lost digits \(e\.g\. line 2: 9\.06E\+05\).*format Text"),
        (["x", "1.23457E+17"], r"1 of 2 cells of 'id' have lost digits \(e\.g\. line 3: 1\.23457E\+17\)"),
        (["1.2345678901234568e+17"], r"1 of 1 cells of 'id' have lost digits"),
        (["1E+05", "1E+05"], r"2 of 2 cells of 'id' have lost digits \(e\.g\. line 2: 1E\+05, line 3: 1E\+05\)"),
        (["a", "2023-09-02", "2023-03-01 00:00:00"], r"2 of 3 cells of 'id' are dates \(e\.g\. line 3: 2023-09-02, line 4"),
    ],
)
def test_ids_that_a_spreadsheet_spoilt_are_refused(tmp_path: Path, ids: list[str], words: str) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["id", *ids, ""]))
    with pytest.raises(SchemaError, match=words):
        read_table(tmp_path / "t.csv", {"id": "id"})


TYPED: list[tuple[Any, list[str]]] = [
    ([905906, 905907], ["905906", "905907"]),
    ([905906.0, 905907.0], ["905906", "905907"]),
    (pd.array([905906, 905907], dtype="Int64"), ["905906", "905907"]),
    (pd.Categorical([905906, 905907]), ["905906", "905907"]),
    (pd.Categorical(["a", "b"]), ["a", "b"]),
    ([Decimal("905906"), Decimal("5.0")], ["905906", "5"]),
    (np.array([7, 8], dtype=np.uint8), ["7", "8"]),
]


@pytest.mark.parametrize(("ids", "expected"), TYPED)
def test_typed_ids_are_their_digits_in_memory_and_in_parquet(tmp_path: Path, ids: Any, expected: list[str]) -> None:
    frame = pd.DataFrame({"id": ids})
    frame.to_parquet(tmp_path / "t.parquet")
    for table in (Frame("frame", frame), tmp_path / "t.parquet"):
        assert read_table(table, {"id": "id"})["id"].tolist() == expected


def test_whole_floats_beside_a_gap_are_ids_and_mixed_columns_are_text() -> None:
    for ids, expected in (([905906.0, None], "905906"), ([905906.0, "none"], "905906"), ([pd.NA, "a"], None)):
        found = read_table(Frame("frame", pd.DataFrame({"id": ids})), {"id": "id"}, optional=("id",))["id"]
        assert (None if pd.isna(found[0]) else found[0]) == expected


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([1.5, 2.0], r"the column 'id' holds fractions \(e\.g\. 1\.5, 2\.0\), where names or ids belong"),
        ([True, False], r"holds truth values \(e\.g\. True, False\)"),
        (pd.to_datetime(["2023-09-02", "2023-03-01"]), r"holds dates \(e\.g\. 2023-09-02"),
        ([datetime.date(2023, 9, 2)] * 2, r"holds dates"),
        (pd.to_timedelta([1, 2]), r"holds times"),
        ([1e17, 2.0], r"holds numbers whose last digits are lost \(e\.g\. 1e\+17"),
        ([np.inf, 2.0], r"holds numbers whose last digits are lost"),
        ([b"a", b"b"], r"holds values of the type binary"),
        ([[1], [2]], r"holds values of the type list"),
        ([datetime.date(2023, 9, 2), "x"], r"1 of 2 cells of 'id' are dates \(e\.g\. row 1: 2023-09-02\)"),
    ],
)
def test_values_of_another_type_are_no_ids(tmp_path: Path, ids: Any, words: str) -> None:
    frame = pd.DataFrame({"id": ids})
    with pytest.raises(SchemaError, match=f"frame: .*{words}"):
        read_table(Frame("frame", frame), {"id": "id"})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["1,5", "2,0"], r"2 of 2 values of 'v' .*line 2: '1,5'.* with a comma: write a decimal point"),
        (["1.234,5"], r"'1\.234,5'.* separators of thousands"),
        (["12,345.6", "1,234"], r"separators of thousands"),
        (["1\u00a0234"], r"separators of thousands"),
        (["1'234"], r"separators of thousands"),
        (["\u22121.2"], r"a typographic minus"),
        (["5%", "12 %"], r"a percent sign"),
        (["0x1F"], r"hexadecimal"),
        (["1_000"], r"underscores"),
        (["\u0661\u0662"], r"digits of another script"),
        (["\uff11\uff12"], r"digits of another script"),
        (["'1.5"], r"a mark before the number"),
        (["inf"], r"1 of 1 values of 'v' are not finite numbers \(e\.g\. line 2: 'inf'\)"),
        (["1e400"], r"not finite numbers"),
        (["5-Jan"], r"not finite numbers"),
        (["2023-01-05"], r"not finite numbers"),
        (["True"], r"not finite numbers"),
        (["1.5 uM"], r"no units"),
    ],
)
def test_numbers_in_another_spelling_are_refused_with_the_right_one(tmp_path: Path, written: list[str], words: str) -> None:
    (tmp_path / "t.tsv").write_text("\n".join(["v\tw", *(f"{text}\tx" for text in written), ""]))
    with pytest.raises(SchemaError, match=words):
        read_table(tmp_path / "t.tsv", {"v": "v"}, numbers=("v",))
    lines = pd.DataFrame({"id": [f"L{n}" for n in range(len(written))], "G": written})
    with pytest.raises(SchemaError, match=r"of 'G' are not finite numbers|missing or infinite"):
        read_matrix(Frame("lines", lines), "id")


def test_plain_spellings_of_numbers_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("v\n1e5\n+5\n.5\n5.\n -2 \n1E-3\n007\n")
    found = read_table(tmp_path / "t.csv", {"v": "v"}, numbers=("v",))["v"]
    assert found.tolist() == [1e5, 5, 0.5, 5, -2, 1e-3, 7]


@pytest.mark.parametrize(
    "values", [[True, False], pd.to_datetime(["2023-01-01"] * 2), ["1_000", "2"], ["\u0661", "2"], [1j, 2]]
)
def test_typed_columns_without_numbers_are_no_expression(values: Any) -> None:
    frame = pd.DataFrame({"id": ["A", "B"], "G": values, "H": [1.0, 2.0]})
    with pytest.raises(SchemaError, match=r"lines: [12] of 2 values of 'G' are not finite numbers \(e\.g\. row 1"):
        read_matrix(Frame("lines", frame), "id")


def test_text_in_several_columns_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,A,B\nx,1,high\ny,low,2\n")
    words = r"2 of 4 values in 2 of 2 columns are not finite numbers \(e\.g\. line 3, 'A': 'low', line 2, 'B': 'high'\)"
    with pytest.raises(SchemaError, match=words):
        read_matrix(tmp_path / "t.csv", "id")

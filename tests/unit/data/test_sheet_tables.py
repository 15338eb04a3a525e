"""Sheets of a workbook: which one is read, where its table begins, and what its cells are."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from dadsp.data.problems import remarks
from dadsp.data.sources.tidy_files import ExpressionFile
from dadsp.data.table_files import TableFile
from dadsp.data.tables import read_table
from dadsp.errors import ConfigError, DadspError
from dadsp.schema import Note

ROWS: list[list[Any]] = [["drug", "name", "v"], ["d1", "a", 1.5], ["d2", "b", 2]]
COLUMNS = {"id": "drug", "name": "name", "v": "v"}


def write(path: Path, sheets: dict[str, Sequence[Sequence[Any]]], row: int = 1) -> Path:
    """A workbook whose tables begin in this row, second column."""
    book = openpyxl.Workbook()
    assert book.active is not None
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for down, cells in enumerate(rows):
            for right, cell in enumerate(cells):
                sheet.cell(row + down, 2 + right, cell)
    book.save(path)
    return path


def read(path: Path, columns: dict[str, Any] = COLUMNS, **layout: Any) -> tuple[dict[str, list[Any]], list[Note]]:
    with remarks() as notes:
        found = read_table(TableFile(path, **layout), columns, numbers=("v",) if "v" in columns else ())
    return {str(name): list(found[name]) for name in found}, notes


READ = {"id": ["d1", "d2"], "name": ["a", "b"], "v": [1.5, 2.0]}


def test_the_first_sheet_is_read_or_the_one_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", {"About": [["Drugs"]], "Data": ROWS})
    assert read(path, sheet="Data") == (READ, [])
    with pytest.raises(
        DadspError, match=r"no column 'drug'.*Its sheet 'About' was read; sheet 'Data' has them: set sheet: Data"
    ):
        read(path)
    with pytest.raises(DadspError, match=r"has no sheet 'data'\. Did you mean 'Data'\?"):
        read(path, sheet="data")


def test_another_sheet_of_the_same_columns_is_suspicious(tmp_path: Path) -> None:
    found, (note,) = read(write(tmp_path / "t.xlsx", {"GDSC1": ROWS, "GDSC2": ROWS, "About": [["x"]]}))
    assert found == READ
    assert (note.count, note.examples) == (1, "GDSC2")
    assert note.what.startswith("suspicious t.xlsx: sheets beside the first")


def test_rows_are_numbered_as_excel_does(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", {"A": [*ROWS, ["d3", "c", "high"]]}, row=4)
    with pytest.raises(DadspError, match=r"1 of 3 values of 'v' .*row 7: 'high'"):
        read(path)


def test_lines_above_the_header_and_headers_of_two_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", {"A": [["Table S1", None, None], [None] * 3, *ROWS]})
    assert read(path, skip_lines=2) == (READ, [])
    with pytest.raises(DadspError, match=r"no column 'drug'.*Line 3 names them: set skip_lines: 2"):
        read(path)
    path = write(tmp_path / "t.xlsx", {"A": [["", "info", None], *ROWS]})
    assert read(path, {"id": "drug", "name": "info name", "v": "info v"}, header_lines=2) == (READ, [])
    path = write(tmp_path / "t.xlsx", {"A": ROWS[1:]})
    assert read(path, {"id": "1", "name": "2", "v": "3"}, header_lines=0) == (READ, [])


@pytest.mark.parametrize(
    ("name", "layout", "words"),
    [
        ("t.csv", {"sheet": "A"}, r"t\.csv: a \.csv file has no sheet\. Leave that option out"),
        ("t.parquet", {"header_lines": 0, "skip_lines": 1}, r"a \.parquet file has no skip_lines and no header_lines"),
    ],
)
def test_options_of_another_kind_of_file_are_refused(tmp_path: Path, name: str, layout: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(tmp_path / name, **layout)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([date(2023, 9, 2), date(2023, 3, 1)], r"the column 'drug' holds dates \(e\.g\. 2023-09-02, 2023-03-01\)"),
        ([date(2023, 9, 2), "x"], r"1 of 2 cells of 'drug' are dates \(e\.g\. row 2: 2023-09-02\)"),
        ([True, False], r"holds truth values"),
        ([1.5, 2.5], r"holds fractions"),
        ([123456789012345678, 2], r"holds numbers whose last digits are lost"),
        (["1.23457E+17", "x"], r"1 of 2 cells of 'drug' have lost digits"),
    ],
)
def test_cells_of_another_kind_are_no_ids(tmp_path: Path, cells: list[Any], words: str) -> None:
    with pytest.raises(DadspError, match=words):
        read(write(tmp_path / "t.xlsx", {"A": [["drug"], *([cell] for cell in cells)]}), {"id": "drug"})


def test_numbers_beside_words_are_the_same_ids_as_in_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", {"A": [["drug"], [905906], ["none"], [905907.0], ["007"]]})
    assert read(path, {"id": "drug"})[0]["id"] == ["905906", "none", "905907", "007"]


def test_symbols_that_became_dates_arrive_as_text(tmp_path: Path) -> None:
    across = write(tmp_path / "a.xlsx", {"A": [["line", date(2023, 9, 2), "EGFR"], ["L1", 1, 2.5]]})
    down = write(tmp_path / "b.xlsx", {"A": [["gene", "L1"], [date(2023, 9, 2), 1], ["EGFR", 2.5]]})
    for path, options in ((across, {"id_column": "line"}), (down, {"id_column": "gene", "orientation": "genes_by_lines"})):
        matrix, _ = ExpressionFile(path=path.name, **options).read(tmp_path)  # type: ignore[arg-type]
        assert matrix.columns == ("2023-09-02", "EGFR")

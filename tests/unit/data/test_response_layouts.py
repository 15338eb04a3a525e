"""Responses as matrices, and files of several screens: read as declared, or told what they seem to be."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dadsp.data.sources.tidy import tidy_screen
from dadsp.data.table_files import TableFile
from dadsp.data.tables import read_matrix
from dadsp.errors import ConfigError, DadspError, SchemaError
from dadsp.schema import Screen
from tests.support.raw_files import write_rows, write_source

Options = dict[str, Any]
LAYOUTS = ("lines_by_drugs", "drugs_by_lines")


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return write_source(tmp_path / "source")


def as_matrix(root: Path, options: Options, layout: str, cells: dict[tuple[str, str], str] | None = None) -> Options:
    """Rewrites the responses as a matrix, and the options to read it; ``cells``: what else stands at (line, drug)."""
    path = root / "source/responses.csv"
    _, *rows = list(csv.reader(path.read_text().splitlines()))
    held = {(line, drug): value for line, drug, value in rows} | (cells or {})
    lines, drugs = (list(dict.fromkeys(key[axis] for key in held)) for axis in (0, 1))
    if layout == "lines_by_drugs":
        write_rows(path, ["line", *drugs], [[line, *(held.get((line, drug), "") for drug in drugs)] for line in lines])
    else:
        write_rows(path, ["drug", *lines], [[drug, *(held.get((line, drug), "") for line in lines)] for drug in drugs])
    del options["responses"]["columns"]
    options["responses"] |= {"layout": layout, "id_column": "line" if layout == "lines_by_drugs" else "drug"}
    return options


def labels(screen: Screen) -> dict[tuple[str, str], tuple[float, bool]]:
    found = screen.responses
    rows = zip(found.cell_idx, found.drug_idx, found.potency.tolist(), found.censored.tolist(), strict=True)
    return {(screen.cells.ids[cell], screen.drugs.ids[drug]): (label, bound) for cell, drug, label, bound in rows}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_matrix_gives_the_labels_of_the_long_table(tmp_path: Path, options: Options, layout: str) -> None:
    expected = labels(tidy_screen(options, tmp_path))
    screen = tidy_screen(as_matrix(tmp_path, options, layout), tmp_path)
    assert labels(screen) == expected
    assert screen.notes == ()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_cells_of_a_matrix_were_not_measured(tmp_path: Path, options: Options, layout: str) -> None:
    cells = {("1001", "11"): "", ("1002", "12"): "NA", ("1003", "13"): ">1"}
    screen = tidy_screen(as_matrix(tmp_path, options, layout, cells), tmp_path)
    found = labels(screen)
    assert len(found) == 18
    assert ("1001", "11") not in found
    assert ("1002", "12") not in found
    assert found["1003", "13"][1]
    what = {note.what: (note.count, note.examples) for note in screen.notes}
    assert what["empty cells of the 20 of a matrix of responses taken as not measured"] == (2, "")
    where = "line 4, column 13" if layout == "lines_by_drugs" else "line 4, column 1003"
    assert what["values read from cells that hold more than a number (1 taken as not reached)"] == (1, f"{where}: '>1'")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("not tested", r"1 of 20 responses have no value \(1 'not tested'\), e\.g\. line 3, column 13\. .*on_missing_value"),
        ("high", r"1 of 20 values are not finite numbers \(e\.g\. line 3, column 13: 'high'\)"),
        ("2 nM", r"another unit than the declared ln_um \(1 in nm\) \(e\.g\. line 3, column 13: '2 nM'\)"),
        ("9e9", r"1 of 20 values read as ln_um \(e\.g\. line 3, column 13: 9e\+09\)"),
    ],
)
def test_a_wrong_cell_of_a_matrix_is_named_by_line_and_column(
    tmp_path: Path, options: Options, cell: str, message: str
) -> None:
    with pytest.raises(DadspError, match=message):
        tidy_screen(as_matrix(tmp_path, options, "lines_by_drugs", {("1002", "13"): cell}), tmp_path)


@pytest.mark.parametrize(
    ("layout", "across", "first", "message"),
    [
        (
            "lines_by_drugs",
            "drugs",
            "line",
            r"4 of its 5 columns are drugs \(e\.g\. 11, 12, 13, …\).*cell lines in its rows",
        ),
        ("drugs_by_lines", "lines", "drug", r"5 of its 6 columns are cell lines \(e\.g\. 1001, .*drugs in its rows"),
    ],
)
def test_a_matrix_declared_as_a_long_table_is_told(
    tmp_path: Path, options: Options, layout: str, across: str, first: str, message: str
) -> None:
    columns = dict(options["responses"]["columns"])
    as_matrix(tmp_path, options, layout)
    options["responses"] = {"path": "source/responses.csv", "columns": columns, "unit": "ln_um"}
    with pytest.raises(SchemaError, match=rf"{message}.*layout: {layout} and responses\.id_column: '{first}'"):
        tidy_screen(options, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_turned_matrix_is_told(tmp_path: Path, options: Options, layout: str) -> None:
    (other,) = set(LAYOUTS) - {layout}
    as_matrix(tmp_path, options, layout)["responses"]["layout"] = other
    with pytest.raises(SchemaError, match=rf"was read as {other}, but its columns are .*Set responses\.layout: {layout}\."):
        tidy_screen(options, tmp_path)


def test_a_long_table_declared_as_a_matrix_is_told(tmp_path: Path, options: Options) -> None:
    del options["responses"]["columns"]
    options["responses"] |= {"layout": "lines_by_drugs", "id_column": "line"}
    with pytest.raises(
        SchemaError, match=r"none of its 2 columns \(e\.g\. drug, ln_ic50\) is one of the drugs .*layout: long"
    ):
        tidy_screen(options, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": None}, "columns is required"),
        ({"layout": "lines_by_drugs"}, "needs id_column and has no columns"),
        ({"layout": "drugs_by_lines", "columns": None}, "needs id_column and has no columns"),
        ({"id_column": "line"}, "layout long has no id_column and no ignore"),
        ({"layout": "wide"}, "is not a valid choice. Valid: drugs_by_lines, lines_by_drugs, long"),
    ],
)
def test_options_of_layouts_that_do_not_go_together_are_refused(
    tmp_path: Path, options: Options, change: Options, message: str
) -> None:
    options["responses"] |= change
    with pytest.raises(ConfigError, match=message):
        tidy_screen(options, tmp_path)


def test_columns_of_a_matrix_that_hold_no_responses_may_be_ignored(tmp_path: Path, options: Options) -> None:
    as_matrix(tmp_path, options, "lines_by_drugs")
    path = tmp_path / "source/responses.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},tissue", *(f"{row},lung" for row in rows)]) + "\n")
    options["responses"]["ignore"] = ["tissue"]
    assert len(tidy_screen(options, tmp_path).responses) == 20
    options["responses"]["ignore"] = []
    with pytest.raises(SchemaError, match=r"5 of 25 values are not finite numbers \(e\.g\. line 2, column tissue: 'lung'"):
        tidy_screen(options, tmp_path)


def test_a_matrix_of_nothing_is_refused(tmp_path: Path, options: Options) -> None:
    write_rows(tmp_path / "source/responses.csv", ["line", "11"], [["1001", ""], ["1002", "NA"]])
    del options["responses"]["columns"]
    options["responses"] |= {"layout": "lines_by_drugs", "id_column": "line"}
    with pytest.raises(SchemaError, match="all 2 cells of its matrix are empty"):
        tidy_screen(options, tmp_path)


def of_several(root: Path, column: str = "study", further: str = "77,88,high,B") -> None:
    """Adds a column that says A, and a last row of another screen."""
    path = root / "source/responses.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},{column}", *(f"{row},A" for row in rows), further]) + "\n")


@pytest.mark.parametrize("chosen", ["A", "a", ["A"], ["A", "a"]])
def test_rows_of_one_screen_are_chosen_and_the_others_counted(tmp_path: Path, options: Options, chosen: Any) -> None:
    expected = tidy_screen(options, tmp_path).content_hash
    of_several(tmp_path)
    options["responses"]["rows"] = {"study": chosen}
    screen = tidy_screen(options, tmp_path)  # the other screen's row, which could not be read, does not matter
    assert screen.content_hash == expected
    assert [note.count for note in screen.notes] == [1]
    assert screen.notes[0].what.startswith("rows of 21 of responses.csv left out, all but those with study = ")


def test_places_count_the_lines_of_the_whole_file(tmp_path: Path, options: Options) -> None:
    of_several(tmp_path, further="1001,11,high,B")
    options["responses"]["rows"] = {"study": "B"}
    with pytest.raises(SchemaError, match=r"1 of 1 values of 'ln_ic50' are not finite numbers \(e\.g\. line 22: 'high'\)"):
        tidy_screen(options, tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"study": "C"}, r"has no row whose 'study' is C\. Valid: A, B\."),
        ({"studdy": "A"}, r"has no column 'studdy' for rows\.studdy\. Did you mean 'study'"),
        ({"study": "A", "drug": "88"}, r"has no row that fits all of study, drug at once"),
    ],
)
def test_rows_that_no_row_fits_are_told(tmp_path: Path, options: Options, rows: Options, message: str) -> None:
    of_several(tmp_path)
    options["responses"]["rows"] = rows
    with pytest.raises(SchemaError, match=message):
        tidy_screen(options, tmp_path)


@pytest.mark.parametrize(
    "column", ["study", "SOURCE", "Dataset", "data_set", "screen", "dose_response_metric", "Standard Type"]
)
def test_a_file_that_seems_to_hold_several_screens_is_told(tmp_path: Path, options: Options, column: str) -> None:
    of_several(tmp_path, column, "1001,11,2,B")
    (note, _) = tidy_screen(options, tmp_path).notes
    assert note.what.startswith(
        f"suspicious rows: the column {column!r} holds 2 values, as if the file held several screens"
    )
    assert (note.count, note.examples) == (21, "20 of A, 1 of B")


@pytest.mark.parametrize("column", ["batch", "study"])
def test_other_columns_and_one_screen_are_not_told(tmp_path: Path, options: Options, column: str) -> None:
    of_several(tmp_path, column, f"1001,11,2,{'B' if column == 'batch' else 'A'}")
    assert not [note for note in tidy_screen(options, tmp_path).notes if "suspicious" in note.what]


def _with_column(path: Path, name: str, own: str, further: str) -> None:
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},{name}", *(f"{row},{own}" for row in rows), further]) + "\n")


@pytest.mark.parametrize(
    ("part", "own", "further", "value"),
    [
        ("expression", "1", "77,1,bad,3,4,2", 1),
        ("drugs", "x", ",no id,C1,,y", "x"),
        ("cells", "TRUE", ",bad,,False", True),
    ],
)
def test_every_file_can_be_one_of_several_screens(
    tmp_path: Path, options: Options, part: str, own: str, further: str, value: Any
) -> None:
    expected = tidy_screen(options, tmp_path).content_hash
    _with_column(tmp_path / f"source/{part}.csv", "which", own, further)
    options[part]["rows"] = {"which": value}
    screen = tidy_screen(options, tmp_path)
    assert screen.content_hash == expected
    (note,) = screen.notes
    assert note.what.endswith(f"left out, all but those with which = {value}")
    assert note.count == 1


def test_layouts_without_such_columns_refuse_rows(tmp_path: Path, options: Options) -> None:
    from dadsp.data.sources.ccle import Gct

    with pytest.raises(ValueError, match="no columns to choose rows by"):
        Gct(path="x.gct", rows={"a": ("b",)})


def test_lines_of_a_chosen_matrix_are_counted_in_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "e.csv", ["id", "g", "h", "s"], [["a", 1, 2, 1], ["", 3, 4, 2], ["c", 5, 6, 2]])
    choose: Callable[[str], Any] = lambda value: read_matrix(TableFile(path, rows=(("s", (value,)),)), "id")  # noqa: E731
    assert choose("1").numbers.tolist() == [[1, 2]]
    with pytest.raises(SchemaError, match=r"1 of 2 rows have no 'id' \(e\.g\. line 3\)"):
        choose("2")

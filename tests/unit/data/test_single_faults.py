"""One fault is one problem: what follows from it is not reported, and the remedy is that of the fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dadsp.data.problems import collecting
from dadsp.data.sources.tidy import tidy_study
from tests.support.raw_files import write_panel

Fault = Callable[[Path, dict[str, Any]], None]


def cell(path: str, row: int, column: int, text: str) -> Fault:
    """One cell of a file says something else; row 0 is the header."""

    def damage(root: Path, options: dict[str, Any]) -> None:
        rows = [line.split(",") for line in (root / path).read_text().splitlines()]
        rows[row][column] = text
        (root / path).write_text("\n".join(map(",".join, rows)) + "\n")

    return damage


def column(path: str, place: int, change: Callable[[str], str]) -> Fault:
    """A whole column of a file says something else."""

    def damage(root: Path, options: dict[str, Any]) -> None:
        header, *rows = [line.split(",") for line in (root / path).read_text().splitlines()]
        for row in rows:
            row[place] = change(row[place])
        (root / path).write_text("\n".join(map(",".join, [header, *rows])) + "\n")

    return damage


def rows(path: str, kept: slice) -> Fault:
    """Lines of a file are missing."""

    def damage(root: Path, options: dict[str, Any]) -> None:
        (root / path).write_text("\n".join((root / path).read_text().splitlines()[kept]) + "\n")

    return damage


def gone(path: str) -> Fault:
    return lambda root, options: (root / path).unlink()


def option(screen: str, part: str, **values: Any) -> Fault:
    return lambda root, options: options[screen][part].update(values)


def header(screen: str, part: str, **values: str) -> Fault:
    return lambda root, options: options[screen][part]["columns"].update(values)


def both(*faults: Fault) -> Fault:
    def damage(root: Path, options: dict[str, Any]) -> None:
        for fault in faults:
            fault(root, options)

    return damage


EXPRESSION, RESPONSES, DRUGS, CELLS = (f"source/{name}.csv" for name in ("expression", "responses", "drugs", "cells"))


def other(text: str) -> str:
    return f"X{text}"


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "drug without an id": (cell(DRUGS, 1, 0, ""), "SRC drugs", "1 of 4 rows have no 'drug'"),
    "annotation without an id": (cell(CELLS, 2, 0, ""), "SRC cells", "1 of 5 rows have no 'line'"),
    "response without a line": (cell(RESPONSES, 1, 0, ""), "SRC responses", "1 of 20 rows have no 'line'"),
    "responses without drugs": (column(RESPONSES, 1, lambda _: ""), "SRC responses", "20 of 20 rows have no 'drug'"),
    "drug twice": (cell(DRUGS, 2, 0, "11"), "SRC drugs", "1 drugs stand more than once (e.g. 11)"),
    "annotation twice": (cell(CELLS, 2, 0, "1001"), "SRC cells", "1 cell lines stand more than once (e.g. 1001)"),
    "link twice": (cell(CELLS, 1, 1, "L2"), "SRC cells", "1 link ids stand more than once (e.g. L2)"),
    "line twice": (cell(EXPRESSION, 2, 0, "1001"), "SRC expression", "1 cell lines stand more than once (e.g. 1001)"),
    "line without a name": (cell(EXPRESSION, 1, 0, ""), "SRC expression", "1 of 5 rows have no 'line'"),
    "expression is text": (cell(EXPRESSION, 1, 1, "high"), "SRC expression", "line 2: 'high'"),
    "expression is missing": (cell(EXPRESSION, 1, 1, ""), "SRC expression", "1 of 20 values are missing"),
    "structure": (cell(DRUGS, 1, 2, "C1CC"), "SRC drugs", "1 of 3 SMILES are not valid (e.g. ethanol: 'C1CC')"),
    "one value is text": (cell(RESPONSES, 1, 2, "high"), "SRC responses", "1 of 20 values of 'ln_ic50' are not finite"),
    "all values are text": (column(RESPONSES, 2, lambda _: "high"), "SRC responses", "20 of 20 values of 'ln_ic50'"),
    "all values are text, by id map": (
        column("target/responses.csv", 2, lambda _: "high"), "TGT responses", "15 of 15 values of 'ic50_um'",
    ),
    "no value": (column(RESPONSES, 2, lambda _: ""), "SRC responses", "20 of 20 responses have no value"),
    "no value, dropped": (
        both(column(RESPONSES, 2, lambda _: ""), option("source", "responses", on_missing_value="drop")),
        "", "no labelled pair left (responses of 20 that have no value left out: 20",
    ),
    "not credible": (column(RESPONSES, 2, lambda x: str(float(x) * 1e6)), "SRC responses", "18 of 20 values read as ln_um"),
    "not credible, dropped": (
        both(column(RESPONSES, 2, lambda _: "1e6"), option("source", "responses", on_implausible="drop")),
        "", "no labelled pair left (responses of 20 whose label is not credible left out: 20",
    ),
    "negative": (column("target/responses.csv", 2, lambda _: "-1"), "TGT responses", "12 of 12 values are zero or negative"),
    "no drug is known": (
        column(RESPONSES, 1, other), "SRC responses",
        "none of 4 (e.g. X11, X12, X13, …) is among the 4 there (e.g. 11, 12, 13, …)",
    ),
    "no drug is known, dropped": (
        both(column(RESPONSES, 1, other), option("source", "responses", on_missing_drug="drop")),
        "SRC responses", "Name the column that holds the same ids as responses.columns.drug_id",
    ),
    "no line is known": (
        column(RESPONSES, 0, other), "SRC responses",
        "none of 5 (e.g. X1001, X1002, X1003, …) is among the 5 there (e.g. 1001, 1002, 1003, …)",
    ),
    "the id map knows no line": (
        column("target/responses.csv", 0, other), "TGT responses",
        "cells.csv: none of the 5 line ids of the responses (e.g. XALPHA, XBETA, XGAMMA, …) stands in 'name' (e.g. ALPHA,",
    ),
    "the id map leads nowhere": (
        header("target", "id_map", expression_id="link"), "TGT responses", "among the 4 there (e.g. A-1, A-2, A-3, …)",
    ),
    "the id map is read from another column": (
        header("target", "id_map", response_id="link"), "TGT responses", "stands in 'link' (e.g. L2, L3, L8, …)",
    ),
    "the annotation knows no line": (
        column(CELLS, 0, other), "SRC cells",
        "none of the 5 cell lines with expression (e.g. 1001, 1002, 1003, …) has a row among its 5 (e.g. X1001,",
    ),
    "the annotation knows no line, blank": (
        both(column(CELLS, 0, other), option("source", "cells", on_missing="blank")), "SRC cells", "cells.columns.cell_id",
    ),
    "the link table knows no line": (
        both(
            lambda root, options: options["source"]["cells"]["columns"].pop("link_id") and None,
            option("source", "cells", links={"path": CELLS, "columns": {"cell_id": "tissue", "link_id": "link"}}),
        ),
        "SRC cells", "none of the 5 cell lines (e.g. 1001, 1002, 1003, …) stands in 'tissue' (e.g. lung, lung, skin",
    ),
    "the id map names a line twice": (
        cell("target/cells.csv", 1, 1, "BETA"), "TGT responses", "1 response ids stand more than once (e.g. BETA)",
    ),
    "neither annotation nor link table knows a line": (
        both(
            column(CELLS, 0, other),
            lambda root, options: options["source"]["cells"]["columns"].pop("link_id") and None,
            option("source", "cells", links={"path": CELLS, "columns": {"cell_id": "line", "link_id": "link"}}),
        ),
        "SRC cells", "Name the column of the expression file's ids as cells.columns.cell_id",
    ),
    "no drug file": (gone(DRUGS), "SRC drugs", "There is no file"),
    "no annotation": (gone(CELLS), "SRC cells", "There is no file"),
    "no annotation, which is the id map": (gone("target/cells.csv"), "TGT cells", "There is no file"),
    "no expression": (gone(EXPRESSION), "SRC expression", "There is no file"),
    "no responses": (gone(RESPONSES), "SRC responses", "There is no file"),
    "header of the structures": (header("source", "drugs", smiles="SMI"), "SRC drugs", "has no column 'SMI'"),
    "header of the links": (header("source", "cells", link_id="LNK"), "SRC cells", "has no column 'LNK'"),
    "header of the values": (header("source", "responses", value="IC"), "SRC responses", "has no column 'IC'"),
    "a line less": (rows(EXPRESSION, slice(-1)), "SRC responses", "4 of 20 responses name cell lines without expression"),
    "a drug less": (rows(DRUGS, slice(-1)), "SRC responses", "5 of 20 responses name drugs that the drug file lacks"),
    "an annotation less": (rows(CELLS, slice(-1)), "SRC cells", "1 of 5 cell lines with expression have no row (e.g. 1005)"),
    "responses are a header": (rows(RESPONSES, slice(1)), "SRC responses", "has a header but no rows"),
    "drugs are a header": (rows(DRUGS, slice(1)), "SRC drugs", "has a header but no rows"),
    "annotation is a header": (rows("target/cells.csv", slice(1)), "TGT cells", "has a header but no rows"),
    "labels are alike": (column(RESPONSES, 2, lambda _: "1"), "", "All 15 labels of SRC are -0.4343"),
    "labels are capped": (column("target/responses.csv", 2, lambda _: "8"), "", "All 12 labels of TGT are capped"),
    "no structure": (
        column(DRUGS, 2, lambda _: ""), "",
        "SRC: none of 4 drugs has a structure (e.g. ethanol (11)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "where", "words"), FAULTS.values(), ids=FAULTS)
def test_one_fault_is_one_problem(fault: Fault, where: str, words: str, tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    fault(tmp_path, options)
    with collecting() as problems:
        tidy_study(**options)
    assert [problem.where for problem in problems] == [where]
    assert words in problems[0].message
    assert "\n" not in problems[0].message


def test_two_faults_of_different_parts_are_two_problems(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    both(cell(DRUGS, 1, 2, "C1CC"), cell(RESPONSES, 1, 1, "99"))(tmp_path, options)
    with collecting() as problems:
        tidy_study(**options)
    assert [problem.where for problem in problems] == ["SRC drugs", "SRC responses"]


def test_names_that_fall_together_are_one_problem(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    options["target"]["cells"] |= {"columns": {"cell_id": "id", "name": "name"}, "link_by": "name"}
    cell("target/cells.csv", 1, 1, "BE-TA")(tmp_path, options)
    with collecting() as problems:
        tidy_study(**options)
    (problem,) = problems
    assert problem.where == "TGT cells"
    assert "1 ids have several line names (BETA: BE-TA / BETA)" in problem.message


def test_a_screen_linked_by_name_where_ids_are_lacking_is_no_warning(tmp_path: Path) -> None:
    options = write_panel(tmp_path)
    options["target"]["cells"] |= {
        "columns": {"cell_id": "id", "name": "name", "link_id": "link"},
        "link_by": "id_then_name",
    }
    column("target/cells.csv", 2, lambda _: "")(tmp_path, options)
    notes = tidy_study(**options).target.notes
    assert ("cell lines without a link id in cells.csv, sought by name", 4) in [(note.what, note.count) for note in notes]
    assert not [note for note in notes if note.what.startswith("suspicious links: most")]

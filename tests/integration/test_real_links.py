"""The annotation files of GDSC, CCLE and DepMap, linked by name alone, against the ids that they hold themselves."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.data.line_links import linked
from dadsp.data.sources.ccle import Annotations
from dadsp.data.sources.tidy_files import CellFile
from dadsp.data.sources.tidy_lines import read_cells
from dadsp.data.tables import Matrix, read_table
from dadsp.schema import Drugs, Responses, Screen

DATA = Path(os.environ.get("DADSP_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
pytestmark = pytest.mark.skipif(
    not (DATA / "native").is_dir(), reason=f"the real data are not here: no {DATA}/native (set DADSP_REAL_DATA)"
)

DEPMAP = "native/DepMap-2018q3-celllines.csv"
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "GDSC": ("native/Cell_Lines_Details.txt", {"cell_id": "COSMIC identifier", "name": "Sample Name"}),
    "CCLE": (
        "native/Cell_lines_annotations_20181226.txt",
        {"cell_id": "depMapID", "name": "Name", "aliases": ["CCLE_ID"]},
    ),
    "DepMap": (DEPMAP, {"cell_id": "Broad_ID", "name": "CCLE_Name", "aliases": ["Aliases"]}),
    "panel GDSC": ("gdsc_ccle/gdsc/cell_lines.csv", {"cell_id": "COSMIC_ID", "name": "Name"}),
    "panel CCLE": (
        "gdsc_ccle/ccle/cell_lines.csv",
        {"cell_id": "depMapID", "name": "Name", "aliases": ["CCLE_ID"]},
    ),
}
# Names that DepMap itself gives to two ids, one of them without the COSMIC id: no name can say which.
TWO_IDS = {"SC-1", "H513"}


@cache
def screen(name: str, link_ids: tuple[str, ...] = ()) -> Screen:
    path, columns = FILES[name]
    ids = tuple(read_table(DATA / path, {"id": columns["cell_id"]}, optional=("id",)).dropna()["id"])
    kind = Annotations if name == "CCLE" else _Details if name == "GDSC" else CellFile
    options = {"path": path, "columns": {**columns, "link_id": link_ids or None}, "link_by": "id_then_name"}
    cells, _ = read_cells(kind.model_validate(options), Matrix(ids, ("G",), np.zeros((len(ids), 1), np.float32)), DATA)
    if not link_ids:  # by name alone
        cells = type(cells)(**{**vars(cells), "link_ids": (None,) * len(ids)})
    return Screen(name, ("G",), cells, Drugs((), (), (), (), ()), Responses.none())


class _Details(CellFile):
    unnamed_rows = True


@cache
def depmap() -> tuple[dict[str, str], dict[str, str]]:
    """COSMIC id → DepMap id; DepMap id → the one its line was merged to."""
    columns = {"id": "Broad_ID", "cosmic": "COSMIC_ID", "name": "CCLE_Name"}
    table = read_table(DATA / DEPMAP, columns, optional=("cosmic", "name"))
    known = table.dropna(subset="cosmic")
    by_name = {name: own for own, name in zip(table["id"], table["name"], strict=True) if name is not None}
    merged: dict[str, str] = {}
    for own, name in zip(table["id"], table["name"], strict=True):
        mark = re.fullmatch(r"\[MERGED_TO_(ACH-\d+)\](.+)", str(name))
        if mark:
            merged[own] = str(by_name.get(mark[2], mark[1]))
    return dict(zip(known["cosmic"], known["id"], strict=True)), merged


def compare(source: Screen, target: Screen, truth: dict[str, str]) -> tuple[int, list[str], list[str]]:
    """How many lines both files hold by their ids; names of those linked to another line, and of those not linked."""
    merged = depmap()[1]
    one, other = linked(source, target)
    of_link = {link: name for name, link in zip(one.cells.ids, one.cells.link_ids, strict=True) if link}
    found = {
        of_link[link]: name for name, link in zip(other.cells.ids, other.cells.link_ids, strict=True) if link in of_link
    }
    names = dict(zip(source.cells.ids, source.cells.names, strict=True))
    present = {merged.get(name, name) for name in target.cells.ids}
    true = {own: merged.get(truth[own], truth[own]) for own in source.cells.ids if own in truth}
    wrong = [str(names[own]) for own, name in found.items() if own in true and true[own] != merged.get(name, name)]
    missed = [str(names[own]) for own in true if true[own] in present and own not in found]
    return len([own for own in true if true[own] in present]), wrong, missed


@pytest.mark.parametrize(
    ("source", "target", "both", "missed"),
    [
        ("GDSC", "CCLE", 973, {"T-T"}),
        ("GDSC", "DepMap", 981, {"MS-1"}),
        ("panel GDSC", "panel CCLE", 585, {"T-T"}),
        ("GDSC", "panel CCLE", 660, {"T-T"}),
    ],
)
def test_names_link_the_lines_that_the_ids_link(source: str, target: str, both: int, missed: set[str]) -> None:
    n, wrong, lost = compare(screen(source), screen(target), depmap()[0])
    assert n == both
    assert set(wrong) <= TWO_IDS
    assert set(lost) == missed


def test_names_link_the_two_tables_of_the_broad_institute() -> None:
    same = {name: name for name in screen("DepMap").cells.ids}
    n, wrong, missed = compare(screen("CCLE"), screen("DepMap"), same)
    assert n == 1449
    assert wrong == []
    assert len(missed) == 2  # MEL202 and MEL285 stand twice in one of them


def test_ids_before_names_leave_nothing_wrong_and_nothing_missed() -> None:
    source, target = screen("GDSC", ("COSMIC identifier",)), screen("DepMap", ("Broad_ID", "COSMIC_ID"))
    n, wrong, missed = compare(source, target, depmap()[0])
    assert n == 981
    assert wrong == missed == []
    notes = {note.what: note.count for note in linked(source, target)[1].notes}
    assert notes["cell lines linked to GDSC by another id, or one written in another way"] >= 980
    assert notes["cell lines linked to GDSC by name"] > 10  # of which DepMap has no COSMIC id

"""The annotation of cell lines: tissues, links to other screens, and lines that it lacks."""

from pathlib import Path
from typing import Any

import pytest

from dadsp.data.sources.tidy import tidy_screen, tidy_study
from dadsp.errors import MissingIdsError, SchemaError
from dadsp.schema import Screen
from tests.support.raw_files import edit, write_panel, write_rows

Options = dict[str, Any]


@pytest.fixture
def panel(tmp_path: Path) -> Options:
    return write_panel(tmp_path)


def _source(panel: Options) -> Screen:
    return tidy_screen(panel["source"], panel["root"])


def test_without_annotation_a_line_is_its_own_link(panel: Options) -> None:
    del panel["source"]["cells"]
    cells = _source(panel).cells
    assert cells.link_ids == cells.ids
    assert set(cells.tissues) == {None}


def test_entries_declared_to_name_no_tissue_are_unknown(panel: Options) -> None:
    panel["source"]["cells"]["unknown_tissues"] = ["lung"]
    assert _source(panel).cells.tissues == (None, None, "skin", None, "skin")


@pytest.mark.parametrize("word", ["N.A.", "TBD", "not found", "Unassigned", "nd"])
def test_words_for_no_id_link_nothing(panel: Options, word: str) -> None:
    root = Path(panel["root"])
    edit(root / "source/cells.csv", "1001,L1", f"1001,{word}")
    edit(root / "target/cells.csv", "DELTA,L9", f"DELTA,{word}")
    study = tidy_study(**panel)
    assert (study.source.cells.link_ids[0], study.target.cells.link_ids[3]) == (None, None)


def test_a_link_that_stands_twice_is_one_id_too_many_or_a_word(panel: Options) -> None:
    edit(Path(panel["root"]) / "source/cells.csv", "1001,L1", "1001,L2")
    with pytest.raises(SchemaError, match=r"\(e\.g\. L2\)\. Keep one of each, and empty the cells that hold no id\."):
        _source(panel)


@pytest.mark.parametrize("cell", ["X7; L5", "L5|X7", " L5 ; n/a"])
def test_a_cell_of_several_link_ids_links_by_any(panel: Options, cell: str) -> None:
    edit(Path(panel["root"]) / "target/cells.csv", "DELTA,L9", f"DELTA,{cell}")
    study = tidy_study(**panel)
    assert study.target.cells.link_ids == ("L2", "L3", "L8", "L5")


def test_a_word_in_a_link_table_is_no_link(panel: Options) -> None:
    write_rows(Path(panel["root"]) / "links.csv", ["line", "link"], [["1001", "TBD"], ["1002", "L2"], ["1003", "tbd"]])
    panel["source"]["cells"]["links"] = {"path": "links.csv", "columns": {"cell_id": "line", "link_id": "link"}}
    del panel["source"]["cells"]["columns"]["link_id"]
    assert _source(panel).cells.link_ids == (None, "L2", None, None, None)


def test_annotation_without_a_link_column_leaves_a_line_its_own_link(panel: Options) -> None:
    del panel["source"]["cells"]["columns"]["link_id"]
    cells = _source(panel).cells
    assert cells.link_ids == cells.ids
    assert cells.tissues[0] == "lung"


def test_lines_without_annotation_can_be_left_blank_with_a_note(panel: Options) -> None:
    edit(Path(panel["root"]) / "source" / "cells.csv", "1002,L2,lung\n", "")
    with pytest.raises(
        MissingIdsError, match=r"1 of 5 cell lines with expression have no row \(e.g. 1002\)\..*on_missing: blank"
    ):
        _source(panel)
    panel["source"]["cells"]["on_missing"] = "blank"
    screen = _source(panel)
    assert screen.cells.link_ids[1] is None
    assert [(note.count, note.examples) for note in screen.notes] == [(1, "1002")]

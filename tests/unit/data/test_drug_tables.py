"""Drugs of a screen from tables as people have them: structures, CIDs, names, and what does not fit together."""

from pathlib import Path
from typing import Any

import pytest

from dadsp.data.drug_tables import cross_checks, told_drugs
from dadsp.data.ids import drug_key
from dadsp.data.problems import collecting
from dadsp.data.sources.gdsc import DrugsOfDoseResponse
from dadsp.data.sources.tidy_files import DrugFile
from dadsp.data.sources.tidy_parts import read_drugs
from dadsp.data.structure_tables import cids_of
from dadsp.errors import SchemaError
from dadsp.schema import Drugs, Identity, Note
from tests.support.raw_files import write_rows

ERLOTINIB = "COCCOc1cc2ncnc(Nc3cccc(C#C)c3)c2cc1OCCOC"
CIDS = [["2244", "CC(=O)Oc1ccccc1C(=O)O"], ["176870", ERLOTINIB], ["2519", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"]]


def drugs_from(
    folder: Path, rows: list[list[str]], structures: list[list[str]] | None = None, by: str = "name", **options: Any
) -> tuple[Drugs, dict[str, tuple[int, str]]]:
    """Drugs of a file with columns drug, name, smiles (or what ``by`` needs), and the notes by what they say."""
    last = {"name": "synonyms", "cid": "cid", "id": "target"}[by] if structures else "smiles"
    write_rows(folder / "drugs.csv", ["drug", "name", last], rows)
    node: dict[str, Any] = {"path": "drugs.csv", "columns": {"drug_id": "drug", "name": "name", last: last}, **options}
    if structures:
        write_rows(folder / "structures.csv", ["key", "smiles"], structures)
        node["structures"] = {"path": "structures.csv", "by": by, "columns": {"key": "key", "smiles": "smiles"}}
    drugs, notes = read_drugs(DrugFile(**node), folder)
    return drugs, {note.what: (note.count, note.examples) for note in notes}


ONE_BAD = [
    ["d1", "ethanol", "CCO"],
    ["d2", "benzene", "c1ccccc1"],
    ["d3", "bad", "CN(C)(C)(C)C"],
    ["d4", "worse", "CCO CCN"],
]


def test_invalid_structures_are_one_error_that_names_file_drugs_reasons_and_option(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"drugs\.csv: 2 of 4 SMILES are not valid") as caught:
        drugs_from(tmp_path, ONE_BAD)
    assert "bad: 'CN(C)(C)(C)C' (too many bonds at atom 2, N, or its charge left out)" in str(caught.value)
    assert "worse: 'CCO CCN' (something after white space: a name, or a second structure)" in str(caught.value)
    assert str(caught.value).endswith("leave them empty, or set drugs.on_invalid_structure: drop.")


def test_dropped_invalid_structures_are_counted_and_named(tmp_path: Path) -> None:
    drugs, notes = drugs_from(tmp_path, ONE_BAD, on_invalid_structure="drop")
    assert drugs.smiles == ("CCO", "c1ccccc1", None, None)
    assert drugs.structure_keys[2:] == (None, None)
    what = "drugs whose SMILES are not valid taken as without a structure"
    assert notes == {what: (2, "bad: CN(C)(C)(C)C, worse: CCO CCN")}


def test_repairs_and_words_for_nothing_are_counted(tmp_path: Path) -> None:
    rows = [["1", "a", "CCO |$;;$|"], ["2", "b", "'CCN'"], ["3", "c", "none"], ["4", "d", "-"], ["5", "e", "none"]]
    drugs, notes = drugs_from(tmp_path, rows)
    assert drugs.smiles == ("CCO", "CCN", None, None, None)
    assert notes == {
        "SMILES that say there is none taken as empty": (3, "none: 2, -: 1"),
        "SMILES read without a CXSMILES extension": (1, "a"),
        "SMILES read without quotes, commas or semicolons around it": (1, "b"),
    }


def test_a_structure_given_in_the_configuration_takes_the_place_of_an_invalid_one(tmp_path: Path) -> None:
    drugs, notes = drugs_from(tmp_path, ONE_BAD, smiles={"d3": "C[N+](C)(C)C", "d4": "CCN"})
    assert drugs.smiles[2:] == ("C[N+](C)(C)C", "CCN")
    assert notes == {"structures taken from drugs.smiles": (2, "d3, d4")}
    with pytest.raises(SchemaError, match=r"1 of 4 SMILES are not valid \(e\.g\. worse: 'ethylamine' \(a name\)\)"):
        drugs_from(tmp_path, ONE_BAD, smiles={"d3": "C[N+](C)(C)C", "d4": "ethylamine"})


@pytest.mark.parametrize(
    ("cell", "cids"),
    [
        ("176870, 176871", ("176870", "176871")),
        ("176870;176871", ("176870", "176871")),
        ("176870|2244", ("176870", "2244")),
        ("2244 / 2245", ("2244", "2245")),
        ("2244.0", ("2244",)),
        ("2244.", ("2244",)),
        ("CID2244", ("2244",)),
        ("CID: 2244, cid:2245", ("2244", "2245")),
        ("PubChem CID 2244", ("2244",)),
        ("002244", ("2244",)),
        ("２２４４", ("2244",)),
        ("176870, several", ("176870",)),
        *(
            (text, ())
            for text in ("none", "several", "-", "N/A", "", "0", "1.2e7", "11,433,190", "SID 12", "-5", "12a", "2244¹")
        ),
        (None, ()),
        (float("nan"), ()),
    ],
)
def test_cells_of_cids_are_read_as_people_write_them(cell: object, cids: tuple[str, ...]) -> None:
    assert cids_of(cell) == cids


def test_lists_of_cids_are_tried_in_order_and_words_are_counted(tmp_path: Path) -> None:
    rows = [["d1", "erlotinib", "99, 176870"], ["d2", "aspirin", "2244.0"], ["d3", "x", "several"], ["d4", "y", "none"]]
    drugs, notes = drugs_from(tmp_path, rows, CIDS, by="cid")
    assert drugs.smiles == (ERLOTINIB, CIDS[0][1], None, None)
    assert notes == {
        "cells that hold no PubChem CID taken as empty": (2, "several: 1, none: 1"),
        "drugs without a structure in structures.csv": (2, "x, y"),
    }


def test_a_list_of_cids_of_different_structures_takes_the_first_and_says_so(tmp_path: Path) -> None:
    drugs, notes = drugs_from(tmp_path, [["d1", "a", "176870, 2244"], ["d2", "b", "2519"]], CIDS, by="cid")
    assert drugs.smiles[0] == ERLOTINIB
    what = "suspicious CIDs: a list of several structures, of which the first is taken"
    assert notes == {what: (1, "a: 176870, 2244")}


def test_a_list_of_a_salt_and_its_parent_is_no_contradiction(tmp_path: Path) -> None:
    salts = [*CIDS, ["176871", f"{ERLOTINIB}.Cl"]]
    _, notes = drugs_from(tmp_path, [["d1", "a", "176870, 176871"]], salts, by="cid")
    assert notes == {}


@pytest.mark.parametrize(("by", "cells"), [("cid", ["5", "none"]), ("id", ["", ""]), ("name", ["x, y", ""])])
def test_a_table_that_no_drug_is_found_in_is_an_error_with_both_sides(tmp_path: Path, by: str, cells: list[str]) -> None:
    rows = [["d1", "foo", cells[0]], ["d2", "bar", cells[1]]]
    shown = {"cid": "5, none", "id": "d1, d2", "name": "foo, bar"}[by]
    found = rf"none of 2 drugs has a structure here by {by} \(the drugs say e\.g\. {shown}; here are e\.g\. 2244, 176870"
    with pytest.raises(SchemaError, match=rf"structures\.csv: {found}"):
        drugs_from(tmp_path, rows, CIDS, by=by)


def test_rows_that_no_drug_asks_for_may_be_wrong(tmp_path: Path) -> None:
    table = [*CIDS, ["7", "C1CC"], ["8", "CCO"], ["8", "CCN"]]
    drugs, notes = drugs_from(tmp_path, [["d1", "a", "2244"]], table, by="cid")
    assert drugs.smiles == (CIDS[0][1],)
    assert notes == {}
    with pytest.raises(SchemaError, match=r"structures\.csv: 1 of 1 SMILES are not valid \(e\.g\. 7: 'C1CC'\)"):
        drugs_from(tmp_path, [["d1", "a", "7"]], table, by="cid")
    with pytest.raises(SchemaError, match=r"1 ids have several structures \(8: CCO / CCN\)"):
        drugs_from(tmp_path, [["d1", "a", "8"]], table, by="cid")


def test_drugs_of_one_name_are_each_looked_up_by_their_own_cid(tmp_path: Path) -> None:
    rows = [["d1", "twin", "7"], ["d2", "twin", "2244"]]
    with pytest.raises(SchemaError, match=r"1 ids have several structures \(7: CCO / CCN\)"):
        drugs_from(tmp_path, rows, [*CIDS, ["7", "CCO"], ["7", "CCN"]], by="cid")


def test_names_of_signs_alone_are_no_name(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="none of 1 drugs has a structure here by name"):
        drugs_from(tmp_path, [["d1", "(-)", "±"]], [["(+)", "CCO"], ["∓", "CCN"], ["", "CCC"]])


@pytest.mark.parametrize(
    "synonyms",
    ["x, Tarceva", "x;Tarceva", "x | TARCEVA®", "N,N-foo; tarceva", "x,Tarceva", "CP-358,774, Tarceva", "(Tarceva™)"],
)
def test_synonyms_are_parted_by_any_of_the_usual_marks(tmp_path: Path, synonyms: str) -> None:
    drugs, _ = drugs_from(tmp_path, [["d1", "foo", synonyms]], [["tarceva", ERLOTINIB]])
    assert drugs.smiles == (ERLOTINIB,)


def test_a_name_with_commas_is_found_as_it_is(tmp_path: Path) -> None:
    table = [["2,4-dinitrophenol", "CCO"], ["4-dinitrophenol", "CCN"]]
    assert drugs_from(tmp_path, [["d1", "foo", "x, 2,4-dinitrophenol"]], table)[0].smiles == ("CCO",)


def test_names_that_differ_by_their_sign_find_their_own_stereoisomer(tmp_path: Path) -> None:
    table = [["(+)-JQ1", "C[C@H](N)O"], ["(-)-JQ1", "C[C@@H](N)O"]]
    drugs, notes = drugs_from(tmp_path, [["d1", "(-)-JQ1", ""], ["d2", "JQ1", ""]], table)
    assert drugs.smiles == ("C[C@@H](N)O", "C[C@H](N)O")
    what = "drugs whose name or id leads to several stereoisomers, isotopes or salts, of which the first is taken"
    assert notes[what] == (1, "JQ1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("β-Lapachone", "beta-lapachone"),
        ("Tarceva®", "tarceva"),
        ("Taxol™", "TAXOL"),
        ("5′-x", "5'-X"),
        ("Nutlin-3a (-)", "nutlin3a"),
    ],
)
def test_spellings_of_a_name_have_one_key(one: str, other: str) -> None:
    assert drug_key(one) == drug_key(other)


def checked(
    rows: list[tuple[str, str, str | None]], identity: Identity = "parent", cids: dict[str, list[str]] | None = None
) -> tuple[Note, ...]:
    ids, names, smiles = zip(*rows, strict=True)
    return cross_checks(told_drugs(ids, names, smiles, (None,) * len(ids), identity), cids or {})


STRIPPED = "drugs told by their parent: without salt, solvent and charge, metal complexes in neutral parts"


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        ([("1", "a", "CCO"), ("2", "b", "OCC")], [Note("structures under several names", 1, "a = b")]),
        (
            [("1", "A-1", "CCO"), ("2", "a1", "OCC")],
            [Note("structures under several ids of one name", 1, "A-1 (1) = a1 (2)")],
        ),
        ([("1", "a", "CCO"), ("2", "A", "CCN")], [Note("suspicious names: one for several structures", 1, "a (1) / A (2)")]),
        (
            [("1", "a", "C[C@H](N)O"), ("2", "b", "C[C@@H](N)O")],
            [Note("drugs whose structures differ in stereochemistry, isotopes or charge only", 1, "a = b")],
        ),
        (
            [("1", "erlotinib", ERLOTINIB), ("2", "erlotinib HCl", f"{ERLOTINIB}.Cl")],
            [
                Note(STRIPPED, 1, "erlotinib HCl"),
                Note("salts or solvates beside their parent, told as one drug", 1, "erlotinib = erlotinib HCl"),
            ],
        ),
        (
            [("1", "mix", f"{ERLOTINIB}.CN1CCN(Cc2ccccc2C(=O)Nc2ccccc2)CC1")],
            [Note("suspicious structures: several parts of like size, told by all of them together; drugs", 1, "mix")],
        ),
        ([("1", "a", "CCO"), ("2", "b", "CCN"), ("3", "c", None), ("4", "d", None)], []),
    ],
)
def test_what_does_not_fit_together_in_one_screen_is_noted(
    rows: list[tuple[str, str, str | None]], notes: list[Note]
) -> None:
    assert list(checked(rows)) == notes


def test_told_as_written_salts_beside_their_parent_are_noted_as_different() -> None:
    (note,) = checked([("1", "erlotinib", ERLOTINIB), ("2", "erlotinib HCl", f"{ERLOTINIB}.Cl")], "exact")
    what = "salts or solvates beside their parent, told as different drugs, since drugs.identity is exact"
    assert note == Note(what, 1, "erlotinib = erlotinib HCl")


def test_cids_that_disagree_with_names_or_structures_are_noted() -> None:
    rows = [("1", "a", "CCO"), ("2", "b", "CCN"), ("3", "c", "CCC"), ("4", "d", None)]
    notes = checked(rows, cids={"1": ["7"], "2": ["7"], "3": ["9"], "4": ["9"]})
    assert notes == (
        Note("suspicious CIDs: one for several structures", 1, "7: a (1) / b (2)"),
        Note("suspicious CIDs: one for drugs of different names", 1, "9: c (3) / d (4)"),
    )


def test_one_id_for_two_drugs_of_a_dose_response_file_is_refused(tmp_path: Path) -> None:
    rows = [["1", "Erlotinib", "EGFR"], ["1", "erlotinib", "EGFR"], ["2", "Afatinib", "EGFR"], ["2", "Lapatinib", "EGFR"]]
    write_rows(tmp_path / "dose.csv", ["DRUG_ID", "DRUG_NAME", "PUTATIVE_TARGET"], rows)
    write_rows(tmp_path / "s.csv", ["key", "smiles"], [["erlotinib", ERLOTINIB]])
    structures = {"path": "s.csv", "columns": {"key": "key", "smiles": "smiles"}}
    with pytest.raises(SchemaError, match=r"1 drug ids stand for drugs of several names \(e\.g\. 2: Afatinib / Lapatinib\)"):
        DrugsOfDoseResponse(path="dose.csv", structures=structures).table(tmp_path)  # type: ignore[arg-type]


def test_problems_of_both_kinds_are_collected_in_one_pass(tmp_path: Path) -> None:
    with collecting() as problems:
        drugs_from(tmp_path, [*ONE_BAD, ["d1", "again", "CCO"]])
    assert [problem.message.partition(":")[2][:30] for problem in problems] == [
        " 1 drugs stand more than once ",
        " 2 of 4 SMILES are not valid (",
    ]

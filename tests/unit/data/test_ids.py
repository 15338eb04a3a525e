"""Identity of lines and drugs by name, id table and CID."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dadsp.data.ids import drug_key, line_key, line_keys, one_to_one
from dadsp.data.structure_tables import structures_of
from dadsp.errors import SchemaError


def test_spelling_of_a_line_is_forgiven() -> None:
    assert {line_key(name) for name in ("DMS 53", "DMS-53", "dms53", " DMS_53 ")} == {"DMS53"}
    assert line_key("T-T") == line_key("T.T")


@pytest.mark.parametrize(("one", "other"), [("TT", "T-T"), ("KM-H2", "KMH-2"), ("tt", "t.t")])
def test_lines_that_differ_by_a_hyphen_only_stay_apart(one: str, other: str) -> None:
    assert line_key(one) != line_key(other)


@given(st.text(alphabet="ABC123", min_size=1, max_size=6), st.lists(st.integers(0, 6), max_size=3))
def test_hyphens_anywhere_make_the_same_key(name: str, places: list[int]) -> None:
    hyphened = name
    for place in sorted(places, reverse=True):
        hyphened = hyphened[:place] + "-" + hyphened[place:]
    assert line_key(hyphened) == line_key(name)


def test_names_that_fall_together_are_an_error_with_the_candidates() -> None:
    with pytest.raises(SchemaError, match=r"cells: 1 ids have several line names \(HS578T: Hs 578T / HS-578-T\)"):
        line_keys(("Hs 578T", "TT", "T-T", "HS-578-T", None), "cells")
    assert line_keys(("A-1", None, "TT", "T-T"), "cells") == ("A1", None, "TT", "T-T")


def test_an_id_table_links_one_to_one_or_names_the_candidates() -> None:
    pairs = pd.DataFrame({"cell_id": ["1", "1", "2", None], "link_id": ["A", "A", "B", "C"]})
    assert one_to_one(pairs, "table") == {"1": "A", "2": "B"}
    with pytest.raises(SchemaError, match=r"several link_ids \(1: A / B\)"):
        one_to_one(pd.DataFrame({"cell_id": ["1", "1"], "link_id": ["A", "B"]}), "table")
    with pytest.raises(SchemaError, match=r"several cell_ids \(A: 1 / 2\)"):
        one_to_one(pd.DataFrame({"cell_id": ["1", "2"], "link_id": ["A", "A"]}), "table")


def test_structures_are_found_by_name_then_synonym() -> None:
    drugs = pd.DataFrame(
        {"drug_id": ["1", "2", "3"], "name": ["PD-0325901", "Foo", "Bar"], "synonyms": [None, "x, taxol", "y"]}
    )
    table = pd.DataFrame({"key": ["pd 0325901", "Taxol", "Baz"], "smiles": ["CCO", "CCN", "CCC"]})
    found, notes = structures_of(drugs, table, "name", "table.csv")
    assert found == ("CCO", "CCN", None)
    assert [(note.count, note.examples) for note in notes] == [(1, "Bar")]


def test_structures_are_found_by_cid() -> None:
    drugs = pd.DataFrame({"drug_id": ["1", "2"], "name": ["a", "b"], "cid": ["23725625", None]})
    table = pd.DataFrame({"key": ["23725625"], "smiles": ["CCO"]})
    assert structures_of(drugs, table, "cid", "t.csv")[0] == ("CCO", None)


def test_synonyms_that_lead_to_several_structures_are_an_error_with_the_candidates() -> None:
    drugs = pd.DataFrame({"drug_id": ["1"], "name": ["Foo"], "synonyms": ["taxol, aspirin"]})
    table = pd.DataFrame({"key": ["taxol", "aspirin"], "smiles": ["CCO", "CCN"]})
    with pytest.raises(SchemaError, match=r"Foo: taxol / aspirin"):
        structures_of(drugs, table, "name", "t.csv")


def test_two_spellings_of_one_structure_are_no_contradiction() -> None:
    table = pd.DataFrame({"key": ["taxol", "Taxol"], "smiles": ["CCO", "OCC"]})
    drugs = pd.DataFrame({"drug_id": ["1"], "name": ["TAXOL"]})
    assert structures_of(drugs, table, "name", "t.csv")[0] == ("CCO",)
    assert drug_key("Taxol ") == "taxol"

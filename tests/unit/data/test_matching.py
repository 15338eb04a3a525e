"""Lines and drugs by id, by name however spelled, by structure; what may mean several is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dadsp.data.matching import Pool, match_lines
from dadsp.data.new_pairs import read_pairs
from dadsp.data.table_files import Frame
from dadsp.errors import ConfigError, MissingIdsError, SchemaError
from dadsp.schema import CellLines, Screen
from tests.support.studies import small_screen

ASPIRIN, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"


def lines(*names: str) -> CellLines:
    ids = tuple(f"ACH-{row}" for row in range(len(names)))
    return CellLines(ids, ids, (None,) * len(names), np.zeros((len(names), 3), dtype=np.float32), names)


@pytest.fixture
def screens() -> tuple[Screen, Screen]:
    """Both call a drug "D0", of different structures; their other drugs have ids of their own."""
    found = [small_screen(name, n_cells=3, n_drugs=4, n_genes=3, seed=0) for name in ("TGT", "SRC")]
    ids = tuple("D0" if row == 0 else f"S{row}" for row in range(4))
    source = found[1].drugs
    turned = {name: getattr(source, name)[::-1] for name in ("smiles", "structure_keys")}
    own = replace(found[0].drugs, ids=("D0", "D1", "D2", "D3"), names=("Alpha-1", "beta", "Gamma", "delta"))
    return (
        replace(found[0], drugs=own),
        replace(found[1], drugs=replace(source, ids=ids, names=("Zeta", "Eta", "gamma", "Theta"), **turned)),
    )


def request(screens: tuple[Screen, Screen], pairs: list[tuple[str, str]] | None = None, **how):  # type: ignore[no-untyped-def]
    table = None if pairs is None else Frame("pairs.csv", pd.DataFrame(pairs, columns=["cell_id", "drug_id"]))
    return read_pairs(table, **({"expression": None, "drugs": None, "known": screens, "domain": "target"} | how))


def test_an_id_goes_before_a_name() -> None:
    found = match_lines(["ACH-1", "sw 1573", "SW1573", "ach_0"], lines("ACH-1", "SW-1573"))
    assert found.rows.tolist() == [1, 1, 1, 0]
    assert [(note.count, note.examples) for note in found.notes] == [(3, "sw 1573, SW1573, ach_0")]
    assert not found.doubtful


def test_a_name_of_two_lines_is_doubtful_and_punctuation_decides_where_it_must() -> None:
    found = match_lines(["hela", "T-T", "TT"], lines("HeLa", "He-La", "TT", "T-T"))
    assert found.rows[1:].tolist() == [3, 2]
    assert found.doubtful == ("'hela' may be ACH-0 (HeLa) or ACH-1 (He-La)",)


def test_an_id_of_two_drugs_is_refused_with_what_to_write(screens: tuple[Screen, Screen]) -> None:
    with pytest.raises(SchemaError, match=r"1 names may mean several.*'D0' may be TGT:D0 \(Alpha-1.* or SRC:D0 \(Zeta"):
        request(screens, [("TGT-line0", "D0")])
    read, frame, _ = request(screens, [("TGT-line0", "SRC:D0"), ("TGT-line0", "TGT:D0")])
    assert [read.screen.drugs.names[row] for row in read.drug_idx] == ["Zeta", "Alpha-1"]
    assert frame["drug_id"].tolist() == ["SRC:D0", "TGT:D0"]


def test_a_name_of_two_drugs_is_refused_with_all_others_of_its_kind(screens: tuple[Screen, Screen]) -> None:
    with pytest.raises(SchemaError, match=r"2 names may mean several.*'D0'.*'GAMMA' may be TGT:D2.* or SRC:S2"):
        request(screens, [("TGT-line0", "D0"), ("TGT-line0", "GAMMA")])


def test_names_and_structures_are_found_and_told(screens: tuple[Screen, Screen]) -> None:
    read, frame, notes = request(screens, [("tgt line1", "alpha 1"), ("TGT-line1", "theta"), ("TGT-line1", ASPIRIN)])
    assert read.cell_idx.tolist() == [1, 1, 1]
    assert [read.screen.drugs.names[row] for row in read.drug_idx] == ["Alpha-1", "Theta", ASPIRIN]
    assert frame["drug_id"].tolist() == ["alpha 1", "theta", ASPIRIN]
    assert [note.count for note in notes] == [1, 2, 1]
    assert "no screen holds" in notes[-1].what


def test_a_known_structure_is_the_known_drug_however_it_is_written() -> None:
    screen = small_screen("TGT", n_cells=2, n_drugs=1, n_genes=3, seed=0)
    drugs = replace(screen.drugs, ids=("X1",), names=("caffeine",), smiles=(CAFFEINE,), structure_keys=("RYYVLZVUVIJVGH",))
    found = Pool.of([replace(screen, drugs=drugs)]).match(["CN1C=NC2=C1C(=O)N(C(=O)N2C)C"])
    assert found.rows.tolist() == [0]
    assert found.notes[0].what == "drugs found by their structure"


def test_short_texts_are_names_not_structures(screens: tuple[Screen, Screen]) -> None:
    with pytest.raises(MissingIdsError, match=r"1 of 1 pairs name drugs that are not known \(e\.g\. BI; row 1\)"):
        request(screens, [("TGT-line0", "BI")])


def test_all_is_every_line_with_every_drug_once_and_predicts_what_it_names(screens: tuple[Screen, Screen]) -> None:
    read, frame, _ = request(screens, drugs="all")
    keys = {key for screen in screens for key in screen.drug_keys}
    assert len(frame) == 3 * len(keys)
    assert len(
        {(cell, read.screen.drug_keys[drug]) for cell, drug in zip(read.cell_idx, read.drug_idx, strict=True)}
    ) == len(frame)
    assert {"TGT:D0", "D1", "D2", "D3"} <= set(frame["drug_id"])


def test_lists_and_tables_choose(screens: tuple[Screen, Screen]) -> None:
    _, frame, _ = request(screens, lines=["TGT-line2", "tgt line0"], drugs=["beta"])
    assert frame.to_numpy().tolist() == [["TGT-line2", "beta"], ["tgt line0", "beta"]]
    _, frame, _ = request(screens, lines=Frame("l", pd.DataFrame({"cell_id": ["TGT-line1"]})), drugs="all")
    assert set(frame["cell_id"]) == {"TGT-line1"}
    new = Frame("d", pd.DataFrame({"drug_id": ["N1"], "smiles": [ASPIRIN]}))
    _, frame, _ = request(screens, drugs=new)
    assert frame["drug_id"].tolist() == ["N1"] * 3


def test_pairs_and_lists_contradict(screens: tuple[Screen, Screen]) -> None:
    with pytest.raises(ConfigError, match="pairs names lines and drugs already"):
        request(screens, [("TGT-line0", "D1")], lines="all")

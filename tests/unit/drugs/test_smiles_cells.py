"""Cells of a column of SMILES, as people fill them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rdkit import Chem

from dadsp.drugs.smiles_cells import Cell, read_cell

BESIDE = "something after white space: a name, or a second structure"
OPEN = "so that it stands for many structures"

REFUSED = {
    "SMILES SMILES": BESIDE,
    "CCO ethanol": BESIDE,
    "CCO\tethanol": BESIDE,
    "CCO CCN": BESIDE,
    "Nutlin-3a (-)": BESIDE,
    "CCO |$;;$| ethanol": BESIDE,
    "CCO |Sg:n:0,1::ht|": OPEN,
    "*CC |$_R1;;$|": OPEN,
    "InChI=1S/CH4/h1H4": "an InChI",
    "InChI=1S/CH4/h1H4 methane": "an InChI",
    "VNWKTOKETHGBQD-UHFFFAOYSA-N": "an InChIKey",
    "VNWKTOKETHGBQD": "an InChIKey",
    "2244": "a PubChem CID",
    "2244.0": "a PubChem CID",
    "CID2244": "a PubChem CID",
    "CID: 2244": "a PubChem CID",
    "CHEMBL25": "an id",
    "50-78-2": "an id",
    "DB00945": "an id",
    "\n  RDKit\n\n  1  0  0  0 V2000": "a mol block",
    "CC>>CO": "a reaction",
    "CC>O>CO": "a reaction",
    "[R1]CC": "an R group",
    "[#6]": "a SMARTS pattern",
    "C~C": "a SMARTS pattern",
    "[C,N]C": "a SMARTS pattern",
    "[CX4]C": "a SMARTS pattern",
    "[!C]": "a SMARTS pattern",
    "{[][<]CC[>][]}": "a polymer",
    "*CC": OPEN,
    "[*:1]CC": OPEN,
    "erlotinib": "a name",
    "2-(4-aminophenyl)ethanol": "a name",
    "CCé": "a character that no SMILES has",
    "cco": "an aromatic atom, in small letters, outside a ring",
    "CCL": "Cl and Br are written so",
    "ClCCBR": "Cl and Br are written so",
    "c1ccnc1": "a pyrrole's nitrogen is [nH]",
    "CN(C)(C)(C)C": "too many bonds at atom 2, N",
    "C" * 3_000: "3,000 characters",
    "C1CC": "",
    "CC(C": "",
    "CCO.": "",
    "[Xx]": "",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_what_is_no_one_structure_is_refused_by_name(text: str) -> None:
    cell = read_cell(text)
    assert cell.smiles is None
    assert cell.fault is not None
    assert REFUSED[text] in cell.fault
    assert bool(cell.fault) == bool(REFUSED[text])


@pytest.mark.parametrize(
    ("text", "smiles", "repaired"),
    [
        ("CCO |$;;$|", "CCO", "a CXSMILES extension"),
        ("C[C@H](N)O\t|r,o1:1|", "C[C@H](N)O", "a CXSMILES extension"),
        ('"CCO"', "CCO", "quotes, commas or semicolons around it"),
        ("CCO,", "CCO", "quotes, commas or semicolons around it"),
        ("CCO ;", "CCO", "quotes, commas or semicolons around it"),
        ("ＣＣＯ", "CCO", "typographic or invisible characters"),
        ("\ufeffC\u200bCO", "CCO", "typographic or invisible characters"),
        ("CC(=O)[O\u2212]", "CC(=O)[O-]", "typographic or invisible characters"),
        ("  CCO\u00a0", "CCO", ""),
        ("N.N.Cl[Pt]Cl", "N.N.Cl[Pt]Cl", ""),
        ("[NH3]->[Pt](Cl)(Cl)<-[NH3]", "[NH3]->[Pt](Cl)(Cl)<-[NH3]", ""),
        ("O=N(=O)c1ccccc1", "O=N(=O)c1ccccc1", ""),
        ("C%10CCC%10", "C%10CCC%10", ""),
        ("[H]OC([H])([H])C", "[H]OC([H])([H])C", ""),
        ("[2H]C([2H])([2H])O", "[2H]C([2H])([2H])O", ""),
        ("[Na+].[Cl-]", "[Na+].[Cl-]", ""),
        ("N[C@@H](C)C(O)=O", "N[C@@H](C)C(O)=O", ""),
    ],
)
def test_one_structure_is_read_and_repairs_are_told(text: str, smiles: str, repaired: str) -> None:
    assert read_cell(text) == Cell(smiles, None, repaired)


@pytest.mark.parametrize("text", ["", " ", "-", "N/A", "none", "None", "not available", "?", "Several", "TBD", '""', "#N/A"])
def test_words_for_nothing_are_no_structure_and_no_fault(text: str) -> None:
    assert read_cell(text) == Cell(None)


@given(
    st.sampled_from(["CCO", "c1ccccc1", "[Na+].[Cl-]"]), st.sampled_from(" \t\u00a0\u2003"), st.text(min_size=1, max_size=8)
)
def test_nothing_but_an_extension_may_follow_white_space(smiles: str, blank: str, rest: str) -> None:
    assume(rest.strip(" ,;\t\"'`").isprintable() and any(letter.isalnum() for letter in rest))
    cell = read_cell(f"{smiles}{blank}{rest}")
    assert cell.smiles is None or cell.repaired


@given(st.text(alphabet="CNOcn()[]=#123+-@H.lBr ", max_size=20))
def test_whatever_is_read_rdkit_reads_too(text: str) -> None:
    smiles = read_cell(text).smiles
    assert smiles is None or (" " not in smiles and Chem.MolFromSmiles(smiles).GetNumAtoms() > 0)

"""Fingerprints and structure keys."""

import time

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from dadsp.drugs.morgan import Morgan
from dadsp.drugs.structures import parse, structure_keys
from dadsp.errors import SchemaError

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]


def test_bits_equal_those_of_rdkits_older_interface() -> None:
    ours = Morgan(bits=256, radius=2)(SMILES, SMILES)
    assert ours.dtype == np.float32
    for row, smiles in zip(ours, SMILES, strict=True):
        older = rdMolDescriptors.GetHashedMorganFingerprint(Chem.MolFromSmiles(smiles), 2, nBits=256)
        assert set(np.flatnonzero(row)) == set(older.GetNonzeroElements())


def test_counts_add_up_to_atom_neighbourhoods() -> None:
    assert Morgan(radius=0, values="count")(["CCO"], ["ethanol"]).sum() == 3  # one per heavy atom


def test_every_invalid_smiles_is_counted_and_named() -> None:
    with pytest.raises(SchemaError, match=r"2 of 3 SMILES are not valid .*bad: 'C1CC', worse: '\(\('"):
        Morgan()(["CCO", "C1CC", "(("], ["good", "bad", "worse"])


def test_structure_key_ignores_stereo_and_marks_absence() -> None:
    keys = structure_keys(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", None, "CCO"], ["l", "d", "none", "ethanol"])
    assert keys[0] == keys[1]
    assert keys[2] is None
    assert keys[3] == "LFQSCWFLJHTTHZ"


def test_a_structure_of_200000_atoms_is_refused_by_name_before_it_is_parsed() -> None:
    start = time.perf_counter()
    with pytest.raises(SchemaError, match=r"1 of 2 SMILES .*\(200,000 characters, and no drug has more than 2,500\)"):
        structure_keys(["CCO", "C" * 200_000], ["short", "long"])
    assert time.perf_counter() - start < 1


def test_a_peptide_of_a_hundred_residues_is_parsed() -> None:
    chain = "".join("N[C@@H](CCCCN)C(=O)" for _ in range(100))
    assert len(chain) < 2_500
    assert len(parse([f"{chain}O"], ["peptide"])) == 1

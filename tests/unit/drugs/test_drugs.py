"""Fingerprints and structure keys."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from dadsp.drugs.morgan import Morgan
from dadsp.drugs.structures import structure_keys
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

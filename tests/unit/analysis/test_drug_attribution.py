"""From bits to atoms, on molecules small enough to check by hand."""

import numpy as np
import pytest

from dadsp.analysis.drug_attribution import atom_attributions
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.structures import parse


def test_environments_of_ethanol_are_its_atoms_and_their_neighbourhoods() -> None:
    features = Morgan(bits=2048, radius=1)
    (ethanol,) = parse(["CCO"], ["ethanol"])
    found = sorted(tuple(sorted(atoms)) for places in features.environments(ethanol).values() for atoms in places)
    # Radius 0: each atom. Radius 1: CH3 with its neighbour, CH2 with both, OH with its neighbour.
    assert found == [(0,), (0, 1), (0, 1, 2), (1,), (1, 2), (2,)]


def test_environments_belong_to_the_bits_that_are_set() -> None:
    features = Morgan()
    smiles = "CC(=O)Oc1ccccc1C(=O)O"
    (aspirin,) = parse([smiles], ["aspirin"])
    assert set(features.environments(aspirin)) == set(np.flatnonzero(features([smiles], ["aspirin"])[0]))


def test_bit_is_shared_by_its_environments_and_their_atoms() -> None:
    features = Morgan(bits=2048, radius=1)
    (propane,) = parse(["CCC"], ["propane"])
    places = features.environments(propane)
    of_bits = np.zeros(2048, dtype=np.float32)
    (ends,) = (bit for bit, atoms in places.items() if set(atoms) == {frozenset({0}), frozenset({2})})
    (middle,) = (bit for bit, atoms in places.items() if set(atoms) == {frozenset({0, 1, 2})})
    of_bits[ends], of_bits[middle] = 1.0, -0.6
    found = atom_attributions(features, "CCC", "propane", of_bits)
    assert found.values == pytest.approx([0.5 - 0.2, -0.2, 0.5 - 0.2])
    (row,) = found.bits[found.bits["bit"] == ends].to_dict("records")
    assert (row["environments"], row["atoms"]) == (2, "0; 2")


def test_atoms_sum_to_the_bits() -> None:
    features = Morgan(bits=64)  # so few that environments collide
    smiles = "CC(=O)Oc1ccccc1C(=O)O"
    of_bits = np.random.default_rng(0).normal(size=64).astype(np.float32) * features([smiles], ["aspirin"])[0]
    found = atom_attributions(features, smiles, "aspirin", of_bits)
    assert found.values.sum() == pytest.approx(of_bits.sum(), abs=1e-5)
    assert found.table["element"].tolist() == list("CCOOCCCCCCCOO")

"""Packed molecular graphs against hand-made ones."""

from typing import Any

import numpy as np
import pytest
import torch

from dadsp.drugs.graphs import ELEMENTS, MolecularGraph
from dadsp.schema import FloatArray, Note


def unpacked(features: MolecularGraph, row: FloatArray) -> tuple[FloatArray, FloatArray]:
    split = features.max_atoms * features.n_atom_features
    return row[:split].reshape(features.max_atoms, -1), row[split:].reshape(features.max_atoms, -1)


def test_graph_of_acetamide_by_hand() -> None:
    features = MolecularGraph(max_atoms=6)
    atoms, bonds = unpacked(features, features(["CC(N)=O"], ["acetamide"])[0])
    assert atoms.shape == (6, 44)
    assert [ELEMENTS[row.argmax()] for row in atoms[:4]] == ["C", "C", "N", "O"]
    assert atoms.sum(axis=1).tolist() == [1, 1, 1, 1, 0, 0]
    expected = np.zeros((6, 6))
    expected[:4, :4] = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 0, 1]]
    assert np.array_equal(bonds, expected)


@pytest.mark.parametrize(
    ("smiles", "atom", "element", "degree", "hydrogens", "implicit", "aromatic"),
    [
        ("CC(N)=O", 0, "C", 1, 3, 3, False),
        ("CC(N)=O", 1, "C", 3, 0, 0, False),
        ("c1ccncc1", 3, "N", 2, 0, 0, True),
        ("c1cc[nH]c1", 3, "N", 2, 1, 0, True),  # its hydrogen is explicit
    ],
)
def test_graphdrp_atom_by_hand(
    smiles: str, atom: int, element: str, degree: int, hydrogens: int, implicit: int, aromatic: bool
) -> None:
    features = MolecularGraph(atom_features="graphdrp")
    atoms, _ = unpacked(features, features([smiles], [smiles])[0])
    assert atoms.shape == (96, 78)
    expected = np.zeros(78)
    expected[[ELEMENTS.index(element), 44 + degree, 55 + hydrogens, 66 + implicit]] = 1
    expected[77] = aromatic
    np.testing.assert_allclose(atoms[atom], expected / expected.sum(), atol=1e-7)


def test_unlisted_elements_and_large_drugs_are_counted() -> None:
    features = MolecularGraph(max_atoms=5)
    drugs = ["C[Ga](C)C", "CCCCCC", "C[Si](C)(C)C"]
    assert features.notes(drugs, ["gallium", "hexane", "silane"]) == (
        Note("atoms of unlisted elements, taken as one unknown element", 1, "Ga"),
        Note("drugs of more than 5 atoms, cut", 1, "hexane"),
    )
    gallium, hexane, _ = (unpacked(features, row) for row in features(drugs, drugs))
    assert gallium[0][1].nonzero()[0].tolist() == [43]
    assert hexane[1].sum() == 5 + 2 * 4
    assert features.notes(drugs[2:], ["silane"]) == ()


@pytest.mark.parametrize(("read_out", "width"), [("max", 5), ("dense", 7)])
def test_atoms_are_read_out_by_their_maximum_or_in_the_order_of_the_smiles(read_out: str, width: int) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"read_out": read_out}
    features = MolecularGraph(max_atoms=6, widths=(4, 5), outputs=7, **options)
    network, n_codes = features.encoder()
    codes = network(torch.from_numpy(features(["CC(N)=O", "NC(C)=O"], ["acetamide", "another spelling"])))
    assert codes.shape == (2, width)
    assert n_codes == width
    assert torch.allclose(codes[0], codes[1]) == (read_out == "max")

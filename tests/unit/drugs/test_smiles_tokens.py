"""Tokens of SMILES, and what a vocabulary from training drugs does with others."""

from typing import Any

import pytest
import torch

from dadsp.drugs.smiles_tokens import SmilesTokens, tokens_of
from dadsp.schema import Note

TRAINING = ["c1ccccc1Cl", "CC(=O)N"]  # canonical: Clc1ccccc1 (9 tokens), CC(N)=O (7 tokens)


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("ClCCBr", ["Cl", "C", "C", "Br"]),
        ("CSc1ccccc1", [*"CSc1ccccc1"]),  # sulphur and an aromatic carbon, no scandium
        ("[Sc]", ["[", "Sc", "]"]),
        ("c1c[nH]cc1", [*"c1c", "[", "n", "H", "]", *"cc1"]),
        ("[NH3+]CC", ["[", "N", "H", "3", "+", "]", "C", "C"]),
        ("[13CH3][Pt+2][se]", ["[", "13", "C", "H", "3", "]", "[", "Pt", "+", "2", "]", "[", "se", "]"]),
        ("C%10C1CC%10C1", ["C", "%10", "C", "1", "C", "C", "%10", "C", "1"]),
        ("C[C@@H](F)/C=C\\Cl", ["C", "[", "C", "@@", "H", "]", *"(F)/C=C\\", "Cl"]),
        ("CC(=O)[O-].[Na+]", [*"CC(=O)", "[", "O", "-", "]", ".", "[", "Na", "+", "]"]),
    ],
)
def test_tokens_of_hand_made_smiles(smiles: str, expected: list[str]) -> None:
    assert tokens_of(smiles) == expected
    assert "".join(expected) == smiles


def test_vocabulary_and_length_come_from_training_drugs() -> None:
    features = SmilesTokens().fit(TRAINING, TRAINING)
    assert features.tokens == ("(", ")", "1", "=", "C", "Cl", "N", "O", "c")
    assert features.length == 9


def test_row_holds_token_numbers_and_zeros_after_the_end() -> None:
    features = SmilesTokens().fit(TRAINING, TRAINING)
    acetamide = features(["NC(C)=O"], ["acetamide"])[0]
    assert acetamide[:7].tolist() == [5, 5, 1, 7, 2, 4, 8]  # CC(N)=O
    assert not acetamide[7:].any()
    assert acetamide.shape == (features.width,)


def test_a_structure_has_one_row_however_it_is_written() -> None:
    features = SmilesTokens().fit(TRAINING, TRAINING)
    rows = features(["c1ccccc1Cl", "ClC1=CC=CC=C1", "[CH]1=CC=CC=C1Cl"], ["aromatic", "Kekulé", "explicit"])
    assert (rows == rows[0]).all()


def test_unknown_tokens_and_long_strings_are_counted_and_left_out() -> None:
    features = SmilesTokens().fit(TRAINING, TRAINING)
    drugs = ["BrC(F)C(Br)C", "C" * 40, "CC(N)=O"]  # canonical: CC(Br)C(F)Br
    assert features.notes(drugs, ["bromide", "tetracontane", "acetamide"]) == (
        Note("SMILES tokens the model does not know, left out", 3, "Br, F"),
        Note("drugs of more than 9 SMILES tokens, cut", 2, "bromide, tetracontane"),
    )
    bromide, chain, _ = features(drugs, drugs)
    assert bromide[:9].tolist() == [5, 5, 1, 0, 2, 5, 1, 0, 2]
    assert chain[:9].tolist() == [5] * 9
    assert not chain[9:].any()
    assert features.notes(TRAINING, TRAINING) == ()


def test_configured_vocabulary_and_length_are_kept() -> None:
    features = SmilesTokens(tokens=("C", "N"), length=20).fit(TRAINING, TRAINING)
    assert (features.tokens, features.length, features.width) == (("C", "N"), 20, 20)


@pytest.mark.parametrize("kernels", [(5, 3), (2, 2), (4, 1)])
def test_a_row_is_as_long_as_two_convolutions_that_are_pooled_need(kernels: tuple[int, int]) -> None:
    width = SmilesTokens(tokens=("C",), length=1, kernels=kernels).width

    def outputs(positions: int) -> int:
        return ((positions - kernels[0] + 1) // 2 - kernels[1] + 1) // 2

    assert (outputs(width), outputs(width - 1)) == (1, 0)


def test_features_that_were_never_fitted_say_so() -> None:
    with pytest.raises(RuntimeError, match="call fit first"):
        SmilesTokens()(TRAINING, TRAINING)


@pytest.mark.parametrize(("kernels_over", "shape"), [("string", (4, 9, 5)), ("matrix", (4, 1, 5, 5))])
def test_kernels_cover_all_symbols_or_squares_of_the_matrix(kernels_over: str, shape: tuple[int, ...]) -> None:
    options: dict[str, Any] = {"kernels_over": kernels_over}
    features = SmilesTokens(filters=(4, 3), outputs=6, **options).fit(TRAINING, TRAINING)
    network, width = features.encoder()
    assert next(network.parameters()).shape == shape
    assert width == 6
    assert network(torch.from_numpy(features(TRAINING, TRAINING))).shape == (2, 6)

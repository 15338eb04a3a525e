"""Similarity profiles against RDKit's own, and where their reference set comes from."""

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from dadsp.drugs.similarity import SimilarityProfile
from dadsp.errors import SchemaError

TRAINING = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CCO"]
OTHERS = ["CC(=O)Nc1ccc(O)cc1", "c1ccccc1"]


def test_profile_is_rdkits_bulk_tanimoto() -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=512)
    reference, drugs = (
        [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in group] for group in (TRAINING, TRAINING + OTHERS)
    )
    expected = [DataStructs.BulkTanimotoSimilarity(drug, reference) for drug in drugs]
    profile = SimilarityProfile(bits=512).fit(TRAINING, TRAINING)
    ours = profile(TRAINING + OTHERS, TRAINING + OTHERS)
    assert ours.shape == (5, profile.width)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert np.array_equal(ours[:3].diagonal(), [1, 1, 1])


def test_a_radius_of_0_compares_atoms_alone() -> None:
    chains = SimilarityProfile(radius=0, reference=("CCCCC",))(["CCCC", "CCO"], ["butane", "ethanol"])[:, 0]
    assert chains == pytest.approx([1, 2 / 3])  # CH3 and CH2, and an alcohol's oxygen


def test_reference_is_each_training_structure_once_and_keeps_its_order() -> None:
    profile = SimilarityProfile().fit([*TRAINING, TRAINING[0]], ["a", "b", "c", "a again"])
    assert profile.reference == tuple(TRAINING)


def test_reference_set_comes_from_a_file_and_stays_when_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text("name,smiles\nparacetamol,CC(=O)Nc1ccc(O)cc1\nunknown,\nbenzene,c1ccccc1\n")
    profile = SimilarityProfile(reference=str(path)).fit(TRAINING, TRAINING)
    path.unlink()
    assert np.array_equal(profile(TRAINING, TRAINING), SimilarityProfile(reference=tuple(OTHERS))(TRAINING, TRAINING))


@pytest.mark.parametrize("content", ["", "name\naspirin\n", "smiles\n\n", None])
def test_reference_file_without_structures_is_a_schema_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "reference.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SchemaError, match=r"drug_features\.reference=.*reference\.csv .* Give a CSV file"):
        SimilarityProfile(reference=str(path)).fit(TRAINING, TRAINING)

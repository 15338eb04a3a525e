"""Distance to the training set: nearest neighbours by brute force, limits from the training set alone."""

from dataclasses import replace

import numpy as np
from rdkit import Chem
from rdkit.Chem import DataStructs, rdFingerprintGenerator

from dadsp.analysis.applicability import applicability
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study


def fixture() -> tuple[Study, Split]:
    study = small_study(n_source=14, n_target=9, n_drugs=7)
    return study, cross_screen(study, seed=0, val_fraction=0.2)


def test_line_distances_and_limit_are_those_of_brute_force() -> None:
    study, split = fixture()
    source, target = study.source.cells.expression, study.target.cells.expression
    rows = np.unique(study.source.responses.cell_idx[split.train_idx])
    train = (source[rows] - source[rows].mean(axis=0)) / source[rows].std(axis=0)
    scaled = (target - target.mean(axis=0)) / target.std(axis=0)

    def distances(a: np.ndarray, b: np.ndarray) -> list[list[float]]:
        return [[float(np.sqrt(((x - y) ** 2).mean())) for y in b] for x in a]

    found = applicability(study, split, study.target, "target", percentile=90)
    np.testing.assert_allclose(found.line_distance, [min(row) for row in distances(scaled, train)], rtol=1e-4)
    others = [min(d for j, d in enumerate(row) if j != i) for i, row in enumerate(distances(train, train))]
    np.testing.assert_allclose(found.line_limit, np.percentile(others, 90), rtol=1e-4)


def test_drug_similarity_and_limit_are_those_of_rdkit_tanimoto() -> None:
    study, split = fixture()
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in study.source.drugs.smiles]
    nearest = [
        max(DataStructs.TanimotoSimilarity(a, b) for j, b in enumerate(prints) if j != i) for i, a in enumerate(prints)
    ]
    found = applicability(study, split, study.target, "target", percentile=90)
    np.testing.assert_allclose(found.drug_limit, np.percentile(nearest, 10), rtol=1e-5)
    np.testing.assert_allclose(found.drug_similarity, 1.0)  # every target drug trains


def test_drug_that_never_trained_is_compared_with_those_that_did() -> None:
    study, split = fixture()
    unseen = study.source.responses.drug_idx[split.train_idx] != 2  # benzene
    found = applicability(study, replace(split, train_idx=split.train_idx[unseen]), study.target, "target", 90)
    assert found.drug_similarity[2] < 1
    assert (np.delete(found.drug_similarity, 2) == 1).all()
    assert list(found.drug_inside) == [similarity >= found.drug_limit for similarity in found.drug_similarity]


def test_limits_and_distances_of_the_rest_do_not_move_with_a_far_line_and_it_is_flagged() -> None:
    study, split = fixture()
    before = applicability(study, split, study.source, "source", 95)
    cells = study.source.cells
    far = np.concatenate([cells.expression, np.full((1, len(study.genes)), 50, dtype=np.float32)])
    ids = dict.fromkeys(("ids", "link_ids", "tissues"), ())
    wider = replace(cells, expression=far, **{name: (*getattr(cells, name), "far") for name in ids})
    after = applicability(study, split, replace(study.source, cells=wider), "source", 95)
    assert (after.line_limit, after.drug_limit) == (before.line_limit, before.drug_limit)
    np.testing.assert_allclose(after.line_distance[:-1], before.line_distance, atol=1e-6)
    flags = after.flags(np.array([0, len(cells)]), np.array([0, 0]))
    assert list(flags) == ["inside", "line outside"]


def test_no_label_moves_a_distance() -> None:
    study, split = fixture()
    before = applicability(study, split, study.target, "target", 95)
    responses = replace(study.source.responses, potency=study.source.responses.potency[::-1].copy())
    after = applicability(
        replace(study, source=replace(study.source, responses=responses)), split, study.target, "target", 95
    )
    assert np.array_equal(before.line_distance, after.line_distance)
    assert np.array_equal(before.drug_similarity, after.drug_similarity)

"""Similarities, the pair system and drug levels against dense algebra, RDKit and scikit-learn."""

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.stats import multivariate_normal
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.similarity import (
    PairSystem,
    equal,
    line_similarity,
    median_distance,
    shared_targets,
    squared_distances,
    tanimoto,
)
from tests.support.studies import SMILES

RANDOM = np.random.default_rng(0)


def a_kernel(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, n + 2))
    return rows @ rows.T / n + 0.1 * np.eye(n)


def a_system(share: float = 0.7) -> tuple[PairSystem, np.ndarray]:
    random = np.random.default_rng(1)
    measured = random.random((9, 6)) < share
    return PairSystem(a_kernel(9, 2), a_kernel(6, 3), measured, 0.7), random.normal(size=(9, 6))


def dense(system: PairSystem) -> tuple[np.ndarray, np.ndarray]:
    """K ⊗ K over all pairs of the grid in row order, and which of them are measured."""
    return np.kron(system.lines, system.drugs), system.measured.ravel()


def test_tanimoto_equals_rdkits_on_fingerprints() -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=256)
    molecules = [Chem.MolFromSmiles(text) for text in SMILES]
    rows = np.array([generator.GetFingerprintAsNumPy(m) for m in molecules], dtype=np.float32)
    prints = [generator.GetFingerprint(m) for m in molecules]
    expected = [DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints]
    assert np.allclose(tanimoto(rows, rows), expected)


def test_tanimoto_of_empty_rows_is_one_with_themselves_and_zero_with_others() -> None:
    rows = np.array([[0, 0], [1, 0]], dtype=np.float32)
    assert tanimoto(rows, rows).tolist() == [[1, 0], [0, 1]]


def test_line_similarities_equal_their_formulas() -> None:
    a, b = RANDOM.normal(size=(4, 5)).astype(np.float32), RANDOM.normal(size=(3, 5)).astype(np.float32)
    linear, radial = a.astype(float) @ b.T.astype(float) / 5, rbf_kernel(a.astype(float), b.astype(float), gamma=1 / 3.0)
    assert np.allclose(line_similarity("linear", a, b, 3.0), linear)
    assert np.allclose(line_similarity("rbf", a, b, 3.0), radial)
    assert np.allclose(line_similarity("mixed", a, b, 3.0), (linear + radial) / 2)


def test_median_distance_is_taken_over_different_rows() -> None:
    rows = np.array([[0.0], [1.0], [3.0]])
    assert median_distance(rows) == 4.0  # of 1, 4 and 9
    assert median_distance(np.zeros((3, 2))) == 1.0
    assert (squared_distances(rows, rows) >= 0).all()


def test_equal_keys_and_shared_targets() -> None:
    assert equal(("a", "b"), ("b", "c", "a")).tolist() == [[0, 0, 1], [1, 0, 0]]
    sets: tuple[frozenset[str], ...] = (frozenset({"egfr", "erbb2"}), frozenset({"egfr"}), frozenset())
    assert shared_targets(sets, sets).tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("tolerance", [1e-10, 1e-3])
def test_weights_solve_the_dense_system(tolerance: float) -> None:
    system, labels = a_system()
    covariance, known = dense(system)
    expected = np.zeros(labels.size)
    expected[known] = np.linalg.solve(covariance[np.ix_(known, known)] + 0.7 * np.eye(known.sum()), labels.ravel()[known])
    weights, _ = system.solve(labels, tolerance)
    assert np.abs(weights.ravel() - expected).max() <= max(10 * tolerance, 1e-9) * np.abs(expected).max()
    assert (weights[~system.measured] == 0).all()


def test_where_all_pairs_are_measured_one_step_is_the_solution() -> None:
    system, labels = a_system(share=2.0)
    assert system.solve(labels, 1e-10)[1] == 1


def test_a_solution_for_fewer_labels_saves_steps() -> None:
    system, labels = a_system()
    fewer = system.measured.copy()
    fewer[0] = False
    start, _ = system.with_labels_of(fewer, 0.7).solve(labels, 1e-10)
    weights, steps = system.solve(labels, 1e-10)
    again, fewer_steps = system.solve(labels, 1e-10, start=weights)
    assert np.allclose(system.solve(labels, 1e-10, start=start)[0], weights, atol=1e-8)
    assert np.allclose(again, weights)
    assert fewer_steps < steps


def test_explained_variance_is_exact_on_a_whole_grid() -> None:
    system, _ = a_system(share=2.0)
    covariance, _ = dense(system)
    lines, drugs = RANDOM.normal(size=(4, 9)), RANDOM.normal(size=(3, 6))
    inverse = np.linalg.inv(covariance + 0.7 * np.eye(len(covariance)))
    expected = [[(k := np.kron(line, drug)) @ inverse @ k for drug in drugs] for line in lines]
    assert np.allclose(system.explained(lines, drugs), expected)


def test_lines_and_drugs_without_labels_explain_nothing() -> None:
    system, _ = a_system(share=2.0)
    measured = system.measured.copy()
    measured[:2], measured[:, 0] = False, False
    holey = system.with_labels_of(measured, 0.7)
    covariance, known = dense(holey)
    inverse = np.linalg.inv(covariance[np.ix_(known, known)] + 0.7 * np.eye(known.sum()))
    exact = [k[known] @ inverse @ k[known] for k in covariance]
    assert np.allclose(holey.explained(holey.lines, holey.drugs).ravel(), exact)


def test_explained_variance_of_a_holey_grid_is_near_the_exact_one() -> None:
    system, _ = a_system(share=0.8)
    covariance, known = dense(system)
    inverse = np.linalg.inv(covariance[np.ix_(known, known)] + 0.7 * np.eye(known.sum()))
    exact = np.array([k[known] @ inverse @ k[known] for k in covariance])
    prior = np.diag(covariance)
    share = system.explained(system.lines, system.drugs).ravel() / prior
    assert np.abs(share - exact / prior).mean() < 0.1


def test_evidence_on_a_whole_grid_is_that_of_the_normal_distribution_with_the_best_scale() -> None:
    system, labels = a_system(share=2.0)
    covariance, _ = dense(system)
    noisy, flat = covariance + 0.7 * np.eye(len(covariance)), labels.ravel()

    def log_density(scale: float) -> float:
        return float(multivariate_normal(cov=scale * noisy).logpdf(flat))

    scale = float(flat @ np.linalg.solve(noisy, flat)) / len(flat)
    assert log_density(scale) >= max(log_density(scale * 1.01), log_density(scale / 1.01))
    other = system.with_labels_of(system.measured, 1.4)
    other_noisy = covariance + 1.4 * np.eye(len(covariance))
    other_scale = float(flat @ np.linalg.solve(other_noisy, flat)) / len(flat)
    expected = float(multivariate_normal(cov=other_scale * other_noisy).logpdf(flat)) - log_density(scale)
    assert other.log_evidence(labels) - system.log_evidence(labels) == pytest.approx(expected, abs=1e-3)


def test_level_is_the_mean_of_a_drugs_labels_and_kernel_ridge_elsewhere() -> None:
    labels = RANDOM.normal(size=(5, 4))
    measured = np.ones((5, 4), dtype=bool)
    measured[:3, 1] = False
    measured[:, 3] = False
    rows = np.abs(RANDOM.normal(size=(6, 8)))
    similarity, to_new = tanimoto(rows[:4], rows[:4]), tanimoto(rows[4:], rows[:4])
    level = DrugLevel.fit(labels, measured, similarity, 2.0, 0.3)
    means = np.array([labels[:, 0].mean(), labels[3:, 1].mean(), labels[:, 2].mean()])
    ridge = KernelRidge(alpha=0.3, kernel="precomputed").fit(similarity[:3, :3] ** 2, means - means.mean())
    expected = means.mean() + ridge.predict(to_new[:, :3] ** 2)
    assert np.allclose(level(np.zeros((2, 4)), to_new, 2.0), expected)
    same = np.array([[1.0, 0, 0, 0], [1.0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    found = level(same, np.zeros((3, 4)), 2.0)
    assert found[:2] == pytest.approx([means[0], (means[0] + means[2]) / 2])
    assert found[2] == pytest.approx(means.mean())  # a drug without labels has nothing of its own


def test_level_of_a_measured_drug_is_certain_and_that_of_an_unlike_one_is_not() -> None:
    labels, measured = RANDOM.normal(size=(5, 3)), np.ones((5, 3), dtype=bool)
    level = DrugLevel.fit(labels, measured, np.eye(3), 2.0, 0.5)
    same, similarity = np.eye(3)[:2], np.array([[1.0, 0, 0], [0, 0.8, 0]])
    same[1] = 0
    certain, near = level.uncertainty(same, similarity, np.eye(3), 2.0, 0.5)
    far = level.uncertainty(np.zeros((1, 3)), np.zeros((1, 3)), np.eye(3), 2.0, 0.5)[0]
    assert certain == 0
    assert near == pytest.approx(level.variance * (1.5 - 0.64**2 / 1.5))
    assert far == pytest.approx(level.variance * 1.5)

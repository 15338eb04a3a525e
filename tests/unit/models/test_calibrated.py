"""Calibration with few target labels, against dense algebra and against what it must not see."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel

from dadsp.errors import ConfigError, LeakageError, LoadError, MissingIdsError, SchemaError
from dadsp.models.base import Predictor, load_model, save_model
from dadsp.models.calibrated import PRIORS, Calibrated, Variances, calibrated, given_pairs, label_words
from dadsp.models.systems.naive import GivenLabels, Naive
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.runs.parts import target_pairs
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.calibration import with_calibration
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import check_split
from dadsp.splits.store import load_split, save_split
from tests.support.studies import small_study


@pytest.fixture(scope="module")
def study() -> Study:
    return small_study(n_source=14, n_target=10, n_drugs=5)


def split_of(study: Study, **options: object) -> Split:
    return with_calibration(study, cross_screen(study, seed=0, val_fraction=0.2), options, target_pairs)


def asked_of(study: Study, split: Split) -> Pairs:
    responses = study.target.responses.take(split.test_idx)
    return Pairs(study.target, "target", responses.cell_idx, responses.drug_idx)


def fitted(study: Study, split: Split, model: Predictor) -> tuple[Predictor, Calibrated]:
    inner = model.fit(study, split)
    found = calibrated(inner, study, split)
    assert isinstance(found, Calibrated)
    return inner, found


def with_offset(study: Study, shift: float) -> Study:
    """The same study in an assay that reads every potency higher."""
    responses = study.target.responses
    moved = replace(responses, potency=(responses.potency + shift).astype(np.float32))
    return replace(study, target=replace(study.target, responses=moved))


def test_given_labels_are_nested_and_never_tested(study: Study) -> None:
    one, two = (split_of(study, labels_per_drug=k) for k in (1, 2))
    assert set(one.calibrate_idx) < set(two.calibrate_idx)
    assert not set(two.calibrate_idx) & set(two.test_idx)
    assert len(two.calibrate_idx) + len(two.test_idx) == len(study.target.responses)
    counts = np.bincount(study.target.responses.drug_idx[two.calibrate_idx], minlength=4)
    assert (counts == 2).all()
    assert set(split_of(study, labels_per_drug=2, draw=1).calibrate_idx) != set(two.calibrate_idx)
    assert one.content_hash != cross_screen(study, seed=0, val_fraction=0.2).content_hash
    assert split_of(study).content_hash == cross_screen(study, seed=0, val_fraction=0.2).content_hash


def test_split_with_given_labels_is_kept(study: Study, tmp_path: Path) -> None:
    split = split_of(study, labels_per_drug=2)
    save_split(tmp_path / "split.json", study, split)
    again = load_split(tmp_path / "split.json", study)
    assert np.array_equal(again.calibrate_idx, split.calibrate_idx)
    with pytest.raises(ConfigError, match="gives target labels already"):
        with_calibration(study, again, {"labels_per_drug": 1})
    leaking = replace(split, test_idx=np.append(split.test_idx, split.calibrate_idx[0]))
    with pytest.raises(LeakageError, match="both calibrate and are tested"):
        check_split(study, leaking)


def test_pairs_of_a_file_are_given(study: Study, tmp_path: Path) -> None:
    cells, drugs = study.target.cells.ids, study.target.drugs.ids
    (tmp_path / "pairs.csv").write_text(f"cell_id,drug_id\n{cells[1]},{drugs[2]}\n{cells[3]},{drugs[0]}\n")
    split = split_of(study, pairs=str(tmp_path / "pairs.csv"))
    given = given_pairs(study, split)
    assert set(zip(given.cell_idx, given.drug_idx, strict=True)) == {(1, 2), (3, 0)}
    assert label_words(given) == "1 target label per drug"
    for text, error, words in (
        ("cell_id,drug_id\nnobody,x\n", MissingIdsError, "1 of 1 pairs name lines that are not known"),
        ("cell,drug\n1,2\n", SchemaError, "cell_id"),
        ("cell_id,drug_id\n", SchemaError, "has a header but no rows"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(error, match=words):
            split_of(study, pairs=str(tmp_path / "bad.csv"))
    with pytest.raises(ConfigError, match="both choose labels"):
        split_of(study, pairs="a.csv", labels_per_drug=2)
    with pytest.raises(ConfigError, match="none is left to test"):
        split_of(study, labels_per_drug=10)


def test_offset_is_that_of_a_gaussian_process_with_the_same_variances(study: Study) -> None:
    split = split_of(study, labels_per_drug=3)
    inner, found = fitted(study, split, Naive())
    found.variances = Variances(assay=0.0, drug=0.2, stretch=0.0, shared=0.0, noise=0.1)
    given, asked = given_pairs(study, split), asked_of(study, split)
    labels = study.target.responses.potency[split.calibrate_idx] - inner.predict(given)
    for drug in range(4):
        own, rest = given.drug_idx == drug, asked.drug_idx == drug
        kernel = ConstantKernel(0.2, "fixed") + WhiteKernel(0.1, "fixed")
        process = GaussianProcessRegressor(kernel, optimizer=None).fit(np.zeros((own.sum(), 1)), labels[own])
        offset = process.predict(np.zeros((1, 1)))[0]
        assert found.predict(asked)[rest] == pytest.approx(inner.predict(asked)[rest] + offset, abs=1e-4)


def test_variances_are_the_most_probable_under_their_priors(study: Study) -> None:
    _, found = fitted(study, split_of(study, labels_per_drug=3), Naive())
    same = found.given.drug_idx[:, None] == found.given.drug_idx
    medians = np.array([PRIORS[name] for name in ("assay", "drug", "noise")]) * np.mean(found.residuals**2)

    def log_density(assay: float, drug: float, noise: float) -> float:
        covariance = assay + drug * same + noise * np.eye(len(same))
        of_priors = norm.logpdf(np.log([assay, drug, noise]), np.log(medians), 1.5).sum()
        return float(multivariate_normal.logpdf(found.residuals, cov=covariance) + of_priors)

    # A drug's mean has no spread over lines that could be stretched.
    best = minimize(lambda logs: -log_density(*np.exp(logs)), np.log(medians), method="BFGS")
    of = found.variances
    assert np.log([of.assay, of.drug, of.noise]) == pytest.approx(best.x, abs=0.1)


def test_an_assay_that_reads_all_higher_is_brought_back(study: Study) -> None:
    shifted = with_offset(study, 2.0)
    errors = []
    for k in (1, 3, 6):
        split = split_of(shifted, labels_per_drug=k)
        inner, found = fitted(shifted, split, PairwiseGp())
        asked = asked_of(shifted, split)
        truth = shifted.target.responses.potency[split.test_idx]
        errors.append(float(np.sqrt(np.mean((found.predict(asked) - truth) ** 2))))
        before = float(np.sqrt(np.mean((inner.predict(asked) - truth) ** 2)))
        assert errors[-1] < 0.75 * before
        low, high = found.interval(asked)
        assert 0.7 < np.mean((low <= truth) & (truth <= high)) <= 1


def test_labels_of_tested_pairs_reach_neither_the_system_nor_its_calibration(study: Study) -> None:
    split = split_of(study, labels_per_drug=2)
    potency = study.target.responses.potency.copy()
    potency[split.test_idx] += 5
    other = replace(study, target=replace(study.target, responses=replace(study.target.responses, potency=potency)))
    for model in (PairwiseGp, Naive):
        (_, one), (_, two) = fitted(study, split, model()), fitted(other, split, model())
        assert np.array_equal(one.predict(asked_of(study, split)), two.predict(asked_of(study, split)))
        assert one.variances == two.variances
    given = GivenLabels.of(study, split).predict(asked_of(study, split))
    assert np.array_equal(given, GivenLabels.of(other, split).predict(asked_of(study, split)))


@pytest.mark.parametrize("model", [PairwiseGp, Naive])
def test_calibrated_systems_are_saved_and_loaded(study: Study, model: type[Predictor], tmp_path: Path) -> None:
    split = split_of(study, labels_per_drug=2)
    _, found = fitted(study, split, model())
    save_model(found, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.name == found.name
    assert again.name.endswith(" + 2 target labels per drug")
    asked = asked_of(study, split)
    assert np.array_equal(again.predict(asked), found.predict(asked))
    for one, other in zip(again.interval(asked), found.interval(asked), strict=True):  # type: ignore[arg-type]
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["inner"].update(system="os.system"),
        lambda facts: facts["inner"].update(system="dadsp.files.write_text"),
        lambda facts: facts.pop("inner"),
        lambda facts: facts.update(given=[]),
        lambda facts: facts["given"].update(cells={"ids": []}),
        lambda facts: facts["variances"].update(extra=1),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(study: Study, change: Callable[[Any], None], tmp_path: Path) -> None:
    split = split_of(study, labels_per_drug=2)
    save_model(fitted(study, split, Naive())[1], tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    change(facts)
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(LoadError):
        load_model(tmp_path)


def test_given_labels_must_name_lines_that_are_there(study: Study, tmp_path: Path) -> None:
    split = split_of(study, labels_per_drug=2)
    save_model(fitted(study, split, Naive())[1], tmp_path)
    arrays = load_file(tmp_path / "weights.safetensors")
    save_file({**arrays, "cell_idx": arrays["cell_idx"] + 1000}, tmp_path / "weights.safetensors")
    with pytest.raises(LoadError, match="name lines or drugs that are not there"):
        load_model(tmp_path)


def test_a_process_says_how_its_errors_vary_together(study: Study) -> None:
    """Against the dense posterior of all training labels, where every pair of the grid was measured."""
    split = split_of(study)
    model = PairwiseGp()
    model.fit(study, split)
    asked = asked_of(study, split)
    stated = model.uncertainty(asked, asked)
    query, line, drug = model._query(asked)
    of_lines, of_drugs = model._similarities(query)
    system = model._pair_system(model.learned.measured)
    assert system.measured.all()
    dense = np.kron(system.lines, system.drugs) + system.noise * np.eye(system.measured.size)
    rows = np.einsum("np,nq->npq", of_lines[line], of_drugs[drug]).reshape(len(asked), -1)
    posterior = model.posterior(query, query)
    prior = posterior.alike_lines[np.ix_(line, line)] * posterior.alike_drugs[np.ix_(drug, drug)]
    left = prior - rows @ np.linalg.solve(dense, rows.T)
    _, scale, _ = model._spread(query, of_lines, of_drugs)
    expected = np.outer(scale[line, drug], scale[line, drug]) * left
    assert stated.covariance == pytest.approx(expected, abs=1e-6)
    assert stated.variance == pytest.approx(np.diag(expected), abs=1e-6)
    whole = model.grid_uncertainty(study.target, "target")
    grid = np.stack([whole.with_pair(a, b).ravel() for a, b in np.ndindex(whole.variance().shape)])
    assert grid == pytest.approx(grid.T, abs=1e-9)
    assert np.diag(grid) == pytest.approx(whole.variance().ravel(), abs=1e-9)
    vector = np.random.default_rng(0).normal(size=whole.variance().shape)
    assert whole.times(vector).ravel() == pytest.approx(grid @ vector.ravel(), abs=1e-8)


def test_no_label_and_too_many_are_refused(study: Study) -> None:
    split = split_of(study, labels_per_drug=1)
    given = given_pairs(study, split)
    none = Pairs(given.screen, "target", given.cell_idx[:0], given.drug_idx[:0])
    with pytest.raises(ConfigError, match="1 to 5,000 labels, not 0"):
        Calibrated.of(Naive().fit(study, split), none, np.zeros(0, dtype=np.float32), given, None)
    with pytest.raises(ConfigError, match="made of a fitted one"):
        Calibrated().fit(study, split)

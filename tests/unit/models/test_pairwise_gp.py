"""The kernel systems against dense Gaussian-process algebra and scikit-learn, and what they keep."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from dadsp.data.alignment.gene_wise import ZScore
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.errors import ConfigError
from dadsp.models.base import load_model, predict_split, save_model
from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.normal import expected_above
from dadsp.models.kernels.similarity import tanimoto, target_names
from dadsp.models.kernels.system import KernelSystem
from dadsp.models.systems.drug_ridge import DrugKernelRidge, DrugRidge
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.schema import Pairs, Split, Study
from tests.support.studies import holey_study, small_study
from tests.support.systems import assert_reloads_bit_for_bit, poisoned, with_target_expression

Values = NDArray[np.float64]
SYSTEMS: dict[str, type[KernelSystem]] = {
    "pairwise_gp": PairwiseGp,
    "drug_ridge": DrugRidge,
    "drug_kernel_ridge": DrugKernelRidge,
}
every_system = pytest.mark.parametrize("system", SYSTEMS)


@pytest.fixture
def holey() -> tuple[Study, Split]:
    return holey_study()


def target_pairs(study: Study) -> Pairs:
    responses = study.target.responses
    return Pairs(study.target, "target", responses.cell_idx, responses.drug_idx)


def with_labels(study: Study, rows: Any, change: Any) -> Study:
    """The same study with other source labels in some rows."""
    potency = study.source.responses.potency.copy()
    potency[rows] = change(potency[rows])
    source = replace(study.source, responses=replace(study.source.responses, potency=potency))
    return replace(study, source=source, raw_source_potency=potency)


def capped(study: Study, cap: float) -> Study:
    """The same study as if the target's top dose stood at ``cap``."""
    potency = np.maximum(study.source.responses.potency, np.float32(cap))
    source = replace(study.source, responses=replace(study.source.responses, potency=potency), cap=cap)
    return replace(study, source=source, target=replace(study.target, cap=cap), label_cap="target")


def scaled(study: Study, rows: Any, expression: Any, own: Any) -> Values:
    """z-scores of some lines by the lines in ``rows`` of ``own``."""
    fitted_on = own[np.unique(rows)].astype(np.float64)
    z: Values = (expression - fitted_on.mean(axis=0)) / fitted_on.std(axis=0)
    return z


def dense_gp(study: Study, rows: Any, scaled_by: Any, pairs: Pairs, noise: float) -> tuple[Values, Values]:
    """Mean and variance of f + level by a matrix over all training pairs, written from the equations alone."""
    source, target, used = study.source, pairs.screen, study.source.responses.take(rows)
    z = scaled(study, scaled_by, source.cells.expression, source.cells.expression)
    of_target = target.cells.expression
    z_new = scaled(study, np.arange(len(of_target)), of_target, of_target) if pairs.domain == "target" else z
    lines = np.unique(scaled_by)
    squares = ((z[lines][:, None] - z[lines]) ** 2).sum(-1)
    width = float(np.median(squares[np.triu_indices(len(lines), 1)]))
    prints = Morgan(bits=2048)
    x, x_new = (prints(screen.drugs.smiles, screen.drugs.names) for screen in (source, target))  # type: ignore[arg-type]

    def k_line(a: Values, b: Values, keys_a: Any, keys_b: Any) -> Values:
        same = np.array([[p == q for q in keys_b] for p in keys_a], dtype=float)
        similarity: Values = (a @ b.T / a.shape[1] + rbf_kernel(a, b, gamma=1 / width)) / 2 + same
        return similarity

    def k_drug(a: Any, b: Any, keys_a: Any, keys_b: Any) -> Values:
        same = np.array([[p == q for q in keys_b] for p in keys_a], dtype=float)
        return 0.1 + 0.5 * tanimoto(a, b) + 0.4 * same

    of_lines = k_line(z, z, source.line_keys, source.line_keys)
    of_drugs = k_drug(x, x, source.drug_keys, source.drug_keys)
    new_lines = k_line(z_new, z, target.line_keys, source.line_keys)
    new_drugs = k_drug(x_new, x, target.drug_keys, source.drug_keys)
    means = np.array([used.potency[used.drug_idx == d].mean(dtype=np.float64) for d in range(len(source.drugs))])
    covariance = of_lines[np.ix_(used.cell_idx, used.cell_idx)] * of_drugs[np.ix_(used.drug_idx, used.drug_idx)]
    noisy = covariance + noise * np.eye(len(covariance))
    to_train = new_lines[pairs.cell_idx][:, used.cell_idx] * new_drugs[pairs.drug_idx][:, used.drug_idx]
    column = [source.drug_keys.index(key) for key in target.drug_keys]
    mean = means[column][pairs.drug_idx] + to_train @ np.linalg.solve(noisy, used.potency - means[used.drug_idx])
    explained: Values = np.einsum("nk,nk->n", to_train, np.linalg.solve(noisy, to_train.T).T)
    return mean, explained


def test_mean_equals_dense_gaussian_process_regression(holey: tuple[Study, Split]) -> None:
    study, split = holey
    rows = np.concatenate([split.train_idx, split.val_idx])
    train_lines = study.source.responses.cell_idx[split.train_idx]
    expected, _ = dense_gp(study, rows, train_lines, target_pairs(study), 1.0)
    model = PairwiseGp(alignment=ZScore(), tolerance=1e-9).fit(study, split)
    assert model.predict(target_pairs(study)) == pytest.approx(expected, abs=2e-5)
    expected, _ = dense_gp(study, split.train_idx, train_lines, target_pairs(study), 1.0)
    assert model.without_validation_labels().predict(target_pairs(study)) == pytest.approx(expected, abs=2e-5)


def test_variance_equals_the_dense_one_on_a_whole_grid() -> None:
    study = small_study()
    responses = study.source.responses
    split = Split("whole", np.arange(len(responses)), np.arange(0), np.arange(0), np.arange(len(study.target.cells)))
    pairs = target_pairs(study)
    _, explained = dense_gp(study, split.train_idx, responses.cell_idx, pairs, 1.0)
    model = PairwiseGp(alignment=ZScore()).fit(study, split)
    labels = responses.potency.reshape(len(study.source.cells), -1)
    spread = labels.std(axis=0)[pairs.drug_idx]
    z = scaled(study, np.arange(9), study.target.cells.expression, study.target.cells.expression)
    prior = (((z * z).mean(1) + 1) / 2 + 1)[pairs.cell_idx]
    expected = spread**2 * (prior - explained + 1) / (prior + 1)
    assert model.distribution(pairs).variance == pytest.approx(expected, rel=1e-4)


def test_expected_value_under_a_cap_is_the_integral() -> None:
    mean, sd, cap = np.array([-1.0, 0.2]), np.array([0.5, 0.3]), -0.9
    grid = np.linspace(-12, 12, 200_001)
    density = norm.pdf(grid[:, None], mean, sd)
    expected = (np.maximum(grid, cap)[:, None] * density).sum(0) * (grid[1] - grid[0])
    assert expected_above(cap, mean, sd) == pytest.approx(expected, abs=1e-4)


def test_a_cap_bounds_predictions_and_both_ends_of_intervals(holey: tuple[Study, Split]) -> None:
    study, split = holey
    study = capped(study, -0.5)
    model, expected = (PairwiseGp(point=point).fit(study, split) for point in ("mean", "expected"))
    pairs = target_pairs(study)
    low, high = model.interval(pairs)
    assert model.predict(pairs).min() == np.float32(-0.5) == low.min()
    assert (high >= low).all()
    assert (
        expected.predict(pairs) > model.predict(pairs)
    ).mean() > 0.9  # the part above the cap counts, that below does not


def test_intervals_hold_their_share_of_held_out_lines(holey: tuple[Study, Split]) -> None:
    study, split = holey
    model = PairwiseGp().fit(study, split).without_validation_labels()
    held_out = study.source.responses.take(split.val_idx)
    pairs = Pairs(study.source, "source", held_out.cell_idx, held_out.drug_idx)
    for level in (0.5, 0.9):
        low, high = model.interval(pairs, level)
        covered = ((held_out.potency >= low) & (held_out.potency <= high)).mean()
        assert covered == pytest.approx(level, abs=1.5 / len(held_out))


def test_a_line_measured_in_the_source_speaks_for_itself(holey: tuple[Study, Split]) -> None:
    study, split = holey
    shared = [row for row, key in enumerate(study.target.line_keys) if key in study.source.line_keys]
    line = study.source.line_keys.index(study.target.line_keys[shared[0]])
    raised = with_labels(study, study.source.responses.cell_idx == line, lambda labels: labels + 1)
    drug = int(study.source.responses.drug_idx[study.source.responses.cell_idx == line][0])
    pairs = Pairs(study.target, "target", np.array([shared[0]]), np.array([drug]))
    moved = {}
    for weight in (0.0, 1.0):
        kernel = {"same_line": weight}
        before, after = (PairwiseGp(kernel=kernel).fit(data, split).predict(pairs)[0] for data in (study, raised))
        moved[weight] = after - before
    assert moved[1.0] > moved[0.0] + 0.1


@every_system
def test_no_target_label_can_change_a_prediction(system: str, holey: tuple[Study, Split]) -> None:
    study, split = holey
    honest, other = (SYSTEMS[system](alignment=ZScore()).fit(data, split) for data in (study, poisoned(study)))
    assert np.array_equal(honest.predict(target_pairs(study)), other.predict(target_pairs(study)))
    assert not honest.sees_target_labels


@pytest.mark.parametrize("system", ["pairwise_gp", "drug_ridge"])
def test_expression_of_the_target_does_change_predictions(system: str, holey: tuple[Study, Split]) -> None:
    study, split = holey
    other = with_target_expression(study, study.target.cells.expression[::-1] ** 3)
    ours, theirs = (
        SYSTEMS[system](alignment=ZScore()).fit(data, split).predict(target_pairs(data)) for data in (study, other)
    )
    assert not np.allclose(ours, theirs)


@every_system
def test_before_validation_no_validation_label_can_change_a_prediction(system: str, holey: tuple[Study, Split]) -> None:
    study, split = holey
    other = with_labels(study, split.val_idx, lambda labels: labels * -2 + 1)
    options: dict[str, Any] = {"penalties": (30.0,)} if system == "drug_ridge" else {}  # they may choose a penalty
    ours, theirs = (SYSTEMS[system](**options).fit(data, split) for data in (study, other))
    pairs = target_pairs(study)
    early = [model.without_validation_labels() for model in (ours, theirs)]
    assert np.array_equal(early[0].predict(pairs), early[1].predict(pairs))
    assert not np.array_equal(ours.predict(pairs), theirs.predict(pairs))
    assert ours.learns_from_validation
    assert not early[0].learns_from_validation


@every_system
def test_without_refit_validation_pairs_teach_nothing(system: str, holey: tuple[Study, Split]) -> None:
    study, split = holey
    model = SYSTEMS[system](refit=False).fit(study, split)
    assert model.without_validation_labels() is model
    assert not model.learns_from_validation


@every_system
def test_saved_system_predicts_bit_for_bit_the_same(system: str, holey: tuple[Study, Split], tmp_path: Path) -> None:
    study, split = holey
    model = SYSTEMS[system](alignment=ZScore()).fit(study, split)
    assert_reloads_bit_for_bit(model, study, split, tmp_path)
    again = load_model(tmp_path)
    assert (again.genes, again.learns_from_validation) == (model.genes, True)
    pairs = target_pairs(study)
    ours, theirs = model.interval(pairs), again.interval(pairs)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert np.allclose(ours, theirs, atol=1e-6)


def test_ridge_per_drug_is_scikit_learns_on_the_drugs_own_lines(holey: tuple[Study, Split]) -> None:
    study, split = holey
    model = DrugRidge(penalties=(30.0,), refit=False).fit(study, split)
    train = study.source.responses.take(split.train_idx)
    own, other = study.source.cells.expression, study.target.cells.expression
    z = scaled(study, train.cell_idx, own, own)
    z_new = scaled(study, np.arange(len(other)), other, other)
    for drug in range(len(study.target.drugs)):
        rows = train.drug_idx == drug
        mean = train.potency[rows].mean(dtype=np.float64)
        ridge = Ridge(alpha=30.0, fit_intercept=False).fit(z[train.cell_idx[rows]], train.potency[rows] - mean)
        pairs = Pairs(study.target, "target", np.arange(len(z_new)), np.full(len(z_new), drug))
        assert model.predict(pairs) == pytest.approx(mean + ridge.predict(z_new), abs=1e-4)


def test_ridge_per_drug_chooses_its_penalty_on_held_out_source_lines(holey: tuple[Study, Split]) -> None:
    study, split = holey
    model = DrugRidge(penalties=(1.0, 1e6)).fit(study, split)
    rmse = {entry["penalty"]: entry["val/source/rmse"] for entry in model.search}
    assert model.penalty == min(rmse, key=lambda penalty: rmse[penalty])


def test_a_drug_without_labels_takes_the_deviations_of_similar_ones(holey: tuple[Study, Split]) -> None:
    study, split = holey
    train = study.source.responses.drug_idx[split.train_idx]
    without = replace(split, train_idx=split.train_idx[train != 2], val_idx=split.val_idx[:0])
    model = DrugRidge(penalties=(30.0,), power=1.0).fit(study, without)
    pairs = Pairs(study.target, "target", np.array([3, 4]), np.array([2, 2]))
    x = Morgan(bits=2048)(study.source.drugs.smiles, study.source.drugs.names)  # type: ignore[arg-type]
    others = [drug for drug in range(len(study.source.drugs)) if drug != 2]
    weights = tanimoto(x[[2]], x[others])[0]
    level = model.learned.level
    deviations = []
    for column, drug in enumerate(others):
        if drug < len(study.target.drugs):
            whose = model.predict(Pairs(study.target, "target", np.array([3, 4]), np.array([drug, drug]))).astype(float)
            deviations.append(whose - level.means[column])
        else:
            weights[column] = np.nan
    if np.isnan(weights).any():  # the source's last drug stands in no target: ask it of the source's own table
        screen = replace(study.target, drugs=study.source.drugs)
        deviations = [
            model.predict(Pairs(screen, "target", np.array([3, 4]), np.array([drug, drug]))).astype(float)
            - level.means[column]
            for column, drug in enumerate(others)
        ]
        weights = tanimoto(x[[2]], x[others])[0]
    apart = model.predict(pairs).astype(float)
    expected = weights @ np.array(deviations) / weights.sum()
    assert apart[1] - apart[0] == pytest.approx(expected[1] - expected[0], abs=1e-5)


def test_drug_kernel_ridge_is_the_level_alone(holey: tuple[Study, Split]) -> None:
    study, split = holey
    model = DrugKernelRidge(level_power=1.0, level_penalty=0.5, refit=False).fit(study, split)
    train = study.source.responses.take(split.train_idx)
    predicted = model.predict(target_pairs(study))
    for drug in range(len(study.target.drugs)):
        mean = train.potency[train.drug_idx == drug].mean(dtype=np.float64)
        assert predicted[target_pairs(study).drug_idx == drug] == pytest.approx(mean, abs=1e-6)
    assert isinstance(model.learned.level, DrugLevel)


@pytest.mark.parametrize("choose", ["source_validation", "marginal_likelihood"])
def test_a_choice_is_kept_with_what_was_tried(choose: str, holey: tuple[Study, Split], tmp_path: Path) -> None:
    study, split = holey
    model = PairwiseGp(choose=choose).fit(study, split)
    assert len(model.search) >= 9
    if choose == "source_validation":
        best = min(model.search, key=lambda entry: entry["val/source/rmse"])
        assert (model.kernel.lines, model.kernel.noise) == (best["lines"], best["noise"])
    else:
        best = max(model.search, key=lambda entry: entry["log_evidence"])
        assert model.kernel.same_line == pytest.approx(best["same_line"])
        assert best["log_evidence"] > model.search[0]["log_evidence"]
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, PairwiseGp)
    assert again.kernel == model.kernel


def test_annotated_targets_make_drugs_alike(holey: tuple[Study, Split]) -> None:
    study, split = holey
    drugs = replace(study.source.drugs, targets=("EGFR", "EGFR, ERBB2", None, "TOP1", None, "TOP1"))
    study = replace(study, source=replace(study.source, drugs=drugs))
    plain, informed = (PairwiseGp(kernel={"targets": weight}).fit(study, split) for weight in (0.0, 2.0))
    assert not np.allclose(plain.predict(target_pairs(study)), informed.predict(target_pairs(study)))
    assert target_names("EGFR, ERBB2; MEK1/MEK2") == frozenset({"egfr", "erbb2", "mek1", "mek2"})


def test_validation_predictions_are_those_before_validation_was_learned(holey: tuple[Study, Split]) -> None:
    study, split = holey
    model = PairwiseGp().fit(study, split)
    table = predict_split(model, study, split).frame
    val = table[table["split"] == "val"]
    held_out = study.source.responses.take(split.val_idx)
    pairs = Pairs(study.source, "source", held_out.cell_idx, held_out.drug_idx)
    assert val["y_pred"].to_numpy() == pytest.approx(model.without_validation_labels().predict(pairs))
    in_sample = np.mean((model.predict(pairs) - held_out.potency) ** 2)
    assert np.mean((val["y_pred"] - val["y_true"]) ** 2) > in_sample


def test_learned_representations_and_impossible_kernels_are_refused() -> None:
    with pytest.raises(ConfigError, match="drug_features=cnn"):
        PairwiseGp(SmilesTokens())
    with pytest.raises(ConfigError, match="are all 0"):
        PairwiseGp(kernel={"all_drugs": 0, "structure": 0, "same_structure": 0})
    with pytest.raises(ConfigError, match=r"model\.kernel\.nois is not a known key"):
        PairwiseGp(kernel={"nois": 1})

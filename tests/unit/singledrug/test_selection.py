"""SVR-RFE against scikit-learn's own, and which genes the three gene sets hold."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_selection import RFE
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import check_estimator

from dadsp.singledrug.selection import SelectionOptions, SvrRfe, choose_genes


def expression_and_response(seed: int, n_lines: int = 50, n_genes: int = 250) -> tuple[NDArray[np.float64], ...]:
    rng = np.random.default_rng(seed)
    expression = rng.random((n_lines, n_genes))
    return expression, 2 * expression[:, :5].sum(axis=1) + rng.normal(0, 0.3, n_lines)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("step", [0.05, 7, 0.3])
def test_keeps_and_ranks_the_genes_of_scikit_learn(seed: int, step: float) -> None:
    expression, response = expression_and_response(seed)
    reference = RFE(SVR(kernel="linear", epsilon=0.1), n_features_to_select=40, step=step).fit(expression, response)
    ours = SvrRfe(40, step).fit(expression, response)
    assert np.array_equal(ours.ranking_, reference.ranking_)
    assert np.array_equal(ours.support_, reference.support_)
    assert ours.n_features_ == 40


def test_keeps_the_genes_of_scikit_learn_one_at_a_time_and_where_lines_outnumber_genes() -> None:
    expression, response = expression_and_response(0, n_lines=60, n_genes=30)
    reference = RFE(SVR(kernel="linear", epsilon=0.1), n_features_to_select=3, step=1).fit(expression, response)
    assert np.array_equal(SvrRfe(3, 1).fit(expression, response).ranking_, reference.ranking_)


def test_keeps_the_genes_of_scikit_learn_at_other_epsilon_and_C() -> None:
    expression, response = expression_and_response(3)
    reference = RFE(SVR(kernel="linear", epsilon=0.4, C=0.02), n_features_to_select=40, step=0.1)
    ours = SvrRfe(40, 0.1, epsilon=0.4, C=0.02).fit(expression, response)
    assert np.array_equal(ours.ranking_, reference.fit(expression, response).ranking_)


def test_subtraction_leaves_the_gram_matrix_exact_on_badly_scaled_genes() -> None:
    expression, response = expression_and_response(1)
    expression[:, 125:] += 1000  # what these genes leave behind in the Gram matrix dwarfs what the others tell
    expression[:, 0] += 1e-3 * expression[:, 200]
    reference = RFE(SVR(kernel="linear", epsilon=0.1), n_features_to_select=20, step=0.1).fit(expression, response)
    assert np.array_equal(SvrRfe(20, 0.1).fit(expression, response).support_, reference.support_)


def test_keeps_everything_where_fewer_genes_are_given_than_asked_for() -> None:
    expression, response = expression_and_response(0, n_genes=10)
    assert SvrRfe(20).fit(expression, response).support_.all()


def test_is_a_scikit_learn_selector() -> None:
    check_estimator(SvrRfe(n_features_to_select=1), on_skip=None)


def test_stands_in_a_pipeline() -> None:
    expression, response = expression_and_response(2)
    pipeline = make_pipeline(MinMaxScaler(), SvrRfe(5), LinearRegression()).fit(expression, response)
    assert pipeline.score(expression, response) > 0.9
    chosen = pipeline[:-1].get_feature_names_out([f"G{column}" for column in range(250)])
    assert set(chosen) == {"G0", "G1", "G2", "G3", "G4"}


@pytest.mark.parametrize(("n_genes", "step"), [(0, 0.1), (5, 0), (5, -1)])
def test_impossible_settings_are_refused(n_genes: int, step: float) -> None:
    with pytest.raises(ValueError, match="must both be positive"):
        SvrRfe(n_genes, step).fit(*expression_and_response(0))


@pytest.mark.parametrize("gene_set", ["selected", "all", "random"])
def test_genes_that_are_zero_in_all_lines_never_enter(gene_set: str) -> None:
    expression, response = (part.astype(np.float32) for part in expression_and_response(0, n_genes=40))
    expression[:, [3, 17]] = 0
    chosen = choose_genes(gene_set, expression, response, SelectionOptions(n_genes=38), seed=0)  # type: ignore[arg-type]
    assert sorted(set(range(40)) - set(chosen.tolist())) == [3, 17]


def test_selected_genes_are_those_of_min_max_scaled_expression() -> None:
    expression, response = (part.astype(np.float32) for part in expression_and_response(0))
    expression *= np.random.default_rng(1).uniform(0.1, 20, 250).astype(np.float32)
    chosen = choose_genes("selected", expression, response, SelectionOptions(n_genes=25), seed=0)
    scaled = MinMaxScaler().fit_transform(expression)
    reference = RFE(SVR(kernel="linear", epsilon=0.1), n_features_to_select=25, step=0.05).fit(scaled, response)
    assert np.array_equal(chosen, reference.get_support(indices=True))


def test_random_genes_depend_on_the_seed_and_never_on_the_response() -> None:
    expression, response = (part.astype(np.float32) for part in expression_and_response(0))
    options = SelectionOptions(n_genes=20)
    first = choose_genes("random", expression, response, options, seed=1)
    assert np.array_equal(first, choose_genes("random", expression, -response, options, seed=1))
    assert not np.array_equal(first, choose_genes("random", expression, response, options, seed=2))
    assert len(set(first.tolist())) == 20

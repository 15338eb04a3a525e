"""Estimates of the target's error without its labels, against closed forms and against skada."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from dadsp.evaluation.label_free import (
    blend_weight,
    deep_embedded_validation,
    density_ratio,
    effective_sample_size,
    line_errors,
    weighted_mean,
)
from dadsp.models.networks.which_line import unexplained

Values = NDArray[np.float64]
SHIFT = 0.8


def normal(n: int, mean: float, seed: int, width: int = 1) -> Values:
    return np.random.default_rng(seed).normal(mean, 1, (n, width))


@pytest.fixture(scope="module")
def shifted() -> tuple[Values, Values]:
    """Held-out source rows x ~ N(0, 1), and the estimated p_target/p_source there, the target's being N(SHIFT, 1)."""
    source, target, held_out = normal(4000, 0, 0), normal(3000, SHIFT, 1), normal(20000, 0, 2)
    return held_out[:, 0], density_ratio(source, target, np.arange(7000) % 300, held_out, seed=0)


def test_density_ratio_is_the_closed_form_of_two_normal_laws(shifted: tuple[Values, Values]) -> None:
    x, ratio = shifted
    np.testing.assert_allclose(np.log(ratio), SHIFT * x - SHIFT**2 / 2, atol=0.2)
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_weights_recover_the_targets_error_under_covariate_shift(shifted: tuple[Values, Values]) -> None:
    x, ratio = shifted
    squares = x**2  # of a prediction of 0 where the label is x: 1 in the source, 1 + SHIFT² in the target
    assert squares.mean() == pytest.approx(1, abs=0.05)
    for estimate in (weighted_mean, deep_embedded_validation):
        assert estimate(squares, ratio) == pytest.approx(1 + SHIFT**2, abs=0.12)


def test_weights_are_about_one_where_both_screens_follow_one_law() -> None:
    source, target, held_out = (normal(n, 0, seed, 10) for n, seed in ((700, 0), (600, 1), (100, 2)))
    ratio = density_ratio(source, target, np.arange(1300), held_out, seed=0)
    np.testing.assert_allclose(ratio, 1, atol=0.25)
    assert effective_sample_size(ratio) > 98


def test_lines_of_both_screens_do_not_choose_the_penalty() -> None:
    # Every line stands in both screens with nearly the same features: there is nothing to tell, and no row may teach it.
    lines = normal(60, 0, 0, 59)
    ratio = density_ratio(lines, lines + 1e-3 * normal(60, 0, 1, 59), np.tile(np.arange(60), 2), lines, seed=0)
    np.testing.assert_allclose(ratio, 1, atol=0.05)


def test_codes_that_are_all_alike_weigh_alike() -> None:
    ones = np.ones((50, 4), dtype=np.float32)
    np.testing.assert_allclose(density_ratio(ones, ones[:40], np.arange(90), ones[:5], seed=0), 1, rtol=1e-3)


def test_control_variate_makes_a_constant_loss_exact() -> None:
    weights = np.random.default_rng(0).lognormal(0.3, 2, 20)
    assert deep_embedded_validation(np.full(20, 0.7), weights) == pytest.approx(0.7)
    assert (0.7 * weights).mean() != pytest.approx(0.7, rel=0.2)


def test_equal_weights_give_the_plain_mean() -> None:
    losses = np.array([1.0, 2.0, 6.0])
    assert deep_embedded_validation(losses, np.ones(3)) == weighted_mean(losses, np.full(3, 5.0)) == 3.0


def test_effective_sample_size_of_equal_and_of_single_weights() -> None:
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size(np.array([0.0, 4.0, 0.0])) == 1


def test_line_errors_with_equal_weights_give_what_networks_select_by() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.normal(size=(2, 60)) + 3
    drug = random.integers(0, 5, 60) * 7
    found = line_errors(truth, predicted, drug, np.ones(60))
    expected = unexplained(truth.astype(np.float32), predicted.astype(np.float32), drug)
    assert found.error.sum() / found.label.sum() == pytest.approx(expected, rel=1e-5)


def test_whole_weights_are_repeated_pairs() -> None:
    truth, predicted, drug = np.array([1.0, 2.0, 4.0, 0.0]), np.array([0.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1])
    times = np.array([1, 3, 2, 1])
    found = line_errors(truth, predicted, drug, times.astype(float))
    again = np.repeat(np.arange(4), times)
    repeated = line_errors(truth[again], predicted[again], drug[again], np.ones(7))
    np.testing.assert_allclose(found.error[again], repeated.error)
    np.testing.assert_allclose(found.label[again], repeated.label)


def test_blend_weight_is_the_best_of_a_grid() -> None:
    random = np.random.default_rng(0)
    truth, one, other = random.normal(size=(3, 400))
    first, second = truth + one, 0.5 * truth + other + 7
    drug = random.integers(0, 4, 400)
    grid = np.linspace(0, 1, 1001)
    left = [unexplained(truth.astype(np.float32), (w * first + (1 - w) * second).astype(np.float32), drug) for w in grid]
    assert blend_weight(truth, first, second, drug) == pytest.approx(grid[np.argmin(left)], abs=2e-3)


def test_blend_weight_stays_between_the_two() -> None:
    truth, drug = np.random.default_rng(0).normal(size=50), np.zeros(50, dtype=np.int64)
    assert blend_weight(truth, 0.5 * truth, 0 * truth, drug) == 1  # the parabola's lowest point is at 2
    assert blend_weight(truth, 0 * truth, 0.5 * truth, drug) == 0
    assert blend_weight(truth, truth + 3, truth, drug) == 1


# Against skada, where it is installed: the same weights must give the same estimates.


@pytest.fixture
def scorers() -> Iterator[object]:
    with sklearn.config_context(enable_metadata_routing=True):  # which importing skada turns on for the whole process
        yield pytest.importorskip("skada.metrics")


class Given(BaseEstimator):
    """log p(x) of one screen, stated by its mean."""

    def fit(self, features: Values) -> "Given":
        self.mean_ = features.mean(axis=0)
        return self

    def score_samples(self, features: Values) -> Values:
        return np.asarray(-((features - self.mean_) ** 2).sum(axis=1) / 2)


class Linear(RegressorMixin, TransformerMixin, BaseEstimator):
    """Predicts the first feature; asks for weights when it is scored."""

    __metadata_request__score: ClassVar = {"sample_weight": True, "sample_domain": False, "allow_source": False}
    __metadata_request__predict_proba: ClassVar = {"sample_domain": True, "allow_source": True}

    def fit(self, features: Values, labels: Values) -> "Linear":
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, features: Values) -> Values:
        return features[:, 0]

    def predict_proba(self, features: Values, **_: object) -> Values:
        return features[:, :1]

    def transform(self, features: Values) -> Values:
        return features

    def score(self, features: Values, labels: Values, sample_weight: Values | None = None, **_: object) -> float:
        assert sample_weight is not None
        return -float((sample_weight * (features[:, 0] - labels) ** 2).sum())


def both(n: int, m: int) -> tuple[Values, Values, NDArray[np.int64]]:
    features = np.concatenate([normal(n, 0, 0, 3), normal(m, 0.5, 1, 3)])
    labels = features[:, 0] ** 2 + normal(n + m, 0, 2)[:, 0]
    return features, labels, np.repeat([1, -2], [n, m])


def test_weighted_mean_is_skadas_importance_weighted_score(scorers: object) -> None:
    features, labels, domain = both(120, 90)
    x, y = features[:120], labels[:120]
    score = scorers.ImportanceWeightedScorer(Given())._score(  # type: ignore[attr-defined]
        None, Linear(), features, labels, sample_domain=domain
    )
    weights = np.exp(Given().fit(features[120:]).score_samples(x) - Given().fit(x).score_samples(x))
    assert weighted_mean((x[:, 0] - y) ** 2, weights) == pytest.approx(-score, rel=1e-10)


def test_deep_embedded_validation_is_skadas(scorers: object) -> None:
    features, labels, domain = both(120, 90)

    def squared(truth: Values, predicted: Values) -> Values:
        return (truth[:, None] - predicted) ** 2

    score = scorers.DeepEmbeddedValidation(loss_func=squared, random_state=0)._score(  # type: ignore[attr-defined]
        None, Pipeline([("network", Linear())]), features, labels, sample_domain=domain
    )
    train, held_out, _, y = train_test_split(features[:120], labels[:120], test_size=0.33, random_state=0)
    classifier = LogisticRegression().fit(np.concatenate([train, features[120:]]), np.repeat([0, 1], [len(train), 90]))
    weights = len(train) / 90 * np.exp(classifier.decision_function(held_out))
    assert deep_embedded_validation((held_out[:, 0] - y) ** 2, weights) == pytest.approx(-score, rel=1e-10)

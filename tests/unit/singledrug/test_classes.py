"""Quartiles against numpy, classes and their scores against hand arithmetic."""

import numpy as np
import pytest

from dadsp.singledrug.classes import COINCIDE, Quartiles, class_scores, classify, quartiles


def test_quartiles_are_numpys_percentiles() -> None:
    responses = np.random.default_rng(0).gamma(2, size=87).astype(np.float32)
    low, high = np.percentile(responses.astype(np.float64), [25, 75])
    assert quartiles(responses) == (low, high)


def test_lines_at_a_quartile_belong_to_the_outer_class() -> None:
    assert classify(np.array([0.9, 1.0, 1.1, 1.9, 2.0, 2.1]), Quartiles(1.0, 2.0)).tolist() == [0, 0, 1, 1, 2, 2]


def test_scores_are_those_of_the_confusion_matrix() -> None:
    # Measured 2, 3, 1 of the classes; 1 resistant and 2 moderate lines are called so, the sensitive one resistant.
    y_true = np.array([0.0, 0.0, 1.5, 1.5, 1.5, 3.0])
    y_pred = np.array([0.0, 1.5, 1.5, 1.5, 3.0, 0.0])
    scores = class_scores(y_true, y_pred, Quartiles(1.0, 2.0))
    assert scores["confusion"] == [[1, 1, 0], [0, 2, 1], [1, 0, 0]]
    assert scores["accuracy"] == pytest.approx(3 / 6)
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    # Σ of squared class distances, observed (1 + 1 + 4) over expected from the margins: measured 2, 3, 1, predicted 2, 3, 1.
    expected = (2 * 3 * 1 + 2 * 1 * 4 + 3 * 2 * 1 + 3 * 1 * 1 + 1 * 2 * 4 + 1 * 3 * 1) / 6
    assert scores["kappa"] == pytest.approx(1 - 6 / expected)


def test_the_mean_predictor_is_right_for_the_moderate_half() -> None:
    responses = np.random.default_rng(1).normal(size=1000)
    scores = class_scores(responses, np.full(1000, responses.mean()), quartiles(responses))
    assert scores["accuracy"] == pytest.approx(0.5, abs=0.01)
    assert scores["balanced_accuracy"] == pytest.approx(1 / 3)
    assert scores["kappa"] == pytest.approx(0)


def test_no_class_is_made_up_where_quartiles_coincide() -> None:
    responses = np.array([0.0] * 9 + [1.0])
    scores = class_scores(responses, responses, quartiles(responses))
    assert scores.pop("reason") == COINCIDE
    assert set(scores.values()) == {None}


def test_a_single_class_has_an_accuracy_but_no_kappa() -> None:
    scores = class_scores(np.array([1.5, 1.6]), np.array([1.4, 1.3]), Quartiles(1.0, 2.0))
    assert scores["accuracy"] == 1.0
    assert scores["kappa"] is None
    assert "one class" in scores["reason"]

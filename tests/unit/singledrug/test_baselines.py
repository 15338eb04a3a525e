"""Baselines against scikit-learn used by hand, and the search for settings against a slow loop."""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from dadsp.singledrug.baselines import Baseline, BaselineName, Fold, fit_baseline, make_baseline, search

WIDTHS = (20, 10, 5)


def fold(seed: int, n_fit: int = 60, n_held: int = 30, n_genes: int = 12) -> Fold:
    rng = np.random.default_rng(seed)
    x = rng.random((n_fit + n_held, n_genes), dtype=np.float32)
    y = (3 + 4 * x[:, 0] - 2 * x[:, 1] + rng.normal(0, 0.2, len(x))).astype(np.float32)
    return Fold(x[:n_fit], y[:n_fit], x[n_fit:], y[n_fit:])


def test_search_takes_the_settings_of_least_error_over_the_folds() -> None:
    folds = [fold(seed) for seed in range(3)]
    baseline = Baseline(ElasticNet(), [{"alpha": [0.01, 0.1, 1.0], "l1_ratio": [0.2, 0.8]}])
    errors = {}
    for alpha in (0.01, 0.1, 1.0):
        for l1_ratio in (0.2, 0.8):
            mse = []
            for x_fit, y_fit, x_held, y_held in folds:
                mean, sd = y_fit.mean(), y_fit.std()
                net = ElasticNet(alpha=alpha, l1_ratio=l1_ratio).fit(x_fit, (y_fit - mean) / sd)
                mse.append(np.mean((net.predict(x_held) * sd + mean - y_held) ** 2))
            errors[alpha, l1_ratio] = np.mean(mse)
    alpha, l1_ratio = min(errors, key=lambda key: errors[key])
    assert search(baseline, folds) == {"alpha": alpha, "l1_ratio": l1_ratio}


@pytest.mark.parametrize("name", ["elastic_net", "random_forest", "svr"])
def test_baseline_learns_and_repeats_itself(name: BaselineName) -> None:
    given = fold(0)
    settings = search(make_baseline(name, WIDTHS, seed=3), [fold(1)])
    first, again = (
        fit_baseline(make_baseline(name, WIDTHS, seed=3), settings, given.x_fit, given.y_fit).predict(given.x_held)
        for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert np.mean((first - given.y_held) ** 2) < 0.5 * np.var(given.y_held)


def test_predictions_follow_the_unit_of_the_response() -> None:
    given = fold(0)
    baseline, settings = make_baseline("svr", WIDTHS, seed=0), {"kernel": "rbf", "C": 1.0}
    plain = fit_baseline(baseline, settings, given.x_fit, given.y_fit).predict(given.x_held)
    scaled = fit_baseline(baseline, settings, given.x_fit, 100 * given.y_fit - 7).predict(given.x_held)
    assert np.allclose(scaled, 100 * plain - 7, rtol=1e-3)


def test_simple_ann_is_linear_and_as_deep_as_the_network() -> None:
    given = fold(0)
    ann = fit_baseline(make_baseline("ann", WIDTHS, seed=0), {}, given.x_fit, given.y_fit)
    middle = (given.x_held[:-1] + given.x_held[1:]) / 2
    assert np.allclose(ann.predict(middle), (ann.predict(given.x_held[:-1]) + ann.predict(given.x_held[1:])) / 2, atol=1e-4)
    assert len(ann.regressor_.coefs_) == len(WIDTHS) + 1


def test_mean_is_that_of_the_training_lines() -> None:
    given = fold(0)
    predicted = fit_baseline(make_baseline("mean", WIDTHS, seed=0), {}, given.x_fit, given.y_fit).predict(given.x_held)
    assert np.allclose(predicted, given.y_fit.mean(), atol=1e-5)

"""The methods the paper compares with, as scikit-learn regressors, and the small searches for settings it does not give."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import ParameterGrid
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from dadsp.schema import FloatArray

BaselineName = Literal["elastic_net", "random_forest", "svr", "ann", "mean"]
Settings = dict[str, Any]


class Fold(NamedTuple):
    """Lines that fit and lines that validate.

    Attributes:
        x_fit: Inputs scaled by the fitting lines, float32, shape (n_fit, n_genes).
        y_fit: Response, float32, shape (n_fit,).
        x_held: The same of the other lines, shape (n_held, n_genes).
        y_held: Their response, shape (n_held,).
    """

    x_fit: FloatArray
    y_fit: FloatArray
    x_held: FloatArray
    y_held: FloatArray


class Baseline(NamedTuple):
    """A regressor of the standardised response, and the settings to choose among (empty: nothing to choose)."""

    regressor: RegressorMixin
    grid: Sequence[dict[str, list[Any]]]


def make_baseline(name: BaselineName, ann_widths: Sequence[int], seed: int) -> Baseline:
    """The baseline of this name. Of their settings the paper gives only the depth and activations of the simple ANN.

    Args:
        name: ``"elastic_net"``, ``"random_forest"``, ``"svr"``, ``"ann"`` or ``"mean"`` (of the training lines).
        ann_widths: Hidden widths of the ANN, whose activations are linear.
        seed: Of the forest and the ANN.
    """
    state = seed % 2**32  # all that scikit-learn takes
    match name:
        case "elastic_net":
            # Inputs in [0, 1] vary by about 0.2, so that no coefficient survives a penalty of 0.2.
            penalties = np.geomspace(5e-4, 0.2, 7).tolist()
            return Baseline(ElasticNet(max_iter=5000, tol=1e-3), [{"alpha": penalties, "l1_ratio": [0.1, 0.5, 0.9]}])
        case "random_forest":
            forest = RandomForestRegressor(100, min_samples_leaf=2, random_state=state)
            return Baseline(forest, [{"max_features": ["sqrt", 0.2]}])
        case "svr":
            kernels = {"rbf": [0.3, 1.0, 3.0, 10.0], "linear": [0.003, 0.01, 0.03, 0.1]}
            return Baseline(SVR(epsilon=0.1), [{"kernel": [kernel], "C": C} for kernel, C in kernels.items()])
        case "ann":
            layers = tuple(ann_widths)
            return Baseline(
                MLPRegressor(hidden_layer_sizes=layers, activation="identity", early_stopping=True, random_state=state), []
            )
        case "mean":
            return Baseline(DummyRegressor(), [])


def search(baseline: Baseline, folds: Sequence[Fold]) -> Settings:
    """The settings of least mean squared error over the folds, the first among equals."""
    candidates: list[Settings] = list(ParameterGrid(baseline.grid)) if baseline.grid else [{}]
    if len(candidates) == 1:
        return candidates[0]
    return min(candidates, key=lambda settings: float(np.mean([_error(baseline, settings, fold) for fold in folds])))


def fit_baseline(baseline: Baseline, settings: Settings, x: FloatArray, y: FloatArray) -> RegressorMixin:
    """The regressor with these settings, fitted to the response in standard deviations; it predicts it in its own unit."""
    regressor = clone(baseline.regressor).set_params(**settings)
    with warnings.catch_warnings():
        # A solver that is stopped before its tolerance has a solution all the same, judged by held-out lines like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return TransformedTargetRegressor(regressor, transformer=StandardScaler()).fit(x, y.astype(np.float64))


def _error(baseline: Baseline, settings: Settings, fold: Fold) -> float:
    predicted = fit_baseline(baseline, settings, fold.x_fit, fold.y_fit).predict(fold.x_held)
    return float(mean_squared_error(fold.y_held, predicted))

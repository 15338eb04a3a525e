"""Curves through points: planted ones come back, none is worse than scipy's best, areas are integrals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import least_squares

from dadsp.data.curves.fit import Curves, Floats, fit_curves
from dadsp.data.curves.options import FitOptions
from tests.support.wells import FIT, viability

DOSES = 10.0 ** np.linspace(-3, 1, 9)


def options(**more: object) -> FitOptions:
    return FitOptions.model_validate({**FIT, **more})


def fitted(curves: list[Floats], doses: Floats = DOSES, **more: object) -> Curves:
    """One curve through each set of viabilities at the same doses."""
    start = np.arange(len(curves)) * len(doses)
    y = np.concatenate(curves)
    return fit_curves(start, np.tile(np.log10(doses), len(curves)), y, np.ones(len(y)), options(**more))


def test_planted_curves_come_back() -> None:
    planted = [(0.02, 1.0, 0.0), (0.3, 2.5, 0.4), (3.0, 0.7, 0.1), (0.1, 3.9, 0.0)]
    found = fitted([viability(DOSES, ec50, slope, bottom) for ec50, slope, bottom in planted])
    wanted = [[bottom, 1.0, np.log10(ec50), slope] for ec50, slope, bottom in planted]
    assert found.parameters == pytest.approx(np.array(wanted), abs=1e-4)


def test_a_free_top_comes_back_within_its_bounds() -> None:
    found = fitted([viability(DOSES, 0.2, top=0.9), viability(DOSES, 0.2, top=1.5)], top=[0.8, 1.2])
    assert found.parameters[0] == pytest.approx([0, 0.9, np.log10(0.2), 1], abs=1e-4)
    assert found.parameters[1, 1] == 1.2


def test_ic50_crosses_one_half_as_the_closed_form_says() -> None:
    curves = Curves(np.array([[0.0, 1.0, -1.0, 1.0], [0.3, 1.0, 0.0, 2.0], [0.6, 1.0, 0.0, 1.0], [0.0, 0.4, 0.0, 1.0]]))
    assert curves.log_ic50() == pytest.approx([-1.0, np.log10(0.5 / 0.2) / 2, np.inf, -np.inf])
    at_half = curves.at(curves.log_ic50()[:2, None].repeat(4, axis=1).T[:, :2].T[:1])
    assert at_half[0, 0] == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.9), st.floats(0.9, 1.2), st.floats(-6, 4), st.floats(0.1, 4), st.floats(-4, 0), st.floats(0.5, 5))
def test_the_area_is_the_integral(
    bottom: float, top: float, log_ec50: float, slope: float, low: float, width: float
) -> None:
    curve = Curves(np.array([[bottom, top, log_ec50, slope]]))
    summed = quad(
        lambda x: curve.at(np.array([[x]]))[0, 0], low, low + width, limit=200, points=[np.clip(log_ec50, low, low + width)]
    )
    assert curve.area(np.array([low]), np.array([low + width]))[0] == pytest.approx(summed[0] / width, abs=1e-6)


def noisy(n: int, seed: int) -> list[Floats]:
    random = np.random.default_rng(seed)
    clean = [
        viability(DOSES, 10 ** random.uniform(-3, 1.5), random.uniform(0.3, 4), random.uniform(0, 0.8)) for _ in range(n)
    ]
    return [curve + random.normal(0, 0.1, len(DOSES)) for curve in clean]


def test_no_curve_is_worse_than_the_best_of_scipys_starts() -> None:
    curves, x = noisy(20, 0), np.log10(DOSES)
    found = fitted(curves)
    ours = ((found.at(np.tile(x, (len(curves), 1))) - np.array(curves)) ** 2).sum(axis=1)
    for curve, own in zip(curves, ours, strict=True):
        assert own <= scipys_best(x, curve) * (1 + 1e-4) + 1e-8


def scipys_best(x: Floats, y: Floats) -> float:
    """The least sum of squares of two starts."""

    def residual(p: Floats) -> Floats:
        distance: Floats = p[0] + (1 - p[0]) / (1 + 10 ** (p[2] * (x - p[1]))) - y
        return distance

    bounds = ([0, x[0] - 1, 0.1], [1, x[-1] + 1, 4])
    return min(2 * float(least_squares(residual, [0.3, middle, 1.5], bounds=bounds).cost) for middle in (-2.0, 0.0))


def test_curves_with_different_numbers_of_points_are_fitted_as_each_alone() -> None:
    sets = [(DOSES, noisy(1, 1)[0]), (DOSES[2:7], noisy(1, 2)[0][2:7]), (DOSES[:4], noisy(1, 3)[0][:4])]
    start = np.array([0, 9, 14])
    x, y = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    together = fit_curves(start, np.log10(x), y, np.ones(len(x)), options())
    for row, (doses, own) in enumerate(sets):
        assert together.parameters[row] == pytest.approx(fitted([own], doses).parameters[0], abs=1e-9)


def test_weights_count_as_repeated_points() -> None:
    y = noisy(1, 4)[0]
    weight = np.array([1, 3, 1, 2, 1, 1, 4, 1, 1])
    weighted = fit_curves(np.array([0]), np.log10(DOSES), y, weight.astype(float), options())
    repeated = fitted([y.repeat(weight)], DOSES.repeat(weight))
    assert weighted.parameters == pytest.approx(repeated.parameters, abs=1e-5)


@pytest.mark.parametrize("level", [1.0, 0.95, 0.2, 1.3, -0.2])
def test_level_points_give_a_level_curve_within_the_bounds(level: float) -> None:
    (at,) = fitted([np.full(9, level)]).at(np.log10(DOSES)[None])
    if 0 < level <= 1:
        assert at == pytest.approx(np.full(9, level), abs=0.02)
    else:
        assert at == pytest.approx(np.full(9, np.clip(level, 0, 1)), abs=0.1)

"""Intervals calibrated on lines: the quantile by hand, coverage where lines are exchangeable."""

from math import ceil

import numpy as np
import pytest

from dadsp.analysis.conformal import coverage_curve, fewest_lines, half_width, halved_coverage
from dadsp.errors import ConfigError
from dadsp.models.trust.group_quantile import group_mean


def test_one_pair_a_line_gives_the_ordinary_split_conformal_quantile() -> None:
    error = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))
    for alpha in (0.05, 0.1, 0.25, 0.5):
        rank = ceil((1 - alpha) * (len(error) + 1) - 1e-9)
        assert half_width(error, np.arange(19), alpha) == sorted(error)[rank - 1]


def test_lines_weigh_alike_however_many_pairs_they_have() -> None:
    # Three lines weigh 1/4 each, an infinite error the last 1/4. Cumulated: 1 → 1/8, 2 → 2/8, 3 → 6/16 …
    error = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    line = np.array([0, 0, 1, 1, 1, 1, 2])
    assert half_width(error, line, 0.5) == 6.0  # 2/8 + 4/16
    assert half_width(error, line, 0.6) == 5.0  # 2/8 + 3/16 ≥ 0.4 > 2/8 + 2/16
    assert half_width(error, line, 0.25) == 7.0


def test_too_few_lines_for_a_finite_interval_are_refused_with_the_alpha_that_works() -> None:
    error, line = np.ones(8), np.repeat(np.arange(4), 2)
    assert fewest_lines(0.1) == 9
    with pytest.raises(ConfigError, match=r"needs 9 held-out lines.* there are 4\. Set alpha to 0\.2 or more"):
        half_width(error, line, 0.1)
    assert half_width(error, line, 0.2) == 1.0


def exchangeable(seed: int, n_lines: int, n_pairs: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Errors whose lines differ in size of error and in number of pairs."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 2 * n_pairs, n_lines)
    line = np.repeat(np.arange(n_lines), sizes)
    return np.abs(random.normal(size=len(line)) * random.gamma(2.0, size=n_lines)[line]), line


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_new_exchangeable_lines_are_covered_at_the_nominal_level(alpha: float) -> None:
    covered = []
    for seed in range(150):
        error, line = exchangeable(seed, 80)
        width = half_width(error[line < 40], line[line < 40], alpha)
        covered.append(group_mean(error[line >= 40] <= width, line[line >= 40]))
    assert 1 - alpha - 0.015 < np.mean(covered) < 1 - alpha + 1 / 41 + 0.015


def test_pooled_pairs_would_miss_where_the_many_pairs_of_few_lines_are_easy() -> None:
    """What line weights are for: one line of 1,000 small errors would set the pooled quantile."""
    error = np.concatenate([np.full(1000, 0.1), np.arange(1.0, 20.0)])
    line = np.concatenate([np.zeros(1000, dtype=int), np.arange(1, 20)])
    assert np.quantile(error, 0.9) == 0.1
    assert half_width(error, line, 0.1) == 18.0  # 20 lines; 0.9 · 21 = 18.9 of them: the easy one and 18 others


def test_halved_coverage_is_near_nominal_and_repeats_with_its_seed() -> None:
    error, line = exchangeable(3, 80)
    halved = halved_coverage(error, line, 0.2, seed=0)
    assert 0.78 < halved.mean() < 0.8 + 1 / 41 + 0.02
    assert np.array_equal(halved, halved_coverage(error, line, 0.2, seed=0))
    assert not np.array_equal(halved, halved_coverage(error, line, 0.2, seed=1))


def test_coverage_of_halves_too_small_to_calibrate_is_undefined() -> None:
    error, line = exchangeable(0, 10)
    assert np.isnan(halved_coverage(error, line, 0.1, seed=0)).all()


def test_curve_tells_a_shift_that_halving_cannot() -> None:
    held_out, shifted = exchangeable(0, 60), exchangeable(1, 60)
    curve = coverage_curve(held_out, (shifted[0] * 3, shifted[1]), alpha=0.15, seed=0).set_index("nominal")
    assert 0.85 in curve.index
    assert (np.abs(curve["source"] - curve.index) < 0.06).all()
    assert (curve["target"] < curve.index - 0.1).all()
    assert (curve["half_width"].diff().dropna() >= 0).all()
    assert curve["half_width"].loc[0.85] == half_width(*held_out, 0.15)

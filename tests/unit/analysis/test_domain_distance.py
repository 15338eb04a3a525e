"""Distances between clouds whose distance is known, and against the slow loop."""

import numpy as np
import pytest
import torch

from dadsp.analysis.domain_distance import mmd_test, partners, proxy_a_distance
from dadsp.nets.mmd import mmd2

APART = np.repeat([False, True], [60, 40])
UNRELATED = np.arange(100)


def clouds(shift: float, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(100, 4))
    points[APART, 0] += shift
    return points


def squared(points: np.ndarray) -> np.ndarray:
    distances: np.ndarray = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    return distances


def test_proxy_a_distance_is_2_on_separable_clouds() -> None:
    assert proxy_a_distance(clouds(50), APART, UNRELATED, folds=5, seed=0) == 2.0


def test_proxy_a_distance_is_near_0_on_clouds_of_one_distribution() -> None:
    assert proxy_a_distance(clouds(0), APART, UNRELATED, folds=5, seed=0) < 0.4


def test_proxy_a_distance_grows_with_the_shift_and_repeats_with_its_seed() -> None:
    shifts = [proxy_a_distance(clouds(shift), APART, UNRELATED, folds=5, seed=0) for shift in (0.0, 1.0, 3.0)]
    assert shifts == sorted(shifts)
    assert shifts[1] < shifts[2]
    assert shifts[1] == proxy_a_distance(clouds(1.0), APART, UNRELATED, folds=5, seed=0)


def test_proxy_a_distance_does_not_depend_on_the_screens_sizes() -> None:
    """Guessing the larger screen is right for most lines, and tells nothing."""
    is_target = np.repeat([False, True], [90, 10])
    assert proxy_a_distance(clouds(0), is_target, UNRELATED, folds=5, seed=0) < 0.6


def test_mmd_is_that_of_the_slow_loop() -> None:
    points = clouds(1.0)[:30]
    is_target = np.repeat([False, True], [18, 12])
    distances = squared(points)
    h = np.mean([distances[i, j] for i in range(30) for j in range(30) if i != j])

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([sum(np.exp(-np.sum((x - y) ** 2) / (h / 4 * 2**i)) for i in range(5)) for x in a for y in b]))

    source, target = points[~is_target], points[is_target]
    slow = mean_kernel(source, source) + mean_kernel(target, target) - 2 * mean_kernel(source, target)
    found = mmd_test(distances, is_target, np.arange(30), 3, seed=0).mmd2
    assert found == pytest.approx(slow, rel=1e-9)
    assert found == pytest.approx(float(mmd2(torch.from_numpy(source), torch.from_numpy(target))), rel=1e-5)


def test_permutation_test_finds_a_shift_and_not_where_there_is_none() -> None:
    shifted = mmd_test(squared(clouds(1.5)), APART, UNRELATED, 199, seed=0)
    assert shifted.p == 1 / 200
    assert shifted.mmd2 > 2 * shifted.by_chance
    p = [mmd_test(squared(clouds(0, seed)), APART, UNRELATED, 99, seed=seed).p for seed in range(40)]
    assert 0.3 < np.mean(p) < 0.7


def test_permutations_exchange_partners_with_each_other_only() -> None:
    """Two screens of the same lines with the same noise: exchanging partners sees the shift that lies between each pair."""
    random = np.random.default_rng(0)
    lines = random.normal(size=(40, 3)) * 10
    points = np.concatenate([lines, lines + np.array([0.5, 0, 0])])
    is_target, line = np.repeat([False, True], 40), np.tile(np.arange(40), 2)
    paired = mmd_test(squared(points), is_target, line, 199, seed=0)
    free = mmd_test(squared(points), is_target, np.arange(80), 199, seed=0)
    assert paired.p <= 0.01
    assert free.p > 0.5


def test_partners_stand_once_in_each_screen() -> None:
    is_target = np.array([False, False, False, True, True, True, False])
    line = np.array([5, 7, 8, 7, 5, 8, 8])
    source, target = partners(is_target, line)
    assert source.tolist() == [0, 1]
    assert target.tolist() == [4, 3]

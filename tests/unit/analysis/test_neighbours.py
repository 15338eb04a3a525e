"""Measures by nearest neighbours, against brute force and by hand."""

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from dadsp.analysis.neighbours import domain_mixing, harmonised, partner_ranks, tissue_agreement

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(40, 3))
DISTANCES = pairwise_distances(POINTS)
IS_TARGET = RANDOM.random(40) < 0.4


def test_domain_mixing_is_that_of_brute_force() -> None:
    ratios = []
    for i in range(40):
        order = sorted((float(np.linalg.norm(POINTS[i] - POINTS[j])), j) for j in range(40) if j != i)
        other = np.mean([IS_TARGET[j] != IS_TARGET[i] for _, j in order[:7]])
        ratios.append(other / (sum(IS_TARGET[i] != IS_TARGET) / 39))
    assert domain_mixing(DISTANCES, IS_TARGET, 7) == pytest.approx(np.mean(ratios))


def test_domain_mixing_is_0_apart_and_1_where_all_are_neighbours() -> None:
    apart = pairwise_distances(POINTS + 100 * IS_TARGET[:, None])
    assert domain_mixing(apart, IS_TARGET, 5) == 0
    assert domain_mixing(DISTANCES, IS_TARGET, 1000) == pytest.approx(1)


def test_tissue_agreement_is_that_of_brute_force() -> None:
    tissues = [("a", "b", None)[i % 3] for i in range(40)]
    blocked = DISTANCES + np.diag(np.full(40, np.inf))
    shares, chances = [], []
    for i in range(40):
        if tissues[i] is None:
            continue
        known = [j for j in range(40) if j != i and tissues[j] is not None]
        known.sort(key=lambda j: float(DISTANCES[i, j]))
        shares.append(np.mean([tissues[j] == tissues[i] for j in known[:4]]))
        chances.append(np.mean([tissues[j] == tissues[i] for j in known]))
    found = tissue_agreement(blocked, tissues, tissues, 4)
    assert found.n_lines == len(shares)
    assert found.share == pytest.approx(np.mean(shares))
    assert found.by_chance == pytest.approx(np.mean(chances))


def test_lines_of_a_tissue_nobody_else_has_are_left_out() -> None:
    assert tissue_agreement(np.ones((2, 2)), ["a", "b"], ["a", "c"], 1).n_lines == 1
    alone = tissue_agreement(np.ones((1, 1)), ["a"], ["b"], 1)
    assert alone.n_lines == 0
    assert np.isnan(alone.share)


def test_partner_rank_counts_the_nearer_lines() -> None:
    distances = np.array([[0.1, 0.5, 0.9], [0.7, 0.2, 0.1], [0.3, 0.3, 0.3]])
    assert partner_ranks(distances, np.array([0, 0, 2])).tolist() == [1, 3, 1]


def test_harmonised_tissues_forgive_spelling() -> None:
    assert harmonised("COAD/READ") == harmonised("coadread") == "coadread"
    assert harmonised(None) is None
    assert harmonised(" - ") is None

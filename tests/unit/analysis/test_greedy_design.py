"""The choice of pairs against a greedy search on the dense covariance."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dadsp.analysis import greedy_design
from dadsp.analysis.greedy_design import Chosen, Errors, choose
from dadsp.models.base import GridUncertainty
from dadsp.models.calibrated import Variances

Values = NDArray[np.float64]
VARIANCES = Variances(assay=0.1, drug=0.4, stretch=0.0, shared=1.0, noise=0.5)
N_LINES, N_DRUGS = 6, 4
SAME = np.eye(N_DRUGS)
ALL = np.ones((N_LINES, N_DRUGS), dtype=bool)
ALIKE = np.ones((N_LINES, N_DRUGS))


class Dense(GridUncertainty):
    """A covariance written out."""

    noise = 0.5

    def __init__(self, seed: int, shape: tuple[int, int] = (N_LINES, N_DRUGS)) -> None:
        root = np.random.default_rng(seed).normal(size=(shape[0] * shape[1], 8))
        self.shape = shape
        self.matrix: Values = np.asarray(root @ root.T / 8, dtype=np.float64)

    def with_pair(self, line: int, drug: int) -> Values:
        return np.reshape(self.matrix[line * self.shape[1] + drug], self.shape)

    def times(self, weights: Values) -> Values:
        return np.reshape(self.matrix @ weights.ravel(), self.shape)

    def variance(self) -> Values:
        return np.reshape(np.diag(self.matrix), self.shape)


def brute(stated: Dense, weights: Values, budget: int) -> tuple[list[int], list[float], Values]:
    """Each step tries every pair by conditioning the whole matrix on it."""
    n_lines, n_drugs = stated.shape
    same = np.kron(np.ones((n_lines, n_lines)), np.eye(n_drugs))
    left = VARIANCES.assay + VARIANCES.drug * same + stated.matrix
    share = weights.ravel() / weights.sum()
    chosen: list[int] = []
    gains: list[float] = []
    for _ in range(budget):
        tried = {}
        for place in set(range(len(left))) - set(chosen):
            after = left - np.outer(left[place], left[place]) / (left[place, place] + VARIANCES.noise)
            tried[place] = float(share @ (np.diag(left) - np.diag(after)))
        best = max(tried, key=lambda place: tried[place])
        left = left - np.outer(left[best], left[best]) / (left[best, best] + VARIANCES.noise)
        chosen.append(best)
        gains.append(tried[best])
    return chosen, gains, left


def places(found: Chosen, n_drugs: int = N_DRUGS) -> list[int]:
    return [int(place) for place in found.line * n_drugs + found.drug]


@pytest.mark.parametrize("seed", range(3))
def test_choice_is_the_greedy_one(seed: int) -> None:
    stated, weights = Dense(seed), np.random.default_rng(seed).uniform(0, 1, size=(N_LINES, N_DRUGS))
    found = choose(Errors(stated, SAME, N_LINES, VARIANCES), ALL, weights, 7)
    expected, gains, left = brute(stated, weights, 7)
    assert places(found) == expected
    assert found.gain == pytest.approx(gains, rel=1e-4)
    assert found.left.ravel() == pytest.approx(np.diag(left), rel=1e-4, abs=1e-6)
    assert found.before - found.gain.sum() == pytest.approx(weights.ravel() @ np.diag(left) / weights.sum(), rel=1e-4)


def test_estimated_gains_choose_almost_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = Dense(0, (12, 8))
    monkeypatch.setattr(greedy_design, "PROBES", 64)
    found = choose(Errors(stated, np.eye(8), 12, VARIANCES), np.ones((12, 8), dtype=bool), np.ones((12, 8)), 10)
    _, gains, _ = brute(stated, np.ones((12, 8)), 10)
    assert found.gain.sum() > 0.95 * sum(gains)


def test_limits_and_known_pairs_are_respected() -> None:
    errors = Errors(Dense(1), SAME, N_LINES, VARIANCES)
    allowed = ALL.copy()
    allowed[0] = False
    found = choose(errors, allowed, ALIKE, 24, per_line=2, per_drug=3)
    assert 0 not in found.line
    assert np.bincount(found.line).max() == 2
    assert np.bincount(found.drug).max() <= 3
    assert len(set(places(found))) == len(found.line) == 10
    first = choose(errors, ALL, ALIKE, 1)
    after = choose(errors, ALL, ALIKE, 1, known=(first.line, first.drug))
    assert after.before == pytest.approx(first.before - first.gain[0], rel=1e-5)


def test_a_system_that_states_nothing_has_its_drugs_measured_in_turn() -> None:
    found = choose(Errors(None, SAME, N_LINES, VARIANCES), ALL, ALIKE, 8)
    assert np.bincount(found.drug).tolist() == [2, 2, 2, 2]

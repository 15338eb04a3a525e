"""Ranks within groups."""

import numpy as np
import pytest
from scipy.stats import rankdata

from dadsp.evaluation.grouped_pairs import ranks


@pytest.mark.parametrize("n_groups", [1, 4, 50])
def test_ranks_are_those_of_scipy_within_each_group_ties_included(n_groups: int) -> None:
    random = np.random.default_rng(n_groups)
    group = random.integers(0, n_groups, 200)
    values = random.integers(-3, 4, 200) / 3  # many ties, negative zero among them
    values[values == 0] *= -1
    found = ranks(values, group)
    for each in range(n_groups):
        assert np.array_equal(found[group == each], rankdata(values[group == each]))
    assert len(ranks(np.zeros(0), np.zeros(0, dtype=np.int64))) == 0

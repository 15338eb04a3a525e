"""The arithmetic of bringing foreign expression to a model: references, leaving lines out, alignments, checks of scale."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from dadsp.data.new_platform.imputing import PENALTIES, Imputer, Regression
from dadsp.data.new_platform.reference import Reference
from dadsp.data.new_platform.repairs import aligned
from dadsp.data.new_platform.scale import fit_of
from dadsp.models.new_lines import DRAWS


def test_a_reference_is_mean_sd_and_mean_sorted_line() -> None:
    lines = np.array([[1.0, 5.0, 3.0], [3.0, 1.0, 3.0]], dtype=np.float32)
    made = Reference.of(lines)
    assert made.mean.tolist() == [2, 3, 3]
    assert made.sd.tolist() == [1, 2, 1]  # 1 for the constant gene
    assert made.profile.tolist() == [1, 3, 4]


def test_leaving_lines_out_in_closed_form_is_leaving_them_out() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(15, 8)), random.normal(size=(15, 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    found = Regression.fit(x, y)
    full = [Ridge(alpha=penalty * 8).fit(x, y) for penalty in PENALTIES]
    nearest = min(full, key=lambda ridge: np.abs(ridge.predict(x) - found(x.astype(np.float32))).max())
    assert found(x.astype(np.float32)) == pytest.approx(nearest.predict(x), abs=1e-5)
    for row in range(15):
        rest = np.arange(15) != row
        one = Ridge(alpha=nearest.alpha).fit(x[rest], y[rest])
        assert found.residuals[row] == pytest.approx((y[[row]] - one.predict(x[[row]]))[0], abs=1e-8)


def test_stated_variance_is_that_of_the_imputed_genes_errors() -> None:
    """Of a system that adds its genes up, the variance is that of the drawn errors' sums."""
    random = np.random.default_rng(0)
    lines = (random.normal(size=(60, 3)) @ random.normal(size=(3, 20)) + random.normal(0, 0.5, size=(60, 20))).astype(
        np.float32
    )
    imputer = Imputer.fit(lines, np.arange(16), np.arange(16, 20), Reference.of(lines))
    assert imputer.regression is not None
    draws = np.array([imputer.error(random).sum() for _ in range(4000)])
    assert draws.var() == pytest.approx(imputer.regression.residuals.sum(axis=1).var(), rel=0.1)
    # Errors of one line go together, which adding up single variances would miss.
    assert imputer(lines[:, :16])[:, :16].tolist() == lines[:, :16].tolist()
    assert DRAWS >= 8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 40))
def test_alignments_forget_exactly_what_they_say(seed: int, n_lines: int) -> None:
    """zscore: gain and offset of each gene; rank: any rising map of each gene; quantile: any rising map of each line."""
    random = np.random.default_rng(seed)
    level = random.permutation(np.linspace(2, 12, 25))
    values = (level + random.normal(size=(n_lines, 25))).astype(np.float32)
    reference = Reference.of((level + random.normal(size=(30, 25))).astype(np.float32))
    columns, names = np.arange(25), [f"line{row}" for row in range(n_lines)]

    def made(changed: np.ndarray, align: Any) -> np.ndarray:
        return aligned(changed.astype(np.float32), names, align, reference, columns, None, "lines.csv")[0]

    gain, offset = random.uniform(0.5, 2, 25), random.normal(size=25)
    assert made(values * gain + offset, "zscore") == pytest.approx(made(values, "zscore"), abs=2e-3)
    assert np.array_equal(made(values**3, "rank"), made(values, "rank"))
    assert np.array_equal(made(np.sinh(values / 3), "quantile"), made(values, "quantile"))
    assert made(values, "zscore").mean(axis=0) == pytest.approx(reference.mean, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_lines_like_the_fitted_ones_are_not_taken_for_foreign(seed: int, n_lines: int) -> None:
    random = np.random.default_rng(seed)
    level = random.permutation(np.linspace(2, 12, 200))
    fitted, new = (level + random.normal(size=(size, 200)) for size in (100, n_lines))
    reference, columns = Reference.of(fitted.astype(np.float32)), np.arange(200)
    assert fit_of(new.astype(np.float32), reference, columns).is_good
    assert not fit_of((new * 0.69).astype(np.float32), reference, columns).is_good
    assert not fit_of((2**new).astype(np.float32), reference, columns).is_good

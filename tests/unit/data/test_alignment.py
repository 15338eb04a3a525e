"""Alignments against closed forms, libraries and slow loops."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from combatlearn.core import ComBatModel
from numpy.typing import NDArray
from scipy.linalg import fractional_matrix_power
from scipy.stats import norm, rankdata, zscore
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from dadsp.data.alignment.axes import principal_axes
from dadsp.data.alignment.base import Alignment, AlignmentLines
from dadsp.data.alignment.bridge import Auto, Bridge
from dadsp.data.alignment.combat import ComBat
from dadsp.data.alignment.coral import Coral
from dadsp.data.alignment.gene_wise import ZScore
from dadsp.data.alignment.quantile import Quantile, QuantileMap
from dadsp.data.alignment.rank import Rank
from dadsp.data.alignment.registry import load_alignment
from dadsp.errors import ConfigError, LoadError

ALIGNMENTS: tuple[Alignment, ...] = (ZScore(), Rank(), Quantile(), Coral(), Bridge(), ComBat(), Auto())
by_kind = pytest.mark.parametrize("alignment", ALIGNMENTS, ids=lambda alignment: alignment.kind)


def lines(n_source: int = 40, n_target: int = 30, n_genes: int = 6, n_shared: int = 20, seed: int = 0) -> AlignmentLines:
    """Correlated genes; the target's are other mixtures of the same, shifted and noisy."""
    random = np.random.default_rng(seed)
    mixing, platform = random.normal(size=(2, n_genes, n_genes))
    truth = random.normal(size=(n_source + n_target, n_genes)) @ mixing
    source = truth[:n_source]
    rows = np.r_[np.arange(n_shared), np.arange(n_source, n_source + n_target - n_shared)]
    target = 2 * truth[rows] @ (np.eye(n_genes) + 0.2 * platform) + 5 + 0.3 * random.normal(size=(n_target, n_genes))
    source, target = source.astype(np.float32), target.astype(np.float32)
    shared = np.arange(n_shared)
    return AlignmentLines(source, target, source[:n_shared], target[:n_shared], shared, across=True)


def z(values: NDArray[Any], of: NDArray[Any]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = (values - of.mean(axis=0, dtype=np.float64)) / of.std(axis=0, dtype=np.float64)
    return scores


def test_zscore_is_scipys_in_each_screen() -> None:
    seen = lines()
    fitted = ZScore().fit(seen)
    np.testing.assert_allclose(fitted.transform(seen.source, "source"), zscore(seen.source), atol=1e-5)
    np.testing.assert_allclose(fitted.transform(seen.target, "target"), zscore(seen.target), atol=1e-5)


def test_rank_gives_normal_scores_of_ranks_within_each_line_with_ties_at_their_mean() -> None:
    seen = lines()
    seen = replace(seen, target=np.concatenate([seen.target, seen.target.mean(axis=0, keepdims=True)]))
    found = Rank().fit(seen).transform(seen.target, "target")
    standard = ZScore().fit(seen).transform(seen.target, "target")
    for row, line in enumerate(standard):
        np.testing.assert_allclose(found[row], norm.ppf((rankdata(line) - 0.5) / len(line)), atol=1e-6)


def test_rank_ignores_any_rising_transform_of_a_lines_zscores() -> None:
    seen = lines()
    fitted = Rank().fit(seen)
    scores = fitted.scores
    standard = scores.transform(seen.target, "target").astype(np.float64)
    bent = (np.exp(standard) * scores.target_scale + scores.target_shift).astype(np.float32)
    np.testing.assert_array_equal(fitted.transform(bent, "target"), fitted.transform(seen.target, "target"))


def test_quantile_gives_as_many_target_lines_exactly_the_sources_values() -> None:
    seen = lines(n_source=25, n_target=25)
    found = Quantile(points=25).fit(seen).transform(seen.target, "target")
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(seen.source, axis=0), atol=1e-5)
    np.testing.assert_array_equal(np.argsort(found, axis=0), np.argsort(seen.target, axis=0))


def test_quantile_leaves_the_source_and_goes_on_beyond_what_it_saw() -> None:
    grid = np.array([[0, 0, 5], [1, 1, 5], [3, 3, 5]], np.float32)
    fitted = QuantileMap({}, source=grid * 2 + 1, target=grid)
    beyond = np.array([[-1, 4, 6], [0.5, 2, 5]], np.float32)
    np.testing.assert_allclose(fitted.transform(beyond, "target"), [[-1, 9, 12], [2, 5, 11]])
    np.testing.assert_array_equal(fitted.transform(beyond, "source"), beyond)


def test_quantile_maps_tied_target_values_to_the_mean_of_their_quantiles_in_the_source() -> None:
    source, target = np.arange(5, dtype=np.float32)[:, None], np.array([[0], [0], [0], [1], [2]], np.float32)
    nothing = np.zeros((0, 1), np.float32)
    seen = AlignmentLines(source, target, nothing, nothing, np.zeros(0, np.int64), across=True)
    assert Quantile(points=5).fit(seen).transform(target, "target").ravel().tolist() == [1, 1, 1, 3, 4]


@pytest.mark.parametrize("shape", [(20, 5), (5, 20)])
def test_principal_axes_rebuild_the_products_of_genes(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    axes, squared = principal_axes(values)
    np.testing.assert_allclose((axes * squared) @ axes.T, values.T @ values, atol=1e-10)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-10)


def test_coral_gives_the_target_the_sources_covariance() -> None:
    seen = lines(n_source=200, n_target=150)
    fitted = Coral(penalty=1e-5).fit(seen)
    expected = np.cov(z(seen.source, seen.source).T, bias=True)
    np.testing.assert_allclose(np.cov(fitted.transform(seen.target, "target").T, bias=True), expected, atol=2e-3)
    assert np.abs(np.cov(z(seen.target, seen.target).T, bias=True) - expected).max() > 0.05


@pytest.mark.parametrize("n_genes", [6, 60])
def test_coral_is_the_dense_formula_also_where_genes_outnumber_lines(n_genes: int) -> None:
    seen = lines(n_genes=n_genes)
    source, target = z(seen.source, seen.source), z(seen.target, seen.target)
    whiten = fractional_matrix_power(target.T @ target / len(target) + 1.0 * np.eye(n_genes), -0.5)
    colour = fractional_matrix_power(source.T @ source / len(source) + 1.0 * np.eye(n_genes), 0.5)
    fitted = Coral().fit(seen)
    np.testing.assert_allclose(fitted.transform(seen.target, "target"), target @ whiten @ colour, atol=1e-4)
    np.testing.assert_allclose(fitted.transform(seen.source, "source"), source, atol=1e-5)


@pytest.mark.parametrize("n_genes", [6, 60])
def test_bridge_is_sklearns_ridge_with_the_penalty_that_cross_validation_prefers(n_genes: int) -> None:
    seen = lines(n_genes=n_genes)
    x, y = z(seen.shared_target, seen.target), z(seen.shared_source, seen.source)
    folds, errors = PredefinedSplit(np.arange(20) % 4), {}
    for penalty in (0.1, 3.0, 30.0):
        held_out = cross_val_predict(Ridge(penalty, fit_intercept=False), x, y, cv=folds)
        errors[penalty] = ((held_out - y) ** 2).sum(axis=0)
    best = min(errors, key=lambda penalty: errors[penalty].sum())
    fitted = Bridge(penalties=(0.1, 3.0, 30.0), folds=4).fit(seen)
    stated = fitted.stated
    assert stated["penalty"] == best
    np.testing.assert_allclose(stated["mean_squared_errors"], [error.sum() / y.size for error in errors.values()], rtol=1e-4)
    r2 = np.median(1 - errors[best] / ((y - y.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(stated["median_r2_of_genes"], r2, rtol=1e-4)
    ridge = Ridge(best, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(
        fitted.transform(seen.target, "target"), ridge.predict(z(seen.target, seen.target)), atol=1e-4
    )
    np.testing.assert_allclose(fitted.transform(seen.source, "source"), z(seen.source, seen.source), atol=1e-5)


def test_bridge_holds_profiles_of_one_line_out_together() -> None:
    seen = lines()
    twice = replace(
        seen,
        shared_source=np.repeat(seen.shared_source, 2, axis=0),
        shared_target=np.repeat(seen.shared_target, 2, axis=0),
        shared_line=np.repeat(seen.shared_line, 2),
    )
    once = Bridge(penalties=(1.0,)).fit(seen).stated
    doubled = Bridge(penalties=(2.0,)).fit(twice).stated  # every line twice is the same regression at twice the penalty
    assert once["n_shared"] == doubled["n_shared"] == 20
    np.testing.assert_allclose(once["mean_squared_errors"], doubled["mean_squared_errors"], rtol=1e-6)


def test_bridge_without_enough_shared_lines_says_how_many_there_are_and_what_works_without() -> None:
    few = lines(n_shared=9)
    with pytest.raises(ConfigError, match=r"10 are needed and there are 9 .* zscore, rank, quantile, coral, combat or auto"):
        Bridge().fit(few)
    with pytest.raises(ConfigError, match="inside one screen"):
        Bridge().fit(replace(few, across=False))


@pytest.mark.parametrize(("n_shared", "taken"), [(29, "zscore"), (30, "bridge")])
def test_auto_bridges_from_thirty_shared_lines_and_says_so(n_shared: int, taken: str) -> None:
    stated = Auto().fit(lines(n_shared=n_shared)).stated
    assert stated["kind"] == taken
    assert stated["chosen_by"] == "auto (bridge from 30 shared lines)"


def test_combat_is_the_librarys_transform_without_the_library() -> None:
    seen = lines()
    seen.target[:, 2] = 4  # constant in the target
    both = pd.DataFrame(np.concatenate([seen.source, seen.target], dtype=np.float64))
    batch = np.repeat(["source", "target"], [len(seen.source), len(seen.target)])
    model = ComBatModel(reference_batch="source").fit(both, batch=batch)
    fitted = ComBat().fit(seen)
    expected = model.transform(both, batch=batch).to_numpy()
    np.testing.assert_array_equal(fitted.transform(seen.source, "source"), seen.source)
    np.testing.assert_allclose(fitted.transform(seen.target, "target"), expected[len(seen.source) :], atol=2e-4)
    new = seen.target[:3] * np.float32(1.7)
    new[:, 2] = 4
    told = model.transform(pd.DataFrame(new.astype(np.float64)), batch=np.repeat("target", 3))
    np.testing.assert_allclose(fitted.transform(new, "target"), told, atol=2e-4)


def test_combat_asks_for_two_lines_of_each_screen() -> None:
    seen = lines()
    with pytest.raises(ConfigError, match="there are 40 and 1 lines"):
        ComBat().fit(replace(seen, target=seen.target[:1]))


@by_kind
def test_saved_alignment_is_bit_for_bit_the_same_and_float32(alignment: Alignment) -> None:
    seen = lines(n_shared=30)
    fitted = alignment.fit(seen)
    again = load_alignment(fitted.stated, fitted.arrays())
    assert again.stated == fitted.stated
    assert {"kind", "n_lines_source", "n_lines_target", "n_shared"} <= set(fitted.stated)
    for domain, expression in (("source", seen.source), ("target", seen.target)):
        aligned = fitted.transform(expression, domain)  # type: ignore[arg-type]
        assert aligned.dtype == np.float32
        assert np.isfinite(aligned).all()
        np.testing.assert_array_equal(again.transform(expression, domain), aligned)  # type: ignore[arg-type]


@by_kind
def test_gene_without_variance_stays_finite(alignment: Alignment) -> None:
    seen = lines(n_shared=30)
    for part in (seen.source, seen.shared_source):
        part[:, 0] = 1
    for part in (seen.target, seen.shared_target):
        part[:, :2] = 1
    fitted = alignment.fit(seen)
    assert np.isfinite(fitted.transform(seen.target, "target")).all()
    assert np.isfinite(fitted.transform(seen.target + 1, "target")).all()


def test_unknown_kind_and_absent_array_are_load_errors() -> None:
    with pytest.raises(LoadError, match=r"alignment 'brige'.*bridge"):
        load_alignment({"kind": "brige"}, {})
    fitted = Bridge().fit(lines())
    arrays = {name: array for name, array in fitted.arrays().items() if name != "outward"}
    with pytest.raises(LoadError, match="lacks outward"):
        load_alignment(fitted.stated, arrays)

from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from dadsp.data.scaling import ExpressionScaler, LabelScaler, ScalerKind, ScalerScope, fit_scaler
from dadsp.errors import LoadError, SchemaError
from dadsp.schema import Screen, Study
from tests.support.studies import small_study

SOURCE_ROWS, TARGET_ROWS = np.array([0, 2, 3, 5, 8]), np.array([1, 2, 6])
EVERY = [(kind, scope) for kind in ("minmax", "zscore") for scope in ("per_domain", "joint")]


def _with_expression(study: Study, source: np.ndarray, target: np.ndarray) -> Study:
    def changed(screen: Screen, expression: np.ndarray) -> Screen:
        return replace(screen, cells=replace(screen.cells, expression=expression.astype(np.float32)))

    return replace(study, source=changed(study.source, source), target=changed(study.target, target))


@pytest.mark.parametrize(("kind", "scope"), EVERY)
def test_scaler_agrees_with_sklearn(kind: ScalerKind, scope: ScalerScope) -> None:
    study = small_study()
    scaler = fit_scaler(kind, scope, study, SOURCE_ROWS, TARGET_ROWS)
    source, target = (screen.cells.expression.astype(np.float64) for screen in (study.source, study.target))
    seen = {"source": source[SOURCE_ROWS], "target": target[TARGET_ROWS]}
    if scope == "joint":
        seen = dict.fromkeys(seen, np.concatenate(list(seen.values())))
    for domain, raw in (("source", source), ("target", target)):
        oracle = (MinMaxScaler if kind == "minmax" else StandardScaler)().fit(seen[domain])
        scaled = scaler.transform(raw.astype(np.float32), domain)  # type: ignore[arg-type]
        assert scaled.dtype == np.float32
        np.testing.assert_allclose(scaled, oracle.transform(raw), atol=2e-5)


@pytest.mark.parametrize(("kind", "scope"), EVERY)
def test_altered_held_out_lines_do_not_change_the_scaler(kind: ScalerKind, scope: ScalerScope) -> None:
    study = small_study()
    source, target = study.source.cells.expression.copy(), study.target.cells.expression.copy()
    source[np.setdiff1d(np.arange(len(source)), SOURCE_ROWS)] = 1e6
    target[np.setdiff1d(np.arange(len(target)), TARGET_ROWS)] = -1e6
    clean = fit_scaler(kind, scope, study, SOURCE_ROWS, TARGET_ROWS).to_arrays()
    poisoned = fit_scaler(kind, scope, _with_expression(study, source, target), SOURCE_ROWS, TARGET_ROWS).to_arrays()
    for name, values in clean.items():
        np.testing.assert_array_equal(values, poisoned[name])


@pytest.mark.parametrize(("kind", "scope"), EVERY)
def test_altered_training_lines_do_change_the_scaler(kind: ScalerKind, scope: ScalerScope) -> None:
    study = small_study()
    source, target = study.source.cells.expression.copy(), study.target.cells.expression.copy()
    source[SOURCE_ROWS[0]], target[TARGET_ROWS[0]] = 50, 50
    clean = fit_scaler(kind, scope, study, SOURCE_ROWS, TARGET_ROWS).to_arrays()
    altered = fit_scaler(kind, scope, _with_expression(study, source, target), SOURCE_ROWS, TARGET_ROWS).to_arrays()
    assert all((clean[name] != altered[name]).any() for name in ("source_scale", "target_scale"))


def test_scaler_ignores_labels() -> None:
    study = small_study()
    labels = study.target.responses
    poisoned = replace(study, target=replace(study.target, responses=replace(labels, potency=labels.potency * 100)))
    for name, values in fit_scaler("zscore", "joint", study, SOURCE_ROWS, TARGET_ROWS).to_arrays().items():
        np.testing.assert_array_equal(
            values, fit_scaler("zscore", "joint", poisoned, SOURCE_ROWS, TARGET_ROWS).to_arrays()[name]
        )


@pytest.mark.parametrize(("kind", "scope"), EVERY)
def test_a_constant_gene_becomes_zero(kind: ScalerKind, scope: ScalerScope) -> None:
    study = small_study()
    source, target = study.source.cells.expression.copy(), study.target.cells.expression.copy()
    source[:, 1] = target[:, 1] = 0.1  # a value whose mean rounds
    scaler = fit_scaler(kind, scope, _with_expression(study, source, target), SOURCE_ROWS, TARGET_ROWS)
    assert scaler.source_scale[1] == scaler.target_scale[1] == 1
    assert (scaler.transform(source, "source")[:, 1] == 0).all()
    assert (scaler.transform(target, "target")[:, 1] == 0).all()


def test_minmax_does_not_clip_unseen_lines() -> None:
    study = small_study()
    scaler = fit_scaler("minmax", "per_domain", study, SOURCE_ROWS, TARGET_ROWS)
    fitted = study.source.cells.expression[SOURCE_ROWS]
    beyond = fitted.max(axis=0) + (fitted.max(axis=0) - fitted.min(axis=0))
    np.testing.assert_allclose(scaler.transform(beyond[None], "source"), 2, rtol=1e-5)


def test_zscore_keeps_its_precision_far_from_zero() -> None:
    study = small_study()
    random = np.random.default_rng(0)
    source = 1e6 + random.normal(size=study.source.cells.expression.shape)
    shifted = _with_expression(study, source, study.target.cells.expression)
    scaler = fit_scaler("zscore", "per_domain", shifted, np.arange(len(source)), TARGET_ROWS)
    exact = shifted.source.cells.expression.astype(np.float64)
    np.testing.assert_allclose(scaler.source_scale, exact.std(axis=0), rtol=1e-6)


def test_repeated_rows_count_once() -> None:
    study = small_study()
    once = fit_scaler("zscore", "per_domain", study, SOURCE_ROWS, TARGET_ROWS)
    often = fit_scaler("zscore", "per_domain", study, np.repeat(SOURCE_ROWS, [1, 5, 2, 1, 3]), TARGET_ROWS)
    np.testing.assert_array_equal(once.source_shift, often.source_shift)


def test_joint_scaler_needs_no_target_line_but_a_separate_one_does() -> None:
    study, none = small_study(), np.array([], dtype=np.int64)
    joint = fit_scaler("zscore", "joint", study, SOURCE_ROWS, none)
    np.testing.assert_array_equal(joint.target_shift, joint.source_shift)
    with pytest.raises(SchemaError, match="no target line"):
        fit_scaler("zscore", "per_domain", study, SOURCE_ROWS, none)


def test_a_saved_scaler_transforms_alike() -> None:
    study = small_study()
    scaler = fit_scaler("minmax", "per_domain", study, SOURCE_ROWS, TARGET_ROWS)
    again = ExpressionScaler.from_arrays(scaler.to_arrays())
    raw = study.target.cells.expression
    np.testing.assert_array_equal(scaler.transform(raw, "target"), again.transform(raw, "target"))
    assert (scaler.transform(raw, "target") != scaler.transform(raw, "source")).any()


def test_an_incomplete_saved_scaler_is_refused() -> None:
    with pytest.raises(LoadError, match="source_scale"):
        ExpressionScaler.from_arrays({"source_shift": np.zeros(2)})


def test_expression_of_another_width_is_refused() -> None:
    scaler = fit_scaler("minmax", "joint", small_study(), SOURCE_ROWS, TARGET_ROWS)
    with pytest.raises(SchemaError, match="6 genes, the scaler was fitted on 7"):
        scaler.transform(np.zeros((2, 6), np.float32), "source")


def test_labels_reach_both_ends_and_come_back() -> None:
    labels = np.array([-2.0, 0.5, 3.0], np.float32)
    scaler = LabelScaler.fit(labels)
    assert scaler.transform(labels).tolist() == [0, 0.5, 1]
    assert scaler.transform(np.array([5.5], np.float32)).tolist() == [1.5]
    np.testing.assert_allclose(scaler.inverse(scaler.transform(labels)), labels)


@pytest.mark.parametrize(("labels", "reason"), [([1.5, 1.5], "all 2 are 1.5"), ([], "there are none")])
def test_labels_without_spread_cannot_be_scaled(labels: list[float], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        LabelScaler.fit(np.array(labels, np.float32))

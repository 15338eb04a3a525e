"""Metrics against scikit-learn, scipy, hand arithmetic and the slow loop over groups."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from dadsp.errors import SchemaError
from dadsp.evaluation.metrics import METRICS, evaluate, regression_metrics, skill
from dadsp.schema import PredictionTable

CAP = -0.9


def table_of(n: int = 600, n_cells: int = 20, n_drugs: int = 12, seed: int = 0) -> PredictionTable:
    rng = np.random.default_rng(seed)
    pairs = rng.choice(n_cells * n_drugs, size=min(n, n_cells * n_drugs), replace=False)
    cell, drug = pairs // n_drugs, pairs % n_drugs
    latent = rng.normal(-0.4, 0.5, n_drugs)[drug] + rng.normal(0, 0.8, len(pairs))
    cell_seen, drug_seen = cell % 3 > 0, drug % 4 > 0
    frame = pd.DataFrame(
        {
            "cell_id": [f"line {i}" for i in cell],
            "drug_id": [f"drug {i}" for i in drug],
            "domain": "target",
            "split": "test",
            "y_true": np.maximum(latent, CAP),
            "y_pred": np.round(0.5 * latent + rng.normal(0, 0.4, len(pairs)), 2),  # rounding makes ties
            "censored": latent <= CAP,
            "cell_seen": cell_seen,
            "drug_seen": drug_seen,
            "pair_seen": cell_seen & drug_seen & (rng.random(len(pairs)) < 0.5),
        }
    )
    return PredictionTable(frame)


def changed(table: PredictionTable, **columns: Any) -> PredictionTable:
    return PredictionTable(table.frame.assign(**columns))


@pytest.fixture(scope="module")
def table() -> PredictionTable:
    return table_of()


def test_metrics_equal_sklearn_and_scipy(table: PredictionTable) -> None:
    true, pred = table.frame["y_true"].to_numpy(), table.frame["y_pred"].to_numpy()
    ours = regression_metrics(true, pred)
    assert ours.n == len(table)
    assert ours.rmse == pytest.approx(np.sqrt(mean_squared_error(true, pred)))
    assert ours.mae == pytest.approx(mean_absolute_error(true, pred))
    assert ours.r2 == pytest.approx(r2_score(true, pred))
    assert ours.pearson == pytest.approx(pearsonr(true, pred).statistic)
    assert ours.spearman == pytest.approx(spearmanr(true, pred).statistic)
    assert ours.reasons == {}


def test_r2_origin_equals_hand_arithmetic() -> None:
    # y = 1, 2, 3 and ŷ = 2, 2, 1: k = (2 + 4 + 3)/14 = 9/14; Σ(y − ky)² = (5/14)²·14 = 25/14; Σ(y − ȳ)² = 2.
    assert regression_metrics([1, 2, 3], [2, 2, 1]).r2_origin == pytest.approx(1 - 25 / 28)


def test_r2_origin_is_one_for_scattered_predictions_of_slope_one() -> None:
    # k = (1·0 + 2·4 + 3·2)/14 = 1 although every prediction is wrong: why it is never a measure of accuracy.
    metrics = regression_metrics([1, 2, 3], [0, 4, 2])
    assert metrics.r2_origin == pytest.approx(1)
    assert metrics.r2 < 0


def test_capped_label_counts_only_where_prediction_lies_above_it() -> None:
    # Errors: censored and below → 0; censored and 1 above → 1; uncensored and 2 below → 4.
    metrics = regression_metrics([0, 0, 0], [-3, 1, -2], censored=[True, True, False])
    assert metrics.rmse_censored_aware == pytest.approx(np.sqrt(5 / 3))
    assert metrics.rmse == pytest.approx(np.sqrt(14 / 3))
    assert metrics.n_censored == 2


@pytest.mark.parametrize(
    ("true", "pred", "undefined", "reason"),
    [
        ([], [], set(METRICS), "no pairs"),
        ([1], [2], {"r2", "r2_origin", "pearson", "spearman"}, "fewer than 2 pairs"),
        ([1, 1, 1], [1, 2, 3], {"r2", "r2_origin", "pearson", "spearman"}, "labels are constant"),
        ([1, 2, 3], [2, 2, 2], {"pearson", "spearman"}, "predictions are constant"),
        ([1, 1], [2, 2], {"r2", "r2_origin", "pearson", "spearman"}, "labels and predictions are constant"),
        ([1, 2], [1e200, -1e200], set(METRICS) - {"mae", "spearman"}, "values are beyond floating-point range"),
    ],
)
def test_undefined_metrics_are_nan_with_a_reason(
    true: list[float], pred: list[float], undefined: set[str], reason: str
) -> None:
    metrics = regression_metrics(true, pred)
    assert metrics.reasons == dict.fromkeys(undefined, reason)
    assert {name for name in METRICS if np.isnan(getattr(metrics, name))} == undefined


def test_predictions_constant_up_to_float32_rounding_have_no_correlation() -> None:
    pred = np.float32(0.7) + np.array([0, 6e-8, -6e-8, 6e-8], dtype=np.float32)
    assert len(set(pred.tolist())) > 1
    assert "pearson" in regression_metrics([1, 2, 3, 4], pred).reasons


def test_undefined_metrics_become_null_in_json() -> None:
    content = json.loads(json.dumps(regression_metrics([1, 2], [3, 3]).to_json(), allow_nan=False))
    assert content["pearson"] is None
    assert content["reasons"] == dict.fromkeys(["pearson", "spearman"], "predictions are constant")
    assert content["mae"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("true", "pred"), [([1, 2], [1]), ([[1, 2]], [[1, 2]]), ([1, np.nan], [1, 2]), ([1, 2], [1, np.inf])]
)
def test_unequal_shapes_and_non_finite_values_are_refused(true: list[float], pred: list[float]) -> None:
    with pytest.raises(ValueError, match=r"per pair|finite"):
        regression_metrics(true, pred)


@pytest.mark.parametrize("key", ["drug_id", "cell_id"])
def test_group_tables_equal_the_slow_loop(table: PredictionTable, key: str) -> None:
    evaluation = evaluate(table)
    ours = (evaluation.per_drug if key == "drug_id" else evaluation.per_line).set_index(key)
    assert sorted(ours.index) == list(ours.index) == sorted(set(table.frame[key]))
    for name, rows in table.frame.groupby(key):
        row, true, pred = ours.loc[name], rows["y_true"], rows["y_pred"]
        assert (row["n"], row["n_censored"]) == (len(rows), rows["censored"].sum())
        assert row[f"{key[:4]}_seen"] == rows[f"{key[:4]}_seen"].iloc[0]
        assert row["rmse"] == pytest.approx(np.sqrt(mean_squared_error(true, pred)))
        assert row["mae"] == pytest.approx(mean_absolute_error(true, pred))
        assert row["r2"] == pytest.approx(r2_score(true, pred))
        assert row["pearson"] == pytest.approx(pearsonr(true, pred).statistic)
        assert row["spearman"] == pytest.approx(spearmanr(true, pred).statistic)


def test_strata_hold_exactly_the_pairs_they_name(table: PredictionTable) -> None:
    strata, frame = evaluate(table).strata, table.frame
    assert len(strata) == 12
    for name, metrics in strata.items():
        rows = frame
        for what in ("pair", "cell", "drug"):
            if f"{what}_unseen" in name:
                rows = rows[~rows[f"{what}_seen"]]
            elif f"{what}_seen" in name:
                rows = rows[rows[f"{what}_seen"]]
        if "profiled" in name:  # as seen, in a table that does not say it
            rows = rows[rows["cell_seen"] == (name == "cell_profiled")]
        assert metrics.n == len(rows) < len(frame)
        assert metrics.rmse == pytest.approx(np.sqrt(mean_squared_error(rows["y_true"], rows["y_pred"])))


def test_capped_and_uncapped_pairs_are_scored_apart(table: PredictionTable) -> None:
    evaluation, frame = evaluate(table), table.frame
    free = frame[~frame["censored"]]
    assert evaluation.uncensored.r2 == pytest.approx(r2_score(free["y_true"], free["y_pred"]))
    assert evaluation.uncensored.n + evaluation.censored.n == evaluation.pooled.n
    assert evaluation.censored.reasons["r2"] == "labels are constant"


def test_medians_leave_out_small_and_undefined_groups_and_count_them(table: PredictionTable) -> None:
    frame = table.frame.sort_values("drug_id", kind="stable")
    frame = pd.concat([frame[frame["drug_id"] != "drug 0"], frame[frame["drug_id"] == "drug 0"].head(4)])
    frame.loc[frame["drug_id"] == "drug 1", "y_pred"] = 0.25
    summary = evaluate(PredictionTable(frame), min_pairs_per_group=5).per_drug_summary
    kept = [rows for drug, rows in frame.groupby("drug_id") if drug not in ("drug 0", "drug 1")]
    expected = np.median([pearsonr(rows["y_true"], rows["y_pred"]).statistic for rows in kept])
    assert summary.median["pearson"] == pytest.approx(expected)
    assert summary.undefined["pearson"] == {"fewer than 5 pairs": 1, "predictions are constant": 1}
    assert summary.undefined["rmse"] == {"fewer than 5 pairs": 1}
    assert summary.defined["pearson"] == len(kept) == summary.groups - 2


def test_medians_are_undefined_where_no_group_is_large_enough(table: PredictionTable) -> None:
    summary = evaluate(table, min_pairs_per_group=10_000).per_line_summary
    assert summary.defined["rmse"] == 0
    assert summary.to_json()["median"]["rmse"] is None


def test_empty_table_evaluates_to_reasons_not_to_a_crash(table: PredictionTable) -> None:
    evaluation = evaluate(table.where(np.zeros(len(table), dtype=bool)))
    assert evaluation.pooled.reasons["rmse"] == "no pairs"
    assert evaluation.per_drug.empty
    assert evaluation.per_drug_summary.groups == 0


def test_unlabelled_pairs_are_refused_with_their_number(table: PredictionTable) -> None:
    labels = table.frame["y_true"].mask(table.frame.index < 7)
    with pytest.raises(SchemaError, match=r"7 of 240 .* no finite label .*line"):
        evaluate(changed(table, y_true=labels))


@pytest.mark.parametrize(("column", "other"), [("domain", "source"), ("split", "val")])
def test_mixed_domains_or_splits_are_refused(table: PredictionTable, column: str, other: str) -> None:
    mixed = table.frame[column].mask(table.frame.index < 3, other)
    with pytest.raises(SchemaError, match=f"mixes 2 {column}s"):
        evaluate(changed(table, **{column: mixed}))


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32))
def test_order_of_pairs_changes_nothing(seed: int) -> None:
    table = table_of(n=120, n_cells=15, n_drugs=8)
    order = np.random.default_rng(seed).permutation(len(table))
    straight, shuffled = evaluate(table), evaluate(PredictionTable(table.frame.iloc[order]))
    for name in METRICS:
        assert getattr(shuffled.pooled, name) == pytest.approx(getattr(straight.pooled, name))
    pd.testing.assert_frame_equal(shuffled.per_drug, straight.per_drug)
    assert shuffled.pairs_key == straight.pairs_key


def test_pairs_key_tells_other_labels_and_other_pairs(table: PredictionTable) -> None:
    key = evaluate(table).pairs_key
    assert evaluate(changed(table, y_pred=0.0)).pairs_key == key
    assert evaluate(changed(table, y_true=table.frame["y_true"] + 0.01)).pairs_key != key
    assert evaluate(table.where(table.frame.index > 0)).pairs_key != key


values = st.floats(-5, 5).map(lambda value: round(value, 3))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(values, values, st.booleans()), min_size=1, max_size=30))
def test_metrics_keep_their_bounds_on_any_input(pairs: list[tuple[float, float, bool]]) -> None:
    true, pred, censored = map(list, zip(*pairs, strict=True))
    metrics = regression_metrics(true, pred, censored)
    assert metrics.rmse_censored_aware <= metrics.rmse + 1e-12
    assert metrics.mae <= metrics.rmse + 1e-12
    for value in (metrics.pearson, metrics.spearman):
        assert np.isnan(value) or -1 <= value <= 1
    json.dumps(metrics.to_json(), allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_skill_is_zero_for_equal_errors(rmse: float) -> None:
    assert skill(rmse, rmse) == 0


@pytest.mark.parametrize(("model", "naive", "expected"), [(0.5, 1.0, 0.75), (2.0, 1.0, -3.0), (0.0, 0.3, 1.0)])
def test_skill_is_the_share_of_squared_error_removed(model: float, naive: float, expected: float) -> None:
    assert skill(model, naive) == pytest.approx(expected)


@pytest.mark.parametrize(("model", "naive"), [(0.5, 0.0), (float("nan"), 1.0), (1.0, float("nan"))])
def test_skill_against_a_faultless_or_undefined_row_is_nan(model: float, naive: float) -> None:
    assert np.isnan(skill(model, naive))

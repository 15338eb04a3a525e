"""Scores of telling lines apart, against slow loops, permutations, numpy's least squares and hand arithmetic."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.scores import SCORES
from dadsp.evaluation.which_line import additive_residuals, precision_at_top
from dadsp.schema import PredictionTable
from tests.support.comparisons import N_DRUGS, table

NAN = float("nan")


def sourced(seed: int = 1) -> PredictionTable:
    """A table in which 10 of 12 lines and drugs 0 to 5 have a label in the source, and lines 0 to 6 are profiled there."""
    frame = table(0.6, seed).frame
    line, drug = (frame[name].str[1:].astype(int) for name in ("cell_id", "drug_id"))
    noise = np.random.default_rng(5).normal(0, 0.7, len(frame))
    source = np.where((line < 10) & (drug < 6), 0.8 * frame["y_true"] + noise, np.nan)
    return PredictionTable(frame.assign(y_source=source, cell_profiled=line < 7))


def median_r(frame: pd.DataFrame, first: str, second: str) -> tuple[float, int]:
    """Median over drugs of r in a loop over drugs with five pairs or more, and how many those are."""
    found = [pearsonr(part[first], part[second]).statistic for _, part in frame.groupby("drug_id") if len(part) >= 5]
    return float(np.median(found)), len(found)


def test_means_removed_equal_least_squares_on_indicators() -> None:
    frame = sourced().frame
    lines, drugs = (pd.get_dummies(frame[name]).to_numpy(float) for name in ("cell_id", "drug_id"))
    found = evaluate(sourced()).which_line.removed
    for name, indicators in (("drug", drugs), ("drug_line", np.hstack([lines, drugs]))):
        both = frame[["y_true", "y_pred"]].to_numpy()
        true, pred = (both - indicators @ np.linalg.lstsq(indicators, both, rcond=None)[0]).T
        assert found[name]["pearson"] == pytest.approx(pearsonr(true, pred).statistic)
        assert found[name]["rmse"] == pytest.approx(np.sqrt(np.mean((true - pred) ** 2)))


def test_additive_fit_is_exact_where_lines_and_drugs_fall_into_parts() -> None:
    """Two blocks without a common line or drug: their effects are not unique, what they leave is."""
    line = np.array([0, 0, 1, 1, 2, 3, 3, 4])
    drug = np.array([0, 1, 0, 1, 2, 2, 3, 3])
    values = np.random.default_rng(0).normal(size=8)
    indicators = np.hstack([np.eye(5)[line], np.eye(4)[drug]])
    expected = values - indicators @ np.linalg.lstsq(indicators, values, rcond=None)[0]
    assert additive_residuals(values, line, drug) == pytest.approx(expected, abs=1e-12)
    assert additive_residuals(values, drug, line) == pytest.approx(expected, abs=1e-12)
    assert additive_residuals(2.0 * line - drug, line, drug) == pytest.approx(np.zeros(8), abs=1e-12)


@pytest.mark.parametrize("by", [["drug_id"], ["drug_id", "cell_id"]])
def test_a_prediction_of_effects_alone_has_no_r_once_they_are_removed(by: list[str]) -> None:
    frame = table(0.6, 1).frame
    means = sum(frame.groupby(name)["y_true"].transform("mean") for name in by)
    scores = evaluate(PredictionTable(frame.assign(y_pred=np.asarray(means, dtype=np.float32)))).which_line
    removed = scores.removed["drug" if by == ["drug_id"] else "drug_line"]
    assert np.isnan(removed["pearson"])
    assert removed["rmse"] > 0.1


def test_rounding_is_told_by_the_largest_value_though_others_are_zero() -> None:
    frame = table(0.6, 1).frame.astype({"y_pred": np.float64})
    effects = np.sum([frame.groupby(name)["y_true"].transform("mean") for name in ("drug_id", "cell_id")], axis=0)
    removed = evaluate(PredictionTable(frame.assign(y_pred=effects - effects[0]))).which_line.removed
    assert np.isnan(removed["drug_line"]["pearson"])


def test_five_pairs_of_a_drug_are_enough_for_its_precision() -> None:
    frame = table(0.6, 1).frame
    found = {
        n: evaluate(PredictionTable(frame[frame["drug_id"].ne("D0") | (frame.groupby("drug_id").cumcount() < n)])).per_drug
        for n in (4, 5)
    }
    scored = [each.set_index("drug_id")["precision_10"].notna()["D0"] for each in found.values()]
    assert scored == [False, True]


def test_precision_is_the_mean_over_all_orders_of_ties() -> None:
    true, pred = np.array([2.0, 1.0, 1.0, 1.0, 0.0]), np.array([0.0, 3.0, 3.0, 0.0, 3.0])
    n, k = 11, 2  # eleven pairs ask for two; the other six are surely last in both
    found = precision_at_top(
        np.concatenate([true, np.full(6, -5.0)]), np.concatenate([pred, np.full(6, -5.0)]), np.zeros(n, dtype=int), 1
    )
    orders = list(permutations(range(5)))

    def chance(values: np.ndarray) -> np.ndarray:
        firsts = [sorted(order, key=lambda row: -values[row])[:k] for order in orders]  # sorting is stable
        return np.bincount(np.ravel(firsts), minlength=5) / len(orders)

    assert found[0] == pytest.approx((chance(true) * chance(pred)).sum() / k)


def test_precision_of_perfect_reversed_constant_and_undefined() -> None:
    values = np.arange(20.0)
    group = np.repeat(np.arange(5), 20)
    true = np.concatenate([values, values, values, np.ones(20), values])
    pred = np.concatenate([values, -values, np.ones(20), values, np.where(values < 19, values, -1.0)])
    assert precision_at_top(true, pred, group, 5).tolist() == [
        1.0,
        0.0,
        pytest.approx(0.1),
        pytest.approx(NAN, nan_ok=True),
        0.5,
    ]


def test_ceiling_and_share_of_it_against_a_loop_over_drugs() -> None:
    frame = sourced().frame
    both = frame[frame["y_source"].notna()]
    ceiling, n_drugs = median_r(both, "y_source", "y_true")
    own, _ = median_r(both, "y_pred", "y_true")
    found = evaluate(sourced()).which_line
    assert found.ceiling == pytest.approx(ceiling)
    assert (found.ceiling_drugs, found.ceiling_pairs) == (
        n_drugs,
        sum(len(p) for _, p in both.groupby("drug_id") if len(p) >= 5),
    )
    assert found.share_of_ceiling == pytest.approx(own / ceiling)
    perfect = PredictionTable(frame.assign(y_pred=frame["y_source"].fillna(0)))
    assert evaluate(perfect).which_line.share_of_ceiling == pytest.approx(1)


def test_share_leaves_out_of_both_medians_a_drug_that_the_system_does_not_rank() -> None:
    frame = sourced().frame
    flat = PredictionTable(frame.assign(y_pred=frame["y_pred"].where(frame["drug_id"] != "D0", 1.0)))
    rest = frame[frame["y_source"].notna() & (frame["drug_id"] != "D0")]
    expected = median_r(rest, "y_pred", "y_true")[0] / median_r(rest, "y_source", "y_true")[0]
    assert evaluate(flat).which_line.share_of_ceiling == pytest.approx(expected)
    assert evaluate(flat).which_line.ceiling == evaluate(sourced()).which_line.ceiling


def test_r_per_drug_on_lines_never_profiled_and_never_trained_on() -> None:
    frame, scores = sourced().frame, evaluate(sourced())
    unseen = frame[~frame["cell_seen"]]
    assert scores.which_line.pearson_unseen == pytest.approx(median_r(unseen, "y_pred", "y_true")[0])
    unprofiled = frame[~frame["cell_profiled"]]
    assert scores.which_line.pearson_unprofiled == pytest.approx(median_r(unprofiled, "y_pred", "y_true")[0])
    for side in (True, False):
        rows = frame[frame["cell_profiled"] == side]
        metrics = scores.strata["cell_profiled" if side else "cell_unprofiled"]
        assert metrics.rmse == pytest.approx(np.sqrt(((rows["y_pred"] - rows["y_true"]) ** 2).mean()))


def test_coverage_counts_labels_inside_the_intervals_that_are_there() -> None:
    frame = table(0.6, 1).frame.head(8)
    low = frame["y_true"] + [-1, 0, 0.1, -1, -1, -1, -1, NAN]
    high = frame["y_true"] + [1, 0, 1, -0.1, 1, 1, 1, NAN]
    drug_seen = [True, True, True, True, False, False, True, True]
    found = evaluate(PredictionTable(frame.assign(y_low=low, y_high=high, drug_seen=drug_seen))).which_line.coverage_90
    assert found == pytest.approx({"all": 5 / 7, "drug_seen": 3 / 5, "drug_unseen": 1.0})


def test_tables_without_source_labels_or_intervals_have_no_such_scores() -> None:
    found = evaluate(table(0.6, 1)).which_line
    assert np.isnan([found.ceiling, found.share_of_ceiling, found.coverage_90["all"]]).all()
    assert (found.ceiling_drugs, found.ceiling_pairs) == (0, 0)
    assert found.to_json()["ceiling"] is None


def test_scores_beyond_floating_point_range_and_of_no_pairs_are_undefined_without_a_warning() -> None:
    frame = table(0.6, 1).frame
    huge = evaluate(PredictionTable(frame.assign(y_pred=frame["y_pred"] * 1e300))).which_line
    assert np.isnan([huge.removed[what][name] for what in huge.removed for name in ("pearson", "rmse")]).all()
    empty = evaluate(PredictionTable(frame.head(0)))
    values = {name: score.value(empty) for name, score in SCORES.items()}
    assert values.pop("ceiling_drugs") == 0
    assert np.isnan(list(values.values())).all()


def test_per_drug_columns_stand_beside_their_drugs() -> None:
    frame, per_drug = sourced().frame, evaluate(sourced()).per_drug.set_index("drug_id")
    assert len(per_drug) == N_DRUGS
    for name, part in frame.groupby("drug_id"):
        drug = str(name)
        both = part[part["y_source"].notna()]
        assert per_drug.loc[drug, "n_source"] == len(both)
        if len(both) >= 5:
            assert per_drug.loc[drug, "ceiling"] == pytest.approx(pearsonr(both["y_source"], both["y_true"]).statistic)
            assert per_drug.loc[drug, "pearson_with_source"] == pytest.approx(
                pearsonr(both["y_pred"], both["y_true"]).statistic
            )

"""The bootstrap is the slow loop's, made fast; ranks and the critical difference are those of hand and scipy."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, ttest_1samp

from dadsp.evaluation.statistics import bootstrap_pearson, bootstrap_rmse, interval, mean_interval, rank_systems
from dadsp.schema import PredictionTable
from dadsp.seeding import derive_seed
from tests.support.comparisons import N_DRUGS, N_LINES, table

REPLICATES = 40


def draws(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each line and each drug was drawn, in the order of their ids."""
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    return tuple(  # type: ignore[return-value]
        random.multinomial(n, np.full(n, 1 / n), size=REPLICATES) for n in (N_LINES, N_DRUGS)
    )


def slow_rmse(given: PredictionTable, line_counts: np.ndarray, drug_counts: np.ndarray) -> float:
    """RMSE over a list in which every pair really stands as often as it was drawn."""
    lines = sorted(f"L{line}" for line in range(N_LINES))
    drugs = sorted(f"D{drug}" for drug in range(N_DRUGS))
    squared = []
    for row in given.frame.to_dict("records"):
        times = line_counts[lines.index(row["cell_id"])] * drug_counts[drugs.index(row["drug_id"])]
        squared += [(row["y_pred"] - row["y_true"]) ** 2] * times
    return float(np.sqrt(np.mean(squared)))


def test_bootstrap_equals_a_loop_over_drawn_pairs() -> None:
    tables = [table(0.3, 1), table(0.5, 2)]
    of_lines, of_drugs = draws(seed=7)
    expected = [[slow_rmse(each, of_lines[r], of_drugs[r]) for each in tables] for r in range(REPLICATES)]
    found = bootstrap_rmse(tables, REPLICATES, seed=7)
    assert found == pytest.approx(np.array(expected))
    assert interval(found[:, 0]) == pytest.approx(np.percentile(np.array(expected)[:, 0], [2.5, 97.5]))


def test_order_of_rows_does_not_matter() -> None:
    given = table(0.3, 1)
    shuffled = PredictionTable(given.frame.sample(frac=1, random_state=0))
    found = bootstrap_rmse([given, shuffled], REPLICATES, seed=0)
    assert found[:, 0] == pytest.approx(found[:, 1])


def test_tables_of_different_pairs_are_weighted_each_by_its_own() -> None:
    whole = table(0.3, 1)
    part = whole.where(whole.frame["drug_id"] != "D0")
    both = bootstrap_rmse([whole, part], REPLICATES, seed=0)
    of_lines, of_drugs = draws(seed=0)
    assert both[:, 1] == pytest.approx([slow_rmse(part, of_lines[r], of_drugs[r]) for r in range(REPLICATES)])


def test_replicate_without_a_pair_has_no_value_and_no_part_in_the_interval() -> None:
    frame = table(0.5, 1, measured=1.0).frame
    diagonal = PredictionTable(frame[(frame["cell_id"] + frame["drug_id"]).isin(["L0D0", "L1D1"])])
    found = bootstrap_rmse([diagonal], 400, seed=0)[:, 0]
    assert np.isnan(found).any()
    assert np.isfinite(interval(found)).all()


def test_interval_covers_the_true_rmse_of_new_lines_and_drugs() -> None:
    """Errors with effects of line and drug: an interval over pairs alone would be far too narrow."""
    random, covered = np.random.default_rng(0), 0
    line, drug = (part.ravel() for part in np.meshgrid(np.arange(30), np.arange(20), indexing="ij"))
    for _ in range(60):
        error = random.normal(size=30)[line] * 0.5 + random.normal(size=20)[drug] + random.normal(size=600) * 0.2
        frame = table(0.1, 0, n_lines=75, measured=1.0).frame.head(600)
        frame = frame.assign(cell_id=line.astype(str), drug_id=drug.astype(str), y_true=0.0, y_pred=error)
        low, high = interval(bootstrap_rmse([PredictionTable(frame)], 200, seed=0)[:, 0])
        covered += low <= np.sqrt(0.25 + 1 + 0.04) <= high
    assert covered >= 48  # 57 expected; bounded drugs make percentile intervals a little short


def test_twenty_systems_take_seconds() -> None:
    tables = [table(0.3, seed, n_lines=354) for seed in range(20)]
    started = time.process_time()
    bootstrap_rmse(tables, 2000, seed=0)
    assert time.process_time() - started < 10


def test_critical_difference_is_that_of_demsar() -> None:
    # Demšar 2006, section 3.2.2: k = 4, N = 14 gives 2.569·√(4·5/(6·14)) = 1.25, and 2.291·… = 1.12 at 10 %.
    scores = pd.DataFrame(np.random.default_rng(0).random((14, 4)), columns=list("abcd"))
    assert rank_systems(scores).critical_difference == pytest.approx(2.569 * np.sqrt(20 / 84), abs=1e-3)
    assert rank_systems(scores, level=0.1).critical_difference == pytest.approx(2.291 * np.sqrt(20 / 84), abs=1e-3)


def test_mean_ranks_and_friedman_by_hand_and_scipy() -> None:
    scores = pd.DataFrame({"a": [1.0, 1.0, 2.0], "b": [2.0, 1.0, 1.0], "c": [3.0, 3.0, 3.0]})
    ranks = rank_systems(scores)
    assert ranks.mean == {"a": pytest.approx(4.5 / 3), "b": pytest.approx(4.5 / 3), "c": 3.0}  # 1 1.5 2 | 2 1.5 1 | 3 3 3
    assert ranks.p_value == pytest.approx(friedmanchisquare(*scores.to_numpy().T).pvalue)
    assert ranks.n_blocks == 3


def test_cliques_are_the_largest_sets_within_the_critical_difference() -> None:
    # 30 blocks, 4 systems: a critical difference of 0.856.
    first = pd.DataFrame({"a": [1.0] * 15 + [2.0] * 15, "b": [2.0] * 15 + [1.0] * 15, "c": [3.0] * 30, "d": [4.0] * 30})
    assert rank_systems(first).cliques == (("a", "b"),)
    alike = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]] * 2, columns=list("abcd"))
    assert rank_systems(alike).cliques == (("a", "b", "c", "d"),)  # two blocks tell nothing apart
    chain = pd.DataFrame({"a": [1.0] * 6 + [2.0] * 4, "b": [2.0] * 6 + [1.0] * 2 + [3.0] * 2, "c": [3.0] * 8 + [1.0] * 2})
    assert rank_systems(chain).cliques == (("a", "b"), ("b", "c"))


def test_two_systems_have_a_critical_difference_but_no_friedman_test() -> None:
    ranks = rank_systems(pd.DataFrame({"a": [1.0, 1.0], "b": [2.0, 2.0]}))
    assert np.isnan(ranks.p_value)
    assert ranks.critical_difference == pytest.approx(1.960 * np.sqrt(6 / 12), abs=1e-3)


def test_equal_systems_share_all_ranks() -> None:
    ranks = rank_systems(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 2.0]}))
    assert set(ranks.mean.values()) == {2.0}
    assert np.isnan(ranks.p_value)


def slow_pearson(parts: list[np.ndarray], line_counts: np.ndarray, drug_counts: np.ndarray) -> float:
    """Median of r over a list of drugs, each with a list of lines, in which each really stands as often as it was drawn.

    ``parts`` has for each drug, in the order of ids, its pairs' place among the lines, label and prediction.
    """
    found: list[float] = []
    for part, times in zip(parts, drug_counts, strict=True):
        drawn = np.repeat(part, line_counts[part[:, 0].astype(int)], axis=0)
        if len(part) >= 5 and len(drawn) and (np.ptp(drawn[:, 1:], axis=0) > 0).all():
            found += [np.corrcoef(drawn[:, 1:].T)[0, 1]] * int(times)
    return float(np.median(found)) if found else float("nan")


def test_bootstrap_of_r_per_drug_equals_a_loop_over_drawn_pairs() -> None:
    capped = table(0.5, 2).frame  # many labels alike, one drug that is predicted constant, one with four pairs
    capped["y_true"] = capped["y_true"].clip(lower=0.4)
    capped["y_pred"] = capped["y_pred"].where(capped["drug_id"] != "D3", 0.7)
    few = capped.index[capped["drug_id"] == "D6"][4:]
    tables = [table(0.3, 1), PredictionTable(capped.drop(few)), table(0.9, 4)]
    of_lines, of_drugs = draws(seed=7)
    place = {name: row for row, name in enumerate(sorted(f"L{line}" for line in range(N_LINES)))}
    parts = [
        [part.to_numpy(float) for _, part in frame.groupby("drug_id")[["line", "y_true", "y_pred"]]]
        for frame in (each.frame.assign(line=each.frame["cell_id"].map(place)) for each in tables)
    ]
    expected = [[slow_pearson(each, of_lines[r], of_drugs[r]) for each in parts] for r in range(REPLICATES)]
    assert bootstrap_pearson(tables, REPLICATES, seed=7) == pytest.approx(np.array(expected), nan_ok=True)


def test_bootstrap_of_constant_predictions_has_no_value_and_no_interval() -> None:
    frame = table(0.5, 1).frame
    means = frame.groupby("drug_id")["y_true"].transform("mean")
    samples = bootstrap_pearson([PredictionTable(frame.assign(y_pred=means))], REPLICATES, seed=0)[:, 0]
    assert np.isnan(samples).all()
    assert np.isnan(interval(samples)).all()


def test_a_thousand_draws_of_r_per_drug_take_less_than_a_second() -> None:
    random = np.random.default_rng(0)
    line, drug = (part.ravel() for part in np.meshgrid(np.arange(354), np.arange(24), indexing="ij"))
    frame = pd.concat([table(0.1, 0, n_lines=75, measured=1.0).frame.head(600)] * 15, ignore_index=True).head(len(line))
    given = PredictionTable(
        frame.assign(cell_id=line.astype(str), drug_id=drug.astype(str), y_pred=random.normal(size=len(line)))
    )
    start = time.perf_counter()
    bootstrap_pearson([given], 1000, seed=0)
    assert time.perf_counter() - start < 1


def test_mean_interval_is_students() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, size=8)
    mean, low, high = mean_interval(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((values.mean(), expected.low, expected.high), abs=1e-5)
    assert mean_interval(values[:1]) == pytest.approx((values[0],) * 3)

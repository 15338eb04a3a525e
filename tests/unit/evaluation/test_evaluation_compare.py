"""A comparison's numbers are those of its runs, paired where it says so."""

import json
import re
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import r2_score, root_mean_squared_error

from dadsp.errors import ConfigError
from dadsp.evaluation.compare import Comparison, Run, compare, compared_scores
from dadsp.evaluation.compare_figures import drawings
from dadsp.evaluation.compare_tables import caption, main_columns, render, strata_columns
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.scores import SCORES
from dadsp.evaluation.statistics import bootstrap_pearson, bootstrap_rmse, interval
from dadsp.report.compare_page import page
from tests.support.comparisons import runs_of, table


def naive_rows() -> pd.DataFrame:
    rows = [
        {"system": name, "kind": kind, "saw_target_labels": kind == "naive_oracle", "replicate": f"seed {seed}"}
        | dict.fromkeys(compared_scores(), score)
        for name, kind, score in (("source mean", "naive_source", 0.9), ("oracle target mean", "naive_oracle", 0.8))
        for seed in (0, 1, 2)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    runs = [
        *runs_of("worse [x]", 0.5),
        *runs_of("better", 0.3),
        *runs_of("once", 0.4, seeds=(1,)),
        *runs_of("leak (oracle)", 0.1, saw_target_labels=True),
    ]
    expected = pd.DataFrame({"system": ["better", "nobody's"], "rmse": [0.64, 0.7]})
    return compare(runs, "A → B", naive=naive_rows(), expected=expected, replicates=200)


def row(comparison: Comparison, system: str) -> dict[str, Any]:
    (found,) = comparison.table[comparison.table["system"] == system].to_dict("records")
    return {str(name): value for name, value in found.items()}


def test_means_and_deviations_are_those_of_the_runs(compared: Comparison) -> None:
    frames = [run.table.frame for run in runs_of("better", 0.3)]
    rmse = [root_mean_squared_error(frame["y_true"], frame["y_pred"]) for frame in frames]
    r2 = [r2_score(frame["y_true"], frame["y_pred"]) for frame in frames]
    seen = [root_mean_squared_error(f["y_true"], f["y_pred"]) for f in (frame[frame["drug_seen"]] for frame in frames)]
    found = row(compared, "better")
    assert found["runs"] == 3
    assert [found["rmse"], found["rmse_sd"]] == pytest.approx([np.mean(rmse), np.std(rmse, ddof=1)])
    assert found["r2"] == pytest.approx(np.mean(r2))
    assert found["rmse_drug_seen"] == pytest.approx(np.mean(seen))
    assert np.isnan(row(compared, "once")["rmse_sd"])


def test_interval_is_of_the_mean_over_runs(compared: Comparison) -> None:
    samples = bootstrap_rmse([run.table for run in runs_of("better", 0.3)], 200, seed=0).mean(axis=1)
    found = row(compared, "better")
    assert (found["rmse_low"], found["rmse_high"]) == pytest.approx(interval(samples))


def test_difference_is_paired_by_replicate_and_by_draw(compared: Comparison) -> None:
    ours, theirs = ([run.table for run in runs_of(*system)] for system in (("worse", 0.5), ("better", 0.3)))
    rmse = [[root_mean_squared_error(t.frame["y_true"], t.frame["y_pred"]) for t in side] for side in (ours, theirs)]
    gaps = np.subtract(rmse[0], rmse[1])
    samples = bootstrap_rmse([*ours, *theirs], 200, seed=0)
    found = row(compared, "worse [x]")
    assert compared.reference == "better"
    assert [found["difference"], found["difference_sd"]] == pytest.approx([gaps.mean(), gaps.std(ddof=1)])
    expected = interval((samples[:, :3] - samples[:, 3:]).mean(axis=1))
    assert (found["difference_low"], found["difference_high"]) == pytest.approx(expected)
    assert np.isnan(row(compared, "better")["difference"])


def test_r_per_drug_has_an_interval_and_a_difference_from_the_same_draws(compared: Comparison) -> None:
    ours, theirs = ([run.table for run in runs_of(*system)] for system in (("worse", 0.5), ("better", 0.3)))
    r = [[evaluate(table).per_drug_summary.median["pearson"] for table in side] for side in (ours, theirs)]
    gaps = np.subtract(r[0], r[1])
    samples = bootstrap_pearson([*ours, *theirs], 200, seed=0)
    found, better = row(compared, "worse [x]"), row(compared, "better")
    assert [found["r_difference"], found["r_difference_sd"]] == pytest.approx([gaps.mean(), gaps.std(ddof=1)])
    expected = interval((samples[:, :3] - samples[:, 3:]).mean(axis=1))
    assert (found["r_difference_low"], found["r_difference_high"]) == pytest.approx(expected)
    of_better = (better["median_drug_pearson_low"], better["median_drug_pearson_high"])
    assert of_better == pytest.approx(interval(samples[:, 3:].mean(axis=1)))


def test_difference_uses_only_replicates_that_both_have(compared: Comparison) -> None:
    once, better = (row(compared, name) for name in ("once", "better"))
    by_seed = compared.scores.set_index(["system", "replicate"])["rmse"]
    assert once["difference"] == pytest.approx(by_seed["once", "seed 1"] - by_seed["better", "seed 1"])
    assert once["difference"] != pytest.approx(once["rmse"] - better["rmse"])


def test_systems_without_a_common_replicate_have_no_difference() -> None:
    found = compare([*runs_of("a", 0.3, seeds=(0,)), *runs_of("b", 0.5, seeds=(1,))], "A → B", replicates=100)
    assert found.table["difference"].isna().all()
    assert "RMSE − that of a" in main_columns(found)  # which says that a is the reference


def test_default_reference_is_the_best_honest_system(compared: Comparison) -> None:
    assert row(compared, "leak (oracle)")["rmse"] < row(compared, "better")["rmse"]
    assert compared.reference == "better"


def test_models_stand_by_rmse_and_naive_rows_once_after_them(compared: Comparison) -> None:
    assert compared.table["system"].tolist() == [
        "leak (oracle)", "better", "once", "worse [x]", "source mean", "oracle target mean"
    ]  # fmt: skip
    assert row(compared, "source mean")["runs"] == 3
    assert np.isnan(row(compared, "source mean")["rmse_low"])


def test_naive_row_that_was_run_stands_as_a_run() -> None:
    found = compare(runs_of("source mean", 0.5), "A → B", naive=naive_rows(), replicates=100)
    assert found.table["system"].tolist() == ["source mean", "oracle target mean"]
    assert row(found, "source mean")["rmse_low"] > 0


def test_ranks_are_within_drugs(compared: Comparison) -> None:
    assert compared.ranks is not None
    assert compared.ranks.n_blocks == 8
    assert row(compared, "leak (oracle)")["mean_rank"] == 1.0


def test_published_numbers_stand_beside_their_system(compared: Comparison) -> None:
    assert row(compared, "better")["paper_rmse"] == 0.64
    assert np.isnan(row(compared, "once")["paper_rmse"])
    assert compared.table["paper_r2"].isna().all()


def test_runs_of_one_seed_on_different_pairs_are_refused() -> None:
    other = Run("b", "seed 0", False, table(0.5, 1, measured=0.6))
    with pytest.raises(ConfigError, match=r"seed 0 were tested on different pairs.*a: \d+ pairs; b: \d+ pairs"):
        compare([*runs_of("a", 0.3, seeds=(0,)), other], "A → B", replicates=100)


def test_unknown_reference_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'better'"):
        compare(runs_of("better", 0.3), "A → B", reference="beter", replicates=100)


def test_json_has_null_where_there_is_no_value(compared: Comparison) -> None:
    content = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert content["systems"][1]["difference"] is None
    assert content["ranks"]["mean"]["leak (oracle)"] == 1.0
    assert len(content["runs"]) == 10 + 6


def test_text_marks_target_labels_and_leaves_out_empty_columns(compared: Comparison) -> None:
    text = main_columns(compared)
    assert text["System"].tolist()[0] == "† leak (oracle)"
    assert "Paper RMSE" in text
    assert "Paper R²" not in text
    assert text.loc[1, "RMSE − that of better"] == "reference"
    assert "line seen" in strata_columns(compared)


def test_terminal_table_shows_every_system_by_its_whole_name(compared: Comparison) -> None:
    out = StringIO()
    Console(file=out, width=120, color_system=None).print(render(compared))
    for name in ("worse [x]", "† leak (oracle)", "source mean"):
        assert name in out.getvalue()
    assert "Nemenyi, 5%" in out.getvalue()


def test_terminal_table_of_many_columns_and_long_names_cuts_no_number() -> None:
    systems = ("DADSP-A", "SVR (Nyström, 500 components)", "DeepDSC-1, cell-blind (oracle: target labels)")
    runs = [run for position, system in enumerate(systems) for run in runs_of(system, 0.3 + 0.1 * position)]
    expected = pd.DataFrame({"system": systems[:2], "rmse": [0.64, 0.73], "r2": [0.43, 0.29]})
    found = compare(runs, "A → B", expected=expected, replicates=100)
    out = StringIO()
    Console(file=out, width=120, color_system=None).print(render(found))
    words = out.getvalue().split()
    for row in main_columns(found, page=False).drop(columns="System").to_numpy():
        for cell in row:
            assert set(str(cell).split()) <= set(words)


def naive_runs(error: float) -> list[Run]:
    return [replace(run, kind="naive_source") for run in runs_of("source mean", error)]


def with_naive(error: float, *runs: Run) -> Comparison:
    naive = naive_runs(error)
    scores = [
        {"system": each.system, "kind": each.kind, "saw_target_labels": False, "replicate": each.replicate}
        | {name: SCORES[name].value(evaluate(each.table)) for name in compared_scores()}
        for each in naive
    ]
    return compare(runs, "A → B", naive=pd.DataFrame(scores), naive_runs=naive, replicates=200)


def test_naive_row_has_an_interval_and_a_paired_difference_of_its_own_predictions() -> None:
    runs = runs_of("a", 0.3)
    found = with_naive(0.5, *runs)
    tables = [run.table for run in (*runs, *naive_runs(0.5))]
    drawn = bootstrap_rmse(tables, 200, seed=0)
    rmse = np.array([evaluate(each).pooled.rmse for each in tables])
    gaps = rmse[3:] - rmse[:3]
    naive = row(found, "source mean")
    assert [naive["rmse_low"], naive["rmse_high"]] == pytest.approx(interval(drawn[:, 3:].mean(axis=1)))
    assert naive["difference"] == pytest.approx(np.mean(gaps))
    ends = interval((drawn[:, 3:] - drawn[:, :3]).mean(axis=1))
    assert [naive["difference_low"], naive["difference_high"]] == pytest.approx(ends)
    against = found.against_naive
    assert against == {"naive": "source mean", "difference": -naive["difference"], "low": -ends[1], "high": -ends[0]}
    assert found.to_json()["against_naive"] == against


def test_naive_predictions_change_nothing_of_the_systems() -> None:
    runs = [*runs_of("a", 0.3), *runs_of("b", 0.4)]
    alone = compare(runs, "A → B", replicates=200)
    pd.testing.assert_frame_equal(with_naive(0.5, *runs).table.iloc[:2], alone.table)


@pytest.mark.parametrize(
    ("error", "best", "verdict"),
    [(0.6, "a", "better"), (0.2, "source mean", "worse"), (0.401, "a", "not told apart")],
)
def test_the_best_fair_row_stands_out_whatever_it_is(error: float, best: str, verdict: str) -> None:
    found = with_naive(error, *runs_of("a", 0.4), *runs_of("leak (oracle)", 0.01, saw_target_labels=True))
    if verdict != "not told apart":
        assert found.best_fair == best
    (said,) = [line for line in caption(found) if "against the best naive row" in line]
    assert said.startswith("a against the best naive row, source mean: RMSE ")
    assert said.endswith(f": {verdict}.")
    (bold,) = re.findall(r'<tr class="model[^"]*">\s*<th scope="row">([^<]*)', page([found], []).split("RMSE by what")[0])
    assert bold == found.best_fair


def test_pictures_hold_the_systems_and_the_best_naive_row() -> None:
    described = [each.description for each in drawings(with_naive(0.2, *runs_of("a", 0.4), *runs_of("b", 0.5)))]
    assert "source mean" in described[0]
    assert "source mean" in next(text for text in described if text.startswith("Differences in RMSE from a"))


def test_lines_of_a_figure_pass_behind_the_names_and_every_mark_is_in_its_legend() -> None:
    compared = with_naive(0.2, *runs_of("a", 0.4), *runs_of("b", 0.5))
    by_title = {each.title: each.svg for each in drawings(compared)}
    for title in ("RMSE and 95 % interval", "r per drug and 95 % interval"):
        names = len(re.findall(r"fill: #ffffff; opacity: 0\.85", by_title[title]))
        assert names >= 2
        assert "<!-- one run -->" in by_title[title]

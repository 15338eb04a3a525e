"""A page of a run says what its folder says, also of scores that came after it was written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.errors import LoadError
from dadsp.report.document import Table, markdown
from dadsp.report.reported_run import ReportedRun, read_run
from dadsp.report.result_tables import lines_table, per_drug_table, result_rows, seen_table, strata_table
from dadsp.report.run_report import run_report
from dadsp.report.verdict import beside_naive, best_row, verdict
from dadsp.runs.folder import RunFolder
from dadsp.schema import PredictionTable
from tests.support.metrics import BIAS, registered
from tests.support.run_folders import MEAN, ORACLE, SYSTEM, naive_of, write_run


@pytest.fixture
def run(tmp_path: Path) -> ReportedRun:
    write_run(tmp_path / "run")
    return read_run(RunFolder(tmp_path / "run"))


def cells(table: Table) -> dict[str, dict[str, str]]:
    """Rows by their first cell, columns by heading."""
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_system_stands_beside_naive_rows(run: ReportedRun) -> None:
    headings, rows, kinds = result_rows(run)
    assert headings[:4] == ["System", "RMSE", "R²", "r per drug"]
    assert [row[0] for row in rows] == [SYSTEM, MEAN, f"† {ORACLE}"]
    assert kinds == ["model", "naive_source", "naive_oracle"]
    assert float(rows[0][1]) == pytest.approx(run.own["pooled"]["rmse"], abs=5e-4)


def test_strata_are_those_of_the_predictions(run: ReportedRun) -> None:
    table = strata_table(run)
    assert table.columns == ["Tested pairs", "Pairs", "At the cap", "RMSE", "R²", "MAE", "r"]
    unseen = run.predictions[~run.predictions["drug_seen"]]
    error = unseen["y_pred"] - unseen["y_true"]
    found = cells(table)["drug unseen"]
    assert found["Pairs"] == str(len(unseen))
    assert [float(found[name]) for name in ("RMSE", "MAE")] == pytest.approx(
        [np.sqrt((error**2).mean()), error.abs().mean()], abs=5e-4
    )


def test_drugs_stand_beside_the_naive_row_of_the_skill(run: ReportedRun) -> None:
    table = per_drug_table(run)
    assert table.columns == [
        "Drug", "In training", "Pairs", "At the cap", "RMSE", "RMSE, naive", "R²", "r", "ρ", "r of the source's label"
    ]  # fmt: skip
    naive = naive_of(PredictionTable(run.predictions))[MEAN].frame
    expected = (naive["y_pred"] - naive["y_true"]).pow(2).groupby(naive["drug_id"]).mean() ** 0.5
    found = {drug: float(row["RMSE, naive"]) for drug, row in cells(table).items()}
    assert found == pytest.approx(expected.to_dict(), abs=5e-4)


def test_lines_table_leaves_out_what_no_row_has(run: ReportedRun) -> None:
    table = lines_table(run.comparison, run.system)
    assert table.columns[:4] == ["System", "r per drug", "… from", "… to"]
    assert "Share of ceiling" not in table.columns
    assert cells(table)[SYSTEM]["… to"] == "0.600"
    assert cells(table)[MEAN]["r per drug"] == "–"


def test_all_systems_stand_by_what_training_had_seen(run: ReportedRun) -> None:
    found = cells(seen_table(run))
    assert list(found) == [SYSTEM, MEAN, f"† {ORACLE}"]
    assert float(found[MEAN]["line unseen"]) == pytest.approx(run.comparison["rmse_cell_unseen"][1], abs=5e-4)


def test_report_of_an_old_run_shows_a_newer_metric_of_the_system_and_of_naive_rows(tmp_path: Path) -> None:
    system = write_run(tmp_path / "run")
    before = read_run(RunFolder(tmp_path / "run"))
    expected = [(of.frame["y_pred"] - of.frame["y_true"]).mean() for of in (system, *naive_of(system).values())]
    with registered(BIAS):
        run = read_run(RunFolder(tmp_path / "run"))
        assert run.comparison["bias"].tolist() == pytest.approx(expected)
        headings, rows, _ = result_rows(run)
        shown = [row[headings.index("Bias")] for row in rows]
        assert [float(cell.replace("−", "-")) for cell in shown] == pytest.approx(expected, abs=5e-4)
        assert "Bias" in strata_table(run).columns
        assert cells(per_drug_table(run))["D0"]["Bias"] != "–"
        text, _ = markdown(run_report(RunFolder(tmp_path / "run"))[0], "figures")
        assert "Bias: mean of predicted minus measured potency" in text
    pd.testing.assert_frame_equal(run.comparison[before.comparison.columns], before.comparison, check_exact=True)


def test_report_of_a_run_that_kept_no_naive_predictions_has_dashes_for_them(tmp_path: Path) -> None:
    system = write_run(tmp_path / "run", naive=False)
    with registered(BIAS):
        run = read_run(RunFolder(tmp_path / "run"))
        headings, rows, _ = result_rows(run)
    shown = [row[headings.index("Bias")].replace("−", "-") for row in rows]
    assert float(shown[0]) == pytest.approx((system.frame["y_pred"] - system.frame["y_true"]).mean(), abs=5e-4)
    assert shown[1:] == ["–", "–"]


def test_damaged_naive_predictions_are_named_where_they_are_needed(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "naive.parquet").write_bytes(b"no table")
    assert read_run(RunFolder(tmp_path / "run")).system == SYSTEM
    with registered(BIAS), pytest.raises(LoadError, match="does not hold a complete run"):
        read_run(RunFolder(tmp_path / "run"))


def test_facts_of_a_page_are_plain_and_without_tables_of_pairs(run: ReportedRun) -> None:
    facts = run.facts()
    assert [row["name"] for row in facts["systems"]] == [SYSTEM, MEAN, ORACLE]
    assert "per_drug" not in facts["systems"][0]
    assert facts["split"]["test_idx"] == len(run.predictions)


def comparison_of(*rows: tuple[str, str, float, float, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["system", "kind", "rmse", "median_drug_pearson", "median_drug_pearson_low"])
    return frame.assign(median_drug_pearson_high=0.9, saw_target_labels=frame["kind"].eq("naive_oracle"))


@pytest.mark.parametrize(
    ("naive_rmse", "naive_r", "low", "passed", "words"),
    [
        (
            0.7,
            0.2,
            0.1,
            [None, True],
            ["Yes, by the number alone: RMSE 0.600; the best naive row (copy) 0.700", "Yes: r per drug 0.300"],
        ),
        (0.5, 0.2, 0.1, [False, True], ["No: RMSE 0.600; the best naive row (copy) 0.500", "Yes"]),
        (0.7, 0.4, 0.1, [None, False], ["Yes, by the number", "No better than copy (0.400): r per drug 0.300"]),
        (
            0.7,
            0.2,
            -0.1,
            [None, False],
            ["Yes, by the number", "Not beyond chance: r per drug 0.300, 95 % interval −0.100 to 0.900"],
        ),
    ],
)
def test_a_page_begins_with_its_verdict(
    naive_rmse: float, naive_r: float, low: float, passed: list[bool | None], words: list[str]
) -> None:
    oracle = ("† bound", "naive_oracle", 0.1, 0.99, 0.9)
    frame = comparison_of(("net", "model", 0.6, 0.3, low), ("copy", "naive_source", naive_rmse, naive_r, np.nan), oracle)
    found = verdict(frame, "net")
    assert [each.passed for each in found] == passed
    assert all(part in each.lines[0] for part, each in zip(words, found, strict=True))


def test_an_interval_of_the_rmse_is_told_where_it_is_known() -> None:
    frame = comparison_of(("net", "model", 0.6, 0.3, 0.1), ("copy", "naive_source", 0.7, 0.2, 0.1))
    told = verdict(frame.assign(rmse_low=0.5, rmse_high=[0.65, 0.75]), "net")[0].lines[0]
    assert "Yes, by the number alone: RMSE 0.600, 95 % interval 0.500 to 0.650; the best naive row (copy) 0.700" in told


@pytest.mark.parametrize(("high", "answer"), [(-0.01, "Yes"), (0.01, "Not beyond chance")])
def test_a_better_rmse_is_a_yes_only_if_the_interval_of_the_difference_says_so(high: float, answer: str) -> None:
    frame = comparison_of(("net", "model", 0.6, 0.3, 0.1), ("copy", "naive_source", 0.7, 0.2, 0.1))
    found = verdict(frame.assign(rmse_gap_low=[0, -0.2], rmse_gap_high=[0, high]), "net")[0]
    assert found.passed == (high < 0)
    assert (
        f"? {answer}: RMSE 0.600; the best naive row (copy) 0.700, difference −0.200 to {high:.3f}".replace("-", "−")
        in (found.lines[0])
    )


def test_each_score_stands_beside_the_naive_row_that_is_best_by_it() -> None:
    frame = comparison_of(
        ("net", "model", 0.6, 0.3, 0.1),
        ("mean", "naive_source", 0.5, np.nan, np.nan),
        ("copy", "naive_source", 0.7, 0.2, 0.1),
        ("† bound", "naive_oracle", 0.1, 0.9, 0.8),
    )
    assert beside_naive(frame, "net", "rmse")["system"].tolist() == ["net", "mean"]
    assert beside_naive(frame, "net", "median_drug_pearson")["system"].tolist() == ["net", "copy"]


def test_a_system_that_gives_all_lines_one_number_does_not_tell_them_apart() -> None:
    frame = comparison_of(("mean", "model", 0.6, np.nan, np.nan), ("copy", "naive_source", 0.7, np.nan, np.nan))
    assert verdict(frame, "mean")[1].lines == [
        "Does it tell the lines of a drug apart? No: it predicts one number for all lines of a drug."
    ]


def test_the_best_row_is_one_that_saw_no_more_labels() -> None:
    rows = (
        ("net", "model", 0.6, 0.3, 0.1),
        ("copy", "naive_source", 0.5, 0.2, np.nan),
        ("b", "naive_oracle", 0.1, 0.9, 0.8),
    )
    frame = comparison_of(*rows)
    assert (best_row(frame, "net", "rmse"), best_row(frame, "net", "median_drug_pearson")) == (1, 0)

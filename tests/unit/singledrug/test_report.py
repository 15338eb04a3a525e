"""Tables against hand arithmetic on made-up scores."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.singledrug.report import accuracy_table, confusions, leak_table, mse_table, results_frame, summary, systems


def row(
    method: str, mse: float, accuracy: float | None = 0.5, gene_set: str = "selected", scope: str = "train"
) -> dict[str, Any]:
    defined = accuracy is not None
    return {
        "method": method,
        "gene_set": gene_set,
        "selection_scope": scope,
        "mse": mse,
        "r2": 1 - mse,
        "pearson": None if method == "mean" else 0.5,
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "kappa": accuracy,
        "confusion": [[1, 2, 0], [0, 3, 0], [0, 0, 4]] if defined else None,
        "selection_s": 1.0,
        "search_s": 2.0,
        "fit_s": 3.0,
        "predict_ms_per_line": 0.1,
        "settings": {"C": 1},
    }


def result(drug: str, repeat: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    shared = {"split_hash": "", "n_train": 7, "n_test": 3, "threshold_scope": "train"}
    return {"drug_id": drug, "repeat": repeat, **shared, "rows": rows}


def both(drug: str, repeat: int, honest: float, oracle: float, accuracy: float | None = 0.5) -> dict[str, Any]:
    rows = [
        row("network", honest, accuracy),
        row("network", oracle, accuracy, scope="all_oracle"),
        row("svr", 2 * honest, accuracy),
        row("svr", honest, accuracy, gene_set="all"),
        row("mean", 4 * honest, accuracy, gene_set="all"),
    ]
    return result(drug, repeat, rows)


RESULTS = [both("A", 0, 0.2, 0.1), both("A", 1, 0.4, 0.1), both("B", 0, 0.7, 0.5, 0.9), both("B", 1, 0.9, 0.5, 0.7)]


def scores(table: pd.DataFrame, system: str) -> list[float]:
    return [float(value) for value in table.loc[system].to_numpy()]


def test_systems_that_saw_test_labels_say_oracle_and_come_last() -> None:
    frame = results_frame(RESULTS)
    assert systems(frame) == ["network", "SVR", "SVR, all genes", "mean", "network, oracle selection"]
    assert (frame["system"].str.contains("oracle") == frame["saw_test_labels"]).all()
    assert (frame["saw_test_labels"] == (frame["selection_scope"] == "all_oracle")).all()


def test_a_grown_network_is_another_system_than_the_fixed_one() -> None:
    fixed, grown = ({**row("network", mse), "architecture": kind} for mse, kind in ((0.1, "fixed"), (0.2, "growth")))
    assert systems(results_frame([result("A", 0, [fixed, grown])])) == ["network", "grown network"]


def test_mse_is_averaged_over_repeats_then_over_drugs() -> None:
    table = mse_table(results_frame(RESULTS))
    assert table["network"].to_dict() == pytest.approx({"A": 0.3, "B": 0.8, "mean": 0.55})
    assert list(table.index) == ["A", "B", "mean"]


def test_accuracy_percentiles_are_numpys_over_drug_means() -> None:
    results = [result(f"D{i}", 0, [row("network", 1, accuracy)]) for i, accuracy in enumerate((0.4, 0.5, 0.55, 0.8, 0.85))]
    values = [0.4, 0.5, 0.55, 0.8, 0.85]
    expected = [*np.percentile(values, [0, 25]), np.mean(values), *np.percentile(values, [50, 75, 100]), len(values)]
    assert scores(accuracy_table(results_frame(results)), "network") == pytest.approx(expected)


def test_drugs_without_classes_leave_the_accuracy_of_the_others_alone() -> None:
    frame = results_frame([*RESULTS, both("C", 0, 0.5, 0.5, None)])
    assert scores(accuracy_table(frame), "network") == scores(accuracy_table(results_frame(RESULTS)), "network")
    assert "C" in mse_table(frame).index


def test_a_system_of_fewer_drugs_changes_no_other() -> None:
    grown = result("A", 0, [{**row("network", 0.1), "architecture": "growth"}])
    together, alone = results_frame([*RESULTS, grown]), results_frame(RESULTS)
    assert scores(accuracy_table(together), "network") == scores(accuracy_table(alone), "network")
    assert accuracy_table(together).loc["grown network", "drugs"] == 1
    assert scores(summary(together), "SVR") == pytest.approx(scores(summary(alone), "SVR"))
    assert summary(together)["drugs"].to_dict() == dict.fromkeys(systems(alone), 2) | {"grown network": 1}


def test_leak_is_oracle_minus_honest_with_its_error_over_drugs() -> None:
    leak = leak_table(results_frame(RESULTS))
    assert list(leak.index) == ["network"]
    differences = np.array([0.1 - 0.3, 0.5 - 0.8])
    expected = {
        "honest": 0.55,
        "oracle": 0.3,
        "difference": differences.mean(),
        "standard_error": differences.std(ddof=1) / np.sqrt(2),
        "drugs": 2,
    }
    assert leak.loc["network"].to_dict() == pytest.approx(expected)


def test_leak_table_is_empty_where_only_one_scope_ran() -> None:
    assert leak_table(results_frame([result("A", 0, [row("svr", 1)])])).empty


def test_summary_compares_with_the_mean_drug_by_drug() -> None:
    table = summary(results_frame(RESULTS))
    assert table.loc["network", "mse_over_mean"] == pytest.approx(1 / 4)
    assert table.loc["network, oracle selection", "mse_over_mean"] == pytest.approx((0.1 / 1.2 + 0.5 / 3.2) / 2)
    assert table.loc["SVR", "train_s"] == pytest.approx(6)
    assert np.isnan(table["pearson"]["mean"])


def test_confusions_add_up_and_skip_drugs_without_classes() -> None:
    counted = confusions([*RESULTS, both("C", 0, 0.5, 0.5, None)])
    assert counted["network"] == [[4, 8, 0], [0, 12, 0], [0, 0, 16]]

"""The comparison says who saw target labels, against whom skill is measured, and survives undefined values."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dadsp.evaluation.metrics import Evaluation, evaluate
from dadsp.evaluation.report import (
    Row,
    caption,
    comparison,
    read_comparison,
    render,
    skill_of,
    text_columns,
    to_json,
)
from dadsp.evaluation.scores import SCORES
from dadsp.schema import PredictionTable

N_CELLS, N_DRUGS = 20, 9


def scored(error: float, *, constant: bool = False, keep: int | None = None) -> Evaluation:
    rng = np.random.default_rng(3)
    n = N_CELLS * N_DRUGS
    cell, drug = np.divmod(np.arange(n), N_DRUGS)
    true = np.maximum(rng.normal(-0.3, 0.9, n), -0.9)
    cell_seen, drug_seen = cell % 2 == 0, drug < 5
    frame = pd.DataFrame(
        {
            "cell_id": cell.astype(str),
            "drug_id": drug.astype(str),
            "domain": "target",
            "split": "test",
            "y_true": true,
            "y_pred": np.full(n, 0.1) if constant else true + error * rng.choice([-1, 1], n),
            "censored": true == -0.9,
            "cell_seen": cell_seen,
            "drug_seen": drug_seen,
            "pair_seen": cell_seen & drug_seen,
        }
    )
    return evaluate(PredictionTable(frame.head(keep or n)))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [
        Row("naive oracle: drug mean", "naive_oracle", scored(0.1)),
        Row("naive: source mean", "naive_source", scored(0, constant=True)),
        Row("naive: similar-drug mean", "naive_source", scored(0.4)),
        Row("DADSP-A", "model", scored(0.2)),
        Row("DADSP-A [selected by target_oracle]", "model", scored(0.3)),
    ]


def lines_of(rows: list[Row] | pd.DataFrame, width: int) -> list[str]:
    text = StringIO()
    Console(file=text, width=width, color_system=None).print(render(rows, "CCLE [held out]"))
    return text.getvalue().splitlines()


def of_system(rows: list[Row], name: str) -> dict[str, Any]:
    return {str(key): value for key, value in comparison(rows).set_index("system").loc[name].items()}


def test_row_that_saw_target_labels_must_say_oracle(rows: list[Row]) -> None:
    with pytest.raises(ValueError, match="'drug mean' saw target labels"):
        Row("drug mean", "naive_oracle", rows[0].evaluation)


def test_source_row_must_not_say_oracle(rows: list[Row]) -> None:
    with pytest.raises(ValueError, match="saw source labels only"):
        Row("Oracle mean", "naive_source", rows[0].evaluation)


def test_unknown_kind_is_refused(rows: list[Row]) -> None:
    kind: Any = "naive"
    with pytest.raises(ValueError, match="unknown kind 'naive'"):
        Row("mean", kind, rows[0].evaluation)


def test_two_rows_of_one_name_are_refused(rows: list[Row]) -> None:
    with pytest.raises(ValueError, match="1 names stand for more than one row: DADSP-A"):
        comparison([*rows, rows[3]])


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no row"):
        comparison([])


def test_models_come_first_and_oracle_rows_last(rows: list[Row]) -> None:
    frame = comparison(rows)
    assert frame["kind"].tolist() == ["model", "model", "naive_source", "naive_source", "naive_oracle"]
    assert frame["saw_target_labels"].tolist() == [False, True, False, False, True]


def test_comparison_carries_the_scores_of_each_row(rows: list[Row]) -> None:
    line = of_system(rows, "DADSP-A")
    scores = rows[3].evaluation
    assert line["rmse"] == pytest.approx(0.2)
    assert line["r2_drug_unseen"] == scores.strata["drug_unseen"].r2
    assert line["rmse_pair_seen"] == scores.strata["pair_seen"].rmse
    assert line["rmse_uncensored"] == scores.uncensored.rmse
    assert line["median_drug_pearson"] == scores.per_drug["pearson"].median()


def test_skill_is_measured_against_the_best_row_without_target_labels(rows: list[Row]) -> None:
    assert set(comparison(rows)["skill_vs"]) == {"naive: similar-drug mean"}
    assert of_system(rows, "DADSP-A")["skill"] == pytest.approx(1 - 0.2**2 / 0.4**2)
    assert of_system(rows, "naive: similar-drug mean")["skill"] == 0
    assert of_system(rows, "naive: source mean")["skill"] < 0


def test_skill_is_undefined_against_rows_over_other_pairs(rows: list[Row]) -> None:
    partial = Row("naive: the other screen's measurement", "naive_source", scored(0.01, keep=30))
    assert skill_of(rows[3], [*rows, partial]).against == "naive: similar-drug mean"
    alone = skill_of(rows[3], [rows[3], partial])
    assert alone.against is None
    assert alone.to_json() == {"value": None, "vs": None, "reason": "no naive source row was scored on the same pairs"}


def test_json_holds_no_nan_and_every_level(rows: list[Row]) -> None:
    systems = json.loads(json.dumps(to_json(rows), allow_nan=False))["systems"]
    constant = next(system for system in systems if system["name"] == "naive: source mean")
    assert constant["pooled"]["pearson"] is None
    assert constant["pooled"]["reasons"]["pearson"] == "predictions are constant"
    assert constant["per_drug_median"]["undefined"]["pearson"] == {"predictions are constant": N_DRUGS}
    assert len(constant["per_drug"]) == N_DRUGS
    assert constant["per_drug"][0]["spearman"] is None
    assert constant["per_drug"][0]["n"] == N_CELLS
    assert constant["strata"]["cell_seen_drug_unseen"]["n"] == 10 * 4
    assert constant["censoring"]["uncensored"]["n"] == constant["pooled"]["n"] - constant["pooled"]["n_censored"]
    assert constant["skill"]["vs"] == "naive: similar-drug mean"


@pytest.mark.parametrize("width", [100, 120])
def test_rendered_numbers_stay_on_the_line_of_their_system(rows: list[Row], width: int) -> None:
    given = [replace(row, r_interval=(-0.25, 0.5)) if row.name == "DADSP-A" else row for row in rows]
    lines = lines_of(given, width)
    assert max(map(len, lines)) <= width
    line = next(line for line in lines if "DADSP-A " in line)
    scores = of_system(rows, "DADSP-A")
    names = ["rmse_drug_seen", "rmse_drug_unseen", "median_drug_precision_10", "skill"]
    first = [f"{scores[name]:.3f}" for name in ("rmse", "r2", "median_drug_pearson")]
    assert line.split()[-9:] == [*first, "[-0.25,", "0.50]", *(f"{scores[name]:.3f}" for name in names)]


def test_ceiling_and_notes_stand_in_the_caption(rows: list[Row]) -> None:
    frame = comparison(rows).assign(ceiling=0.43, ceiling_drugs=24.0, share_of_ceiling=[0.5, -0.1, np.nan, np.nan, 1.2])
    frame["note"] = ["", "", "3 of 9 pairs", "3 of 9 pairs", ""]
    said = caption(frame)
    assert any(line.startswith("Label ceiling: r 0.430, median over 24 drugs") for line in said)
    assert f"{'; '.join(frame['system'][2:4])}: 3 of 9 pairs." in said
    assert text_columns(frame)["% of\nceiling"].tolist() == ["50%", "-10%", "–", "–", "120%"]


def test_a_comparison_that_lacks_any_later_column_reads_as_one_without_it(rows: list[Row], tmp_path: Path) -> None:
    frame = comparison(rows)
    newer = list(SCORES)[list(SCORES).index("rmse_cell_profiled") :]
    old = ["median_drug_pearson_low", "median_drug_pearson_high", *newer, "mae", "skill", "note"]
    frame.drop(columns=old).to_csv(tmp_path / "old.csv", index=False)
    frame.to_csv(tmp_path / "new.csv", index=False)
    read, same = read_comparison(tmp_path / "old.csv"), read_comparison(tmp_path / "new.csv")
    assert read[old[:-1]].isna().all(axis=None)
    assert set(read["note"]) == {""}
    assert "r per drug" in text_columns(read)
    assert not any("ceiling" in line.lower() for line in caption(read))
    pd.testing.assert_frame_equal(same, frame, check_dtype=False)


def test_rows_that_look_labels_up_are_no_yardstick_of_skill(rows: list[Row]) -> None:
    copied = Row("source copied label", "naive_source", scored(0.01), yardstick=False)
    assert skill_of(rows[3], [*rows, copied]) == skill_of(rows[3], rows)
    assert skill_of(copied, [*rows, copied]).against == "naive: similar-drug mean"


def test_rendered_table_marks_oracle_rows_without_colour(rows: list[Row]) -> None:
    text = "\n".join(lines_of(rows, 120))
    assert "† naive oracle: drug mean" in text
    assert "† DADSP-A [selected by target_oracle]" in text
    assert "† naive: source mean" not in text
    assert "saw labels of the target screen" in text
    assert "training labels only (naive: similar-drug mean)" in text


def test_rendered_table_shows_a_dash_for_undefined_values() -> None:
    rows = [Row("collapsed", "model", scored(0, constant=True))]
    line = next(line for line in lines_of(rows, 100) if "collapsed" in line)
    assert line.split()[3] == "–"
    assert line.split()[-1] == "–"


def test_rendered_numbers_of_a_diverged_model_stay_short() -> None:
    rows = [Row("diverged", "model", scored(1e7)), Row("off", "model", scored(123.4))]
    lines = lines_of(rows, 100)
    assert next(line for line in lines if "diverged" in line).split()[1] == "1e+07"
    assert next(line for line in lines if "off" in line).split()[1] == "123.4"


def test_rendered_zero_bears_no_sign(rows: list[Row]) -> None:
    frame = comparison(rows[3:4]).assign(r2=-0.0004)
    assert next(line for line in lines_of(frame, 90) if "DADSP-A" in line).split()[2] == "0.000"


def test_number_of_pairs_is_shown_where_systems_differ_in_it(rows: list[Row]) -> None:
    partial = Row("naive: other screen", "naive_source", scored(0.5, keep=30))
    assert "Pairs" not in "\n".join(lines_of(rows, 100))
    assert next(line for line in lines_of([*rows, partial], 100) if "other screen" in line).split()[3] == "30"


def test_frame_and_rows_render_alike(rows: list[Row]) -> None:
    assert lines_of(comparison(rows), 120) == lines_of(rows, 120)

"""A metric that is registered stands wherever one of dadsp's own does, with the values that its formula gives."""

import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dadsp.errors import ConfigError
from dadsp.evaluation.compare import compare, compared_scores
from dadsp.evaluation.compare_tables import caption as compare_caption
from dadsp.evaluation.compare_tables import main_columns
from dadsp.evaluation.compare_tables import render as render_compared
from dadsp.evaluation.grouped_pairs import GroupedPairs
from dadsp.evaluation.metric import METRICS, PARTS, RMSE, STRATA, Metric
from dadsp.evaluation.metrics import evaluate, regression_metrics
from dadsp.evaluation.report import Row, caption, comparison, render, text_columns, to_json
from dadsp.evaluation.scores import SCORES, metrics_of, register, scores_of, unregister
from dadsp.schema import PredictionTable
from tests.support.comparisons import runs_of, table
from tests.support.documents import ROOT, run_python_blocks
from tests.support.metrics import BIAS, BIAS_OF_CAPPED, registered


@pytest.fixture
def biased() -> Iterator[PredictionTable]:
    with registered(BIAS):
        yield table(0.5, 3)


def test_metric_from_outside_is_computed_wherever_metrics_are(biased: PredictionTable) -> None:
    frame = biased.frame.assign(error=biased.frame["y_pred"] - biased.frame["y_true"])
    evaluation = evaluate(biased)
    by_drug = frame.groupby("drug_id")["error"].mean()
    assert evaluation.pooled.bias == pytest.approx(frame["error"].mean())
    assert evaluation.strata["drug_unseen"].bias == pytest.approx(frame.loc[~frame["drug_seen"], "error"].mean())
    assert evaluation.per_drug.set_index("drug_id")["bias"].to_dict() == pytest.approx(by_drug.to_dict())
    assert evaluation.per_line.set_index("cell_id")["bias"].to_dict() == pytest.approx(
        frame.groupby("cell_id")["error"].mean().to_dict()
    )
    enough = by_drug[frame.groupby("drug_id").size() >= 5]
    assert evaluation.per_drug_summary.median["bias"] == pytest.approx(enough.median())
    assert evaluation.value("median_drug", "bias") == evaluation.per_drug_summary.median["bias"]


def test_metric_from_outside_stands_in_the_files_of_a_run(biased: PredictionTable) -> None:
    rows = [Row("mine", "model", evaluate(biased))]
    (system,) = to_json(rows)["systems"]
    own = evaluate(biased)
    assert system["pooled"]["bias"] == own.pooled.bias
    assert {"bias"} < set(system["per_drug"][0])
    assert comparison(rows)[["bias", "median_drug_bias"]].to_numpy().tolist() == [
        [own.pooled.bias, own.per_drug_summary.median["bias"]]
    ]
    assert {"bias", "median_drug_bias"} <= {score.name for score in scores_of("tracking")}
    assert BIAS in metrics_of("strata")
    assert BIAS in metrics_of("per_drug")


def test_metric_from_outside_stands_on_pages_and_leaves_terminals_their_room(biased: PredictionTable) -> None:
    frame = comparison([Row("mine", "model", evaluate(biased))])
    page = text_columns(frame, page=True)
    assert page["Bias"].tolist() == [f"{round(frame['bias'][0], 3) + 0.0:.3f}"]
    assert "Bias per drug" in page
    assert "Bias: mean of predicted minus measured potency (−log10 IC50 (µM))." in caption(frame, page=True)
    assert "Bias" not in text_columns(frame)
    out = StringIO()
    Console(file=out, width=120, color_system=None).print(render(frame, "t"))
    assert "Bias" not in out.getvalue()


def test_metric_from_outside_is_compared_over_runs(biased: PredictionTable) -> None:
    runs = [*runs_of("a", 0.3), *runs_of("b", 0.5)]
    naive = pd.DataFrame([{"system": "mean", "kind": "naive_source", "saw_target_labels": False, "replicate": "seed 0"}])
    found = compare(runs, "A → B", naive=naive.assign(rmse=0.9, bias=0.25), replicates=100)
    rows = {row["system"]: row for row in found.to_json()["systems"]}
    values = [evaluate(run.table).pooled.bias for run in runs_of("a", 0.3)]
    assert [rows["a"][name] for name in ("bias", "bias_sd")] == pytest.approx([np.mean(values), np.std(values, ddof=1)])
    assert (rows["mean"]["bias"], rows["mean"]["median_drug_bias"]) == (0.25, None)
    text = main_columns(found)
    assert text[["Bias", "Bias per drug"]].to_numpy().tolist()[-1] == ["0.250", "–"]
    assert "Bias: mean of predicted minus measured potency (−log10 IC50 (µM))." in compare_caption(found)
    out = StringIO()
    Console(file=out, width=120, color_system=None).print(render_compared(found))
    assert "Bias" not in out.getvalue()


def test_flag_of_a_table_puts_a_metric_into_the_terminal() -> None:
    with registered(replace(BIAS, tables=BIAS.tables | {"run", "systems"})):
        assert "Bias" in text_columns(comparison([Row("mine", "model", evaluate(table(0.5, 3)))]))
        assert "Bias" in main_columns(compare(runs_of("a", 0.3), "A → B", replicates=100), page=False)


def test_place_and_digits_of_a_metric_are_those_of_its_columns() -> None:
    with registered(replace(BIAS, place=0, digits=1, parts=("pooled",))):
        frame = comparison([Row("mine", "model", evaluate(table(0.5, 3)))])
        text = text_columns(frame, page=True)
        assert text["Bias"].tolist() == [f"{round(frame['bias'][0], 1) + 0.0:.1f}"]
        names = [metric.name for metric in metrics_of("per_drug")]
        assert names[:2] == ["rmse", "bias"]


def test_reason_of_an_undefined_value_is_the_metrics_own() -> None:
    with registered(BIAS_OF_CAPPED):
        assert regression_metrics([1, 2, 3], [1, 2, 4]).reasons == {"bias_of_capped": "no label is capped"}
        assert regression_metrics([1, 2], [1, 4], [False, True]).bias_of_capped == 2
        assert regression_metrics([], []).reasons["bias_of_capped"] == "no pairs"
        summary = evaluate(table(0.5, 3)).per_drug_summary
        assert summary.undefined["bias_of_capped"] == {"no label is capped": summary.groups}
        assert summary.undefined["rmse"] == {}
        assert [score.name for score in SCORES.values()][-2:] == ["bias_of_capped", "bias_of_capped_drug_seen"]


def test_intervals_and_source_labels_are_there_for_formulas() -> None:
    def width(pairs: GroupedPairs) -> np.ndarray:
        assert pairs.low is not None
        assert pairs.high is not None
        assert pairs.source is not None
        return pairs.mean(pairs.high - pairs.low)

    frame = table(0.5, 3).frame
    with registered(Metric("width", "Width", width, "lower", undefined="no interval is stated")):
        stated = evaluate(PredictionTable(frame.assign(y_low=frame["y_pred"] - 1, y_high=frame["y_pred"] + 2)))
        assert stated.pooled.width == pytest.approx(3)
        assert stated.strata["cell_unseen"].width == pytest.approx(3)
        assert evaluate(PredictionTable(frame)).pooled.reasons == {"width": "no interval is stated"}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (replace(BIAS, name="rmse"), "There is a score 'rmse' already"),
        (replace(BIAS, name="ceiling"), "There is a score 'ceiling' already"),
        (replace(BIAS, name="skill"), "There is a score 'skill' already"),
        (replace(RMSE, label="My RMSE"), "There is a score 'rmse' already"),
        (replace(BIAS, name="drug_seen"), "There is a score 'drug_seen' already"),
        (replace(BIAS, name="rmse_sd"), "cannot be called 'rmse_sd'"),
        (replace(BIAS, name="Bias of all"), "cannot be called 'Bias of all'"),
        (replace(BIAS, name=""), "cannot be called ''"),
        (
            replace(BIAS, parts=("pooled", "drug_unsen")),
            "parts of the metric bias cannot be 'drug_unsen'. Did you mean 'drug_unseen'",
        ),
        (
            replace(BIAS, tables=frozenset({cast(Any, "runs")})),
            "tables of the metric bias cannot be 'runs'. Did you mean 'run'",
        ),
        (replace(BIAS, label="RMSE"), "There is a column 'RMSE' already"),
        (replace(BIAS, label="r"), "There is a column 'r' already"),
    ],
)
def test_name_and_heading_of_another_score_are_refused(metric: Metric, message: str) -> None:
    before = list(METRICS), list(SCORES)
    with pytest.raises(ConfigError, match=re.escape(message)):
        register(metric)
    assert before == (list(METRICS), list(SCORES))


def test_every_part_of_the_pairs_can_be_a_column() -> None:
    with registered(replace(BIAS, parts=PARTS)):
        found, (line,) = (
            evaluate(table(0.5, 3)),
            comparison([Row("mine", "model", evaluate(table(0.5, 3)))]).to_dict("records"),
        )
    assert set(STRATA) == set(found.strata)
    for part in STRATA:
        assert line[f"bias_{part}"] == pytest.approx(found.strata[part].bias, nan_ok=True)
    assert line["median_line_bias"] == found.per_line_summary.median["bias"]


def test_what_was_scored_before_a_metric_was_registered_has_no_value_of_it() -> None:
    before = evaluate(table(0.5, 3))
    with registered(BIAS):
        assert comparison([Row("mine", "model", before)])["bias"].isna().all()


def test_same_metric_may_be_registered_twice() -> None:
    with registered(BIAS):
        register(BIAS)
        assert list(METRICS).count("bias") == 1
        with pytest.raises(ConfigError, match="There is a score 'bias' already"):
            register(replace(BIAS, digits=1))


def test_formula_of_the_wrong_shape_is_refused_by_name() -> None:
    with (
        registered(replace(BIAS, by_group=lambda pairs: pairs.error)),
        pytest.raises(ValueError, match=r"metric bias gave values of shape \(3,\) for 1 groups"),
    ):
        regression_metrics([1, 2, 3], [1, 2, 4])


def test_page_on_numbers_lists_all_metrics_and_the_example_of_a_new_one_runs() -> None:
    text = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \| .* \|$", text, re.MULTILINE)) == set(METRICS)
    metric = run_python_blocks("docs/extend.md", "## A metric")["WITHIN_ONE"]
    try:
        assert regression_metrics([0, 0, 0, 0], [0.5, -0.9, 1.5, 3]).within_tenfold == 0.5
        assert SCORES["median_drug_within_tenfold"].heading == "Within tenfold per drug"
    finally:
        unregister(metric)


def test_every_column_of_every_table_has_a_heading_of_its_own() -> None:
    headings = [score.heading for score in SCORES.values()]
    assert sorted(set(headings)) == sorted(headings)
    assert set(compared_scores()) < set(SCORES)

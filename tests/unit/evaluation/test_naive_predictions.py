"""Kept predictions of naive rows score as they did, and give old runs the scores that came later."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.errors import SchemaError
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.naive_predictions import (
    NaiveTables,
    lacking,
    naive_frame,
    read_naive,
    scored_again,
    with_newer_metrics,
)
from dadsp.evaluation.report import Row, comparison, read_comparison, to_json
from dadsp.evaluation.scores import SCORES
from dadsp.schema import PredictionTable
from tests.support.comparisons import table
from tests.support.metrics import BIAS, registered
from tests.unit.evaluation.test_which_line import sourced


def tables() -> dict[str, PredictionTable]:
    frame = sourced().frame
    drug_mean = frame.groupby("drug_id")["y_true"].transform("mean").astype(np.float32)
    return {
        "source mean": PredictionTable(frame.assign(y_pred=np.float32(0.1))),
        "source drug mean": PredictionTable(frame.assign(y_pred=drug_mean.astype(np.float64))),
        "of more digits": PredictionTable(frame.assign(y_pred=frame["y_true"] / 3)),
    }


def rows() -> list[Row]:
    return [
        Row("mine", "model", evaluate(sourced())),
        *(Row(name, "naive_source", evaluate(of)) for name, of in tables().items()),
    ]


def test_tables_come_back_from_the_file_to_the_last_bit(tmp_path: Path) -> None:
    naive_frame(tables()).to_parquet(tmp_path / "naive.parquet", index=False)
    back = read_naive(tmp_path / "naive.parquet")
    assert list(back) == list(tables())
    for name, kept in tables().items():
        pd.testing.assert_frame_equal(back[name].frame, kept.frame, check_exact=True)


def test_file_holds_the_pairs_once_and_short_numbers_where_nothing_is_lost() -> None:
    frame = naive_frame(tables())
    assert len(frame) == len(sourced())
    kinds = [str(frame[name].dtype) for name in tables()]
    assert kinds == ["float32", "float32", "float64"]
    assert "y_pred" not in frame


def test_folder_without_the_file_has_no_tables(tmp_path: Path) -> None:
    assert dict(read_naive(tmp_path / "naive.parquet")) == {}
    assert "source mean" not in read_naive(tmp_path / "naive.parquet")


def test_rows_of_other_pairs_are_refused() -> None:
    other = table(0.5, 1, measured=0.5)
    with pytest.raises(SchemaError, match="'b' was not scored on the pairs of the others"):
        naive_frame({"a": sourced(), "b": other})


def test_file_of_another_kind_is_refused() -> None:
    with pytest.raises(SchemaError, match="lacks 5 columns"):
        NaiveTables(naive_frame(tables()).drop(columns=["y_true", "domain", "split", "censored", "cell_seen"]))[
            "source mean"
        ]


def test_scores_computed_again_are_those_that_were_written() -> None:
    written = comparison(rows())
    spoiled = written.assign(**dict.fromkeys(SCORES, -1.0))
    again = scored_again(spoiled, {**tables(), "mine": sourced()}, SCORES)
    pd.testing.assert_frame_equal(again, written, check_dtype=False, check_exact=True)


def test_rows_without_predictions_keep_what_was_written() -> None:
    written = comparison(rows())
    again = scored_again(written.assign(rmse=-1.0), {"source mean": tables()["source mean"]}, ["rmse"])
    assert again["rmse"].tolist() == [-1.0, written["rmse"][1], -1.0, -1.0]
    assert again["mae"].tolist() == written["mae"].tolist()


def test_old_comparison_gains_a_score_of_every_row_whose_predictions_were_kept(tmp_path: Path) -> None:
    comparison(rows()).to_csv(tmp_path / "comparison.csv", index=False)
    assert lacking(tmp_path / "comparison.csv") == []
    with registered(BIAS):
        names = lacking(tmp_path / "comparison.csv")
        assert names == ["bias", "median_drug_bias"]
        found = scored_again(read_comparison(tmp_path / "comparison.csv"), tables(), names)
    expected = [(of.frame["y_pred"] - of.frame["y_true"]).mean() for of in tables().values()]
    assert found["bias"].tolist()[1:] == pytest.approx(expected)
    assert np.isnan(found["bias"][0])


def test_old_metrics_json_gains_a_metric_and_nothing_else() -> None:
    (system, *_) = to_json(rows())["systems"]
    assert with_newer_metrics(system, sourced()) is system
    with registered(BIAS):
        newer = with_newer_metrics(system, sourced())
        assert with_newer_metrics(system, None) is system
    assert newer["pooled"].pop("bias") == pytest.approx((sourced().frame["y_pred"] - sourced().frame["y_true"]).mean())
    assert newer["pooled"] == system["pooled"]
    assert "bias" in newer["per_drug"][0]
    assert list(newer) == list(system)

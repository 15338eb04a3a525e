"""What a system's predictions of unmeasured pairs would have scored, told by measured pairs that trained nothing."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dadsp.analysis.conformal import Values
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.scores import scores_of
from dadsp.models.base import Part, Predictor, predict_split
from dadsp.models.systems.naive import naive_rows
from dadsp.schema import IntArray, PredictionTable, Split, Study


@dataclass(frozen=True, eq=False)
class Scored:
    """Labelled pairs that trained nothing, with their predictions.

    Attributes:
        part: ``"val"``, the held-out lines of the source, or ``"test"``, the labelled pairs of the target.
        table: One row per pair.
        cell_idx: Rows of the screen's lines, shape (n,).
        drug_idx: Rows of the screen's drugs, shape (n,).
        line: Number of each pair's line, equal for two ids of one line; shape (n,).
    """

    part: Part
    table: PredictionTable
    cell_idx: IntArray
    drug_idx: IntArray
    line: IntArray

    @classmethod
    def of(cls, part: Part, model: Predictor, study: Study, split: Split) -> "Scored":
        """What the model predicts for one part of the split."""
        screen, rows = (study.source, split.val_idx) if part == "val" else (study.target, split.test_idx)
        responses = screen.responses.take(rows)
        _, line_of_cell = np.unique(np.array(screen.line_keys), return_inverse=True)
        table = predict_split(model, study, split, (part,))
        return cls(part, table, responses.cell_idx, responses.drug_idx, line_of_cell[responses.cell_idx])

    @property
    def error(self) -> Values:
        """|y − ŷ| of each pair, −log10 µM."""
        frame = self.table.frame
        error: Values = np.abs(frame["y_pred"].to_numpy() - frame["y_true"].to_numpy())
        return error


def back_test(model: Predictor, study: Study, split: Split, scored: Scored, missing: "pd.Series[int]") -> pd.DataFrame:
    """The model beside naive predictors on measured pairs whose labels trained none of them, as if those were missing.

    Drugs differ in how many of their pairs are missing and in how well they are predicted. ``rmse_matched`` therefore weighs
    each drug's mean squared error by its number of missing pairs: what hiding measured pairs, drug by drug in proportion to
    the missing ones, gives on average. Drugs without a scored pair enter no score.

    Args:
        model: The system.
        study: Its study.
        split: Its split.
        scored: The model's predictions: all test pairs of the target, or the held-out lines of the source.
        missing: Number of missing pairs by drug_id.

    Returns:
        Columns system, saw_target_labels, n, rmse, rmse_matched, the other scores that a back-test shows, e.g. r2 and
        median_drug_pearson, and rank_correlation: Spearman correlation over drugs of mean predicted with mean measured
        potency. NaN where undefined.
    """
    naive = naive_rows(study)
    if scored.part == "val":  # means of the held-out lines themselves would be no prediction of them
        naive = [each for each in naive if not each.sees_target_labels]
        fitted = replace(split, val_idx=split.val_idx[:0])
    else:
        fitted = split
    rows = [_row(model, scored.table, missing)]
    for each in naive:
        if each.fit(study, fitted).name != model.name:  # otherwise the system itself is this naive row
            rows.append(_row(each, predict_split(each, study, split, (scored.part,)), missing))
    return pd.DataFrame(rows)


def score_columns(rows: pd.DataFrame) -> dict[str, str]:
    """Those columns of a back-test that are scores, in their order, by heading."""
    headings = {score.name: score.heading for score in scores_of("back_test")}
    headings |= {"rmse_matched": "RMSE, drugs as missing", "rank_correlation": "ρ of drugs"}
    return {headings[name]: name for name in map(str, rows) if name in headings}


def _row(predictor: Predictor, table: PredictionTable, missing: "pd.Series[int]") -> dict[str, Any]:
    scores = evaluate(table)
    per_drug = scores.per_drug.set_index("drug_id")
    weight = missing.reindex(per_drug.index, fill_value=0)
    squared = float((weight * per_drug["rmse"] ** 2).sum() / weight.sum()) if weight.sum() else np.nan
    means = table.frame.groupby("drug_id")[["y_true", "y_pred"]].mean()
    flat = len(means) < 2 or np.ptp(means["y_pred"]) < 1e-6 or np.ptp(means["y_true"]) == 0
    own = {score.name: score.value(scores) for score in scores_of("back_test")}
    return {
        "system": predictor.name,
        "saw_target_labels": predictor.sees_target_labels,
        "n": len(table),
        "rmse": own.pop("rmse"),
        "rmse_matched": np.sqrt(squared),
        **own,
        "rank_correlation": np.nan if flat else means["y_true"].corr(means["y_pred"], method="spearman"),
    }


def error_facts(error: Values, width: Values) -> dict[str, Any]:
    """n_scored, rmse, and coverage by ± ``width`` of each pair; the latter None without an interval."""
    if not len(error):
        return {"n_scored": 0, "rmse": None, "coverage": None}
    claimed = np.isfinite(width)
    return {
        "n_scored": len(error),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "coverage": float(np.mean((error <= width)[claimed])) if claimed.any() else None,
    }


def drug_scores(scored: Scored, width: Values) -> pd.DataFrame:
    """How well each drug's pairs were predicted: columns drug_id, n_scored, rmse, coverage by ± ``width`` of each pair."""
    drug_id = scored.table.frame["drug_id"].to_numpy()
    records = []
    for drug in np.unique(drug_id):
        own = drug_id == drug
        records.append({"drug_id": drug, **error_facts(scored.error[own], width[own])})
    return pd.DataFrame(records)

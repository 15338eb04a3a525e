"""What a page says first of a run: whether it beats means and copied labels, and whether it tells lines apart."""

from typing import Any

import numpy as np
import pandas as pd

from dadsp.report.document import Text
from dadsp.report.words import decimal, number

R = "median_drug_pearson"


def fair(comparison: pd.DataFrame, system: str) -> "pd.Series[bool]":
    """Which rows saw no more labels of the target screen than the system did."""
    saw = bool(comparison.loc[comparison["system"] == system, "saw_target_labels"].iloc[0])
    return comparison["kind"].isin(["model", "naive_source", *(["naive_target"] if saw else [])])


def best_row(comparison: pd.DataFrame, system: str, score: str) -> int | None:
    """Number of the best row by a score among those that compare fairly; None where none has it."""
    values = comparison[score].where(fair(comparison, system)).to_numpy(dtype=np.float64)
    values = -values if score == "rmse" else values
    return None if np.isnan(values).all() else int(np.nanargmax(values))


def verdict(comparison: pd.DataFrame, system: str) -> list[Text]:
    """Two questions, each with its answer, green or red.

    Args:
        comparison: Rows of the system and of the naive predictors, as ``read_comparison`` gives them; told are rmse_low
            and rmse_high too, if there, and the answer about potency rests on rmse_gap_low and rmse_gap_high: the 95 %
            interval of the system's RMSE less the row's.
        system: Name of the system's row.
    """
    own = comparison[comparison["system"] == system].iloc[0]
    naive = comparison[fair(comparison, system) & (comparison["kind"] != "model")]
    return [_potency(own, naive), _lines(own, naive)]


def beside_naive(comparison: pd.DataFrame, system: str, score: str) -> pd.DataFrame:
    """The rows that a verdict is about, those with a score: the system, then the naive one that is best by it."""
    naive = comparison[fair(comparison, system) & (comparison["kind"] != "model")]
    best = naive.nsmallest(1, score) if score == "rmse" else naive.nlargest(1, score)
    rows = pd.concat([comparison[comparison["system"] == system], best]).drop_duplicates("system")
    return rows[rows[score].notna()]


def _within(own: "pd.Series[Any]", score: str) -> str:
    low, high = (float(str(own.get(f"{score}_{end}", "nan"))) for end in ("low", "high"))
    return f", 95 % interval {number(low)} to {number(high)}" if low == low else ""


def _potency(own: "pd.Series[Any]", naive: pd.DataFrame) -> Text:
    question, rmse = "Does it predict potency better than means and copied labels do?", decimal(float(str(own["rmse"])))
    rmse += _within(own, "rmse")
    if naive["rmse"].isna().all():
        return Text([f"{question} There is no row to hold its RMSE of {rmse} against."])
    best = naive.nsmallest(1, "rmse").iloc[0]
    told = f"RMSE {rmse}; the best naive row ({best['system']}) {decimal(best['rmse'])}"
    if not float(str(own["rmse"])) < best["rmse"]:
        return Text([f"{question} No: {told}."], passed=False)
    low, high = (float(str(best.get(f"rmse_gap_{end}", "nan"))) for end in ("low", "high"))
    if high != high:
        return Text([f"{question} Yes, by the number alone: {told}. dadsp compare tests the difference."])
    answer = "Yes" if high < 0 else "Not beyond chance"
    told += f", difference {decimal(low)} to {decimal(high)} (95 % interval over lines and drugs)"
    return Text([f"{question} {answer}: {told}."], passed=high < 0)


def _lines(own: "pd.Series[Any]", naive: pd.DataFrame) -> Text:
    question = "Does it tell the lines of a drug apart?"
    r, low = (float(str(own.get(name, "nan"))) for name in (R, f"{R}_low"))
    if r != r:
        return Text([f"{question} No: it predicts one number for all lines of a drug."], passed=False)
    told = f"r per drug {number(r)}{_within(own, R)}"
    if not low > 0 and low == low:
        return Text([f"{question} Not beyond chance: {told}."], passed=False)
    best = naive.nlargest(1, R)
    if len(best) and best[R].iloc[0] >= r:
        return Text(
            [f"{question} No better than {best['system'].iloc[0]} ({number(best[R].iloc[0])}): {told}."], passed=False
        )
    beside = f"; the best naive row ({best['system'].iloc[0]}) {number(best[R].iloc[0])}" if best[R].notna().any() else ""
    return Text([f"{question} Yes: {told}{beside}."], passed=True)

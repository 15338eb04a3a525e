"""Scores of a run as tables of a page: beside naive rows, by what training had seen of a pair, within each drug."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dadsp.evaluation.compare import SHOWN_STRATA
from dadsp.evaluation.compare_tables import marked
from dadsp.evaluation.metric import RMSE, Metric
from dadsp.evaluation.report import text_columns
from dadsp.evaluation.scores import SIDES, metrics_of, scores_of
from dadsp.report.document import Table
from dadsp.report.reported_run import ReportedRun
from dadsp.report.verdict import R, best_row
from dadsp.report.words import LONG, decimal, number, side


def result_rows(run: ReportedRun) -> tuple[list[str], list[list[str]], list[str]]:
    """The system beside the naive rows: headings, rows, and what each row is of."""
    text = text_columns(run.comparison, page=True)
    rows = [[name, *(value.replace("-", "−") for value in values)] for name, *values in text.itertuples(index=False)]
    return [str(name).replace("\n", " ") for name in text], rows, run.comparison["kind"].tolist()


def r_context(own: Mapping[str, Any]) -> str:
    """What to hold a system's r per drug against: its interval, the label ceiling; empty in runs older than these."""
    low, high = own.get("median_drug_pearson_interval", (None, None))
    lines = own.get("which_line", {})
    words = "" if low is None else f", 95 % interval {number(low)} to {number(high)}"
    if lines.get("share_of_ceiling") is not None:
        words += (
            f"; over the {lines['ceiling_drugs']} drugs and the pairs that the source measured too, it reaches "
            f"{number(100 * lines['share_of_ceiling'], 0)} % of the label ceiling, {number(lines['ceiling'])}: "
            "the r of the source's own labels"
        )
    return words


def lines_table(comparison: pd.DataFrame, system: str) -> Table:
    """All systems by how well they tell the lines of a drug apart; columns without any value are left out.

    Args:
        comparison: As ``dadsp.evaluation.report.read_comparison`` gives it.
        system: The run's own; the best row among those that saw no more labels than it is bold.
    """
    columns: dict[str, tuple[str, int]] = {}
    for score in scores_of("lines"):
        columns[score.title or score.heading] = score.name, score.digits
        if f"{score.name}_low" in comparison:
            columns |= {"… from": (f"{score.name}_low", score.digits), "… to": (f"{score.name}_high", score.digits)}
    columns = {words: column for words, column in columns.items() if comparison[column[0]].notna().any()}
    cells = [[number(value, digits) for value in comparison[name].astype(float)] for name, digits in columns.values()]
    rows = [[system, *own] for system, *own in zip(marked(comparison), *cells, strict=True)]
    title = "Which line: telling the lines of a drug apart"
    return Table(title, ["System", *columns], rows, comparison["kind"].tolist(), best_row(comparison, system, R))


def strata_table(run: ReportedRun) -> Table:
    """The system by what training had seen of a pair."""
    own, metrics = run.own, metrics_of("strata")
    parts = {"all pairs": own["pooled"]} | own["censoring"] | own["strata"]
    rows = [
        [side(name), f"{scores['n']:,}", f"{scores['n_censored']:,}", *_cells(scores, metrics)]
        for name, scores in parts.items()
    ]
    headings = ["Tested pairs", "Pairs", "At the cap", *(metric.label for metric in metrics)]
    return Table(f"{run.system} by what training had seen of a pair", headings, rows)


def seen_table(run: ReportedRun) -> Table:
    """RMSE of all systems by what training had seen of a pair."""
    frame = run.comparison
    sides = [f"rmse_{name}" for name in SHOWN_STRATA if name in SIDES or frame[f"rmse_{name}"].notna().any()]
    rows = [
        [system, *(number(value) for value in values)]
        for system, values in zip(marked(frame), frame[sides].to_numpy(dtype=float), strict=True)
    ]
    title = "RMSE of all systems by what training had seen"
    headings = ["System", *(side(name.removeprefix("rmse_")) for name in sides)]
    return Table(title, headings, rows, frame["kind"].tolist(), best_row(frame, run.system, "rmse"))


def per_drug_table(run: ReportedRun) -> Table:
    """The system within each drug, its RMSE beside that of the naive row of its skill."""
    own, naive, metrics = run.own, run.own["skill"]["vs"], metrics_of("per_drug")
    names = run.data.get("drug_names", {})
    others = {
        row["drug_id"]: row["rmse"] for each in run.results["systems"] if each["name"] == naive for row in each["per_drug"]
    }
    rows = []
    for row in own["per_drug"]:
        scores = dict(zip((metric.name for metric in metrics), _cells(row, metrics), strict=True))
        known = [names.get(row["drug_id"], row["drug_id"]), "yes" if row["drug_seen"] else "no"]
        known += [f"{row['n']:,}", f"{row['n_censored']:,}", scores.pop(RMSE.name), decimal(others.get(row["drug_id"]))]
        rows.append([*known, *scores.values(), decimal(row.get("ceiling"))])
    headings = ["Drug", "In training", "Pairs", "At the cap", RMSE.label, f"{RMSE.label}, naive"]
    headings += [metric.label for metric in metrics if metric is not RMSE]
    beside = f", naive: {naive}" if naive else ""
    title = f"{run.system} within each drug{beside}"
    return Table(title, [*headings, "r of the source's label"], rows, folded=len(rows) > LONG)


def _cells(scores: Mapping[str, Any], metrics: list[Metric]) -> list[str]:
    return [decimal(scores.get(metric.name), metric.digits) for metric in metrics]

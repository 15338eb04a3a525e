"""What a report says of telling lines apart, beside RMSE the second headline."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dadsp.evaluation.compare_tables import marked, number
from dadsp.report.document import Table

COLUMNS = {
    "r per drug": "median_drug_pearson",
    "… from": "median_drug_pearson_low",
    "… to": "median_drug_pearson_high",
    "Share of ceiling": "share_of_ceiling",
    "r, lines without training labels": "median_drug_pearson_unseen",
    "r, lines never profiled": "median_drug_pearson_unprofiled",
    "Precision, top 10 %": "median_drug_precision_10",
    "r, drug means removed": "pearson_drug_removed",
    "RMSE, drug means removed": "rmse_drug_removed",
    "r, drug and line effects removed": "pearson_drug_line_removed",
    "RMSE, drug and line effects removed": "rmse_drug_line_removed",
    "Labels inside 90 % interval": "coverage_90",
}


def r_context(own: Mapping[str, Any]) -> str:
    """What to hold a system's r per drug against: its interval, the label ceiling; empty in runs older than these."""
    low, high = own.get("median_drug_pearson_interval", (None, None))
    lines = own.get("which_line", {})
    words = "" if low is None else f", 95 % interval {number(low)} to {number(high)}"
    if lines.get("share_of_ceiling") is not None:
        words += (
            f"; over the {lines['ceiling_drugs']} drugs and the pairs that the source measured too, it reaches "
            f"{lines['share_of_ceiling']:.0%} of the label ceiling, {number(lines['ceiling'])}: the r of the source's own "
            "labels"
        )
    return words


def lines_table(comparison: pd.DataFrame) -> Table:
    """All systems by how well they tell the lines of a drug apart; columns without any value are left out.

    Args:
        comparison: As ``dadsp.evaluation.report.read_comparison`` gives it.
    """
    columns = {words: name for words, name in COLUMNS.items() if comparison[name].notna().any()}
    values = comparison[list(columns.values())].to_numpy(dtype=float)
    rows = [[system, *map(number, own)] for system, own in zip(marked(comparison), values, strict=True)]
    title = "Which line: telling the lines of a drug apart"
    return Table(title, ["System", *columns], rows, comparison["kind"].tolist())

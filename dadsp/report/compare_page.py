"""A comparison as sections of a page, and as a page of its own."""

from collections.abc import Sequence

import pandas as pd

from dadsp.evaluation.compare import Comparison
from dadsp.evaluation.compare_figures import drawings
from dadsp.evaluation.compare_tables import caption, main_columns, strata_columns
from dadsp.report.document import Block, Document, Figure, Figures, Section, Table, Text, html


def page(comparisons: Sequence[Comparison], notes: Sequence[str]) -> str:
    """The HTML of one or more comparisons, each a section of its own.

    Args:
        comparisons: Of runs that must not stand in one table.
        notes: What a reader should know of all of them.
    """
    return html(Document("Comparison of systems", notes, [comparison_section(each) for each in comparisons]))


def comparison_section(comparison: Comparison) -> Section:
    """Tables, what their columns mean, and figures of one comparison."""
    facts = comparison.facts
    drawn = [Figure(each.title, each.svg.encode(), ".svg", each.description) for each in drawings(comparison)]
    blocks: list[Block] = [
        Text([f"{facts['pairs']:,} tested pairs of {facts['lines']:,} lines and {facts['drugs']:,} drugs."]),
        _table(comparison, "All systems", main_columns(comparison)),
        Text(caption(comparison), as_list=True),
        Figures(drawn),
        _table(comparison, "RMSE by what training had seen of a tested pair", strata_columns(comparison)),
    ]
    return Section(comparison.title, blocks)


def _table(comparison: Comparison, title: str, text: pd.DataFrame) -> Table:
    systems, best = comparison.table["system"].tolist(), comparison.best_fair
    bold = None if best is None else systems.index(best)
    return Table(title, text.columns.tolist(), text.to_numpy().tolist(), comparison.table["kind"].tolist(), bold)

"""A comparison as sections of a page, and as a page of its own."""

from collections.abc import Sequence

import pandas as pd

from dadsp.evaluation.compare import Comparison, R
from dadsp.evaluation.compare_brief import advice
from dadsp.evaluation.compare_figures import drawings
from dadsp.evaluation.compare_tables import caption, main_columns, marked, number, strata_columns
from dadsp.report.document import Block, Document, Figure, Figures, Section, Table, Text, html


def page(comparisons: Sequence[Comparison], notes: Sequence[str]) -> str:
    """The HTML of one or more comparisons, each a section of its own.

    Args:
        comparisons: Of runs that must not stand in one table.
        notes: What a reader should know of all of them.
    """
    return html(Document("Comparison of systems", notes, comparison_sections(comparisons)))


def comparison_sections(comparisons: Sequence[Comparison]) -> list[Section]:
    """Which system to use, with the first picture; then of each comparison the tables, their columns, the other figures."""
    drawn = [
        [Figure(each.title, each.svg.encode(), ".svg", each.description) for each in drawings(of)] for of in comparisons
    ]
    said = [Text(_answer(each, each.title if len(comparisons) > 1 else "")) for each in comparisons]
    first, drawn[0] = drawn[0][:1], drawn[0][1:]
    answer = Section("Which system to use?", [said[0], Figures(first), *said[1:]])
    return [answer, *(_section(each, figures) for each, figures in zip(comparisons, drawn, strict=True))]


def _answer(comparison: Comparison, title: str) -> list[str]:
    """The advice, and the intervals of the system that the differences refer to."""
    table = comparison.table
    row = table[table["system"] == comparison.reference]
    scores = [
        f"{words} {number(row[name].iloc[0])} [{number(row[f'{name}_low'].iloc[0])}, {number(row[f'{name}_high'].iloc[0])}]"
        for name, words in (("rmse", "RMSE"), (R, "r per drug"))
        if row[f"{name}_low"].notna().all()
    ]
    told = f"{marked(row)[0]} with 95 % intervals: {', '.join(scores)}."
    return [f"{title}: {advice(comparison)}" if title else advice(comparison), *([told] if scores else [])]


def _section(comparison: Comparison, figures: Sequence[Figure]) -> Section:
    facts = comparison.facts
    blocks: list[Block] = [
        Text([f"{facts['pairs']:,} tested pairs of {facts['lines']:,} lines and {facts['drugs']:,} drugs."]),
        _table(comparison, "All systems", main_columns(comparison)),
        Text(caption(comparison), as_list=True),
        Figures(figures),
        _table(comparison, "RMSE by what training had seen of a tested pair", strata_columns(comparison)),
    ]
    return Section(comparison.title, blocks)


def _table(comparison: Comparison, title: str, text: pd.DataFrame) -> Table:
    systems, best = comparison.table["system"].tolist(), comparison.best_fair
    bold = None if best is None else systems.index(best)
    return Table(title, text.columns.tolist(), text.to_numpy().tolist(), comparison.table["kind"].tolist(), bold)

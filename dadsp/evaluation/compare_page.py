"""A comparison as one HTML file that asks nothing of any other: no script, no font, no address."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader

from dadsp.evaluation.compare import Comparison
from dadsp.evaluation.compare_figures import drawings
from dadsp.evaluation.compare_tables import caption, main_columns, strata_columns


def page(comparisons: Sequence[Comparison], notes: Sequence[str]) -> str:
    """The HTML of one or more comparisons, each a section of its own.

    Args:
        comparisons: Of runs that must not stand in one table.
        notes: What a reader should know of all of them.
    """
    environment = Environment(
        loader=PackageLoader("dadsp.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    sections = [_section(comparison) for comparison in comparisons]
    return environment.get_template("compare.html").render(sections=sections, notes=notes)


def _section(comparison: Comparison) -> dict[str, Any]:
    facts = comparison.facts
    return {
        "title": comparison.title,
        "facts": f"{facts['pairs']:,} tested pairs of {facts['lines']:,} lines and {facts['drugs']:,} drugs.",
        "caption": caption(comparison),
        "kinds": comparison.table["kind"].tolist(),
        "tables": [
            {"title": title, "columns": text.columns.tolist(), "rows": text.to_numpy().tolist()}
            for title, text in (
                ("All systems", main_columns(comparison)),
                ("RMSE by what training had seen of a tested pair", strata_columns(comparison)),
            )
        ],
        "figures": [
            {
                "title": drawing.title,
                "source": f"data:image/svg+xml;base64,{b64encode(drawing.svg.encode()).decode()}",
                "description": drawing.description,
            }
            for drawing in drawings(comparison)
        ],
    }

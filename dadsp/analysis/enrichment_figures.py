"""The dot plot of enriched gene sets, after figure 2 of the paper."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from dadsp.evaluation.figures import COUNTS, DPI, GREY, LABEL, TICK, TITLE, finish, short

MAX_SETS = 15
MAX_LISTS = 4
SIGNIFICANT = 0.05
POINTS_PER_GENE = 14  # area of a dot


def dot_plot(enriched: pd.DataFrame, path: Path, title: str, called: Mapping[str, str]) -> None:
    """Writes a PNG of the most significant gene sets: where, how many genes, how significant; a panel for each list.

    Args:
        enriched: Rows of ``dadsp.analysis.enrichment.over_representation`` with a column ``genes_of`` that names the list.
        path: Where to write.
        title: Stands above the figure.
        called: What people call each line, by its id.
    """
    lists = list(dict.fromkeys(enriched["genes_of"]))[:MAX_LISTS]
    found = enriched[enriched["genes_of"].isin(lists) & (enriched["hits"] > 0)]
    sets = list(found.sort_values("p_value", kind="stable")["gene_set"].drop_duplicates()[:MAX_SETS])
    shown = found[found["gene_set"].isin(sets)]
    level = -np.log10(shown["q_value"].clip(lower=1e-300))
    scale = Normalize(0, max(float(level.max()) if len(level) else 0.0, -np.log10(SIGNIFICANT)))
    figure = Figure(figsize=(5.2 + 2.3 * len(lists), 2.6 + 0.34 * max(len(sets), 4)), dpi=DPI, layout="constrained")
    panels = list(figure.subplots(1, len(lists), sharey=True, sharex=True, squeeze=False)[0])
    for panel, name in zip(panels, lists, strict=True):
        rows = shown[shown["genes_of"] == name]
        panel.scatter(
            rows["hits"] / rows["critical_genes"],
            [sets.index(each) for each in rows["gene_set"]],
            s=POINTS_PER_GENE * rows["hits"],
            c=level[rows.index],
            cmap=COUNTS,
            norm=scale,
            edgecolors=np.where(rows["q_value"] < SIGNIFICANT, "black", "none").tolist(),
            linewidths=1.6,
        )
        panel.set_title(
            short(called.get(name, name), 24) + ("" if len(sets) else "\nno gene set holds a critical gene"), fontsize=LABEL
        )
        panel.set_xlabel("Share of the critical genes", fontsize=LABEL)
        panel.margins(x=0.18)
        panel.grid(color="0.92")
        panel.set_axisbelow(True)
        panel.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(sets)), [short(name.replace("_", " "), 46) for name in _without_prefix(sets)])
    panels[0].set_ylim(len(sets) - 0.4, -0.6)
    bar = figure.colorbar(ScalarMappable(scale, COUNTS), ax=panels, pad=0.02, aspect=25)
    bar.set_label("−log₁₀ adjusted p", fontsize=LABEL)
    most = int(shown["hits"].max()) if len(shown) else 1
    sizes = sorted({1, max(1, most // 2), most})
    dots = [panels[-1].scatter([], [], s=POINTS_PER_GENE * size, color=GREY, label=f"{size} genes") for size in sizes]
    dots.append(panels[-1].scatter([], [], s=60, facecolors="none", edgecolors="black", linewidths=1.6))
    names = [*(f"{size} gene{'s' if size > 1 else ''}" for size in sizes), f"adjusted p < {SIGNIFICANT}"]
    figure.legend(dots, names, loc="outside lower center", ncols=len(dots), frameon=False, fontsize=TICK)
    left_out = enriched["genes_of"].nunique() - len(lists)
    figure.suptitle(
        title + (f" ({left_out} more lines in the table)" if left_out else ""), fontsize=TITLE, fontweight="bold"
    )
    finish(figure, panels, path)


def _without_prefix(names: list[str]) -> list[str]:
    """The names without what collections begin all of theirs with, e.g. KEGG_."""
    prefixes = {name.partition("_")[0] for name in names}
    shared = len(names) > 1 and len(prefixes) == 1
    return [name.partition("_")[2] if shared else name for name in names]

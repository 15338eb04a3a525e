"""Figures of a comparison as SVG: narrow, one system to a row with its name above it, so that a phone can show them.

Colours are those of Okabe and Ito, and no meaning rests on colour alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dadsp.evaluation.compare import SYSTEMS, Comparison, R, best_naive
from dadsp.evaluation.compare_tables import marked, number
from dadsp.evaluation.figures import BLUE, GREY, ORANGE, VERMILION, short
from dadsp.evaluation.statistics import Ranks

WIDTH, TEXT, SMALL = 4.2, 9.5, 8.5  # inches, points
ROW = 0.46  # inches
LETTERS = 52  # of a name that fit the width


@dataclass(frozen=True)
class Drawing:
    """A figure ready for a page.

    Attributes:
        title: Short heading.
        svg: The picture.
        description: What it shows, in words, for those who cannot see it.
    """

    title: str
    svg: str
    description: str


def drawings(comparison: Comparison) -> list[Drawing]:
    """RMSE and r per drug with intervals; differences from the reference and ranks where there is more than one system."""
    found = [_rmse(comparison)]
    if len(_shown(comparison, f"{R}_low")):
        found.append(_r_per_drug(comparison))
    if len(_shown(comparison, "difference")):
        found.append(_differences(comparison))
    if comparison.ranks:
        found.append(_ranks(comparison.ranks))
    return found


def standing(potency: pd.DataFrame, lines: pd.DataFrame, unit: str) -> Drawing:
    """What the verdict on one run rests on: its system beside a naive row, in RMSE and in r per drug.

    Args:
        potency: Rows with system, saw_target_labels, rmse, rmse_low and rmse_high, the ends NaN where unknown.
        lines: Rows with the same of r per drug; it may be empty.
        unit: Of the labels.
    """
    panels, told = [], []
    for rows, name, words, ends in (
        (potency, "rmse", "RMSE", f", {unit}\n← better        worse →"),
        (lines, R, "r per drug", "\n← worse        better →"),
    ):
        if len(rows):
            panels.append((len(rows), partial(_standing_panel, rows, name, f"{words} and 95 % interval{ends}")))
            scores = zip(marked(rows), *(rows[f"{name}{end}"] for end in ("", "_low", "_high")), strict=True)
            told += [
                f"{system}: {words} {number(own)} from {number(low)} to {number(high)}" for system, own, low, high in scores
            ]
    return Drawing("Beside the best naive rows", _svg(panels), f"Dots with 95 % intervals. {'; '.join(told)}.")


def _standing_panel(rows: pd.DataFrame, name: str, words: str, axes: Axes) -> None:
    _interval_rows(axes, rows, name, marked(rows))
    axes.set_xlabel(words, fontsize=TEXT)


def _shown(comparison: Comparison, column: str) -> pd.DataFrame:
    """The systems and the best naive row, those with a value."""
    table, naive = comparison.table, best_naive(comparison.table)
    shown = table["kind"].isin(SYSTEMS) | (False if naive is None else table["system"] == naive["system"])
    return table[shown & table[column].notna()]


def _rmse(comparison: Comparison) -> Drawing:
    table = _shown(comparison, "rmse_low")
    naive = comparison.table[comparison.table["kind"] == "naive_source"]

    def draw(axes: Axes) -> None:
        _interval_rows(axes, table, "rmse", marked(table))
        _single_runs(axes, table, comparison.scores, "rmse")
        paper = table["paper_rmse"].to_numpy()
        if np.isfinite(paper).any():
            axes.plot(paper, np.arange(len(table)), "D", color=VERMILION, markersize=5, label="paper", zorder=3)
        if len(naive):
            axes.axvline(naive["rmse"].min(), color=GREY, linestyle="--", linewidth=1.2, label="best naive row")
        axes.set_xlabel("RMSE, −log₁₀ IC50 (µM)", fontsize=TEXT)

    words = [f"{name} {number(mean)}" for name, mean in zip(marked(table), table["rmse"], strict=True)]
    against = f" Best naive row that saw source labels only: {number(naive['rmse'].min())}." if len(naive) else ""
    described = f"RMSE with 95 % intervals, best first: {'; '.join(words)}.{against}"
    return Drawing("RMSE and 95 % interval", _svg([(len(table), draw)], legend=True), described)


def _r_per_drug(comparison: Comparison) -> Drawing:
    """The second headline: which line; the label ceiling and the best naive row are lines to hold it against."""
    table = _shown(comparison, f"{R}_low").sort_values(R, ascending=False, kind="stable")
    naive = comparison.table.loc[comparison.table["kind"] == "naive_source", R].max()
    ceiling = comparison.table["ceiling"].max()

    def draw(axes: Axes) -> None:
        _interval_rows(axes, table, R, marked(table))
        _single_runs(axes, table, comparison.scores, R)
        axes.axvline(0, color="0.8", linewidth=1, zorder=0)
        if np.isfinite(naive):
            axes.axvline(naive, color=GREY, linestyle="--", linewidth=1.2, label="best naive row")
        if np.isfinite(ceiling):
            axes.axvline(ceiling, color=VERMILION, linestyle=":", linewidth=1.8, label="label ceiling")
        axes.set_xlabel("Pearson r within a drug, median over drugs\n← worse        better →", fontsize=TEXT)

    words = [f"{name} {number(mean)}" for name, mean in zip(marked(table), table[R], strict=True)]
    against = f" Best naive row that saw source labels only: {number(naive)}." if np.isfinite(naive) else ""
    against += f" Label ceiling: {number(ceiling)}." if np.isfinite(ceiling) else ""
    described = f"Median over drugs of r among the lines of a drug, with 95 % intervals: {'; '.join(words)}.{against}"
    return Drawing("r per drug and 95 % interval", _svg([(len(table), draw)], legend=True), described)


def _differences(comparison: Comparison) -> Drawing:
    table = _shown(comparison, "difference")

    def draw(axes: Axes) -> None:
        _interval_rows(axes, table, "difference", marked(table))
        axes.axvline(0, color=GREY, linestyle="--", linewidth=1.2)
        axes.set_xlabel(f"RMSE minus that of {comparison.reference}\n← better        worse →", fontsize=TEXT)

    columns = ("difference", "difference_low", "difference_high")
    words = [
        f"{row['system']} {number(row[columns[0]])} from {number(row[columns[1]])} to {number(row[columns[2]])}"
        for row in table.to_dict("records")
    ]
    described = f"Differences in RMSE from {comparison.reference} with 95 % intervals: {'; '.join(words)}."
    return Drawing(f"Against {comparison.reference}", _svg([(len(table), draw)]), described)


def _ranks(ranks: Ranks) -> Drawing:
    """The critical-difference diagram, turned so that each system has a row: bars join what cannot be told apart."""
    names = list(ranks.mean)
    mean = np.array([ranks.mean[name] for name in names])

    def draw(axes: Axes) -> None:
        axes.plot(mean, np.arange(len(names)), "o", color=BLUE, markersize=7)
        _name_rows(axes, names)
        right = max(mean.max(), mean.min() + ranks.critical_difference)
        for column, clique in enumerate(ranks.cliques, start=1):
            rows = [names.index(clique[0]) - 0.15, names.index(clique[-1]) + 0.15]
            place = right + 0.06 * (right - mean.min() + 1) * column
            axes.plot([place, place], rows, color="black", linewidth=4, solid_capstyle="butt")
        axes.plot([mean.min(), mean.min() + ranks.critical_difference], [-1, -1], "|-", color=VERMILION, linewidth=2)
        axes.text(mean.min(), -1.25, f"critical difference {number(ranks.critical_difference, 2)}", fontsize=SMALL)
        axes.set_ylim(len(names) - 0.5, -2)
        axes.set_xlabel(f"Mean rank over {ranks.n_blocks} drugs (1 is best)", fontsize=TEXT)

    listed = "; ".join(f"{name} {number(rank, 2)}" for name, rank in ranks.mean.items())
    cliques = "; ".join(", ".join(clique) for clique in ranks.cliques) or "none"
    described = (
        f"Mean ranks, best first: {listed}. Critical difference {number(ranks.critical_difference, 2)}. "
        f"Groups that cannot be told apart: {cliques}."
    )
    return Drawing("Ranks and critical difference", _svg([(len(names) + 1.5, draw)]), described)


def _interval_rows(axes: Axes, table: pd.DataFrame, name: str, names: Sequence[str]) -> None:
    place = np.arange(len(table))
    axes.hlines(place, table[f"{name}_low"], table[f"{name}_high"], color=BLUE, linewidth=2.5, alpha=0.75)
    axes.plot(table[name], place, "o", color=ORANGE, markeredgecolor="black", markersize=6.5, label="mean", zorder=4)
    _name_rows(axes, names)


def _single_runs(axes: Axes, table: pd.DataFrame, scores: pd.DataFrame, name: str) -> None:
    runs = scores.groupby("system")[name]
    for row, system in enumerate(table["system"]):
        values = runs.get_group(system)
        axes.plot(values, np.full(len(values), row), "|", color="black", markersize=7, zorder=3)
    axes.plot([], [], "|", color="black", linestyle="none", label="one run")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    for row, name in enumerate(names):
        axes.text(
            0.005,
            row - 0.28,
            short(name, LETTERS),
            fontsize=TEXT,
            transform=axes.get_yaxis_transform(),
            va="center",
            in_layout=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5},  # lines pass behind a name
        )
    axes.set_ylim(len(names) - 0.5, -0.75)


def _svg(panels: Sequence[tuple[float, Callable[[Axes], None]]], legend: bool = False) -> str:
    """Panels below one another, each of so many rows and drawn so; the legend is that of the only one."""
    # Letters become outlines, since the page may load no font; ids depend on the picture alone.
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "dadsp"}):
        heights = [1.1 + 0.3 * legend + ROW * rows for rows, _ in panels]
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        all_axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for axes, (_, draw) in zip(all_axes, panels, strict=True):
            axes.set_yticks([])
            axes.xaxis.grid(color="0.9")
            axes.set_axisbelow(True)
            axes.spines[["top", "right", "left"]].set_visible(False)
            draw(axes)
            axes.tick_params(labelsize=SMALL)
        if legend:
            figure.legend(
                loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL, columnspacing=1, handlelength=1.4
            )
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()

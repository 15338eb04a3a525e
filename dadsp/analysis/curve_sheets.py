"""Sheets of dose-response curves: the wells' means, the fitted curve, its IC50 and its flags."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dadsp.data.curves.fit import Curves
from dadsp.data.curves.table import FittedTable
from dadsp.evaluation.figures import BLUE, DPI, GREY, LABEL, ORANGE, VERMILION, plain_log_ticks, short
from dadsp.files import write_atomically

COLUMNS, ROWS = 4, 5  # curves of a sheet
WORDS = 7  # points
LIMITS = (-0.35, 1.85)  # of the panel, with room for words above and below
EDGES = (-0.15, 1.4)  # viabilities beyond are drawn there


def curve_sheets(found: FittedTable, out: Path, most: int | None = None) -> int:
    """Writes ``curves.pdf``, a plot per curve, and its first sheet as ``curves.png``.

    Args:
        found: Curves with the means that they go through.
        out: Folder to write to.
        most: Draw so many, evenly over the table; None draws all.

    Returns:
        How many were drawn.
    """
    count = len(found.curves)
    drawn = np.arange(count) if most is None or most >= count else np.linspace(0, count - 1, most).round().astype(int)
    start = np.searchsorted(found.points["curve"].to_numpy(), np.arange(count + 1))
    rows = found.curves.reset_index(drop=True)

    def write(path: Path) -> None:
        with PdfPages(path, metadata={"CreationDate": None}) as pages:
            for first in range(0, len(drawn), ROWS * COLUMNS):
                pages.savefig(_sheet(rows, found.points, start, drawn[first : first + ROWS * COLUMNS]))

    write_atomically(out / "curves.pdf", write)
    sheet = _sheet(rows, found.points, start, drawn[: ROWS * COLUMNS])
    write_atomically(out / "curves.png", lambda path: sheet.savefig(path, dpi=DPI))
    return len(drawn)


def _sheet(curves: pd.DataFrame, points: pd.DataFrame, start: np.ndarray, drawn: np.ndarray) -> Figure:
    height = -(-len(drawn) // COLUMNS)
    figure = Figure(figsize=(11, 0.9 + 2.3 * height), layout="constrained")
    panels = figure.subplots(height, COLUMNS, squeeze=False, sharey=True)
    for panel, number in zip(panels.flat, drawn, strict=False):
        curve_panel(panel, curves.iloc[number], points.iloc[start[number] : start[number + 1]])
    for panel in panels.flat[len(drawn) :]:
        panel.set_axis_off()
    figure.supxlabel("dose, µM", fontsize=LABEL)
    figure.supylabel("viability", fontsize=LABEL)
    figure.legend(handles=_keys(), loc="outside upper center", ncols=5, frameon=False, fontsize=WORDS + 1)
    return figure


def curve_panel(panel: Axes, curve: "pd.Series[Any]", points: pd.DataFrame) -> None:
    """Draws one curve.

    Args:
        panel: Where.
        curve: A row of ``FittedTable.curves``.
        points: Its rows of ``FittedTable.points``.
    """
    low, high = np.log10(curve["low_um"]), np.log10(curve["high_um"])
    doses = np.linspace(low, high, 80)
    names = ["bottom", "top", "ec50_um", "slope"]
    parameters = curve[names].to_numpy(np.float64)
    parameters[2] = np.log10(parameters[2])
    panel.axvspan(curve["area_low_um"], curve["area_high_um"], color=BLUE, alpha=0.07, linewidth=0)
    panel.axhline(0.5, color=GREY, linewidth=0.6, linestyle=":")
    panel.plot(10**doses, Curves(parameters[None]).at(doses[None])[0], color=BLUE, linewidth=1.4)
    shown = points["viability"].clip(*EDGES)
    panel.scatter(10 ** points["log_dose"], shown, s=11, color=ORANGE, edgecolors="black", linewidths=0.4, zorder=3)
    reached = curve["ic50_relation"] == ""
    panel.axvline(curve["ic50_um"], 0.12, 0.82, color=VERMILION, linewidth=1.1, linestyle="-" if reached else "--")
    panel.set_xscale("log")
    plain_log_ticks(panel.xaxis)
    panel.set_ylim(*LIMITS)
    panel.tick_params(labelsize=WORDS)
    panel.minorticks_off()
    relation = "" if reached else f"{curve['ic50_relation']} "
    panel.set_title(f"{short(str(curve['cell_id']), 20)} · {short(str(curve['drug_id']), 16)}", fontsize=WORDS)
    said = f"IC50 {relation}{curve['ic50_um']:.3g} µM\nAUC {curve['auc']:.2f}, RMSE {curve['rmse']:.2f}"
    flags = curve["flags"].replace(";", " ")
    panel.text(0.03, 0.97, said, transform=panel.transAxes, va="top", fontsize=WORDS - 0.5)
    panel.text(0.03, 0.03, flags, transform=panel.transAxes, va="bottom", fontsize=WORDS - 1, color=VERMILION, wrap=True)


def _keys() -> list[Line2D]:
    return [
        Line2D([], [], color=ORANGE, marker="o", markersize=4, linestyle="", label="mean of a dose's wells"),
        Line2D([], [], color=BLUE, linewidth=1.4, label="fitted curve"),
        Line2D([], [], color=BLUE, alpha=0.15, linewidth=6, label="range of the area"),
        Line2D([], [], color=VERMILION, linewidth=1.1, label="IC50"),
        Line2D([], [], color=VERMILION, linewidth=1.1, linestyle="--", label="IC50 not reached"),
    ]

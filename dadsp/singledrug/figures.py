"""Pictures of a comparison as PNG files: error per drug, and accuracy against time."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dadsp.evaluation.figures import BLUE, DPI, GREEN, GREY, LABEL, ORANGE, PURPLE, TICK, VERMILION, finish, plain_log_ticks
from dadsp.singledrug.report import per_drug

# Colour and mark of a method; a system that saw test labels has the same mark, hollow.
_LOOKS = {
    "network": (BLUE, "o"),
    "network_compressed": (BLUE, "s"),
    "elastic_net": (ORANGE, "D"),
    "random_forest": (GREEN, "^"),
    "svr": (VERMILION, "v"),
    "ann": (PURPLE, "P"),
    "mean": (GREY, "X"),
}
_GROWN = {"network": "p", "network_compressed": "h"}  # marks of a network found by the growth search
_SMALLER = 0.6  # size of a mark whose system saw all genes


def mse_per_drug(frame: pd.DataFrame, response: str, path: Path) -> None:
    """Writes a PNG of the mean squared error of every system, drugs ordered by that of the first.

    Args:
        frame: What ``report.results_frame`` gives.
        response: What was measured, for the axis.
        path: Where to write.
    """
    table = per_drug(frame, "mse")
    table = table.sort_values(table.columns[0])
    figure = Figure(figsize=(8, 2.2 + 0.26 * len(table)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(table))
    for system in table.columns:
        axes.plot(table[system], place, linestyle="", label=system, **_look(frame, system))
    axes.set_yticks(place, list(table.index))
    axes.set_xscale("log")
    plain_log_ticks(axes.xaxis)
    axes.set_xlabel(f"Mean squared error of the test lines, {response}²", fontsize=LABEL)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=TICK - 1)
    finish(figure, [axes], path)


def accuracy_against_time(frame: pd.DataFrame, path: Path) -> None:
    """Writes a PNG of 3-class accuracy against training and against inference time, a mark per system and drug (Fig. 3).

    Args:
        frame: What ``report.results_frame`` gives.
        path: Where to write.
    """
    accuracy = per_drug(frame, "accuracy")
    figure = Figure(figsize=(11, 5.4), dpi=DPI, layout="constrained")
    panels = {
        "train_s": "Training of one model, s (gene selection and search of settings included)",
        "predict_ms_per_line": "Inference, ms per line",
    }
    drawn = []
    for number, (column, heading) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, 2, number)
        seconds = per_drug(frame, column)
        for system in accuracy.columns:
            look = _look(frame, system)
            axes.plot(seconds[system], accuracy[system], linestyle="", alpha=0.25, **{**look, "markersize": 3})
            axes.plot(seconds[system].mean(), accuracy[system].mean(), linestyle="", label=system, **look)
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis)
        axes.set_xlabel(heading, fontsize=LABEL)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        drawn.append(axes)
    drawn[0].set_ylabel("3-class accuracy of the test lines", fontsize=LABEL)
    handles, labels = drawn[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=TICK - 1)
    marks = "Large marks: means over drugs; small marks: drugs; hollow: oracle, genes were selected with test labels"
    figure.suptitle(marks, fontsize=LABEL)
    finish(figure, drawn, path)


def _look(frame: pd.DataFrame, system: str) -> dict[str, Any]:
    row = frame[frame["system"] == system].iloc[0]
    colour, marker = _LOOKS[row["method"]]
    if row.get("architecture") == "growth":
        marker = _GROWN[row["method"]]
    size = 9 * (_SMALLER if row["gene_set"] == "all" and row["method"] != "mean" else 1)
    fill = "none" if row["saw_test_labels"] else colour
    return {"marker": marker, "markersize": size, "color": colour, "markerfacecolor": fill}

"""gradient.png: where the gradient goes, and what the cases come to."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from gradient_cases import CASES
from gradient_watch import WATCHED

from dadsp.files import write_atomically

mpl.use("Agg")
import matplotlib.pyplot as plt

SYSTEM, OTHER, LINE = "#1b5e9e", "#6b6b6b", "#b5442e"


def draw(summary: pd.DataFrame, n_seeds: int, out: Path) -> None:
    """Where the gradient goes, epoch by epoch, and what the cases of shift 3 come to, of those that all seeds ran."""
    at = summary[summary["shift"] == 3.0].set_index(["case", "epoch", "measure"]).sort_index()
    ran = set(at[at["runs"] == n_seeds].index.get_level_values("case"))
    rows = [case for case in CASES if case.name in ran]
    height = max(3.6, 1.9 + 0.24 * len(rows))
    figure = plt.figure(figsize=(11.5, height), layout="constrained")
    places = figure.subplot_mosaic([["gradient", "r", "planted", "spread"]], width_ratios=[1.15, 1.25, 1, 1])
    _gradient(places["gradient"], at)
    columns = (
        ("r", "r per drug", "r per drug, minus that\nwithout adaptation", 0.0),
        ("planted", "planted in target codes", "share of target codes' variance\nthat the programs make", None),
        ("spread", "spread of target codes / source codes", "spread of target codes,\nsource codes = 1", 1.0),
    )
    for place, measure, title, line in columns:
        panel = places[place]
        for row, case in enumerate(rows):
            mean, half = ("minus_none", "minus_none_half") if place == "r" else ("mean", "half")
            found = at.loc[(case.name, 0, measure)]
            if pd.notna(found[mean]):
                colour = SYSTEM if case.adapts else OTHER
                panel.plot([found[mean] - found[half], found[mean] + found[half]], [row, row], color=colour, lw=1.5)
                panel.plot(found[mean], row, "o", ms=5, color=colour, mfc=colour if case.adapts else "white")
        if line is not None:
            panel.axvline(line, color="#cccccc", lw=0.8, zorder=0)
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.set_yticks(range(len(rows)), [case.name for case in rows] if place == "r" else [])
        panel.tick_params(labelsize=8, left=False)
        panel.spines[["top", "right", "left"]].set_visible(False)
    places["planted"].set_xlim(0, 1)
    places["spread"].set_xscale("log")
    places["spread"].set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    places["spread"].minorticks_off()
    marks = [
        plt.Line2D([], [], marker="o", color=SYSTEM, label="with adaptation: mean of five seeds, 95 % interval"),
        plt.Line2D([], [], marker="o", color=OTHER, mfc="white", label="without"),
    ]
    marks += places["gradient"].get_legend_handles_labels()[0]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    write_atomically(out, lambda path: figure.savefig(path, format="png", dpi=150))
    plt.close(figure)


def _gradient(panel: "plt.Axes", at: pd.DataFrame) -> None:
    for who, colour in (("adversary", SYSTEM), ("regression", OTHER)):
        of = at.xs(f"first layer: {who}'s gradient along planted", level="measure").loc["adversary"]
        panel.errorbar(
            of.index, of["mean"], of["half"], marker="o", ms=4, capsize=2, color=colour, label=f"{who}'s gradient"
        )
    for screen, dashes in (("target", ":"), ("source", "--")):
        variance = at.loc[("none", 0, f"{screen} expression along planted"), "mean"]
        panel.axhline(variance, color=LINE, lw=1, ls=dashes, zorder=0, label=f"variance of {screen} expression")
    panel.set_title("share of the first layer's gradient\nalong the planted programs", fontsize=9, loc="left")
    panel.set_xlabel("epoch", fontsize=9)
    panel.set_xticks(WATCHED, WATCHED)
    panel.set_ylim(-0.02, 1)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)

"""Pictures of unmeasured pairs: the drugs that come out strongest and weakest, and whether the intervals hold.

They look like those of ``dadsp.evaluation.figures``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dadsp.evaluation.figures import BLUE, DPI, GREY, LABEL, ORANGE, TICK, TITLE, VERMILION, finish, plain_log_ticks, short
from dadsp.schema import Screen


def ranking_figure(
    pairs: pd.DataFrame, ranking: pd.DataFrame, screen: Screen, path: Path, title: str, top: int, level: float = 0.9
) -> None:
    """Writes a PNG of box plots of predicted IC50 over the lines, for the strongest and the weakest drugs (DADSP Fig. 1).

    Behind each box, which is of point predictions, a band shows the interval of a line's label: medians over the lines of
    its two ends.

    Args:
        pairs: As in ``dadsp.analysis.missing_pairs.Imputation``.
        ranking: As there.
        screen: Says where labels are capped.
        path: Where to write.
        title: Stands above the figure.
        top: How many drugs of each end; all drugs where there are no more than twice as many.
        level: Of the intervals in ``pairs``.
    """
    cut = len(ranking) > 2 * top
    shown = pd.concat([ranking.head(top), ranking.tail(top)]) if cut else ranking
    low = np.arange(len(shown)) < (top if cut else len(shown))
    place = np.arange(len(shown)) + np.where(low, 0.0, 1.0)  # one empty slot marks where drugs are left out
    of_drug = pairs.groupby("drug_id")["ic50_um"]
    figure = Figure(figsize=(8.5, 2.2 + 0.3 * (len(shown) + cut)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    boxes = axes.boxplot(
        [of_drug.get_group(drug) for drug in shown["drug_id"]],
        positions=place,
        widths=0.65,
        orientation="horizontal",
        patch_artist=True,
        medianprops={"color": "black"},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": GREY},
    )
    for box, strong in zip(boxes["boxes"], low, strict=True):
        box.set(facecolor=BLUE if strong else ORANGE, alpha=0.75)
    marks = shown["drug_seen"].map({True: "", False: " *"}) + shown["drug_measured"].map({True: "", False: " †"})
    twice = shown["drug_name"].duplicated(keep=False)
    names = shown["drug_name"].map(short) + (" (" + shown["drug_id"] + ")").where(twice, "") + marks
    axes.set_yticks(place, list(names))
    axes.set_ylim(place[-1] + 0.7, -0.7)
    axes.set_xscale("log")
    _draw_intervals(axes, pairs, shown, place, level)
    axes.set_xlabel("Predicted IC50 (µM) of unmeasured lines   ← more sensitive", fontsize=LABEL)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    if screen.cap is not None:
        axes.axvline(10.0**-screen.cap, color=VERMILION, linestyle="--", label="labels are capped here")
    plain_log_ticks(axes.xaxis)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", frameon=False, fontsize=TICK)
    if cut:
        axes.text(0.01, top, f"… {len(ranking) - 2 * top} drugs between …", transform=axes.get_yaxis_transform(),
                  va="center", fontsize=TICK, style="italic")  # fmt: skip
    notes = ["box: quartiles of point predictions over lines; whiskers: 1.5 box lengths"]
    notes += [] if shown["drug_seen"].all() else ["* no training labels"]
    notes += [] if shown["drug_measured"].all() else [f"† never measured in {screen.name}"]
    axes.set_title("\n".join(notes), fontsize=TICK, loc="left")
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    finish(figure, [axes], path)


def _draw_intervals(axes: Axes, pairs: pd.DataFrame, shown: pd.DataFrame, place: np.ndarray, level: float) -> None:
    """A band for each drug, and beside it the number of its lines."""
    ends = pairs.groupby("drug_id")[["ic50_um_low", "ic50_um_high"]].median().loc[shown["drug_id"]].to_numpy()
    known = (ends[:, 0] > 0) & np.isfinite(ends).all(axis=1)  # no interval is claimed for others
    if known.any():
        words = f"{level:.0%} interval of one line's label: medians over lines of its ends".replace("%", " %")
        axes.hlines(place[known], *ends[known].T, color="0.8", linewidth=11, zorder=0.8, label=words)
    for at, n in zip(place, shown["n_pairs"], strict=True):
        axes.text(1.02, at, f"{n:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=TICK, color=GREY)
    axes.set_title("lines", fontsize=TICK, loc="right", color=GREY)


def coverage_figure(coverage: pd.DataFrame, path: Path, title: str, source: str, target: str) -> None:
    """Writes a PNG of true against nominal coverage of the intervals, on held-out source lines and on the target.

    Args:
        coverage: What ``dadsp.analysis.conformal.coverage_curve`` gave.
        path: Where to write.
        title: Stands above the figure.
        source: Name of the source screen.
        target: Name of the target screen.
    """
    figure = Figure(figsize=(8, 6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="nominal")
    nominal = coverage["nominal"]
    if coverage["source"].notna().any():
        axes.fill_between(nominal, coverage["source_low"], coverage["source_high"], color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(nominal, coverage["source"], color=BLUE, marker="o", label=f"{source}, lines held out (90 % of halvings)")
    axes.plot(nominal, coverage["target"], color=VERMILION, marker="^", label=f"{target}, measured pairs (no guarantee)")
    lowest = min(0.45, float(coverage[["nominal", "source_low", "target"]].min().min()) - 0.05)
    axes.set_xlim(lowest, 1.01)
    axes.set_ylim(lowest, 1.01)
    for axis, what in ((axes.xaxis, "Nominal coverage, 1 − α"), (axes.yaxis, "True coverage, mean over lines")):
        axis.set_major_formatter(PercentFormatter(1))
        axis.set_label_text(what, fontsize=LABEL)
    axes.grid(color="0.92")
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=TICK)
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    finish(figure, [axes], path)

"""A picture of one line: its drugs ranked by predicted potency, with intervals, and what was seen in training."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dadsp.evaluation.figures import BLUE, DPI, GREY, LABEL, TICK, TITLE, VERMILION, finish, short

MOST_DRUGS, FEW_DRUGS = 30, 8
WIDTH, NARROW = 8.5, 4.2  # inches; a phone shows the narrow one whole
OUTSIDE = "outside"  # verdict; such drugs bear a mark


def ranked_drugs_figure(rows: pd.DataFrame, path: Path, title: str, unit: str, narrow: bool = False) -> None:
    """Writes a PNG of the ``MOST_DRUGS`` drugs that a line is most sensitive to; narrow: of ``FEW_DRUGS``.

    Args:
        rows: Predictions of one line, as ``dadsp predict`` gives them; without columns of intervals or of what was seen,
            points alone.
        path: Where to write.
        title: Stands above the figure, e.g. the line and the system.
        unit: Of the predictions.
        narrow: Whether it must fit a phone.
    """
    shown = rows.sort_values(["rank_in_cell", "drug_id"], kind="stable").head(FEW_DRUGS if narrow else MOST_DRUGS)
    place, value = np.arange(len(shown)), shown["neg_log10_ic50_um"].to_numpy()
    seen = shown["drug_seen"].to_numpy() if "drug_seen" in shown else np.ones(len(shown), dtype=bool)
    outside = (shown["verdict"] == OUTSIDE).to_numpy() if "verdict" in shown else np.zeros(len(shown), dtype=bool)
    figure = Figure(
        figsize=(NARROW if narrow else WIDTH, (2.9 if narrow else 2.4) + 0.27 * len(shown)), dpi=DPI, layout="constrained"
    )
    axes = figure.add_subplot()
    for level, width in (("90", 1.3), ("50", 4.5)):
        if f"low_{level}" in shown:
            ends = shown[[f"low_{level}", f"high_{level}"]].to_numpy()
            axes.hlines(
                place, ends[:, 0], ends[:, 1], color=BLUE, alpha=0.45, linewidth=width, label=f"interval for {level} %"
            )
    for mask, label, face in ((seen, "drug in training", BLUE), (~seen, "drug never trained on", "white")):
        if mask.any():
            axes.plot(value[mask], place[mask], "o", markersize=7, color=BLUE, markerfacecolor=face, label=label)
    if outside.any():
        axes.plot(value[outside], place[outside], "x", markersize=5, color=VERMILION, label="outside of all that was tested")
    twice = shown["drug_name"].duplicated(keep=False)
    names = shown["drug_name"].map(short) + (" (" + shown["drug_id"].map(short) + ")").where(twice, "")
    axes.set_yticks(place, list(names))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    words = f"Predicted {unit}\nmore sensitive →" if narrow else f"Predicted potency, {unit}   more sensitive →"
    axes.set_xlabel(words, fontsize=LABEL)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    if len(rows) > len(shown):
        axes.set_title(f"the {len(shown)} most potent of {len(rows):,} drugs", fontsize=TICK, loc="left", color=GREY)
    figure.legend(loc="outside lower center", ncols=1 if narrow else 2, frameon=False, fontsize=TICK)
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    finish(figure, [axes], path)

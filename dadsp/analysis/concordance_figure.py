"""The picture of two screens' agreement: each drug's correlation, and the distribution over genes."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dadsp.analysis.concordance import AGREES, FEWEST, PARTLY, Concordance
from dadsp.evaluation.figures import BLUE, DPI, GREY, LABEL, ORANGE, TICK, TITLE, VERMILION, finish, short

MAX_NAMED = 60  # drugs; more are dots without names
MARKS = {
    "agrees": ("o", BLUE),
    "agrees partly": ("D", ORANGE),
    "does not agree": ("v", VERMILION),
    "too few pairs": ("s", GREY),
}


def concordance_figure(found: Concordance, path: Path) -> None:
    """Writes a PNG: r of each drug as a dot, sorted, with its number of lines; a histogram of r over genes.

    Drugs without an r are counted above the panel.
    """
    facts = found.facts
    drugs = found.drugs[found.drugs["r"].notna()]
    named = len(drugs) <= MAX_NAMED
    height = 2.6 + (0.27 * max(len(drugs), 8) if named else 6.0)
    figure = Figure(figsize=(12, height), dpi=DPI, layout="constrained")
    of_drugs, of_genes = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _draw_drugs(found, of_drugs, named)
    _draw_genes(found, of_genes)
    handles, labels = of_drugs.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=TICK)
    figure.suptitle(
        f"{facts['source']} and {facts['target']}: what both measured, {facts['shared_pairs']:,} pairs",
        fontsize=TITLE,
        fontweight="bold",
    )
    finish(figure, [of_drugs, of_genes], path)


def _draw_drugs(found: Concordance, panel: Axes, named: bool) -> None:
    drugs = found.drugs[found.drugs["r"].notna()].reset_index(drop=True)
    for verdict, (marker, colour) in MARKS.items():
        rows = drugs[drugs["verdict"] == verdict]
        if len(rows):
            filled = "none" if verdict == "too few pairs" else colour
            size = 46 if named else 16
            panel.scatter(
                rows["r"], rows.index, s=size, marker=marker, c=filled, edgecolors=colour, zorder=3, label=_words(verdict)
            )
    if found.facts["label_cap"] == "target" and len(drugs):
        panel.scatter(
            drugs["r_raw"], drugs.index, s=40, marker="|", color=GREY, zorder=2, label="source labels before clipping"
        )
    median = found.facts["drugs"]["median"]["r"]
    if median is not None:
        label = f"median of {found.facts['drugs']['judged']} drugs, {median:.2f}: the label ceiling"
        panel.axvline(median, color="black", linestyle="--", linewidth=1.2, zorder=1, label=label)
    panel.axvline(0, color="0.75", linewidth=1, zorder=0)
    lowest = float(np.nanmin(drugs[["r", "r_raw"]].to_numpy(), initial=0.0))
    panel.set_xlim(min(-0.05, lowest - 0.06), 1.03)
    margin = 0.6 if named else 2
    panel.set_ylim(max(len(drugs), 1) - 1 + margin, -margin)
    panel.set_xlabel("Pearson r over the lines that both screens measured", fontsize=LABEL)
    undefined = len(found.drugs) - len(drugs)
    heading = f"Labels: {len(found.drugs)} drugs of both screens"
    panel.set_title(heading + (f", {undefined} of them without an r" if undefined else ""), fontsize=LABEL, loc="left")
    panel.grid(axis="x", color="0.92")
    panel.set_axisbelow(True)
    if named:
        panel.set_yticks(range(len(drugs)), [short(name, 28) for name in drugs["drug"]])
        for row, n in enumerate(drugs["n"]):
            panel.text(1.02, row, f"{n:,}", transform=panel.get_yaxis_transform(), va="center", fontsize=TICK, color=GREY)
        if len(drugs):
            panel.text(1.02, -0.9, "lines", transform=panel.get_yaxis_transform(), va="bottom", fontsize=TICK, color=GREY)
    else:
        panel.set_ylabel("Drugs, sorted", fontsize=LABEL)


def _words(verdict: str) -> str:
    limits = {"agrees": f"r ≥ {AGREES}", "agrees partly": f"r ≥ {PARTLY}", "does not agree": f"r < {PARTLY}"}
    return f"{verdict}: {limits.get(verdict, f'fewer than {FEWEST}')}"


def _draw_genes(found: Concordance, panel: Axes) -> None:
    values = found.genes["r"].dropna()
    panel.set_xlabel("Pearson r of a gene's expression over shared lines", fontsize=LABEL)
    if not len(values):
        panel.set_title(f"Expression: {found.facts['shared_lines']} shared lines are too few", fontsize=LABEL, loc="left")
        panel.set_yticks([])
        return
    median = float(values.median())
    panel.hist(values, bins=np.linspace(min(-0.2, np.floor(values.min() * 20) / 20), 1, 41).tolist(), color=BLUE, alpha=0.8)
    panel.axvline(median, color="black", linestyle="--", linewidth=1.2)
    panel.set_title(
        f"Expression: {len(values):,} genes over {found.facts['shared_lines']:,} lines\nmedian {median:.2f} (dashed)",
        fontsize=LABEL,
        loc="left",
    )
    panel.set_ylabel("Genes", fontsize=LABEL)
    panel.set_xlim(right=1.03)
    panel.grid(axis="y", color="0.92")
    panel.set_axisbelow(True)

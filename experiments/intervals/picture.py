"""Coverage of 90 % intervals by what training had seen, on source folds and on the target: picture.png.

python experiments/intervals/picture.py
"""

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
STRATA = ("both seen", "line new", "drug new", "both new")
NAMES = {"gdsc12_ccle": "GDSC → CCLE, IC50", "gdsc12_ctrp": "GDSC → CTRP, area", "gdsc_ccle_panel": "GDSC v17a → CCLE, IC50"}
MARKS = {"source": ("o", "#0072B2", "source, folds that calibrated nothing"), "target": ("^", "#D55E00", "target")}


def main() -> None:
    """Draws a panel for each study."""
    table = pd.read_csv(HERE / "results.csv").query("verdict == 'all'")
    models = list(table["model"].drop_duplicates())
    figure, panels = plt.subplots(1, len(NAMES), figsize=(13, 5.6), sharex=True, sharey=True, layout="constrained")
    rows = [(model, stratum) for model in models for stratum in STRATA]
    for panel, (data, name) in zip(panels, NAMES.items(), strict=True):
        panel.axvspan(0.88, 0.92, color="0.9", zorder=0)
        for part, (mark, colour, label) in MARKS.items():
            found = table[(table["data"] == data) & (table["part"] == part)]
            found = found.groupby(["model", "stratum"]).mean(numeric_only=True)
            places = [place for place, row in enumerate(rows) if row in found.index]
            chosen = found.loc[[rows[place] for place in places]]
            if part == "source":
                panel.hlines(places, chosen["coverage_90_low"], chosen["coverage_90_high"], color=colour, lw=1)
            panel.plot(chosen["coverage_90"], places, mark, color=colour, label=label, ms=6, ls="none")
        panel.set_title(name, fontsize=11)
        panel.set_xlabel("share of labels in 90 % intervals")
        panel.set_xlim(0.55, 1.01)
        for place in range(4, len(rows), 4):
            panel.axhline(place - 0.5, color="0.8", lw=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [f"{model.replace('_', ' ')}: {stratum}" for model, stratum in rows], fontsize=9)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(HERE / "picture.png", dpi=150)


if __name__ == "__main__":
    main()

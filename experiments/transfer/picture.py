"""picture.png: r per drug of every system in every study, against the label ceiling, naive rows below.

python experiments/transfer/picture.py [--summary experiments/transfer/summary.csv] [--out experiments/transfer/picture.png]
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt

STUDIES = {
    "gdsc12_ccle": "GDSC → CCLE, IC50",
    "gdsc12_ccle_auc": "GDSC → CCLE, area",
    "gdsc12_ctrp": "GDSC → CTRP, area",
}
R = "median_drug_pearson"
SYSTEM, NAIVE, CEILING, ABSENT = "#1b5e9e", "#6b6b6b", "#b5442e", "#9a9a9a"


def main() -> None:
    """Draws what the summary holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", type=Path, default=Path("experiments/transfer/summary.csv"))
    parser.add_argument("--out", type=Path, default=Path("experiments/transfer/picture.png"))
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.summary, keep_default_na=True)
    draw(table, arguments.out)


def draw(table: pd.DataFrame, out: Path) -> None:
    """One panel per study, one row per system."""
    table = table.assign(label=[_label(*names) for names in zip(table["system"], table["alignment"], strict=True)])
    kept = table[(table["overlap"] == "keep")]
    systems = _ordered(kept[kept["kind"] == "model"])
    ran = set(table.loc[table["runs"] > 0, "label"])
    systems = [name for name in systems if name in ran or not any(other.startswith(f"{name} (") for other in ran)]
    rows = [*systems, *_ordered(kept[kept["kind"] == "naive_source"].dropna(subset=[R]))]
    height = 1.6 + 0.27 * len(rows)
    figure, panels = plt.subplots(1, len(STUDIES), figsize=(10, height), sharey=True, layout="constrained")
    for panel, (study, title) in zip(panels, STUDIES.items(), strict=True):
        _panel(panel, table[table["study"] == study].set_index("label"), rows, len(systems))
        panel.set_title(title, fontsize=10, loc="left")
    panels[0].set_yticks(range(len(rows)), rows, fontsize=9)
    panels[0].set_ylim(len(rows) - 0.4, -0.7)
    panels[1].set_xlabel("r per drug: median over drugs of Pearson r among lines", fontsize=9)
    marks = [
        plt.Line2D([], [], marker="o", color=SYSTEM, label="lines shared, mean over seeds, 95 % interval"),
        plt.Line2D([], [], marker="o", color=SYSTEM, mfc="white", ls="", label="shared lines removed from the source"),
        plt.Line2D([], [], color=CEILING, label="label ceiling"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def _panel(panel: "plt.Axes", cells: pd.DataFrame, rows: list[str], n_systems: int) -> None:
    kept, dropped = (cells[(cells["overlap"] == overlap) & (cells["runs"] > 0)] for overlap in ("keep", "drop_lines"))
    for place, name in enumerate(rows):
        colour = SYSTEM if place < n_systems else NAIVE
        if name in dropped.index:
            panel.plot(dropped.loc[name, R], place, "o", ms=5, color=colour, mfc="white", zorder=2)
        if name not in kept.index:
            panel.text(0.02, place, "not run", fontsize=8, color=ABSENT, va="center", transform=panel.get_yaxis_transform())
            continue
        row = kept.loc[name]
        if pd.isna(row[R]):
            panel.text(
                0.02, place, "ranks no lines", fontsize=8, color=ABSENT, va="center", transform=panel.get_yaxis_transform()
            )
            continue
        panel.plot([row[f"{R}_low"], row[f"{R}_high"]], [place, place], color=colour, lw=1.5, zorder=3)
        panel.plot(row[R], place, "o", ms=5, color=colour, zorder=4)
    ceilings = kept["ceiling"].dropna()
    if len(ceilings):
        panel.axvline(ceilings.iloc[0], color=CEILING, lw=1.5, zorder=1)
    panel.axhline(n_systems - 0.5, color="#cccccc", lw=0.8)
    panel.axvline(0, color="#cccccc", lw=0.8, zorder=0)
    panel.set_xlim(-0.25, 0.9)
    panel.tick_params(labelsize=8, left=False)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _ordered(table: pd.DataFrame) -> list[str]:
    """Names, the best mean r over the studies first, those without any last."""
    means = table.groupby("label", sort=False)[R].mean()
    return [str(name) for name in means.sort_values(ascending=False, kind="stable", na_position="last").index]


def _label(system: str, alignment: object) -> str:
    """The system, with its alignment where it has one that another run might lack."""
    name = system.replace("source ", "").replace(" (capped labels)", ", capped").replace(" (raw labels)", ", raw")
    return f"{name} ({alignment})" if isinstance(alignment, str) and alignment not in ("", "none") else name


if __name__ == "__main__":
    main()

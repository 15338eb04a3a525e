"""Maps of several runs side by side, and their measures in one table, from what ``dadsp embed`` wrote.

    python experiments/findings/maps.py --run RUN EMBEDDED [--run …] --out experiments/findings/feature_space

RUN is a run folder, EMBEDDED the folder of ``dadsp embed``. The picture shows the first run of each system and alignment:
expression before training once for each alignment, then the codes of each network.
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dadsp.analysis.embedding import MEASURES, STEPS
from dadsp.analysis.embedding_figures import LOOKS
from dadsp.analysis.neighbours import harmonised
from dadsp.cli.script import end
from dadsp.evaluation.figures import finish
from dadsp.files import read_json, write_atomically
from dadsp.runs.collection import row_identity
from dadsp.runs.folder import RunFolder, complete

SHOWN = {
    "proxy_a_distance": "A-distance {:.2f}",
    "tissue_agreement_target_to_source": "own tissue {:.2f}",
    "partner_nearest_share": "own line nearest {:.2f}",
}
REST = "another tissue, or unknown"


def panels_of(runs: list[tuple[dict, pd.DataFrame, pd.DataFrame]]) -> list[tuple[str, pd.DataFrame, "pd.Series[float]"]]:
    """Heading, coordinates (x, y, domain, tissue) and measures of each column of the picture."""
    before, after = {}, {}
    for identity, points, measures in runs:
        for step, column, heading in (
            ("before", before, f"expression\nalignment={identity['alignment']}"),
            ("after", after, f"codes, {identity['system']}\nalignment={identity['alignment']}"),
        ):
            moved = points.rename(columns={f"x_{step}": "x", f"y_{step}": "y"})[["x", "y", "screen", "tissue"]]
            column.setdefault(heading, (heading, moved, measures[step]))
    return [*before.values(), *after.values()]


def draw(panels: list[tuple[str, pd.DataFrame, "pd.Series[float]"]], path: Path) -> None:
    """The picture: above by screen, below by tissue."""
    figure = Figure(figsize=(3.1 * len(panels), 7.3), dpi=100, layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False)
    tissue = panels[0][1]["tissue"].map(harmonised, na_action="ignore")
    common = list(tissue.value_counts().index[: len(LOOKS)])
    spelt = {name: panels[0][1].loc[tissue == name, "tissue"].iloc[0] for name in common}
    screens = dict(zip(panels[0][1]["screen"].unique(), LOOKS[::3], strict=False))
    looks = {REST: ("0.8", ".")} | dict(zip(spelt.values(), LOOKS, strict=False))
    for column, (heading, points, measures) in enumerate(panels):
        grid[0, column].set_title(heading, fontsize=12)
        of_tissue = points["tissue"].map(harmonised, na_action="ignore").map(spelt).fillna(REST)
        scatter(grid[0, column], points, points["screen"], screens)
        scatter(grid[1, column], points, of_tissue, looks)
        words = "\n".join(text.format(measures[name]) for name, text in SHOWN.items())
        grid[1, column].set_xlabel(words, fontsize=12)
    for row, (kind, place) in enumerate((("by screen", "left"), ("by tissue", "right"))):
        grid[row, 0].set_ylabel(kind, fontsize=12)
        handles = grid[row, 0].get_legend_handles_labels()[0]
        figure.legend(handles=handles, loc=f"outside lower {place}", ncols=4, frameon=False, fontsize=11, markerscale=2,
                      title=kind)  # fmt: skip
    finish(figure, list(grid.ravel()), path)


def scatter(axes: Axes, points: pd.DataFrame, names: "pd.Series[str]", looks: dict[str, tuple[str, str]]) -> None:
    for name, (colour, marker) in looks.items():
        mine = points[names == name]
        axes.scatter(mine["x"], mine["y"], s=7, c=colour, marker=marker, linewidths=0, alpha=0.8, label=name)
    axes.set_xticks([])
    axes.set_yticks([])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=2, action="append", type=Path, required=True, metavar=("RUN", "EMBEDDED"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    runs, rows = [], []
    for place, embedded in given.run:
        with complete(place):
            identity = row_identity(RunFolder(place))
        with complete(embedded, "result of dadsp embed", "Write it again."):
            facts = read_json(embedded / "embed.json")
            identity = {"system": facts["system"], **identity}
            measures = pd.read_csv(embedded / "measures.csv").set_index("measure")
            values = {f"{name}_{step}": measures.loc[name, step] for name in MEASURES for step in STEPS}
            rows.append({**identity, **values, "failed": ", ".join(facts["verdict"]["failed"])})
            runs.append((identity, pd.read_csv(embedded / "coordinates.csv"), measures))
    given.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    write_atomically(given.out / "measures.csv", lambda path: table.to_csv(path, index=False, float_format="%.4g"))
    draw(panels_of(runs), given.out / "maps.png")
    print(table.groupby(["system", "alignment"])[list(values)].mean().T.to_string())


if __name__ == "__main__":
    raise SystemExit(end(main))

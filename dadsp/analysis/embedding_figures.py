"""Pictures of the feature space before and after training (DADSP Figs 3 and 4).

They look like those of ``dadsp.evaluation.figures``. Screens and tissues differ in shape as well as in colour.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dadsp.analysis.neighbours import harmonised
from dadsp.evaluation.figures import BLUE, DPI, GREEN, GREY, LABEL, ORANGE, PURPLE, TICK, TITLE, VERMILION, finish, short

SKY, YELLOW = "#56B4E9", "#F0E442"  # the rest of Okabe and Ito's colours
LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (VERMILION, "v"), (PURPLE, "D"), (SKY, "P"), (YELLOW, "X"))
STEPS = {"before": "Before training: scaled expression", "after": "After training: encoder codes"}


def maps_figure(coordinates: pd.DataFrame, path: Path, title: str) -> None:
    """Writes a PNG of four maps: before and after training, coloured by screen and by tissue.

    Args:
        coordinates: As in ``dadsp.analysis.embedding.Embedding``.
        path: Where to write.
        title: Stands above the figure.
    """
    figure = Figure(figsize=(11.5, 11.5), dpi=DPI, layout="constrained")
    panels = figure.subplots(2, 2)
    of_screen = coordinates["screen"] + ", " + coordinates["domain"]
    tissue = coordinates["tissue"].map(harmonised, na_action="ignore")
    common = tissue.value_counts().index[: len(LOOKS)]
    spelt = {name: str(coordinates.loc[tissue == name, "tissue"].iloc[0]) for name in common}
    by_tissue = tissue.map(spelt)
    rest = "another tissue, or unknown"
    looks = {"screen": dict(zip(pd.unique(of_screen), LOOKS[::3], strict=False))}
    looks["tissue"] = {rest: ("0.8", ".")} | dict(zip(spelt.values(), LOOKS, strict=False))
    kinds = {"screen": of_screen, "tissue": by_tissue.fillna(rest)}
    for row, (step, heading) in zip(panels, STEPS.items(), strict=True):
        for panel, (kind, names) in zip(row, kinds.items(), strict=True):
            panel.set_title(f"{heading}, by {kind}", fontsize=LABEL)
            _draw(panel, coordinates[[f"x_{step}", f"y_{step}"]].to_numpy(), names, looks[kind])
    for column, across in ((0, 2), (1, 2)):
        panels[1, column].legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=across, frameon=False, fontsize=TICK, markerscale=1.8
        )
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    finish(figure, list(panels.ravel()), path)


def _draw(panel: Axes, points: np.ndarray, names: "pd.Series[str]", looks: dict[str, tuple[str, str]]) -> None:
    for name, (colour, marker) in looks.items():
        chosen = points[(names == name).to_numpy()]
        x, y = chosen.T
        panel.scatter(
            x, y, s=14, c=colour, marker=marker, linewidths=0, alpha=0.75, label=f"{short(name)} ({len(chosen):,})"
        )
    panel.set_xticks([])
    panel.set_yticks([])
    for side in ("left", "bottom"):
        panel.spines[side].set_color(GREY)

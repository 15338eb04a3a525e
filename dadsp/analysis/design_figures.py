"""Pictures of a design: its plates, and what measuring them is expected to gain."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dadsp.analysis.design import PLATES, row_name
from dadsp.evaluation.figures import BLUE, DPI, GREY, LABEL, TICK, TITLE, finish, short

SHOWN = 6  # plates drawn at most; the table holds all


def plates_figure(pairs: pd.DataFrame, plate: int, path: Path, called: Mapping[str, str]) -> None:
    """Writes a PNG of the plates: a well's shade tells when its pair was chosen, its text the drug; lines are outlined.

    Args:
        pairs: As in ``dadsp.analysis.design.Design``.
        plate: Wells of a plate.
        path: Where to write.
        called: What people call each line, by its id.
    """
    rows, columns = PLATES[plate]
    numbers = sorted(pairs["plate"].unique())[:SHOWN]
    size = 0.78 if plate == 96 else 0.42
    figure = Figure(figsize=(1.2 + columns * size, len(numbers) * (1.0 + rows * size * 0.62)), dpi=DPI, layout="constrained")
    every = figure.subplots(len(numbers), 1, squeeze=False)[:, 0]
    for axes, number in zip(every, numbers, strict=True):
        own = pairs[pairs["plate"] == number]
        row = own["well"].str.rstrip("0123456789").map({row_name(at): at for at in range(rows)}).to_numpy()
        column = own["well"].str.extract(r"(\d+)$")[0].astype(int).to_numpy() - 1
        shade = np.full((rows, columns), np.nan)
        shade[row, column] = own["order"]
        drawn = axes.pcolormesh(shade, cmap="Blues_r", alpha=0.55, vmin=1, vmax=max(2, len(pairs)), edgecolor="white")
        if plate == 96:
            for at, across, cell, drug in zip(row, column, own["cell_id"], own["drug_name"], strict=True):
                text = f"{short(called[cell], 10)}\n{short(drug, 10)}"
                axes.text(across + 0.5, at + 0.5, text, ha="center", va="center", fontsize=5)
        axes.set_yticks(np.arange(rows) + 0.5, [row_name(at) for at in range(rows)], fontsize=TICK)
        axes.set_xticks(np.arange(columns) + 0.5, [str(across + 1) for across in range(columns)], fontsize=TICK)
        axes.xaxis.tick_top()
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.set_title(f"Plate {number}", fontsize=TITLE, loc="left")
        figure.colorbar(drawn, ax=axes, label="order of choice", shrink=0.7)
    finish(figure, list(every), path)


def gain_figure(pairs: pd.DataFrame, before: float, noise: float, path: Path, title: str) -> None:
    """Writes a PNG of the expected RMSE over the pairs that matter against the number of pairs measured.

    Args:
        pairs: As in ``dadsp.analysis.design.Design``.
        before: Expected RMSE before any is measured.
        noise: Standard deviation of a label's noise, which no measuring of others removes.
        path: Where to write.
        title: Stands above the figure.
    """
    figure = Figure(figsize=(6.0, 3.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, *pairs["order"]], [before, *pairs["expected_rmse"]], color=BLUE)
    axes.axhline(noise, color=GREY, linestyle="--")
    axes.annotate("noise of a label", (len(pairs), noise), ha="right", va="bottom", fontsize=TICK, color="0.35")
    axes.set_xlabel("Pairs measured, in the order of choice", fontsize=LABEL)
    axes.set_ylabel("Expected RMSE (−log10 µM)", fontsize=LABEL)
    axes.set_title(title, fontsize=TITLE, loc="left")
    axes.grid(color="0.9")
    finish(figure, [axes], path)

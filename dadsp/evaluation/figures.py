"""Pictures of one run as PNG files: predictions against measurements, errors per drug, training curves.

Figures are drawn on their own canvas, so nothing here needs a display or touches the state of pyplot. Colours are those of
Okabe and Ito, and no meaning rests on colour alone.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from dadsp.errors import SchemaError, examples
from dadsp.evaluation.metrics import Evaluation, regression_metrics
from dadsp.files import write_atomically
from dadsp.schema import PredictionTable

BLUE, ORANGE, GREEN, VERMILION, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
GREY = "#595959"
TITLE, LABEL, TICK = 13, 11, 10  # points; readable when the figure fills half a page
DPI = 150
MAX_BARS = 40

# One hue from light to dark; the lightest step still stands out from white paper.
COUNTS = LinearSegmentedColormap.from_list("counts", ["#A9CCE6", BLUE, "#00243D"])

_LOSS = re.compile(r"(/|_)(loss|mse|mmd|coral|reconstruction)$")
_DOMAIN = re.compile(r"/(domain_accuracy|lambda)$")
_VALIDATION_RMSE = re.compile(r"^val/.*\brmse$")


def predicted_vs_measured(table: PredictionTable, path: Path, title: str) -> None:
    """Writes a PNG of predicted against measured potency, drugs seen in the source beside unseen ones.

    Uncensored pairs are counted in hexagons against the line y = x. A capped label only says that potency is at most the
    cap, so those pairs stand apart, as a histogram of their predictions left of each panel.

    Args:
        table: Predictions of one held-out set.
        path: Where to write.
        title: Stands above the figure, e.g. the system and the target screen.

    Raises:
        SchemaError: The table is empty.
    """
    if not len(table):
        raise SchemaError("There are no predictions to draw. Check the split that made the table.")
    frame = table.frame
    both = np.concatenate([frame["y_true"], frame["y_pred"]])
    margin = 0.04 * float(np.ptp(both)) or 0.5
    limits = (float(both.min()) - margin, float(both.max()) + margin)

    figure = Figure(figsize=(11.5, 5.6), dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(1, 5, width_ratios=(1, 4.6, 1, 4.6, 0.22))
    drawn: list[Axes] = []
    hexagons: list[PolyCollection] = []
    across = int(np.clip(np.sqrt(len(frame)), 15, 45))
    sides = {"Drug seen in the source": frame["drug_seen"], "Drug unseen in the source": ~frame["drug_seen"]}
    for position, (heading, rows) in enumerate(sides.items()):
        strip, panel = figure.add_subplot(grid[2 * position]), figure.add_subplot(grid[2 * position + 1])
        _draw_capped(frame[rows & frame["censored"]], strip, limits)
        hexagons += _draw_measured(frame[rows & ~frame["censored"]], panel, limits, across)
        panel.set_title(f"{heading}\n{_scores(frame[rows])}", fontsize=LABEL)
        drawn += [strip, panel]
    drawn[0].set_ylabel("Predicted −log₁₀ IC50 (µM)", fontsize=LABEL)
    figure.legend(*drawn[1].get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=TICK)
    drawn.append(figure.add_subplot(grid[4]))
    _draw_key(figure, drawn[-1], hexagons)
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    finish(figure, drawn, path)


def per_drug_bars(
    model: Evaluation,
    naive: Evaluation,
    path: Path,
    *,
    model_name: str,
    naive_name: str,
    drug_names: Mapping[str, str] | None = None,
) -> None:
    """Writes a PNG of the RMSE within each drug, model beside naive, ordered by what the model gains.

    Args:
        model: Scores of the model.
        naive: Scores of the row to compare with, normally the best one that saw source labels only.
        path: Where to write.
        model_name: For the legend.
        naive_name: For the legend.
        drug_names: Display name of a drug id; the id stands where there is none.

    Raises:
        SchemaError: The two share no drug.
    """
    columns = ["drug_id", "drug_seen", "rmse"]
    drugs = model.per_drug[columns].merge(naive.per_drug[["drug_id", "rmse"]], on="drug_id", suffixes=("", "_naive"))
    drugs = drugs.dropna(subset=["rmse", "rmse_naive"])
    if drugs.empty:
        raise SchemaError(f"{model_name} and {naive_name} have no drug in common. Score both on the same pairs.")
    drugs = drugs.assign(gain=drugs["rmse_naive"] - drugs["rmse"]).sort_values(["gain", "drug_id"], ascending=[False, True])
    total, better = len(drugs), int((drugs["gain"] > 0).sum())
    half = MAX_BARS // 2
    cut = total > MAX_BARS
    shown = pd.concat([drugs.head(half), drugs.tail(half)]) if cut else drugs
    # One empty slot marks where drugs are left out.
    place = np.arange(len(shown)) + np.where(cut & (np.arange(len(shown)) >= half), 1.0, 0.0)

    figure = Figure(figsize=(8, 1.9 + 0.27 * (len(shown) + cut)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.barh(place - 0.19, shown["rmse"], 0.38, color=BLUE, label=model_name)
    axes.barh(place + 0.19, shown["rmse_naive"], 0.38, color="white", edgecolor=GREY, hatch="////", label=naive_name)
    names = drug_names or {}
    stars = ["" if seen else " *" for seen in shown["drug_seen"]]
    labels = [short(names.get(drug, drug)) + star for drug, star in zip(shown["drug_id"], stars, strict=True)]
    axes.set_yticks(place, labels)
    axes.set_ylim(place[-1] + 0.7, -0.7)
    axes.set_xlabel("RMSE within the drug, −log₁₀ IC50 (µM)", fontsize=LABEL)
    axes.xaxis.grid(color="0.9")
    axes.set_axisbelow(True)
    if cut:
        axes.text(0.01, half, f"… {total - MAX_BARS} drugs between …", va="center", fontsize=TICK, style="italic")
    notes = [f"{model_name} is better for {better} of {total} drugs"]
    notes += [f"shown: the {half} best and the {half} worst differences"] if cut else []
    notes += [] if shown["drug_seen"].all() else ["* drug without training labels in the source"]
    axes.set_title("\n".join(notes), fontsize=LABEL, loc="left")
    across = 2 if len(model_name) + len(naive_name) < 70 else 1
    figure.legend(loc="outside lower center", ncols=across, frameon=False, fontsize=TICK)
    finish(figure, [axes], path)


def loss_curves(history: pd.DataFrame, path: Path, best_epoch: int | None = None) -> None:
    """Writes a PNG of the training curves: losses, validation RMSE, and the domain discriminator where there is one.

    Args:
        history: One row per epoch: ``epoch``, from 0 (drawn from 1), and columns such as ``train/mse``,
            ``train/domain_loss``, ``train/domain_accuracy``, ``train/lambda``, ``val/source/rmse``. Missing values are
            skipped, a panel without a column is left out, columns of other kinds are not drawn.
        path: Where to write.
        best_epoch: The epoch, from 0, whose weights were kept; marked where given.

    Raises:
        SchemaError: There is no ``epoch`` column, or nothing to draw.
    """
    if "epoch" not in history.columns:
        raise SchemaError("A training history needs an 'epoch' column.")
    filled = [str(name) for name in history.columns if name != "epoch" and history[name].notna().any()]
    panels = {
        "Training loss (labels are scaled)": [name for name in filled if _LOSS.search(name)],
        "Validation RMSE, −log₁₀ IC50 (µM)": [name for name in filled if _VALIDATION_RMSE.search(name)],
        "Domain discriminator": [name for name in filled if _DOMAIN.search(name)],
    }
    panels = {heading: names for heading, names in panels.items() if names}
    if not panels:
        raise SchemaError(f"The training history has no curve to draw; its columns are {examples(history.columns, 8)}.")
    figure = Figure(figsize=(1 + 4.6 * len(panels), 4.4), dpi=DPI, layout="constrained")
    drawn = []
    for number, (heading, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        _draw_curves(axes, history, names)
        if best_epoch is not None:
            kept = best_epoch + 1
            axes.axvline(kept, color=GREY, linestyle=":", linewidth=1.5, label=f"epoch kept ({kept})", zorder=1)
        axes.set_title(heading, fontsize=LABEL)
        axes.set_xlabel("Epoch", fontsize=LABEL)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=TICK - 1)
        drawn.append(axes)
    finish(figure, drawn, path)


def _draw_measured(free: pd.DataFrame, panel: Axes, limits: tuple[float, float], across: int) -> list[PolyCollection]:
    """Uncensored pairs in hexagons under the line y = x; returns the hexagons, if there are any."""
    panel.set_xlim(*limits)
    panel.set_ylim(*limits)
    panel.tick_params(labelleft=False)
    panel.set_xlabel("Measured −log₁₀ IC50 (µM)", fontsize=LABEL)
    panel.plot(limits, limits, color=VERMILION, linewidth=1.5, linestyle="--", label="predicted = measured")
    panel.xaxis.set_major_locator(MaxNLocator(6))
    if free.empty:
        return []
    true, pred = free["y_true"].to_numpy(), free["y_pred"].to_numpy()
    return [panel.hexbin(true, pred, gridsize=across, extent=(*limits, *limits), mincnt=1, cmap=COUNTS, linewidths=0)]


def _draw_capped(capped: pd.DataFrame, strip: Axes, limits: tuple[float, float]) -> None:
    """Histogram of what was predicted where only a cap was measured, on the vertical axis of the panel."""
    strip.set_ylim(*limits)
    strip.set_xticks([])
    strip.set_title(f"Capped\nn = {len(capped):,}", fontsize=LABEL)
    if capped.empty:
        return
    counts, edges = np.histogram(capped["y_pred"], bins=np.linspace(*limits, 61))
    strip.stairs(counts, edges, orientation="horizontal", fill=True, color=ORANGE)
    strip.invert_xaxis()
    caps = capped["y_true"].unique()
    if len(caps) == 1:
        strip.axhline(caps[0], color="black", linewidth=1.5)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
        anchor = strip.get_yaxis_transform()
        strip.text(0.06, caps[0] + 0.015 * (limits[1] - limits[0]), "cap", transform=anchor, fontsize=TICK, bbox=box)


def _draw_key(figure: Figure, key: Axes, hexagons: Sequence[PolyCollection]) -> None:
    """One colour scale for all panels, so that equal colours are equal counts."""
    if not hexagons:
        key.set_axis_off()
        return
    most = max(2.0, *(float(np.max(np.asarray(cells.get_array()))) for cells in hexagons))
    for cells in hexagons:
        cells.set_norm(LogNorm(1, most))
    bar = figure.colorbar(hexagons[0], cax=key, ticks=LogLocator(subs=(1, 2, 5)), format=StrMethodFormatter("{x:,.0f}"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.set_label("Uncensored pairs per hexagon", fontsize=LABEL)


def _scores(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "no pairs"
    scores = regression_metrics(frame["y_true"], frame["y_pred"])
    r2 = "–" if np.isnan(scores.r2) else f"{scores.r2:.3f}"
    return f"RMSE {scores.rmse:.3f}   R² {r2}   n = {scores.n:,} with capped"


def short(name: str, limit: int = 34) -> str:
    """The name, cut to ``limit`` letters."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _draw_curves(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    # Colour and dash both change from curve to curve: one that lies on another leaves it to be seen.
    styles = zip(names, cycle((BLUE, VERMILION, GREEN, PURPLE, ORANGE)), cycle(("-", "--", "-.")), strict=False)
    values = history[list(names)].to_numpy(dtype=np.float64)
    for name, colour, dash in styles:
        points = history[["epoch", name]].dropna()
        axes.plot(points["epoch"] + 1, points[name], color=colour, linestyle=dash, marker="o", markersize=4, label=name)
    low, high = np.nanmin(values), np.nanmax(values)
    if low > 0 and high > 20 * low:
        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis)
    if all(_DOMAIN.search(name) for name in names) and low >= 0 and high <= 1:
        axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="0.92")


def plain_log_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis (0.5, 1, 2, 5), not powers of ten; call it when its limits are set."""
    low, high = axis.get_view_interval()
    decades = abs(math.log10(high / low)) if low > 0 else math.inf
    steps = (1,) if decades > 3.5 else (1, 2, 5) if decades > 0.7 else range(1, 10)
    axis.set_major_locator(MaxNLocator(4) if decades < 0.3 else LogLocator(subs=steps, numticks=99))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def finish(figure: Figure, axes: Sequence[Axes], path: Path) -> None:
    """Gives all axes the same look and writes the PNG."""
    for each in axes:
        each.tick_params(labelsize=TICK)
        each.spines[["top", "right"]].set_visible(False)
    # Without the drawing software's version the file depends on the data alone. ``savefig`` would draw everything twice.
    canvas = FigureCanvasAgg(figure)
    write_atomically(path, lambda temporary: canvas.print_png(temporary, metadata={"Software": None}))

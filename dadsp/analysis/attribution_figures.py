"""Pictures of attributions: top genes per line, how stable they are, and the drug's atoms.

They look like those of ``dadsp.evaluation.figures``. Orange raises the predicted potency and blue lowers it, and a sign or a
direction says the same.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import imread
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from dadsp.analysis.drug_attribution import AtomAttributions
from dadsp.evaluation.figures import BLUE, DPI, GREY, LABEL, TICK, TITLE, VERMILION, finish, short

ATTRIBUTION = "Attribution, −log₁₀ IC50 (µM)"
DIVERGING = LinearSegmentedColormap.from_list("attribution", [BLUE, "#F2F2F2", VERMILION])
LIGHT = "#C9C9C9"
MAX_LINES = 6  # panels in the figure of top genes
ACROSS = 3
MOLECULE_PIXELS = (1500, 1050)
ATOMS_WITH_NUMBERS = 6


def top_genes_figure(top: pd.DataFrame, potency: Sequence[float], path: Path, title: str, called: Mapping[str, str]) -> None:
    """Writes a PNG of the top genes of the first lines, as bars from the line's largest attribution down.

    Args:
        top: What ``dadsp.analysis.gene_rankings.top_genes`` gave, with a column ``named``: what the gate lets through.
        potency: Predicted potency of each line, in its order.
        path: Where to write.
        title: Stands above the figure.
        called: What people call each line, by its id.
    """
    lines = [(name, genes) for name, genes in top.groupby("cell_id", sort=False)][:MAX_LINES]
    n_genes = max(len(genes) for _, genes in lines)
    across = min(ACROSS, len(lines))
    down = -(-len(lines) // across)
    figure = Figure(figsize=(1 + 3.7 * across, 1.4 + down * (1.3 + 0.3 * n_genes)), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(down, across, sharex=True, squeeze=False)).ravel()
    for panel, (name, genes), predicted in zip(panels, lines, potency, strict=False):
        values = genes["attribution"].to_numpy()
        place = np.arange(len(genes))
        named = genes["named"].to_numpy(dtype=bool)
        panel.barh(place, values, 0.7, color=np.where(~named, LIGHT, np.where(values > 0, VERMILION, BLUE)))
        panel.set_yticks(place, [short(gene, 18) for gene in genes["gene"]])
        for label, bold in zip(panel.get_yticklabels(), named, strict=True):
            label.set(color="black" if bold else GREY, fontweight="bold" if bold else "normal")
        panel.set_ylim(n_genes - 0.4, -0.6)
        panel.axvline(0, color=GREY, linewidth=1)
        panel.set_title(f"{short(called[str(name)])}\npredicted " + f"{predicted:.2f}".replace("-", "−"), fontsize=LABEL)
        panel.tick_params(labelbottom=True)
        panel.locator_params(axis="x", nbins=5)
    for panel in panels[len(lines) :]:
        panel.set_axis_off()
    told = "Bold and coloured: above the null of the gate; grey: not" if len(lines) > 1 else "Grey: not above the null"
    axis = f"← less sensitive      {ATTRIBUTION}      more sensitive →"
    figure.supxlabel(f"{axis if len(lines) > 1 else ATTRIBUTION}\n{told}", fontsize=LABEL)
    left_out = top["cell_id"].nunique() - len(lines)
    figure.suptitle(
        title + (f" ({left_out} more lines in the table)" if left_out else ""), fontsize=TITLE, fontweight="bold"
    )
    finish(figure, list(panels), path)


def stability_figure(overlaps: pd.DataFrame, chance: float, baseline: str, path: Path, title: str) -> None:
    """Writes a PNG of how alike attributions are between baselines, runs, and the model and shuffled weights.

    Args:
        overlaps: Rows of ``dadsp.analysis.gene_rankings.overlaps``.
        chance: Jaccard index of two random sets of top genes.
        baseline: Of the attributions that all others are compared with.
        path: Where to write.
        title: Stands above the figure.
    """
    labels = overlaps["comparison"] + ": " + overlaps["other"]
    names = list(dict.fromkeys(labels))
    figure = Figure(figsize=(11, 2.1 + 0.45 * len(names)), dpi=DPI, layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
    columns = {"spearman": "Spearman correlation of attributions", "jaccard": "Top genes in common (Jaccard)"}
    for panel, (column, heading) in zip(panels, columns.items(), strict=True):
        for row, name in enumerate(names):
            values = overlaps.loc[labels == name, column]
            panel.plot(values, np.full(len(values), row), "o", color=BLUE, alpha=0.45, markersize=6, markeredgewidth=0)
            panel.plot(values.mean(), row, "|", color="black", markersize=18, markeredgewidth=2)
        panel.axvline(0 if column == "spearman" else chance, color=GREY, linestyle="--", linewidth=1.2)
        panel.set_xlabel(heading, fontsize=LABEL)
        panel.set_xlim(-0.6 if column == "spearman" else -0.03, 1.03)
        panel.xaxis.grid(color="0.92")
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(names)), [short(name, 44) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    key = f"Each compared with the run's attributions from {baseline}. Circle: one line; bar: mean; dashed: chance"
    figure.supxlabel(key, fontsize=TICK, color=GREY)
    finish(figure, panels, path)


def atoms_figure(atoms: AtomAttributions, path: Path, title: str) -> None:
    """Writes a PNG of the molecule with its atoms coloured by attribution, the largest with their numbers.

    Args:
        atoms: Attributions of the atoms.
        path: Where to write.
        title: Stands above the figure.
    """
    largest = float(np.abs(atoms.values).max()) or 1.0
    scale = Normalize(-largest, largest)
    figure = Figure(figsize=(8.6, 6.4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(_drawn(atoms, scale), interpolation="antialiased")
    axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(scale, DIVERGING), ax=axes, shrink=0.8, pad=0.02)
    bar.set_label(f"← lowers      {ATTRIBUTION}      raises →", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    figure.suptitle(title, fontsize=TITLE, fontweight="bold")
    total = f"Sum over atoms {atoms.values.sum():+.2f}; a drug without any substructure is the baseline"
    figure.supxlabel(total, fontsize=TICK, color=GREY)
    finish(figure, [axes], path)


def _drawn(atoms: AtomAttributions, scale: Normalize) -> np.ndarray:
    """The molecule as an image, shape (height, width, channels)."""
    molecule = Chem.Mol(atoms.molecule)
    for row in np.argsort(-np.abs(atoms.values), kind="stable")[:ATOMS_WITH_NUMBERS]:
        if atoms.values[row]:
            molecule.GetAtomWithIdx(int(row)).SetProp("atomNote", f"{atoms.values[row]:+.2g}")
    rows = range(molecule.GetNumAtoms())
    colours = {row: DIVERGING(scale(atoms.values[row]))[:3] for row in rows}
    drawer = rdMolDraw2D.MolDraw2DCairo(*MOLECULE_PIXELS)
    options: Any = drawer.drawOptions()
    options.useBWAtomPalette()
    options.annotationFontScale = 0.6
    options.padding = 0.06
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule, highlightAtoms=list(rows), highlightAtomColors=colours)
    drawer.FinishDrawing()
    image: np.ndarray = imread(BytesIO(drawer.GetDrawingText()), format="png")
    return image

"""Figures of explanations hold what they were given; their look is judged by eye."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dadsp.analysis.attribution_figures import LIGHT, atoms_figure, stability_figure, top_genes_figure
from dadsp.analysis.drug_attribution import atom_attributions
from dadsp.analysis.enrichment import over_representation
from dadsp.analysis.enrichment_figures import dot_plot
from dadsp.analysis.gene_rankings import overlaps, top_genes
from dadsp.drugs.morgan import Morgan

GENES = [f"GENE{number}" for number in range(30)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been saved during a test."""
    figures: list[Figure] = []
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, *args, **kwargs: figures.append(canvas.figure))
    return figures


def values(n_lines: int) -> np.ndarray:
    return np.random.default_rng(n_lines).normal(size=(n_lines, len(GENES))).astype(np.float32)


def test_top_genes_have_a_panel_per_line_and_the_rest_are_counted(drawn: list[Figure], tmp_path: Path) -> None:
    of_lines = values(8)
    table = top_genes(of_lines, [f"L{row}" for row in range(8)], GENES, of_lines, of_lines[0], 5)
    table["named"] = table["rank"] == 2
    called = {f"L{row}": "HELA" if row == 1 else f"L{row}" for row in range(8)}
    top_genes_figure(table, [1.25] * 8, tmp_path / "top.png", "a drug", called)
    (figure,) = drawn
    assert "(2 more lines in the table)" in figure.get_suptitle()
    assert [axes.get_title() for axes in figure.axes] == [f"{called[f'L{row}']}\npredicted 1.25" for row in range(6)]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == table.query("cell_id == 'L0'")["gene"].tolist()
    colours = [to_hex(bar.get_facecolor()).upper() for bar in figure.axes[0].patches]
    assert [colour == LIGHT for colour in colours] == [True, False, True, True, True]


def test_agreement_has_a_row_per_comparison(drawn: list[Figure], tmp_path: Path) -> None:
    a, b = values(2), values(2)[::-1]
    table = pd.concat([overlaps("run", "seed 2", a, b, ["A", "B"], 5), overlaps("weights", "shuffled", a, b, ["A", "B"], 5)])
    stability_figure(table, 0.1, "zero", tmp_path / "agreement.png", "a drug")
    (figure,) = drawn
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["run: seed 2", "weights: shuffled"]
    assert "from zero" in figure.get_supxlabel()


def test_dot_plot_leaves_out_sets_without_a_hit(drawn: list[Figure], tmp_path: Path) -> None:
    sets = {"WITH_HITS": frozenset(GENES[:6]), "WITHOUT": frozenset(GENES[20:])}
    table = over_representation(GENES[:5], GENES, sets).assign(genes_of="L1")
    dot_plot(table, tmp_path / "dots.png", "a drug", {"L1": "MCF-7"})
    (figure,) = drawn
    assert figure.axes[0].get_title() == "MCF-7"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["WITH HITS"]
    ((x, y),) = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert (x, y) == (5 / 5, 0)


def test_dot_plot_counts_the_lines_it_leaves_out(drawn: list[Figure], tmp_path: Path) -> None:
    table = over_representation(GENES[:5], GENES, {"SET": frozenset(GENES[:6])})
    lists = [table.assign(genes_of=name) for name in ("mean over lines", *(f"L{row}" for row in range(5)))]
    dot_plot(pd.concat(lists, ignore_index=True), tmp_path / "d.png", "a drug", {})
    assert drawn[0].axes[0].get_title() == "mean over lines"
    assert drawn[0].get_suptitle() == "a drug (2 more lines in the table)"


def test_dot_plot_without_any_hit_is_drawn_empty(drawn: list[Figure], tmp_path: Path) -> None:
    table = over_representation(GENES[:5], GENES, {"WITHOUT": frozenset(GENES[20:])}).assign(genes_of="L1")
    dot_plot(table, tmp_path / "dots.png", "a drug", {})
    assert "no gene set holds a critical gene" in drawn[0].axes[0].get_title()


def test_molecule_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dadsp.analysis.attribution_figures.MOLECULE_PIXELS", (120, 90))
    monkeypatch.setattr("dadsp.analysis.attribution_figures.DPI", 40)
    of_bits = np.linspace(-1, 1, 256, dtype=np.float32)
    atoms_figure(atom_attributions(Morgan(), "CCO", "ethanol", of_bits), tmp_path / "atoms.png", "ethanol")
    assert (tmp_path / "atoms.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

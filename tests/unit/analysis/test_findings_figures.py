"""Figures of missing pairs and feature space hold what they were given, and nothing runs off the page."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dadsp.analysis.embedding_figures import maps_figure
from dadsp.analysis.missing_pairs import rank_drugs
from dadsp.analysis.missing_pairs_figures import coverage_figure, ranking_figure
from tests.support.studies import small_screen

LONG = "DADSP-A⁻ [drug_features=SimilarityProfile] (oracle selection)\nunmeasured pairs of a screen"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been saved during a test."""
    figures: list[Figure] = []
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, *args, **kwargs: figures.append(canvas.figure))
    return figures


def fits(figure: Figure) -> bool:
    """Whether everything drawn lies on the canvas, give or take two pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, slack = figure.get_tightbbox(canvas.get_renderer()), 2 / figure.dpi
    width, height = figure.get_size_inches()
    return bool(box.x0 >= -slack and box.y0 >= -slack and box.x1 <= width + slack and box.y1 <= height + slack)


def missing(n_drugs: int) -> pd.DataFrame:
    drug = np.repeat(np.arange(n_drugs), 9)
    return pd.DataFrame(
        {
            "drug_id": [f"D{row}" for row in drug],
            "drug_name": ["twice" if row < 2 else f"a drug with rather a long name {row}" for row in drug],
            "ic50_um": 10.0 ** (drug / 4 - 3) * np.tile(np.linspace(1, 2, 9), n_drugs),
            "ic50_um_low": 10.0 ** (drug / 4 - 4) * np.tile(np.linspace(1, 2, 9), n_drugs),
            "ic50_um_high": 10.0 ** (drug / 4 - 2) * np.tile(np.linspace(1, 2, 9), n_drugs),
            "drug_seen": drug != 1,
            "drug_measured": drug != 2,
            "applicability": "inside",
        }
    )


def test_ranking_shows_both_ends_counts_the_rest_and_marks_drugs(drawn: list[Figure], tmp_path: Path) -> None:
    pairs = missing(12)
    screen = small_screen("SRC", n_cells=3, n_drugs=2, n_genes=2, seed=0)
    ranking_figure(pairs, rank_drugs(pairs), screen, tmp_path / "r.png", LONG, top=3)
    (figure,) = drawn
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["twice (D0)", "twice (D1) *"]
    assert labels[2].startswith("a drug with rather a long name")
    assert labels[2].endswith(" †")
    assert len(labels) == 6
    assert "… 6 drugs between …" in [text.get_text() for text in axes.texts]
    assert [text.get_text() for text in axes.texts].count("9") == 6  # lines of each drug
    assert axes.get_title(loc="left").splitlines()[1:] == ["* no training labels", "† never measured in SRC"]
    assert fits(figure)


def test_all_drugs_are_shown_where_they_are_few(drawn: list[Figure], tmp_path: Path) -> None:
    pairs = missing(6)
    screen = small_screen("SRC", n_cells=3, n_drugs=2, n_genes=2, seed=0)
    ranking_figure(pairs, rank_drugs(pairs), screen, tmp_path / "r.png", LONG, top=3)
    assert len(drawn[0].axes[0].get_yticklabels()) == 6
    assert not [text for text in drawn[0].axes[0].texts if "between" in text.get_text()]


def test_ranking_shows_the_interval_behind_the_points_and_plain_numbers(drawn: list[Figure], tmp_path: Path) -> None:
    pairs = missing(6)
    pairs.loc[pairs["drug_id"] == "D3", "ic50_um_low"] = 0.0  # of this drug nothing is claimed
    screen = small_screen("SRC", n_cells=3, n_drugs=2, n_genes=2, seed=0)
    ranking_figure(pairs, rank_drugs(pairs), screen, tmp_path / "r.png", LONG, top=3, level=0.8)
    (axes,) = drawn[0].axes
    (band,) = [each for each in axes.collections if "80 % interval" in str(each.get_label())]
    rows = [0, 1, 2, 4, 5]
    middle = 1.5  # the median of nine lines from 1 to 2
    expected = [[[10 ** (row / 4 - 4) * middle, row], [10 ** (row / 4 - 2) * middle, row]] for row in rows]
    np.testing.assert_allclose(np.array([path.vertices for path in band.get_paths()], dtype=float), np.array(expected))
    ticks = [axes.xaxis.get_major_formatter()(value) for value in axes.get_xticks()]
    assert {"0.001", "0.01", "0.1"} <= set(ticks)
    assert not axes.get_legend()
    assert "80 % interval" in drawn[0].legends[0].get_texts()[0].get_text()


@pytest.mark.parametrize("known", [True, False])
def test_coverage_draws_the_source_only_where_it_is_known(drawn: list[Figure], tmp_path: Path, known: bool) -> None:
    nominal = np.array([0.5, 0.8, 0.9])
    source = nominal if known else np.full(3, np.nan)
    frame = pd.DataFrame({"nominal": nominal, "source": source, "target": nominal - 0.2})
    frame = frame.assign(source_low=source - 0.05, source_high=source + 0.05)
    coverage_figure(frame, tmp_path / "c.png", LONG, "GDSC", "CCLE")
    assert len(drawn[0].axes[0].lines) == (3 if known else 2)
    assert drawn[0].axes[0].get_legend() is None  # it would cover the curves
    assert len(drawn[0].legends[0].get_texts()) == (3 if known else 2)
    assert fits(drawn[0])


def test_maps_count_screens_and_the_seven_commonest_tissues(drawn: list[Figure], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tissues = [None, *(f"T{number}" for number in range(9) for _ in range(10 - number))]
    frame = pd.DataFrame(random.normal(size=(len(tissues), 4)), columns=["x_before", "y_before", "x_after", "y_after"])
    domain = np.where(np.arange(len(frame)) < 20, "source", "target")
    frame = frame.assign(
        tissue=np.array(tissues, dtype=object), domain=domain, screen=np.where(domain == "source", "GDSC", "CCLE")
    )
    maps_figure(frame, tmp_path / "m.png", LONG)
    (figure,) = drawn
    legends = [axes.get_legend_handles_labels()[1] for axes in figure.axes[2:]]
    assert legends[0] == ["GDSC, source (20)", f"CCLE, target ({len(frame) - 20})"]
    rest = 1 + 3 + 2
    assert legends[1] == [f"another tissue, or unknown ({rest})", *(f"T{number} ({10 - number})" for number in range(7))]
    assert fits(figure)

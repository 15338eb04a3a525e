"""Figures are written as PNG and show every system; their look is judged by eye."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dadsp.singledrug.figures import accuracy_against_time, mse_per_drug
from dadsp.singledrug.report import LABELS, results_frame

GROWN = ("network", "network_compressed")


def results(accuracy: float | None = 0.6) -> list[dict[str, Any]]:
    rows = [
        {"method": method, "gene_set": "selected", "selection_scope": scope, "mse": 0.5 + place, "accuracy": accuracy}
        | {"selection_s": 1.0, "search_s": 0.0, "fit_s": 2.0, "predict_ms_per_line": 0.2}
        for place, method in enumerate(LABELS)
        for scope in ("train", "all_oracle")
    ]
    rows += [row | {"architecture": "growth"} for row in rows if row["method"] in GROWN]
    shared = {"repeat": 0, "split_hash": "", "n_train": 7, "n_test": 3, "threshold_scope": "train", "rows": rows}
    return [{"drug_id": drug, **shared} for drug in ("A", "B", "C")]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been saved during a test."""
    figures: list[Figure] = []
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, *args, **kwargs: figures.append(canvas.figure))
    return figures


def test_figures_are_png_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dadsp.singledrug.figures.DPI", 40)
    frame = results_frame(results())
    mse_per_drug(frame, "ActArea", tmp_path / "mse.png")
    accuracy_against_time(frame, tmp_path / "time.png")
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_every_system_has_a_look_of_its_own_and_oracle_ones_are_hollow(drawn: list[Figure], tmp_path: Path) -> None:
    mse_per_drug(results_frame(results()), "ActArea", tmp_path / "mse.png")
    lines = {str(line.get_label()): line for line in drawn[0].axes[0].get_lines()}
    labels = [*LABELS.values(), *(f"grown {LABELS[method]}" for method in GROWN)]
    assert set(lines) == {*labels, *(f"{label}, oracle selection" for label in labels)}
    looks = {(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in lines.values()}
    assert len(looks) == len(lines)
    assert all((line.get_markerfacecolor() == "none") == ("oracle" in label) for label, line in lines.items())


def test_drugs_are_ordered_by_the_error_of_the_first_system(drawn: list[Figure], tmp_path: Path) -> None:
    given = results()
    for result, mse in zip(given, (3.0, 1.0, 2.0), strict=True):
        result["rows"] = [{**result["rows"][0], "mse": mse}]
    mse_per_drug(results_frame(given), "ActArea", tmp_path / "mse.png")
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["B", "C", "A"]


def test_training_time_adds_selection_search_and_fit(drawn: list[Figure], tmp_path: Path) -> None:
    accuracy_against_time(results_frame(results()), tmp_path / "time.png")
    training, inference = drawn[0].axes
    for axes, expected in ((training, 3.0), (inference, 0.2)):
        assert np.allclose(np.concatenate([line.get_xdata() for line in axes.get_lines()]), expected)


def test_drugs_without_classes_leave_an_empty_figure(tmp_path: Path, drawn: list[Figure]) -> None:
    accuracy_against_time(results_frame(results(accuracy=None)), tmp_path / "time.png")
    assert len(drawn) == 1

"""Figures are written as PNG of the expected size and say what they left out; their look is judged by eye.

Pixels take most of the time, so tests that read a figure's text and axes keep the figure and do not paint it.
"""

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dadsp.errors import SchemaError
from dadsp.evaluation.figures import loss_curves, per_drug_bars, plain_log_ticks, predicted_vs_measured
from dadsp.evaluation.metrics import evaluate
from dadsp.schema import PredictionTable


def table_of(n_drugs: int, n_cells: int = 12, error: float = 0.4, cap: float = -0.9) -> PredictionTable:
    rng = np.random.default_rng(5)
    cell, drug = np.divmod(np.arange(n_cells * n_drugs), n_drugs)
    latent = rng.normal(-0.5, 0.8, len(cell))
    # The error grows with the drug's number, so that the order of the bars is known.
    pred = latent + error * (1 + drug) / n_drugs * rng.choice([-1, 1], len(cell))
    frame = pd.DataFrame(
        {"cell_id": cell.astype(str), "drug_id": [f"d{i:03}" for i in drug], "domain": "target", "split": "test"}
        | {"y_true": np.maximum(latent, cap), "y_pred": pred, "censored": latent <= cap}
        | {"cell_seen": True, "drug_seen": drug % 3 > 0, "pair_seen": False}
    )
    return PredictionTable(frame)


DPI = 40


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pixels, for speed; the layout in points is the same."""
    monkeypatch.setattr("dadsp.evaluation.figures.DPI", DPI)


def png_size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    return width, height


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been saved during a test."""
    figures: list[Figure] = []
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, *args, **kwargs: figures.append(canvas.figure))
    return figures


def titles(figure: Figure) -> str:
    return "\n".join(axes.get_title() + axes.get_title(loc="left") for axes in figure.axes)


def test_predictions_are_painted_as_png(tmp_path: Path) -> None:
    predicted_vs_measured(table_of(9), tmp_path / "new" / "scatter.png", "A title")
    assert png_size(tmp_path / "new" / "scatter.png") == (round(11.5 * DPI), round(5.6 * DPI))


def test_predictions_are_drawn_with_the_scores_of_each_side(tmp_path: Path, drawn: list[Figure]) -> None:
    table = table_of(9)
    predicted_vs_measured(table, tmp_path / "scatter.png", "A title")
    strata = evaluate(table).strata
    text = titles(drawn[0])
    assert f"RMSE {strata['drug_seen'].rmse:.3f}   R² {strata['drug_seen'].r2:.3f}   n = 72" in text
    assert f"RMSE {strata['drug_unseen'].rmse:.3f}   R² {strata['drug_unseen'].r2:.3f}   n = 36" in text
    capped = table.frame[table.frame["censored"]]["drug_seen"]
    assert [f"Capped\nn = {count}\n" in text for count in (capped.sum(), (~capped).sum())] == [True, True]


def test_both_sides_share_their_axes(tmp_path: Path, drawn: list[Figure]) -> None:
    predicted_vs_measured(table_of(3), tmp_path / "scatter.png", "A title")
    seen, unseen = drawn[0].axes[1], drawn[0].axes[3]
    assert seen.get_xlim() == seen.get_ylim() == unseen.get_xlim() == unseen.get_ylim() == drawn[0].axes[0].get_ylim()


def test_a_side_without_pairs_is_drawn_empty(tmp_path: Path, drawn: list[Figure]) -> None:
    table = table_of(9)
    predicted_vs_measured(table.where(table.frame["drug_seen"]), tmp_path / "scatter.png", "All seen")
    assert "Drug unseen in the source\nno pairs" in titles(drawn[0])


def test_constant_predictions_and_only_capped_labels_are_drawn(tmp_path: Path) -> None:
    table = table_of(9)
    frame = table.frame[table.frame["censored"]].assign(y_pred=-0.9)
    predicted_vs_measured(PredictionTable(frame), tmp_path / "scatter.png", "Constant")
    assert png_size(tmp_path / "scatter.png")[0] > 0


def test_no_predictions_are_refused(tmp_path: Path) -> None:
    table = table_of(3)
    with pytest.raises(SchemaError, match="no predictions"):
        predicted_vs_measured(table.where(np.zeros(len(table), dtype=bool)), tmp_path / "scatter.png", "None")
    assert not list(tmp_path.iterdir())


def test_bars_are_ordered_by_gain_and_mark_unseen_drugs(tmp_path: Path, drawn: list[Figure]) -> None:
    model, naive = evaluate(table_of(4, error=0.1, cap=-9)), evaluate(table_of(4, error=0.8, cap=-9))
    names = {"d003": "Nilotinib"}
    per_drug_bars(model, naive, tmp_path / "bars.png", model_name="DADSP-A", naive_name="naive", drug_names=names)
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["Nilotinib *", "d002", "d001", "d000 *"]
    assert "DADSP-A is better for 4 of 4 drugs" in titles(drawn[0])


def test_bars_are_painted_as_png(tmp_path: Path) -> None:
    scores = evaluate(table_of(4))
    per_drug_bars(scores, scores, tmp_path / "bars.png", model_name="DADSP-A", naive_name="naive")
    assert png_size(tmp_path / "bars.png") == (8 * DPI, int((1.9 + 4 * 0.27) * DPI))


def test_more_than_forty_drugs_are_cut_to_both_ends_and_the_figure_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    model, naive = evaluate(table_of(45, 4, 0.1, cap=-9)), evaluate(table_of(45, 4, 0.8, cap=-9))
    per_drug_bars(model, naive, tmp_path / "bars.png", model_name="DADSP-A", naive_name="naive")
    axes = drawn[0].axes[0]
    labels = [label.get_text().removesuffix(" *") for label in axes.get_yticklabels()]
    assert labels == [f"d{i:03}" for i in (*range(44, 24, -1), *range(19, -1, -1))]
    assert "the 20 best and the 20 worst differences" in titles(drawn[0])
    assert "… 5 drugs between …" in [text.get_text() for text in axes.texts]


def test_bars_of_systems_without_common_drugs_are_refused(tmp_path: Path) -> None:
    table = table_of(6)
    first = table.frame["drug_id"] < "d003"
    with pytest.raises(SchemaError, match="no drug in common"):
        per_drug_bars(
            evaluate(table.where(first)),
            evaluate(table.where(~first)),
            tmp_path / "bars.png",
            model_name="DADSP-A",
            naive_name="naive",
        )


HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "train/mse": [1.0, 0.1, 0.01],
        "train/domain_loss": [0.7, 0.69, 0.7],
        "train/domain_accuracy": [0.5, 0.6, 0.5],
        "train/lambda": [0.0, 0.5, 0.9],
        "val/source/rmse": [1.2, np.nan, 1.1],
        "train/rmse": [1.0, 0.3, 0.1],
        "train/learning_rate": [1e-4, 1e-4, 1e-4],
        "val/target/rmse": [np.nan, np.nan, np.nan],
    }
)


def curves(figure: Figure) -> dict[str, list[str]]:
    return {axes.get_title(): [str(line.get_label()) for line in axes.lines] for axes in figure.axes}


def test_each_group_of_curves_has_its_panel(tmp_path: Path, drawn: list[Figure]) -> None:
    loss_curves(HISTORY, tmp_path / "loss.png", best_epoch=2)
    assert curves(drawn[0]) == {
        "Training loss (labels are scaled)": ["train/mse", "train/domain_loss", "epoch kept (3)"],
        "Validation RMSE, −log₁₀ IC50 (µM)": ["val/source/rmse", "epoch kept (3)"],
        "Domain discriminator": ["train/domain_accuracy", "train/lambda", "epoch kept (3)"],
    }


def test_absent_curves_leave_no_panel(tmp_path: Path, drawn: list[Figure]) -> None:
    loss_curves(HISTORY[["epoch", "train/mse"]].head(1), tmp_path / "loss.png")
    assert curves(drawn[0]) == {"Training loss (labels are scaled)": ["train/mse"]}


def test_a_curve_that_lies_on_another_leaves_it_to_be_seen(tmp_path: Path, drawn: list[Figure]) -> None:
    names = [f"train/part_{number}_loss" for number in range(15)]
    loss_curves(pd.DataFrame({"epoch": [0, 1]} | dict.fromkeys(names, 1.0)), tmp_path / "loss.png")
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].lines]
    assert len(set(looks)) == 15
    assert all(first[1] != second[1] for first, second in pairwise(looks))


def test_missing_epochs_of_a_curve_are_skipped_and_the_first_is_epoch_1(tmp_path: Path, drawn: list[Figure]) -> None:
    loss_curves(HISTORY, tmp_path / "loss.png")
    np.testing.assert_array_equal(drawn[0].axes[1].lines[0].get_xydata(), [[1, 1.2], [3, 1.1]])


@pytest.mark.parametrize("columns", [["epoch", "train/learning_rate"], ["train/mse"]])
def test_history_without_curves_or_epochs_is_refused(tmp_path: Path, columns: list[str]) -> None:
    with pytest.raises(SchemaError, match="history"):
        loss_curves(HISTORY[columns], tmp_path / "loss.png")


def test_curves_are_painted_to_the_same_bytes_from_the_same_data(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        loss_curves(HISTORY[["epoch", "train/mse"]], tmp_path / name, best_epoch=1)
    assert png_size(tmp_path / "a.png") == (round(5.6 * DPI), round(4.4 * DPI))
    assert b"Software" not in (tmp_path / "a.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.4, 12, ["0.5", "1", "2", "5", "10"]),
        (1.1, 4.5, ["2", "3", "4"]),
        (1e-3, 1e3, ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]),
        (2.1, 3.2, ["2.1", "2.4", "2.7", "3"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(low: float, high: float, expected: list[str]) -> None:
    axes = Figure().add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    plain_log_ticks(axes.xaxis)
    shown = [value for value in axes.get_xticks() if low <= value <= high]
    assert [axes.xaxis.get_major_formatter()(value) for value in shown] == expected
    assert not any(axes.xaxis.get_minor_formatter()(value) for value in axes.get_xticks(minor=True))


def test_the_legend_of_predicted_against_measured_covers_no_pair(tmp_path: Path, drawn: list[Figure]) -> None:
    predicted_vs_measured(table_of(9), tmp_path / "p.png", "a system")
    assert not any(axes.get_legend() for axes in drawn[0].axes)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["predicted = measured"]

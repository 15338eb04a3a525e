"""Figures call lines what people call them; files and tables keep their ids."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dadsp.analysis.design_figures import plates_figure
from dadsp.runs.prediction_figures import write_figures
from dadsp.schema import CellLines


def lines(*names: str | None) -> CellLines:
    ids = tuple(f"ACH-{number}" for number in range(3))
    return CellLines(ids, ids, (None,) * 3, np.zeros((3, 2), dtype=np.float32), names)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would have been saved during a test."""
    figures: list[Figure] = []

    def noted(canvas: FigureCanvasAgg, path: Path, **more: object) -> None:
        figures.append(canvas.figure)
        Path(path).touch()

    monkeypatch.setattr(FigureCanvasAgg, "print_png", noted)
    return figures


def test_a_line_is_called_by_its_name_and_by_its_id_where_that_is_needed() -> None:
    assert lines().called() == {"ACH-0": "ACH-0", "ACH-1": "ACH-1", "ACH-2": "ACH-2"}
    assert lines("HELA", None, "MCF7").called() == {"ACH-0": "HELA", "ACH-1": "ACH-1", "ACH-2": "MCF7"}
    assert lines("T24", "HELA", "T24").called([2, 1]) == {"ACH-2": "T24 (ACH-2)", "ACH-1": "HELA"}


def test_a_picture_of_predictions_is_headed_by_the_name_in_a_file_of_the_id(drawn: list[Figure], tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"cell_id": "ACH-0", "drug_id": ["A", "B"], "drug_name": ["a", "b"], "neg_log10_ic50_um": [1.0, 0.0]}
        | {"rank_in_cell": [1, 2]}
    )
    write_figures(frame, "a system", "unit", tmp_path, lines("HELA", None, None).called())
    assert drawn[0].get_suptitle() == "HELA\na system"
    assert (tmp_path / "ACH-0.png").is_file()


def test_wells_of_a_plate_name_lines_as_people_do(drawn: list[Figure], tmp_path: Path) -> None:
    pairs = pd.DataFrame(
        {"cell_id": ["ACH-0", "ACH-1"], "drug_name": "a", "plate": 1, "well": ["A1", "B2"], "order": [1, 2]}
    )
    plates_figure(pairs, 96, tmp_path / "plates.png", lines("HELA", None, None).called())
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["HELA\na", "ACH-1\na"]

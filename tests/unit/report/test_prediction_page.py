"""The page of predictions says what matters first, and stays small enough to be mailed."""

import pandas as pd
import pytest

from dadsp.report import prediction_page as module
from dadsp.report.document import Document, Section, Text
from dadsp.report.prediction_page import prediction_page


def predicted(lines: int = 3) -> pd.DataFrame:
    """Two drugs for each line; the last line is the most sensitive, to the second drug."""
    rows = [
        {"cell_id": f"l{line}", "drug_id": drug, "drug_name": drug, "neg_log10_ic50_um": potency, "ic50_um": 10.0**-potency}
        | {"low_90": potency - 1, "high_90": potency + 1, "rank_in_cell": rank, "verdict": verdict}
        | {"percentile_in_drug": 50.0, "percentile_among": "3 lines"}
        for line in range(lines)
        for drug, potency, rank, verdict in (("a", 0.0, 2, "outside"), ("b", 1.0 + line, 1, "inside"))
    ]
    return pd.DataFrame(rows)


def page_of(frame: pd.DataFrame) -> Document:
    return prediction_page(frame, "GP", [], None, lambda rows, narrow: b"", {"l2": "HeLa"})


def answer(section: Section) -> str:
    return " ".join(line for block in section.blocks if isinstance(block, Text) for line in block.lines)


def test_answer_names_the_most_sensitive_line_with_its_drugs_and_intervals() -> None:
    first = page_of(predicted()).sections[0]
    assert first.title == "Which drugs are the lines most sensitive to?"
    assert answer(first) == (
        "HeLa has the lowest predicted IC50 of 3 lines: b 0.001 µM (90 % interval 0.0001 to 0.01, inside); "
        "a 1 µM (90 % interval 0.1 to 10, outside). "
        "Of 6 predictions 3 lie inside, where intervals held, 0 at the edge, 3 outside of all that was tested."
    )


def test_without_intervals_the_answer_says_so() -> None:
    bare = predicted(1).drop(columns=["low_90", "high_90", "verdict"])
    first = page_of(bare).sections[0]
    assert first.title == "Which drugs is l0 most sensitive to?"
    assert answer(first) == "By predicted IC50: b 0.1 µM (no 90 % interval); a 1 µM (no 90 % interval)."


@pytest.mark.parametrize(("most", "shown"), [(4, 2), (5, 2), (1, 1), (100, 3)])
def test_lines_have_sections_up_to_so_many_predictions(monkeypatch: pytest.MonkeyPatch, most: int, shown: int) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", most)
    page = page_of(predicted())
    assert [section.title for section in page.sections[2:]] == ["l0", "l1", "HeLa"][:shown]
    assert [note.rpartition(": ")[2] for note in page.notes] == ([str(3 - shown)] if shown < 3 else [])

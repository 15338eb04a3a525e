"""CSV tables: byte for byte those of pandas, but for texts that a spreadsheet would compute."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dadsp.cli
from dadsp.written_tables import without_formula, write_csv


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_compute_gets_an_apostrophe(mark: str, tmp_path: Path) -> None:
    text = f"{mark}cmd|' /C calc'!A0"
    frame = pd.DataFrame({"cell_id": [text, "A549"], text: [1.0, 2.0]}, index=pd.Index(["x", text], name="id"))
    write_csv(frame, tmp_path / "table.csv", index=True)
    again = pd.read_csv(tmp_path / "table.csv", index_col=0, dtype={"cell_id": str})
    assert again["cell_id"].tolist() == [f"'{text}".replace("\r", "\r"), "A549"]
    assert again.columns[1] == f"'{text}"
    assert again.index.tolist() == ["x", f"'{text}"]


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-7", "A549", "", "NCI-H23", "'=x"])
def test_numbers_and_names_stay_as_they_are(text: str) -> None:
    assert without_formula(text) == text


@pytest.mark.parametrize("sep", [",", "\t"])
@pytest.mark.parametrize("index", [False, True])
def test_other_tables_are_written_as_pandas_writes_them(sep: str, index: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wide = random.normal(size=500) * 10.0 ** random.integers(-20, 20, 500)
    rare = [0.0, -0.0, 1.0, 1e15, 1e16, 123456789.0, 1e-4, 9.9e-5, np.nan, np.inf, -np.inf, 0.1, 1e22, 5e-324]
    numbers = np.concatenate([wide, rare])
    text = ["plain", 'a "b"', "a,b", "a\tb", "a\nb", "ä", "", None]
    frame = pd.DataFrame(
        {
            "double": numbers,
            "single": np.clip(numbers, -1e38, 1e38).astype(np.float32),
            "whole": np.arange(len(numbers)),
            "truth": random.random(len(numbers)) < 0.5,
            "text": [text[row % len(text)] for row in range(len(numbers))],
            "mixed": [[1, True, None, "x", 1.0, np.nan][row % 6] for row in range(len(numbers))],
            "string": pd.array([["u", None][row % 2] for row in range(len(numbers))], dtype="string"),
        }
    )
    write_csv(frame, tmp_path / "table.csv", sep=sep, index=index)
    assert (tmp_path / "table.csv").read_bytes().decode() == frame.to_csv(sep=sep, index=index)
    write_csv(frame[["text"]], tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_bytes().decode() == frame[["text"]].to_csv(index=False)
    write_csv(frame[:0], tmp_path / "none.csv", sep=sep)
    assert (tmp_path / "none.csv").read_text() == frame[:0].to_csv(sep=sep, index=False)


def test_no_verb_writes_a_csv_table_in_another_way() -> None:
    for path in Path(str(dadsp.cli.__file__)).parent.rglob("*.py"):
        names = [node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        assert "to_csv" not in names, path

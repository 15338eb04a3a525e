"""Planted dose-response curves, as wells in files and as the screens that they belong to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dadsp.data.sources.response_file import ResponseFile

LADDER = (0.01, 0.0316, 0.1, 0.316, 1.0, 3.16, 10.0)
COLUMNS = {"cell_id": "line", "drug_id": "drug", "value": "viability", "dose": "dose"}
FIT = {"dose_unit": "um", "response": "viability"}


def viability(dose: Any, ec50: float, slope: float = 1.0, bottom: float = 0.0, top: float = 1.0) -> Any:
    return bottom + (top - bottom) / (1 + (np.asarray(dose, dtype=float) / ec50) ** slope)


def planted(ec50: Mapping[tuple[str, str], float], ladder: tuple[float, ...] = LADDER, **shape: Any) -> pd.DataFrame:
    """Wells without noise: line, drug, dose, viability."""
    rows = [
        (line, drug, dose, float(viability(dose, middle, **shape)))
        for (line, drug), middle in ec50.items()
        for dose in ladder
    ]
    return pd.DataFrame(rows, columns=["line", "drug", "dose", "viability"])


def some_lines(lines: int = 6, drugs: tuple[str, ...] = ("A", "B")) -> dict[tuple[str, str], float]:
    """EC50s from 0.05 to about 5 µM."""
    return {
        (f"L{line}", drug): 0.05 * 2.0 ** (line + 0.5 * number) for number, drug in enumerate(drugs) for line in range(lines)
    }


def file_of(folder: Path, wells: pd.DataFrame, name: str = "wells.csv", **options: Any) -> ResponseFile:
    """The wells written as CSV, with the options that read them."""
    wells.to_csv(folder / name, index=False)
    fit = {**FIT, **options.pop("fit", {})}
    columns = {**COLUMNS, **options.pop("columns", {})}
    return ResponseFile.model_validate({"path": str(folder / name), "columns": columns, "fit": fit, **options})


def screen_of(folder: Path, name: str, wells: pd.DataFrame, fit: Mapping[str, Any], measure: str = "ic50") -> dict[str, Any]:
    """A screen's files of these wells, and the options that read them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, drugs = sorted(wells["line"].unique()), sorted(wells["drug"].unique())
    random = np.random.default_rng(0)
    pd.DataFrame(random.normal(size=(len(lines), 4)), columns=list("WXYZ")).assign(line=lines).to_csv(
        folder / "expression.csv", index=False
    )
    smiles = ["CCO", "c1ccccc1", "CC(=O)O", "CCN"]
    pd.DataFrame({"drug": drugs, "smiles": smiles[: len(drugs)]}).to_csv(folder / "drugs.csv", index=False)
    wells.to_csv(folder / "wells.csv", index=False)
    return {
        "name": name,
        "expression": {"path": str(folder / "expression.csv"), "id_column": "line"},
        "responses": {"path": str(folder / "wells.csv"), "columns": COLUMNS, "measure": measure, "fit": {**FIT, **fit}},
        "drugs": {"path": str(folder / "drugs.csv"), "columns": {"drug_id": "drug", "smiles": "smiles"}},
    }

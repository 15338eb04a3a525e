"""CCLE's doses and activities refitted, against what the Broad published of the same curves."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.data.curves.table import fitted_table
from dadsp.data.sources.ccle import DrugData
from dadsp.data.tables import read_table

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "gdsc_ccle/ccle/CCLE_NP24.2009_Drug_data_2015.02.24.csv"
PUBLISHED = {"cell_id": "CCLE Cell Line Name", "drug_id": "Compound", "ic50": "IC50 (uM)", "area": "ActArea"}


@pytest.fixture(scope="module")
def table() -> Path:
    given = os.environ.get("DADSP_REAL_DATA")
    path = (Path(given) if given else CHECKOUT.parent / "shared" / "data") / NAME
    if not path.is_file():
        pytest.skip(f"CCLE's drug data are not here: {path} (set DADSP_REAL_DATA to the folder that holds gdsc_ccle)")
    return path


@pytest.mark.slow
def test_all_curves_are_refitted_in_time_and_agree_with_the_published(table: Path) -> None:
    fit = {"dose_unit": "um", "response": "activity_percent"}
    began = time.process_time()
    found = fitted_table(DrugData.model_validate({"path": str(table), "fit": fit}), Path())
    assert time.process_time() - began < 60  # takes some 6 s
    published = read_table(table, PUBLISHED, numbers=("ic50", "area"))
    both: pd.DataFrame = found.curves.merge(published, on=["cell_id", "drug_id"], validate="one_to_one")
    assert len(both) == 11_670
    reached = both[(both["ic50_relation"] == "") & (both["ic50"] < 8)]
    assert len(reached) > 5000
    assert np.median(np.abs(np.log10(reached["ic50_um"] / reached["ic50"]))) <= 0.04
    assert np.corrcoef(1 - both["auc"], both["area"])[0, 1] >= 0.97
    assert np.isfinite(both[["auc", "ic50_um", "rmse", "ec50_um"]].to_numpy()).all()
    assert both["auc"].between(0, 1).all()


def test_the_places_of_odd_wells_are_lines_of_the_file(table: Path, tmp_path: Path) -> None:
    rows = table.read_text(encoding="utf-8").splitlines()
    part = tmp_path / "part.csv"
    part.write_text("\n".join([rows[0], *rows[70:76]]) + "\n", encoding="utf-8")
    fit = {"dose_unit": "um", "response": "activity_percent"}
    notes = fitted_table(DrugData.model_validate({"path": str(part), "fit": fit}), Path()).notes
    (note,) = (note for note in notes if "with a viability outside" in note.what)
    line = int(note.examples.removeprefix("line "))
    activities = part.read_text(encoding="utf-8").splitlines()[line - 1].split('"')[3]
    assert max(map(float, activities.split(","))) > 100

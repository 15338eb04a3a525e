"""A study of native GDSC2 and CCLE files, against counts made here with csv alone."""

import csv
import gzip
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.configuration.compose import build, compose
from dadsp.data.describe import describe
from dadsp.data.sources.depmap import SampleInfo
from dadsp.data.sources.gdsc import ScreenedCompounds
from dadsp.schema import Screen, Study

CHECKOUT = Path(__file__).resolve().parents[2]
STRUCTURES = {"path": "gdsc_ccle/gdsc/drugs.csv", "columns": {"key": "DRUG_NAME", "smiles": "SMILES"}}
SCREENS = ["data=screens", "screen@data.source=gdsc2_native", "screen@data.target=ccle_native"]


@pytest.fixture(scope="module")
def root() -> Path:
    given = os.environ.get("DADSP_REAL_DATA")
    folder = Path(given) if given else CHECKOUT.parent / "shared" / "data"
    if not (folder / "native").is_dir() or not (folder / "gdsc_ccle").is_dir():
        pytest.skip(f"the native files are not here: {folder} holds no native and gdsc_ccle (set DADSP_REAL_DATA)")
    return folder


def _study(root: Path, *overrides: str) -> Study:
    study = build(compose("config", [*SCREENS, f"data.root={root}", *overrides]).data, "data")
    assert isinstance(study, Study)
    return study


@pytest.fixture(scope="module")
def study(root: Path) -> Study:
    return _study(root)


def _rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _first_column(path: Path) -> set[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {line.split(",")[0] for line in file} - {""}


def _count(screen: Screen, words: str) -> int:
    (note,) = [note for note in screen.notes if words in note.what]
    return note.count


def _labels(screen: Screen) -> pd.Series:
    names = [
        np.array(values)[rows]
        for values, rows in ((screen.drugs.names, screen.responses.drug_idx), (screen.line_keys, screen.responses.cell_idx))
    ]
    return pd.Series(screen.responses.potency, index=pd.MultiIndex.from_arrays(names))


def test_the_source_holds_what_csv_counts(root: Path, study: Study) -> None:
    measured = _first_column(root / "gdsc_ccle/gdsc/expression_zscore.csv.gz")
    published = _rows(root / "native/GDSC2_fitted_dose_response.tsv", "\t")
    structures = {row["DRUG_NAME"] for row in _rows(root / "gdsc_ccle/gdsc/drugs.csv") if row["SMILES"]}
    with_line = [row for row in published if row["COSMIC_ID"] in measured]
    kept = [row for row in with_line if row["DRUG_NAME"] in structures]
    beyond = [row for row in with_line if float(row["LN_IC50"]) > math.log(float(row["MAX_CONC"]))]
    assert (len(published), len(with_line), len(beyond)) == (9534, 7754, 4983)
    assert len(study.source.responses) == len(kept)
    assert _count(study.source, "without expression") == 9534 - 7754
    assert _count(study.source, "beyond the highest dose") == 4983
    assert int(study.source.responses.censored.sum()) == len([row for row in beyond if row["DRUG_NAME"] in structures])
    assert set(study.source.drugs.names) == {row["DRUG_NAME"] for row in kept}


def test_lines_are_linked_by_the_native_tables(root: Path, study: Study) -> None:
    links = {row["COSMIC_ID"]: row["Broad_ID"] for row in _rows(root / "native/DepMap-2018q3-celllines.csv")}
    source = {links[line] for line in study.source.cells.ids if line in links}
    assert describe(study)["overlap"]["lines"] == len(source & set(study.target.cells.ids))
    unlinked = [line for line in study.source.cells.ids if line not in links]
    assert _count(study.source, "links to no other screen") == len(unlinked)


def test_the_target_holds_what_csv_counts(root: Path, study: Study) -> None:
    measured = _first_column(root / "gdsc_ccle/ccle/expression_log2tpm.csv.gz")
    ids = {row["CCLE_ID"]: row["depMapID"] for row in _rows(root / "native/Cell_lines_annotations_20181226.txt", "\t")}
    published = _rows(root / "gdsc_ccle/ccle/CCLE_NP24.2009_Drug_data_2015.02.24.csv")
    kept = [row for row in published if ids.get(row["CCLE Cell Line Name"]) in measured]
    assert len(study.target.responses) == len(kept)
    assert _count(study.target, "without expression") == len(published) - len(kept)
    tops = [float(row["Doses (uM)"].rpartition(",")[2]) for row in kept]
    assert not [note for note in (*study.source.notes, *study.target.notes) if "suspicious" in note.what]
    not_reached = [float(row["IC50 (uM)"]) >= top for row, top in zip(kept, tops, strict=True)]
    assert int(study.target.responses.censored.sum()) == sum(not_reached)


def test_tables_of_compounds_and_lines_hold_what_csv_counts(root: Path) -> None:
    compounds = ScreenedCompounds(path="native/Screened_Compounds.txt", structures=STRUCTURES).table(root)  # type: ignore[arg-type]
    published = _rows(root / "native/Screened_Compounds.txt", "\t")
    assert compounds["name"].tolist() == [row["DRUG_NAME"].strip() for row in published]
    assert compounds["synonyms"].notna().sum() == sum(row["SYNONYMS"].strip() not in ("", "NA") for row in published)
    lines = SampleInfo(path="native/DepMap-2018q3-celllines.csv").table(root)
    listed = _rows(root / "native/DepMap-2018q3-celllines.csv")
    assert lines["cell_id"].tolist() == [row["Broad_ID"] for row in listed]
    assert lines["tissue"].notna().sum() == sum(bool(row["Primary Disease"]) for row in listed)


@pytest.mark.slow
def test_switched_screens_other_measures_and_a_third_screen_are_config_alone(root: Path) -> None:
    turned = _study(root, "screen@data.source=ccle_native", "screen@data.target=gdsc2_native")
    assert (turned.source.name, turned.target.name) == ("CCLE", "GDSC2")
    both = ["data.source.responses.measure=auc", "data.target.responses.measure=act_area"]
    areas = _study(root, *both, "data.on_different_measures=allow")
    both_measured = pd.concat([_labels(areas.source), _labels(areas.target)], axis=1, join="inner").loc["Lapatinib"]
    # 1 − AUC and ActArea rise together; pandas alone finds 0.68 on all lines.
    assert np.corrcoef(both_measured.to_numpy(dtype=float).T)[0, 1] > 0.5
    third = _study(root, "screen@data.source=ccle_native", "screen@data.target=gdsc1_panel")
    assert third.target.name == "GDSC1"

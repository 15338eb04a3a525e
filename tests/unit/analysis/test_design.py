"""Pairs to measure: their limits, their wells, and what the list says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.analysis.design import DesignOptions, design, plate_map, wells
from dadsp.errors import ConfigError, DadspError
from dadsp.models.base import Predictor
from dadsp.models.calibrated import calibrated
from dadsp.models.systems.naive import Naive
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.runs.analyses import write_design
from dadsp.schema import Study
from dadsp.splits.calibration import with_calibration
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study


@pytest.fixture(scope="module")
def study() -> Study:
    return small_study(n_source=14, n_target=10, n_drugs=5)


@pytest.fixture(scope="module")
def process(study: Study) -> Predictor:
    return PairwiseGp().fit(study, cross_screen(study, seed=0, val_fraction=0.2))


def options(**given: Any) -> DesignOptions:
    return DesignOptions(**{"budget": 12, "again": True, **given})


def test_list_keeps_its_limits_and_expects_a_gain(study: Study, process: Predictor) -> None:
    drug, line = study.target.drugs.names[1], study.target.cells.ids[3]
    written = line.upper().replace("-", " ")  # as people write it
    found = design(process, study.target, options(per_line=2, per_drug=5, without_drugs=(drug,), without_lines=(written,)))
    pairs = found.pairs
    assert len(pairs) == len(pairs[["cell_id", "drug_id"]].drop_duplicates()) == 12
    assert pairs["cell_id"].value_counts().max() <= 2
    assert pairs["drug_id"].value_counts().max() <= 5
    assert drug not in set(pairs["drug_name"])
    assert line not in set(pairs["cell_id"])
    assert (np.diff([found.facts["expected_rmse_before"], *pairs["expected_rmse"]]) < 0).all()
    assert found.facts["expected_rmse_after"] > found.facts["label_noise_sd"]


def test_given_labels_count_as_measured(study: Study, process: Predictor) -> None:
    split = with_calibration(study, cross_screen(study, seed=0, val_fraction=0.2), {"labels_per_drug": 4})
    found = design(calibrated(process, study, split), study.target, options(budget=3))
    assert found.facts["n_labels_given"] == 16
    assert found.facts["system"].endswith("+ 4 target labels per drug")


def test_pairs_that_matter_are_measured(study: Study, process: Predictor, tmp_path: Path) -> None:
    ids = study.target.drugs.ids
    (tmp_path / "about.csv").write_text("".join(["cell_id,drug_id\n", *(f"{c},{ids[2]}\n" for c in study.target.cells.ids)]))
    found = design(process, study.target, options(budget=4, about=str(tmp_path / "about.csv")))
    assert set(found.pairs["drug_id"]) == {ids[2]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"without_drugs": ("aspirin",)}, r"without_drugs: 1 of 1 are not known \(e\.g\. aspirin\)"),
        ({"again": False}, "No pair of TGT may be measured"),
        ({"controls": 12}, "controls=12 leaves none of the 12 columns"),
        ({"about": "absent.csv"}, "There is no file absent.csv"),
    ],
)
def test_what_cannot_be_done_is_refused(study: Study, process: Predictor, given: dict[str, Any], words: str) -> None:
    with pytest.raises(DadspError, match=words):
        design(process, study.target, options(**given))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cell_id,drug_id\nnobody,nothing\n", "1 of 1 pairs name lines that are not known"),
        ("cell_id,drug_id\nTGT-line0,CCCCCCCC\n", "some drugs are not of TGT"),
        ("cell_id\nx\n", "drug_id"),
        ("cell_id,drug_id,weight\nTGT-line0,TGT-drug0,-1\n", "weights must be numbers of 0 or more"),
    ],
)
def test_a_table_of_pairs_that_matter_is_checked(
    study: Study, process: Predictor, text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "about.csv").write_text(text)
    with pytest.raises(DadspError, match=words):
        design(process, study.target, options(about=str(tmp_path / "about.csv")))


def test_wells_hold_one_pair_each_and_leave_controls_free() -> None:
    pairs = pd.DataFrame(
        {"cell_id": [f"L{row % 40:02d}" for row in range(120)], "drug_id": [str(row) for row in range(120)]}
    )
    found = wells(pairs, 96, 2)
    assert found.value_counts().max() == 1
    assert found["plate"].value_counts().to_dict() == {1: 80, 2: 40}
    assert not set(found["well"].str[1:]) & {"11", "12"}
    assert pairs["cell_id"][found["well"].eq("A01") & found["plate"].eq(1)].tolist() == ["L00"]
    grid = plate_map(pd.concat([pairs.assign(drug_name=pairs["drug_id"]), found], axis=1), 96)
    assert grid.shape == (16, 14)
    assert sorted(text for text in grid.iloc[:, 2:].to_numpy().ravel() if text) == sorted(
        f"{cell} / {drug}" for cell, drug in zip(pairs["cell_id"], pairs["drug_id"], strict=True)
    )
    with pytest.raises(ConfigError):
        wells(pairs, 96, 12)
    assert wells(pairs.head(1), 1536, 0)["well"].tolist() == ["A01"]


def test_files_of_a_design(study: Study, tmp_path: Path) -> None:
    naive = Naive().fit(study, cross_screen(study, seed=0, val_fraction=0.2))
    found = design(naive, study.target, options(budget=8))
    assert found.pairs["drug_id"].value_counts().tolist() == [2, 2, 2, 2]
    write_design(found, options(budget=8), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("design.csv", "design.json", "gain.png", "plate_map.csv", "plates.png"),
    ]
    assert json.loads((tmp_path / "design.json").read_text())["states_covariance"] is False

"""GDSC2 and GDSC1 as one source of CCLE and CTRP, against counts that were worked out without this package."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dadsp.configuration.compose import build, compose
from dadsp.data.describe import describe
from dadsp.schema import Screen, Study

CHECKOUT = Path(__file__).resolve().parents[2]
PANELS = ("gdsc12_ccle", "gdsc12_ccle_auc", "gdsc12_ctrp")


@pytest.fixture(scope="module")
def root() -> Path:
    given = os.environ.get("DADSP_REAL_DATA")
    folder = Path(given) if given else CHECKOUT.parent / "shared" / "data"
    if not (folder / "gdsc_ccle" / "gdsc" / "response_gdsc2.csv.gz").is_file() or not (folder / "ctrp").is_dir():
        pytest.skip(
            f"GDSC2 and CTRP are not here: {folder} (set DADSP_REAL_DATA to the folder that holds gdsc_ccle and ctrp)"
        )
    return folder


@pytest.fixture(scope="module")
def studies(root: Path) -> dict[str, Study]:
    start = time.process_time()
    found = {name: build(compose("config", [f"data={name}", f"data.root={root}"]).data, "data") for name in PANELS}
    assert time.process_time() - start < 60  # takes some 10 s
    return found


def _labelled(screen: Screen) -> tuple[int, int, int]:
    responses = screen.responses
    return len(np.unique(responses.cell_idx)), len(np.unique(responses.drug_idx)), len(responses)


def _unseen(study: Study) -> list[str]:
    seen = {study.source.drug_keys[row] for row in np.unique(study.source.responses.drug_idx)}
    return [name for name, key in zip(study.target.drugs.names, study.target.drug_keys, strict=True) if key not in seen]


def test_the_source_takes_each_drug_from_gdsc2_or_else_from_gdsc1(studies: dict[str, Study], root: Path) -> None:
    gdsc = root / "gdsc_ccle" / "gdsc"
    one, two = (pd.read_csv(gdsc / f"response_gdsc{n}.csv.gz", dtype={"COSMIC_ID": str}) for n in (1, 2))
    # Five drugs stand under two names each: one name for both.
    names = {
        "Torin 2": "torin2",
        "PFI3": "PFI-3",
        "Capivasertib": "AZD5363",
        "Savolitinib": "AZD6094",
        "Sapitinib": "AZD8931",
    }
    one, two = (frame.assign(drug=frame["DRUG_NAME"].replace(names)) for frame in (one, two))
    kept = one[~one["drug"].isin(set(two["drug"]))]
    drugs = pd.read_csv(gdsc / "drugs_gdsc12.csv").assign(drug=lambda frame: frame["DRUG_NAME"].replace(names))
    known = {*drugs.dropna(subset="SMILES")["drug"], "Nutlin-3a (-)"}
    pairs = {
        name: frame[frame["drug"].isin(known)][["COSMIC_ID", "drug"]].drop_duplicates()
        for name, frame in (("GDSC2", two), ("GDSC1", kept))
    }
    expected = {name: len(frame) for name, frame in pairs.items()}
    for study in studies.values():
        assert describe(study)["source"]["origins"] == expected
        assert _labelled(study.source) == (789, 410, sum(expected.values()))
        assert study.source.cells.expression.shape == (800, 634)


def test_a_replicate_is_the_median_of_its_rows(studies: dict[str, Study], root: Path) -> None:
    frame = pd.read_csv(root / "gdsc_ccle/gdsc/response_gdsc2.csv.gz", dtype={"COSMIC_ID": str})
    line = ((frame["COSMIC_ID"] == "683667") & (frame["DRUG_NAME"] == "Docetaxel")).to_numpy()
    values = frame.loc[line, "LN_IC50"].to_numpy()
    assert len(values) == 2
    source = studies["gdsc12_ccle"].source
    row = (source.responses.cell_idx == source.cells.ids.index("683667")) & (
        source.responses.drug_idx == source.drugs.ids.index("Docetaxel")
    )
    raw = studies["gdsc12_ccle"].raw_source_potency[row]
    np.testing.assert_allclose(raw, [-values.mean() / np.log(10)], rtol=1e-6)


@pytest.mark.parametrize(
    ("panel", "target", "seen"),
    [
        ("gdsc12_ccle", (354, 24, 8_158), 18),
        ("gdsc12_ccle_auc", (354, 24, 8_158), 18),
        ("gdsc12_ctrp", (557, 37, 17_427), 36),
    ],
)
def test_target_counts(studies: dict[str, Study], panel: str, target: tuple[int, int, int], seen: int) -> None:
    study = studies[panel]
    assert _labelled(study.target) == target
    assert describe(study)["overlap"]["labelled_target_drugs"] == seen
    unseen = ["RAF265"] if panel == "gdsc12_ctrp" else ["AEW541", "L-685458", "LBW242", "RAF265", "TKI258", "ZD-6474"]
    assert _unseen(study) == unseen


def test_the_ctrp_rows_are_those_with_expression_and_a_structure(studies: dict[str, Study], root: Path) -> None:
    frame = pd.read_csv(root / "ctrp/auc.csv.gz")
    lines = set(pd.read_csv(root / "gdsc_ccle/ccle/expression_log2tpm.csv.gz", usecols=["DepMap_ID"])["DepMap_ID"])
    known = set(pd.read_csv(root / "ctrp/drugs.csv").dropna(subset="SMILES")["DRUG"])
    kept = frame[frame["DepMap_ID"].isin(lines) & frame["DRUG"].isin(known)]
    responses = studies["gdsc12_ctrp"].target.responses
    assert len(kept) == len(responses)
    np.testing.assert_allclose(responses.potency, 1 - kept["AUC"].to_numpy() / 15, atol=1e-6)


def test_areas_of_both_screens_are_shares(studies: dict[str, Study]) -> None:
    for panel in ("gdsc12_ccle_auc", "gdsc12_ctrp"):
        for screen in (studies[panel].source, studies[panel].target):
            assert 0.1 < np.median(screen.responses.potency) + 0.1 < 0.4
            assert screen.responses.potency.max() <= 1
            assert (screen.responses.potency >= -0.1).mean() > 0.99


def test_doxorubicin_of_ctrp_is_gdsc_s_doxorubicin_and_not_epirubicin(studies: dict[str, Study]) -> None:
    study = studies["gdsc12_ctrp"]
    source = dict(zip(study.source.drugs.names, study.source.drug_keys, strict=True))
    target = dict(zip(study.target.drugs.names, study.target.drug_keys, strict=True))
    assert target["DOXORUBICIN"] == source["Doxorubicin"] != source["Epirubicin"]
    assert sum(len(key) != 14 for key in (*source.values(), *target.values())) == 3


def test_drug_means_alone_reach_what_was_read_independently(studies: dict[str, Study]) -> None:
    study = studies["gdsc12_ccle"]
    source, target = study.source, study.target
    keys = np.array(source.drug_keys)[source.responses.drug_idx]
    means = pd.Series(source.responses.potency.astype(np.float64)).groupby(keys).mean()
    predicted = pd.Series(np.array(target.drug_keys)[target.responses.drug_idx]).map(means)
    seen = predicted.notna()
    error = (predicted[seen] - target.responses.potency[seen]).pow(2).mean() ** 0.5
    assert error == pytest.approx(0.602, abs=6e-3)

"""The GDSC → CCLE panel against counts and scores that were worked out without this package."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate

from dadsp.configuration.compose import compose
from dadsp.data.describe import describe
from dadsp.schema import Domain, Screen, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.within import within

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def root() -> Path:
    given = os.environ.get("DADSP_REAL_DATA")
    folder = Path(given) if given else CHECKOUT.parent / "shared" / "data"
    if not (folder / "gdsc_ccle").is_dir() and not (folder / "gdsc").is_dir():
        pytest.skip(f"the real panel is not here: {folder} holds no gdsc_ccle (set DADSP_REAL_DATA to the folder that does)")
    return folder


@pytest.fixture(scope="module")
def study(root: Path) -> Study:
    config = compose("config", ["data=gdsc_ccle_panel"]).data
    loaded = instantiate(config, root=str(root))
    assert isinstance(loaded, Study)
    return loaded


def _rmse_r2(truth: np.ndarray, prediction: np.ndarray | float) -> tuple[float, float]:
    error = ((truth - prediction) ** 2).sum()
    return float(np.sqrt(error / len(truth))), float(1 - error / ((truth - truth.mean()) ** 2).sum())


def _labelled(screen: Screen) -> tuple[int, int, int]:
    return (
        len(np.unique(screen.responses.cell_idx)),
        len(np.unique(screen.responses.drug_idx)),
        len(screen.responses),
    )


def _by_structure(screen: Screen) -> np.ndarray:
    return np.array(screen.drugs.structure_keys)[screen.responses.drug_idx]


def test_source_counts(study: Study) -> None:
    assert _labelled(study.source) == (799, 241, 158_793)
    assert study.source.cells.expression.shape == (800, 634)
    (dropped,) = (note for note in study.source.notes if note.what.startswith("drugs without a structure"))
    assert (dropped.count, dropped.what.split(", with ")[1]) == (24, f"{174_699 - 158_793} of 174699 responses")


def test_target_counts(study: Study) -> None:
    assert _labelled(study.target) == (354, 24, 8_158)
    assert study.target.cells.expression.shape == (669, 634)
    (dropped,) = study.target.notes  # hence no replicates either
    assert dropped.count == 3_512
    assert "150 different ones" in dropped.what
    assert study.target.responses.censored.mean() == pytest.approx(0.552, abs=5e-4)


def test_overlaps(study: Study) -> None:
    overlap = describe(study)["overlap"]
    assert (overlap["labelled_target_lines"], overlap["labelled_target_drugs"]) == (326, 15)


@pytest.mark.parametrize("overlap", ["drop_lines", "drop_drugs", "drop_both"])
def test_overlap_drops_the_shared_lines_and_drugs_and_nothing_else(study: Study, overlap: str) -> None:
    source, target = (
        pd.DataFrame({"line": np.array(screen.cells.link_ids)[screen.responses.cell_idx], "drug": _by_structure(screen)})
        for screen in (study.source, study.target)
    )
    shared = {"line": source["line"].isin(set(target["line"])), "drug": source["drug"].isin(set(target["drug"]))}
    assert target["line"].nunique() == 354
    assert source.loc[shared["line"], "line"].nunique() == 326
    assert source.loc[shared["drug"], "drug"].nunique() == 15
    sides = {"drop_lines": ["line"], "drop_drugs": ["drug"], "drop_both": ["line", "drug"]}[overlap]
    dropped = np.any([shared[side] for side in sides], axis=0)
    split = cross_screen(study, seed=0, overlap=overlap)
    np.testing.assert_array_equal(np.sort(np.concatenate([split.train_idx, split.val_idx])), np.flatnonzero(~dropped))
    assert [note.what.partition(", of ")[2].split()[0] for note in split.notes] == [
        {"line": "326", "drug": "15"}[side] for side in sides
    ]


@pytest.mark.parametrize("domain", ["source", "target"])
def test_tissue_folds_hold_out_no_catch_all(study: Study, domain: Domain) -> None:
    one = study.within(domain)
    cells, responses = one.source.cells, one.source.responses
    held: list[str | None] = []
    for fold in range(5):
        split = within(one, seed=0, kind="tissue_blind", scope=one.scope, fold=fold)
        held += sorted({cells.tissues[row] for row in responses.cell_idx[split.test_idx]}, key=str)
    every = {cells.tissues[row] for row in responses.cell_idx} - {None}
    assert sorted(held, key=str) == sorted(every, key=str)  # each tissue tests once
    assert not {"UNCLASSIFIED", "UNABLE TO CLASSIFY", None} & set(held)


@pytest.mark.parametrize(
    ("clipped", "mean", "drug_mean"),
    [(False, (0.996, -0.332), (0.814, 0.111)), (True, (0.865, -0.004), (0.679, 0.381))],
)
def test_trivial_predictors_from_source_labels(
    study: Study, clipped: bool, mean: tuple[float, float], drug_mean: tuple[float, float]
) -> None:
    labels = study.source.responses.potency if clipped else study.raw_source_potency
    truth = study.target.responses.potency.astype(np.float64)
    constant = labels.mean(dtype=np.float64)
    assert _rmse_r2(truth, constant) == pytest.approx(mean, abs=6e-4)
    means = pd.Series(labels.astype(np.float64)).groupby(_by_structure(study.source)).mean()
    predicted = pd.Series(_by_structure(study.target)).map(means).fillna(constant).to_numpy()
    assert _rmse_r2(truth, predicted) == pytest.approx(drug_mean, abs=6e-4)


def test_trivial_predictors_from_target_labels(study: Study) -> None:
    responses = study.target.responses
    truth = pd.Series(responses.potency.astype(np.float64))
    drug, line = (truth.groupby(rows).transform("mean") for rows in (responses.drug_idx, responses.cell_idx))
    expected = {
        "mean": (truth.mean(), (0.863, 0)),
        "drug": (drug, (0.478, 0.694)),
        "line": (line, (0.840, 0.053)),
        "both": (drug + line - truth.mean(), (0.437, 0.744)),
    }
    for name, (prediction, score) in expected.items():
        assert _rmse_r2(truth.to_numpy(), np.asarray(prediction)) == pytest.approx(score, abs=6e-4), name


def test_clipping_is_at_the_target_cap_and_marks_what_it_clips(study: Study) -> None:
    cap = np.float32(-np.log10(8))
    labels, raw = study.source.responses.potency, study.raw_source_potency
    np.testing.assert_array_equal(labels, np.maximum(raw, cap))
    np.testing.assert_array_equal(study.source.responses.censored, raw < cap)


def test_every_structure_of_a_target_drug_in_the_source_is_the_same_compound(study: Study) -> None:
    names = dict(zip(study.source.drugs.structure_keys, study.source.drugs.names, strict=True))
    shared = {
        name: names[key]
        for name, key in zip(study.target.drugs.names, study.target.drugs.structure_keys, strict=True)
        if key in names
    }
    known = {"17-AAG": "Tanespimycin", "AZD0530": "Saracatinib", "PF2341066": "Crizotinib", "Paclitaxel": "Paclitaxel"}
    assert known.items() <= shared.items()


def test_the_folder_itself_may_be_the_root(study: Study, root: Path) -> None:
    if not (root / "gdsc_ccle").is_dir():
        pytest.skip("DADSP_REAL_DATA names the inner folder already")
    config = compose("config", ["data=gdsc_ccle_panel"]).data
    start = time.process_time()
    again = instantiate(config, root=str(root / "gdsc_ccle"))
    assert time.process_time() - start < 20  # takes about 2 s; a reader that loops over rows would take minutes
    assert again.content_hash == study.content_hash

"""What missing pairs would have scored: weights by hand, and the naive rows beside the model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dadsp.analysis.back_test import Scored, back_test
from dadsp.models.systems.naive import Naive, naive_rows
from tests.support.studies import holey_study


@pytest.fixture
def no_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dadsp.analysis.back_test.naive_rows", lambda study: [])


@pytest.mark.usefixtures("no_rivals")
def test_matched_rmse_weighs_drugs_by_their_missing_pairs() -> None:
    study, split = holey_study()
    model = Naive("mean").fit(study, split)
    scored = Scored.of("test", model, study, split)
    missing = pd.Series({"TGT-drug0": 30, "TGT-drug2": 10})
    row = back_test(model, study, split, scored, missing).iloc[0]
    frame = scored.table.frame
    squared = {drug: np.mean((part["y_pred"] - part["y_true"]) ** 2) for drug, part in frame.groupby("drug_id")}
    assert row["rmse_matched"] == pytest.approx(np.sqrt((30 * squared["TGT-drug0"] + 10 * squared["TGT-drug2"]) / 40))
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((frame["y_pred"] - frame["y_true"]) ** 2)))


@pytest.mark.usefixtures("no_rivals")
def test_matched_rmse_is_what_masking_at_random_gives_on_average() -> None:
    study, split = holey_study()
    model = Naive("mean").fit(study, split)
    scored = Scored.of("test", model, study, split)
    frame, error = scored.table.frame, scored.error
    missing = pd.Series({"TGT-drug0": 4, "TGT-drug1": 2, "TGT-drug3": 1})
    random = np.random.default_rng(0)
    of_drug = {drug: error[(frame["drug_id"] == drug).to_numpy()] for drug in missing.index}
    masks = ([random.choice(of_drug[drug], n, replace=False) for drug, n in missing.items()] for _ in range(2000))
    squared = [np.mean(np.concatenate(mask) ** 2) for mask in masks]
    row = back_test(model, study, split, scored, missing).iloc[0]
    assert row["rmse_matched"] ** 2 == pytest.approx(np.mean(squared), rel=0.03)


def test_naive_rows_of_the_source_see_no_held_out_label() -> None:
    study, split = holey_study()
    responses = study.source.responses
    potency = responses.potency.copy()
    potency[split.val_idx] += 5
    moved = replace(study, source=replace(study.source, responses=replace(responses, potency=potency)))
    model = Naive("cell_mean").fit(study, replace(split, val_idx=split.val_idx[:0]))
    scored = Scored.of("val", model, moved, split)
    rows = back_test(model, moved, split, scored, pd.Series({"SRC-drug0": 1})).set_index("system")
    train_mean = responses.potency[split.train_idx].mean()
    assert rows.loc["source mean", "rmse"] == pytest.approx(np.sqrt(np.mean((potency[split.val_idx] - train_mean) ** 2)))
    assert not rows["saw_target_labels"].any()


def test_naive_rows_of_the_target_are_those_of_every_table_and_say_which_saw_its_labels() -> None:
    study, split = holey_study()
    model = Naive("mean").fit(study, split)
    rows = back_test(model, study, split, Scored.of("test", model, study, split), pd.Series({"TGT-drug0": 1}))
    assert rows["system"].tolist() == ["source mean", *(each.name for each in naive_rows(study)[1:])]
    assert rows["saw_target_labels"].tolist() == ["oracle" in name for name in rows["system"]]


def test_lines_under_two_ids_are_one() -> None:
    study, split = holey_study()
    cells = study.source.cells
    linked = replace(cells, link_ids=("same",) * len(cells))
    scored = Scored.of(
        "val", Naive("mean").fit(study, split), replace(study, source=replace(study.source, cells=linked)), split
    )
    assert len(np.unique(scored.line)) == 1

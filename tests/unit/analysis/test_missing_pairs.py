"""Unmeasured pairs of a small study, told by a naive model, whose predictions are means known by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dadsp.analysis.missing_pairs import Imputation, ImputeOptions, impute, rank_drugs, unmeasured, with_drugs_of
from dadsp.errors import ConfigError, SchemaError
from dadsp.models.systems.drug_ridge import DrugRidge
from dadsp.models.systems.naive import Naive
from dadsp.schema import Domain, Screen, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import holey_study, small_study
from tests.support.systems import poisoned

OPTIONS = ImputeOptions(alpha=0.3)


@pytest.fixture(autouse=True)
def no_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Naive rows take most of the time and have their own tests."""
    monkeypatch.setattr("dadsp.analysis.back_test.naive_rows", lambda study: [])


def found(study: Study, split: Split, options: ImputeOptions = OPTIONS) -> Imputation:
    return impute(Naive("drug_cell").fit(study, split), study, split, options)


def test_pairs_are_exactly_those_without_a_label() -> None:
    study, split = holey_study()
    sides: tuple[tuple[Domain, Screen], ...] = (("target", study.target), ("source", study.source))
    for domain, screen in sides:
        pairs = found(study, split, replace(OPTIONS, domain=domain)).pairs
        told = set(zip(pairs["cell_id"], pairs["drug_id"], strict=True))
        ids = screen.cells.ids, screen.drugs.ids
        responses = zip(screen.responses.cell_idx, screen.responses.drug_idx, strict=True)
        measured = {(ids[0][cell], ids[1][drug]) for cell, drug in responses}
        assert len(told) == len(pairs)
        assert told == {(cell, drug) for cell in ids[0] for drug in ids[1]} - measured


def test_intervals_are_the_prediction_give_or_take_the_half_width() -> None:
    result = found(*holey_study())
    pairs, width = result.pairs, result.facts["interval"]["half_width"]
    np.testing.assert_allclose(pairs["neg_log10_ic50_um_high"] - pairs["neg_log10_ic50_um"], width, rtol=1e-5)
    np.testing.assert_allclose(pairs["neg_log10_ic50_um"] - pairs["neg_log10_ic50_um_low"], width, rtol=1e-5)
    np.testing.assert_allclose(pairs["ic50_um_low"], 10 ** -pairs["neg_log10_ic50_um_high"])


def test_interval_ends_at_the_cap_and_still_holds_every_label_it_held() -> None:
    study, split = holey_study()
    capped = replace(study, target=replace(study.target, cap=0.0))
    free, ended = found(study, split).pairs, found(capped, split).pairs
    low = ended["neg_log10_ic50_um_low"]
    assert (low >= 0).all()
    assert (low == free["neg_log10_ic50_um_low"].clip(lower=0)).all()


def test_no_target_label_moves_a_prediction_or_an_interval() -> None:
    study, split = holey_study()
    before, after = found(study, split), found(poisoned(study), split)
    pd.testing.assert_frame_equal(before.pairs, after.pairs)
    assert before.facts["interval"]["half_width"] == after.facts["interval"]["half_width"]
    assert before.facts["interval"]["coverage_source"] == after.facts["interval"]["coverage_source"]
    assert before.facts["back_test"][0]["rmse"] != after.facts["back_test"][0]["rmse"]


def test_drugs_only_the_other_screen_holds_are_added_and_marked_never_measured() -> None:
    study, split = holey_study()  # the target lacks the source's last drug
    result = found(study, split, replace(OPTIONS, drugs="both"))
    never = result.pairs[~result.pairs["drug_measured"]]
    assert set(never["drug_id"]) == {"SRC:SRC-drug5"}
    assert len(never) == len(study.target.cells)
    assert never["drug_seen"].all()
    assert result.facts["n_drugs_never_measured"] == 1
    assert not result.ranking.set_index("drug_id").loc["SRC:SRC-drug5", "drug_measured"]
    assert with_drugs_of(study.source, study.target).drugs.ids == study.source.drugs.ids


def test_lines_and_drugs_without_labels_are_marked() -> None:
    study, _ = holey_study()
    responses = study.target.responses
    kept = responses.take((responses.cell_idx != 3) & (responses.drug_idx != 1))
    bare = replace(study, target=replace(study.target, responses=kept))
    pairs = found(bare, cross_screen(bare, seed=0, val_fraction=0.2)).pairs
    unlabelled = set(range(12)) - set(kept.cell_idx)
    assert 3 in unlabelled
    assert set(pairs.loc[~pairs["cell_measured"], "cell_id"]) == {f"TGT-line{row}" for row in unlabelled}
    assert set(pairs.loc[~pairs["drug_measured"], "drug_id"]) == {"TGT-drug1"}
    assert pairs.loc[pairs["drug_id"] == "TGT-drug1", "drug_seen"].all()


def test_ranking_orders_drugs_by_median_predicted_ic50() -> None:
    result = found(*holey_study())
    ranking, pairs = result.ranking, result.pairs
    medians = {drug: float(np.median(part["ic50_um"])) for drug, part in pairs.groupby("drug_id")}
    assert ranking["drug_id"].tolist() == sorted(medians, key=lambda drug: medians[drug])
    np.testing.assert_allclose(ranking["median_ic50_um"], sorted(medians.values()))
    assert ranking["rank"].tolist() == list(range(1, len(medians) + 1))
    assert ranking["n_pairs"].sum() == len(pairs)


def test_run_inside_one_screen_is_refused() -> None:
    study, split = holey_study()
    with pytest.raises(ConfigError, match="across two screens"):
        impute(Naive("mean").fit(study, split), study.within("source"), split, OPTIONS)


def test_fully_measured_screen_is_refused() -> None:
    study = small_study(n_source=20)
    split = cross_screen(study, seed=0, val_fraction=0.2)
    with pytest.raises(SchemaError, match="Every pair of TGT is measured"):
        impute(Naive("mean").fit(study, split), study, split, OPTIONS)
    assert len(unmeasured(study.target)[0]) == 0


def test_rank_of_drugs_with_equal_medians_follows_their_ids() -> None:
    frame = found(*holey_study()).pairs.assign(ic50_um=1.0)
    assert rank_drugs(frame)["drug_id"].tolist() == sorted(frame["drug_id"].unique())


@pytest.mark.parametrize("domain", ["source", "target"])
def test_intervals_of_a_system_that_learns_held_out_lines_come_from_before_it_did(domain: Domain) -> None:
    study, split = holey_study()
    options = replace(OPTIONS, domain=domain)
    learning, not_learning = (
        impute(DrugRidge(refit=refit).fit(study, split), study, split, options) for refit in (True, False)
    )
    assert not learning.pairs["neg_log10_ic50_um"].equals(not_learning.pairs["neg_log10_ic50_um"])
    assert learning.facts["interval"]["half_width"] == not_learning.facts["interval"]["half_width"]
    assert learning.facts["interval"]["coverage_source"] == not_learning.facts["interval"]["coverage_source"]
    if domain == "source":  # scored by the held-out lines, which are as far away as they were when they were predicted
        scored = [
            {flag: row["n_scored"] for flag, row in result.facts["applicability"]["flags"].items()}
            for result in (learning, not_learning)
        ]
        assert scored[0] == scored[1]
        assert learning.back_test["rmse"].equals(not_learning.back_test["rmse"])
        held_out = study.source.responses.cell_idx[split.val_idx]
        of_held_out = learning.pairs["cell_id"].isin({study.source.cells.ids[row] for row in held_out})
        assert learning.pairs.loc[of_held_out, "cell_seen"].all()
        assert (learning.pairs.loc[of_held_out, "line_distance"] < 1e-3).all()

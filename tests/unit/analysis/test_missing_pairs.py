"""Unmeasured pairs of a small study, told by a naive model, whose predictions are means known by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dadsp.analysis.back_test import Scored, back_test
from dadsp.analysis.missing_pairs import Imputation, ImputeOptions, impute, rank_drugs, unmeasured, with_drugs_of
from dadsp.errors import ConfigError, SchemaError
from dadsp.models.naive import Naive
from dadsp.schema import Screen, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.studies import small_study
from tests.systems import poisoned

OPTIONS = ImputeOptions(alpha=0.3)


def holey(screen: Screen, seed: int = 0, share: float = 0.6) -> Screen:
    """The screen with a random share of its pairs measured."""
    kept = np.random.default_rng(seed).random(len(screen.responses)) < share
    return replace(screen, responses=screen.responses.take(kept))


def fixture() -> tuple[Study, Split]:
    study = small_study(n_source=20, n_target=12, n_drugs=6)
    source = holey(study.source)
    study = Study(source, holey(study.target, 1), "none", source.responses.potency)
    return study, cross_screen(study, seed=0, val_fraction=0.2)


def found(study: Study, split: Split, options: ImputeOptions = OPTIONS) -> Imputation:
    return impute(Naive("drug_cell").fit(study, split), study, split, options)


def test_pairs_are_exactly_those_without_a_label() -> None:
    study, split = fixture()
    for domain, screen in (("target", study.target), ("source", study.source)):
        pairs = found(study, split, replace(OPTIONS, domain=domain)).pairs
        told = set(zip(pairs["cell_id"], pairs["drug_id"], strict=True))
        ids = screen.cells.ids, screen.drugs.ids
        responses = zip(screen.responses.cell_idx, screen.responses.drug_idx, strict=True)
        measured = {(ids[0][cell], ids[1][drug]) for cell, drug in responses}
        assert len(told) == len(pairs)
        assert told == {(cell, drug) for cell in ids[0] for drug in ids[1]} - measured


def test_intervals_are_the_prediction_give_or_take_the_half_width() -> None:
    result = found(*fixture())
    pairs, width = result.pairs, result.facts["interval"]["half_width"]
    np.testing.assert_allclose(pairs["neg_log10_ic50_um_high"] - pairs["neg_log10_ic50_um"], width, rtol=1e-5)
    np.testing.assert_allclose(pairs["neg_log10_ic50_um"] - pairs["neg_log10_ic50_um_low"], width, rtol=1e-5)
    np.testing.assert_allclose(pairs["ic50_um_low"], 10 ** -pairs["neg_log10_ic50_um_high"])


def test_interval_ends_at_the_cap_and_still_holds_every_label_it_held() -> None:
    study, split = fixture()
    capped = replace(study, target=replace(study.target, cap=0.0))
    free, ended = found(study, split).pairs, found(capped, split).pairs
    low = ended["neg_log10_ic50_um_low"]
    assert (low >= 0).all()
    assert (low == free["neg_log10_ic50_um_low"].clip(lower=0)).all()


def test_no_target_label_moves_a_prediction_or_an_interval() -> None:
    study, split = fixture()
    before, after = found(study, split), found(poisoned(study), split)
    pd.testing.assert_frame_equal(before.pairs, after.pairs)
    assert before.facts["interval"]["half_width"] == after.facts["interval"]["half_width"]
    assert before.facts["interval"]["coverage_source"] == after.facts["interval"]["coverage_source"]
    assert before.facts["back_test"][0]["rmse"] != after.facts["back_test"][0]["rmse"]


def test_drugs_only_the_other_screen_holds_are_added_and_marked_never_measured() -> None:
    study, split = fixture()  # the target lacks the source's last drug
    result = found(study, split, replace(OPTIONS, drugs="both"))
    never = result.pairs[~result.pairs["drug_measured"]]
    assert set(never["drug_id"]) == {"SRC:SRC-drug5"}
    assert len(never) == len(study.target.cells)
    assert never["drug_seen"].all()
    assert result.facts["n_drugs_never_measured"] == 1
    assert not result.ranking.set_index("drug_id").loc["SRC:SRC-drug5", "drug_measured"]
    assert with_drugs_of(study.source, study.target).drugs.ids == study.source.drugs.ids


def test_lines_and_drugs_without_labels_are_marked() -> None:
    study, split = fixture()
    responses = study.target.responses
    kept = (responses.cell_idx != 3) & (responses.drug_idx != 1)
    bare = replace(study, target=replace(study.target, responses=responses.take(kept)))
    pairs = found(bare, cross_screen(bare, seed=0, val_fraction=0.2)).pairs
    assert set(pairs.loc[~pairs["cell_measured"], "cell_id"]) == {"TGT-line3"}
    assert set(pairs.loc[~pairs["drug_measured"], "drug_id"]) == {"TGT-drug1"}
    assert pairs.loc[pairs["drug_id"] == "TGT-drug1", "drug_seen"].all()


def test_ranking_orders_drugs_by_median_predicted_ic50() -> None:
    ranking = found(*fixture()).ranking
    pairs = found(*fixture()).pairs
    medians = {drug: float(np.median(part["ic50_um"])) for drug, part in pairs.groupby("drug_id")}
    assert ranking["drug_id"].tolist() == sorted(medians, key=lambda drug: medians[drug])
    np.testing.assert_allclose(ranking["median_ic50_um"], sorted(medians.values()))
    assert ranking["rank"].tolist() == list(range(1, len(medians) + 1))
    assert ranking["n_pairs"].sum() == len(pairs)


def test_matched_rmse_weighs_drugs_by_their_missing_pairs() -> None:
    study, split = fixture()
    model = Naive("mean").fit(study, split)
    scored = Scored.of("test", model, study, split)
    missing = pd.Series({"TGT-drug0": 30, "TGT-drug2": 10})
    row = back_test(model, study, split, scored, missing).iloc[0]
    frame = scored.table.frame
    squared = {drug: np.mean((part["y_pred"] - part["y_true"]) ** 2) for drug, part in frame.groupby("drug_id")}
    assert row["rmse_matched"] == pytest.approx(np.sqrt((30 * squared["TGT-drug0"] + 10 * squared["TGT-drug2"]) / 40))
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((frame["y_pred"] - frame["y_true"]) ** 2)))


def test_matched_rmse_is_what_masking_at_random_gives_on_average() -> None:
    study, split = fixture()
    model = Naive("mean").fit(study, split)
    scored = Scored.of("test", model, study, split)
    frame, error = scored.table.frame, scored.error
    missing = pd.Series({"TGT-drug0": 4, "TGT-drug1": 2, "TGT-drug3": 1})
    random = np.random.default_rng(0)
    squared = []
    for _ in range(2000):
        masked = [random.choice(np.flatnonzero(frame["drug_id"] == drug), n, replace=False) for drug, n in missing.items()]
        squared.append(np.mean(error[np.concatenate(masked)] ** 2))
    row = back_test(model, study, split, scored, missing).iloc[0]
    assert row["rmse_matched"] ** 2 == pytest.approx(np.mean(squared), rel=0.03)


def test_naive_rows_of_the_source_see_no_held_out_label() -> None:
    study, split = fixture()
    options = replace(OPTIONS, domain="source")
    responses = study.source.responses
    potency = responses.potency.copy()
    potency[split.val_idx] += 5
    moved = replace(study, source=replace(study.source, responses=replace(responses, potency=potency)))
    model = Naive("mean").fit(study, replace(split, val_idx=split.val_idx[:0]))
    errors = [impute(model, each, split, options).back_test.set_index("system")["rmse"] for each in (study, moved)]
    train_mean = responses.potency[split.train_idx].mean()
    expected = np.sqrt(np.mean((potency[split.val_idx] - train_mean) ** 2))
    assert errors[1]["source mean"] == pytest.approx(expected, rel=1e-5)
    assert not any("oracle" in name for name in errors[0].index)


def test_run_inside_one_screen_is_refused() -> None:
    study, split = fixture()
    with pytest.raises(ConfigError, match="across two screens"):
        impute(Naive("mean").fit(study, split), study.within("source"), split, OPTIONS)


def test_fully_measured_screen_is_refused() -> None:
    study = small_study(n_source=20)
    split = cross_screen(study, seed=0, val_fraction=0.2)
    with pytest.raises(SchemaError, match="Every pair of TGT is measured"):
        impute(Naive("mean").fit(study, split), study, split, OPTIONS)
    assert len(unmeasured(study.target)[0]) == 0


def test_rank_of_drugs_with_equal_medians_follows_their_ids() -> None:
    frame = found(*fixture()).pairs.assign(ic50_um=1.0)
    assert rank_drugs(frame)["drug_id"].tolist() == sorted(frame["drug_id"].unique())

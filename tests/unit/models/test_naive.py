"""Naive rows against hand arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dadsp.errors import ConfigError
from dadsp.models.base import load_model, predict_split, save_model, seen_in_training
from dadsp.models.systems.naive import LabelLookup, Naive, OracleNaive, naive_rows
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def split(study: Study) -> Split:
    return cross_screen(study, seed=0)


def all_target(study: Study) -> Pairs:
    responses = study.target.responses
    return Pairs(study.target, "target", responses.cell_idx, responses.drug_idx)


def test_mean_is_the_mean_of_all_source_labels(study: Study, split: Split) -> None:
    predicted = Naive("mean").fit(study, split).predict(all_target(study))
    assert predicted == pytest.approx(study.source.responses.potency.mean(dtype=np.float64), abs=1e-6)


def test_drug_mean_pools_every_pair_of_a_structure(study: Study, split: Split) -> None:
    drugs = study.source.drugs
    twice = replace(drugs, structure_keys=(drugs.structure_keys[1], *drugs.structure_keys[1:]))  # drug 0 re-screens drug 1
    study = replace(study, source=replace(study.source, drugs=twice))
    responses = study.source.responses
    pooled = responses.potency[np.isin(responses.drug_idx, [0, 1])].mean(dtype=np.float64)
    pairs = all_target(study)
    predicted = Naive("drug_mean").fit(study, split).predict(pairs)
    assert predicted[pairs.drug_idx == 1] == pytest.approx(pooled, abs=1e-6)
    overall = responses.potency.mean(dtype=np.float64)  # the target's drug 0 is now unknown to the source
    assert predicted[pairs.drug_idx == 0] == pytest.approx(overall, abs=1e-6)


def test_cell_mean_follows_the_link_and_falls_back_to_the_mean(study: Study, split: Split) -> None:
    responses = study.source.responses
    pairs = all_target(study)
    predicted = Naive("cell_mean").fit(study, split).predict(pairs)
    assert predicted[pairs.cell_idx == 2] == pytest.approx(responses.potency[responses.cell_idx == 2].mean(), abs=1e-6)
    assert predicted[pairs.cell_idx == 8] == pytest.approx(responses.potency.mean(), abs=1e-6)


def test_drug_cell_is_exact_where_effects_add_up(study: Study, split: Split) -> None:
    responses = study.source.responses
    additive = (0.3 * responses.cell_idx - 0.7 * responses.drug_idx).astype(np.float32)
    source = replace(study.source, responses=replace(responses, potency=additive))
    predictor = Naive("drug_cell").fit(replace(study, source=source), split)
    pairs = Pairs(study.source, "source", responses.cell_idx, responses.drug_idx)
    assert predictor.predict(Pairs(source, "source", pairs.cell_idx, pairs.drug_idx)) == pytest.approx(additive, abs=1e-5)


def test_raw_labels_are_those_before_clipping(study: Study, split: Split) -> None:
    raw = study.source.responses.potency - 5
    clipped = replace(study, label_cap="target", raw_source_potency=raw)
    predicted = Naive("mean", labels="raw").fit(clipped, split).predict(all_target(study))
    assert predicted == pytest.approx(raw.mean(dtype=np.float64), abs=1e-5)


def test_only_oracle_rows_change_with_target_labels(study: Study, split: Split) -> None:
    poisoned = replace(
        study.target, responses=replace(study.target.responses, potency=study.target.responses.potency * 3 + 1)
    )
    for honest, other in zip(naive_rows(study), naive_rows(study), strict=True):
        a = honest.fit(study, split).predict(all_target(study))
        b = other.fit(replace(study, target=poisoned), split).predict(all_target(study))
        assert np.array_equal(a, b) != honest.sees_target_labels
        assert ("oracle" in honest.name) == honest.sees_target_labels


def test_oracle_drug_mean_is_the_in_sample_mean(study: Study, split: Split) -> None:
    table = predict_split(OracleNaive("drug_mean").fit(study, split), study, split, parts=("test",)).frame
    expected = table.groupby("drug_id")["y_true"].transform("mean")
    assert table["y_pred"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


def test_unknown_effect_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'drug_mean'"):
        Naive("drugmean")  # type: ignore[arg-type]


def test_seen_flags_against_a_slow_loop(study: Study, split: Split) -> None:
    train = study.source.responses.take(split.train_idx)
    lines = {study.source.cells.link_ids[row] for row in train.cell_idx} - {None}
    keys = {study.source.drugs.structure_keys[row] for row in train.drug_idx}
    both = {
        (study.source.cells.link_ids[c], study.source.drugs.structure_keys[d])
        for c, d in zip(train.cell_idx, train.drug_idx, strict=True)
    }
    target = study.target
    responses = target.responses
    flags = seen_in_training(study, split, target, responses.cell_idx, responses.drug_idx)
    for row, (cell, drug) in enumerate(zip(responses.cell_idx, responses.drug_idx, strict=True)):
        link, key = target.cells.link_ids[cell], target.drugs.structure_keys[drug]
        assert [flag[row] for flag in flags] == [link in lines, key in keys, link is not None and (link, key) in both]


def with_tissues(study: Study) -> Study:
    """Source lines of two tissues and one unknown, target lines of the same under other spellings and one more."""
    named: dict[str, tuple[str | None, ...]] = {
        "source": ("Lung",) * 5 + ("breast",) * 6 + (None,),
        "target": ("LUNG", "lung", "Breast ", "breast", None, "skin", "lung", "breast", "lung"),
    }
    screens = {
        role: replace(screen, cells=replace(screen.cells, tissues=named[role]))
        for role, screen in (("source", study.source), ("target", study.target))
    }
    return replace(study, source=screens["source"], target=screens["target"])


def test_tissue_drug_mean_against_a_slow_loop(study: Study, split: Split) -> None:
    study = with_tissues(study)
    responses = study.source.responses
    unmeasured = (responses.cell_idx >= 5) & (responses.drug_idx == 2)  # no line of breast or unknown tissue has drug 2
    rows = np.flatnonzero(~unmeasured)
    split = replace(split, train_idx=np.intersect1d(split.train_idx, rows), val_idx=np.intersect1d(split.val_idx, rows))
    naive, pairs = LabelLookup("tissue_drug").fit(study, split), all_target(study)
    expected, absent = [], 0
    for cell, drug in zip(pairs.cell_idx, pairs.drug_idx, strict=True):
        tissue = (study.target.cells.tissues[cell] or "").strip().casefold()
        lines = [row for row, name in enumerate(study.source.cells.tissues) if (name or "?").casefold() == tissue]
        of_drug = [row for row in rows if responses.drug_idx[row] == drug]
        of_tissue = [row for row in of_drug if responses.cell_idx[row] in lines]
        absent += not of_tissue
        expected.append(responses.potency[of_tissue or of_drug].mean(dtype=np.float64))
    assert naive.predict(pairs) == pytest.approx(expected, abs=1e-6)
    assert naive.note(pairs) == (
        f"{absent} of {len(pairs)} pairs have no label of their tissue and drug in training and take the drug mean"
    )


@pytest.mark.parametrize(("lookup", "kept"), [("copied_label", 1.0), ("copied_label_shrunken", 0.5)])
def test_a_copied_label_is_that_of_the_line_and_structure_else_drug_and_cell(
    study: Study, split: Split, lookup: str, kept: float
) -> None:
    naive, pairs = LabelLookup(lookup).fit(study, split), all_target(study)  # type: ignore[arg-type]
    otherwise = Naive("drug_cell").fit(study, split).predict(pairs)
    label = study.source.responses.potency.reshape(12, 5)[np.minimum(pairs.cell_idx, 11), pairs.drug_idx]
    expected = np.where(pairs.cell_idx < 4, kept * label + (1 - kept) * otherwise, otherwise)
    assert naive.predict(pairs) == pytest.approx(expected, abs=1e-6)
    assert naive.note(pairs).startswith("20 of 36 pairs have no label of their line and drug")


def test_labels_that_the_split_removed_are_not_copied(study: Study) -> None:
    split = cross_screen(study, seed=0, overlap="drop_lines")
    pairs = all_target(study)
    copied, otherwise = (each.fit(study, split).predict(pairs) for each in (LabelLookup(), Naive("drug_cell")))
    assert np.array_equal(copied, otherwise)


def test_a_validation_pair_does_not_find_its_own_label(study: Study, split: Split) -> None:
    naive = LabelLookup().fit(study, split)
    untaught = replace(split, val_idx=split.val_idx[:0])
    validation = study.source.responses.take(split.val_idx)
    expected = (
        Naive("drug_cell")
        .fit(study, untaught)
        .predict(Pairs(study.source, "source", validation.cell_idx, validation.drug_idx))
    )
    found = predict_split(naive, study, split, parts=("val",)).frame["y_pred"].to_numpy()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("lookup", ["tissue_drug", "copied_label", "copied_label_shrunken"])
def test_looked_up_labels_come_back_from_disk(study: Study, split: Split, tmp_path: Path, lookup: str) -> None:
    naive = LabelLookup(lookup).fit(with_tissues(study), split)  # type: ignore[arg-type]
    save_model(naive, tmp_path)
    again = load_model(tmp_path)
    first, second = (predict_split(each, with_tissues(study), split).frame for each in (naive, again))
    assert first.equals(second)
    assert again.name == naive.name


def test_an_unknown_lookup_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'copied_label'"):
        LabelLookup("copied_labels")  # type: ignore[arg-type]

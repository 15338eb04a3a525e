"""Splits inside one screen keep their groups apart; every claim is checked by set arithmetic on ids."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dadsp.errors import ConfigError, LeakageError, LoadError, SchemaError
from dadsp.models.base import seen_in_training
from dadsp.schema import IntArray, Screen, Split, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import check_split
from dadsp.splits.store import load_split, save_split, saved, saved_scope
from dadsp.splits.within import within
from tests.support.studies import small_screen, small_study

TISSUES = ("lung", "skin", "liver", "breast", "ovary")
KINDS = ("pair", "cell_blind", "drug_blind", "both_blind", "tissue_blind")
Units = Callable[[Screen, IntArray], set[str]]


def line_list(screen: Screen, rows: IntArray) -> list[str]:
    return [screen.cells.link_ids[cell] or screen.cells.ids[cell] for cell in screen.responses.cell_idx[rows]]


def drug_list(screen: Screen, rows: IntArray) -> list[str]:
    return [str(screen.drugs.structure_keys[drug]) for drug in screen.responses.drug_idx[rows]]


def lines(screen: Screen, rows: IntArray) -> set[str]:
    return set(line_list(screen, rows))


def drugs(screen: Screen, rows: IntArray) -> set[str]:
    return set(drug_list(screen, rows))


def tissues(screen: Screen, rows: IntArray) -> set[str]:
    return {str(screen.cells.tissues[cell]) for cell in screen.responses.cell_idx[rows]}


def pairs(screen: Screen, rows: IntArray) -> set[str]:
    return {f"{one}|{other}" for one, other in zip(line_list(screen, rows), drug_list(screen, rows), strict=True)}


KEPT_APART: dict[str, tuple[Units, ...]] = {
    "pair": (pairs,),
    "cell_blind": (lines,),
    "drug_blind": (drugs,),
    "both_blind": (lines, drugs),
    "tissue_blind": (tissues, lines),
}


def with_gaps(screen: Screen, seed: int) -> Screen:
    """The screen with tissues and a fifth of its pairs unmeasured."""
    cells = replace(screen.cells, tissues=tuple(TISSUES[row % len(TISSUES)] for row in range(len(screen.cells))))
    measured = np.random.default_rng(seed).random(len(screen.responses)) > 0.2
    return replace(screen, cells=cells, responses=screen.responses.take(measured))


def study_of(n_source: int = 15, n_target: int = 12, seed: int = 0) -> Study:
    source = with_gaps(small_screen("SRC", n_cells=n_source, n_drugs=8, n_genes=4, seed=0, links=6), seed)
    target = with_gaps(small_screen("TGT", n_cells=n_target, n_drugs=7, n_genes=4, seed=1, links=6), seed)
    return Study(source, target, "none", source.responses.potency)


@pytest.fixture(scope="module")
def study() -> Study:
    return study_of().within("source")


def relabelled(study: Study, **columns: Any) -> Study:
    """The same within-source study with other columns of its lines."""
    screen = replace(study.source, cells=replace(study.source.cells, **columns))
    return replace(study, source=screen, target=screen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", ["source", "target_oracle"])
@pytest.mark.parametrize("options", [{"fold": 2, "folds": 3}, {"test_fraction": 0.3, "val_fraction": 0.3}])
def test_parts_share_no_group_of_their_kind(kind: str, scope: str, options: dict[str, float]) -> None:
    one = study_of().within("source" if scope == "source" else "target")
    split = within(one, seed=3, kind=kind, scope=scope, **options)
    for units in KEPT_APART[kind]:
        train, val, test = (units(one.source, rows) for rows in (split.train_idx, split.val_idx, split.test_idx))
        assert train
        assert val
        assert test
        assert not train & val
        assert not (train | val) & test


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), folds=st.integers(2, 4), seed=st.integers(0, 50), repeat=st.integers(0, 3))
def test_test_parts_of_the_folds_partition_the_groups(kind: str, folds: int, seed: int, repeat: int) -> None:
    one = study_of(seed=seed % 5).within("source")
    if kind == "both_blind":  # whose lines and drugs need all pairs, lest a part stay empty
        source = small_screen("SRC", n_cells=15, n_drugs=8, n_genes=4, seed=0)
        one = replace(one, source=source, target=source)
    every = np.arange(len(one.source.responses))
    tests = [within(one, seed=seed, kind=kind, folds=folds, fold=fold, repeat=repeat).test_idx for fold in range(folds)]
    for units in KEPT_APART[kind]:
        parts = [units(one.source, rows) for rows in tests]
        assert sum(map(len, parts)) == len(set().union(*parts))
        assert set().union(*parts) == units(one.source, every)
    if kind != "both_blind":
        assert sorted(np.concatenate(tests)) == list(every)


def test_both_blind_tests_every_pair_of_the_fold_s_lines_and_drugs_and_counts_what_it_drops(study: Study) -> None:
    screen, responses = study.source, study.source.responses
    split = within(study, seed=1, kind="both_blind", folds=3, fold=1, val_fraction=0.3)
    for held, among in (
        (split.test_idx, np.arange(len(responses))),
        (split.val_idx, np.concatenate([split.train_idx, split.val_idx])),
    ):
        own = zip(among, line_list(screen, among), drug_list(screen, among), strict=True)
        held_lines, held_drugs = lines(screen, held), drugs(screen, held)
        assert sorted(held) == sorted(row for row, line, drug in own if line in held_lines and drug in held_drugs)
    kept = sum(map(len, (split.train_idx, split.val_idx, split.test_idx)))
    assert [note.what.split()[0] for note in split.notes] == ["pairs", "pairs"]
    assert kept + sum(note.count for note in split.notes) == len(responses)
    assert all(note.count for note in split.notes)


@pytest.mark.parametrize("kind", ["pair", "cell_blind", "drug_blind", "tissue_blind"])
def test_other_kinds_drop_nothing(study: Study, kind: str) -> None:
    split = within(study, seed=1, kind=kind)
    together = np.concatenate([split.train_idx, split.val_idx, split.test_idx])
    assert sorted(together) == list(range(len(study.source.responses)))
    assert split.notes == ()


@pytest.mark.parametrize(("kind", "n_test", "n_val"), [("cell_blind", 3, 3), ("drug_blind", 2, 2)])
def test_fractions_are_shares_of_the_groups(study: Study, kind: str, n_test: int, n_val: int) -> None:
    split = within(study, seed=0, kind=kind, test_fraction=0.2, val_fraction=0.25)
    (units,) = KEPT_APART[kind]
    assert len(units(study.source, split.test_idx)) == n_test
    assert len(units(study.source, split.val_idx)) == n_val


def test_repeat_and_seed_give_other_partitions_and_nothing_else_does(study: Study) -> None:
    def split_hash(study: Study, seed: int = 0, **options: int) -> str:
        return within(study, seed=seed, kind="cell_blind", **options).content_hash

    poisoned = replace(study.source, responses=replace(study.source.responses, potency=-study.source.responses.potency))
    assert split_hash(study) == split_hash(replace(study, source=poisoned, target=poisoned))
    assert len({split_hash(study), split_hash(study, repeat=1), split_hash(study, seed=1), split_hash(study, fold=1)}) == 4


def test_a_line_under_two_ids_stays_in_one_part(study: Study) -> None:
    double = relabelled(study, link_ids=("same", "same", *study.source.cells.link_ids[2:]))
    for fold in range(5):
        split = within(double, seed=0, kind="cell_blind", fold=fold)
        for rows in (split.train_idx, split.val_idx, split.test_idx):
            cells = set(double.source.responses.cell_idx[rows])
            assert (0 in cells) == (1 in cells)


@pytest.mark.parametrize("kind", ["pair", "drug_blind"])
def test_a_structure_under_two_ids_is_one_drug(study: Study, kind: str) -> None:
    keys = study.source.drugs.structure_keys
    screen = replace(study.source, drugs=replace(study.source.drugs, structure_keys=(keys[1], *keys[1:])))
    double = replace(study, source=screen, target=screen)
    for fold in range(5):
        split = within(double, seed=0, kind=kind, fold=fold)
        (units,) = KEPT_APART[kind]
        assert not units(screen, split.test_idx) & units(screen, np.concatenate([split.train_idx, split.val_idx]))


def test_lines_of_unknown_tissue_only_train_and_are_counted(study: Study) -> None:
    gaps = relabelled(study, tissues=(None, None, *study.source.cells.tissues[2:]))
    for fold in range(5):
        split = within(gaps, seed=0, kind="tissue_blind", fold=fold)
        held = set(gaps.source.responses.cell_idx[np.concatenate([split.val_idx, split.test_idx])])
        assert not held & {0, 1}
        assert {0, 1} <= set(gaps.source.responses.cell_idx[split.train_idx])
        (note,) = split.notes
        assert (note.what, note.count) == ("cell lines of unknown tissue, which only train", 2)


def test_a_line_whose_ids_disagree_about_its_tissue_counts_as_unknown(study: Study) -> None:
    links = ("same", "same", *study.source.cells.link_ids[2:])  # ids 0 and 1 say lung and skin
    double = relabelled(study, link_ids=links)
    for fold in range(5):
        split = within(double, seed=0, kind="tissue_blind", fold=fold)
        assert {0, 1} <= set(double.source.responses.cell_idx[split.train_idx])
        assert split.notes[0].examples == "same"


@pytest.mark.parametrize("kind", KINDS)
def test_only_training_lines_adapt_unless_the_split_is_transductive(study: Study, kind: str) -> None:
    split = within(study, seed=0, kind=kind)
    assert set(split.adapt_cell_idx) == set(study.source.responses.cell_idx[split.train_idx])
    transductive = within(study, seed=0, kind=kind, transductive=True)
    assert transductive.kind == f"{kind}_transductive"
    assert list(transductive.adapt_cell_idx) == list(range(len(study.source.cells)))
    assert np.array_equal(split.test_idx, transductive.test_idx)


def test_study_within_a_screen_keeps_its_labels_and_says_what_trains() -> None:
    both = study_of()
    capped = replace(both, label_cap="target", raw_source_potency=both.source.responses.potency - 1)
    source, target = capped.within("source"), capped.within("target")
    assert source.source is source.target is capped.source
    assert (source.scope, source.trained_on, source.tested_on, source.label_cap) == ("source", "source", "source", "target")
    assert np.array_equal(source.raw_source_potency, capped.raw_source_potency)
    assert target.source is target.target is capped.target
    assert (target.scope, target.trained_on, target.tested_on, target.label_cap) == (
        "target_oracle",
        "target",
        "target",
        "none",
    )
    assert np.array_equal(target.raw_source_potency, capped.target.responses.potency)
    assert len({study.content_hash for study in (capped, source, target)}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_seen_strata_are_those_of_a_loop_over_the_training_pairs(kind: str) -> None:
    one = study_of().within("target")
    split = within(one, seed=2, kind=kind, scope="target_oracle", folds=3, val_fraction=0.3)
    responses = one.target.responses.take(split.test_idx)
    cell, drug, pair = seen_in_training(one, split, one.target, responses.cell_idx, responses.drug_idx)
    known_lines, known_drugs = lines(one.source, split.train_idx), drugs(one.source, split.train_idx)
    assert cell.tolist() == [line in known_lines for line in line_list(one.target, split.test_idx)]
    assert drug.tolist() == [name in known_drugs for name in drug_list(one.target, split.test_idx)]
    assert not pair.any()
    assert not (cell.any() and kind in ("cell_blind", "both_blind", "tissue_blind"))
    assert not (drug.any() and kind in ("drug_blind", "both_blind"))
    assert cell.all() or kind != "drug_blind"


def leaky(study: Study, split: Split, level: str) -> Split:
    """The split with one row of the held-out part moved to training that shares its groups with rows left behind."""
    held = split.test_idx if level == "outer" else split.val_idx
    moved, left = held[:1], held[1:]
    train = np.append(split.train_idx, moved)
    changed = replace(split, train_idx=train, adapt_cell_idx=np.unique(study.source.responses.cell_idx[train]))
    return replace(changed, test_idx=left) if level == "outer" else replace(changed, val_idx=left)


@pytest.mark.parametrize("level", ["outer", "inner"])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("cell_blind", "1 cell lines"),
        ("drug_blind", "1 drugs"),
        ("both_blind", "1 cell lines"),
        ("tissue_blind", "1 known tissues"),
    ],
)
def test_a_group_on_both_sides_is_leakage(study: Study, kind: str, what: str, level: str, tmp_path: Path) -> None:
    split = leaky(study, within(study, seed=0, kind=kind, folds=3, val_fraction=0.4), level)
    with pytest.raises(LeakageError, match=f"{what}.*(both train and validate|also train or validate).*e.g. \\w"):
        check_split(study, split)
    save_split(tmp_path / "split.json", study, split)  # with the right hashes
    with pytest.raises(LeakageError, match=what):
        load_split(tmp_path / "split.json", study)


def test_a_pair_measured_under_two_drug_ids_on_both_sides_is_leakage(study: Study) -> None:
    split = within(study, seed=0, kind="pair")
    row, other = split.test_idx[0], split.train_idx[0]
    responses = study.source.responses
    keys, links = list(study.source.drugs.structure_keys), list(study.source.cells.link_ids)
    keys[responses.drug_idx[row]] = keys[responses.drug_idx[other]]
    links[responses.cell_idx[row]] = links[responses.cell_idx[other]] = "same"
    double = relabelled(study, link_ids=tuple(links))
    screen = replace(double.source, drugs=replace(double.source.drugs, structure_keys=tuple(keys)))
    with pytest.raises(LeakageError, match="pairs are tested and also train or validate"):
        check_split(replace(double, source=screen, target=screen), split)


def test_a_line_that_adapts_without_training_is_leakage(study: Study) -> None:
    split = within(study, seed=0, kind="cell_blind", folds=3)
    tested = study.source.responses.cell_idx[split.test_idx[:1]]
    with pytest.raises(LeakageError, match="1 cell lines adapt that do not train"):
        check_split(study, replace(split, adapt_cell_idx=np.append(split.adapt_cell_idx, tested)))


def test_a_tested_line_of_unknown_tissue_is_leakage(study: Study) -> None:
    split = within(study, seed=0, kind="tissue_blind")
    tested = study.source.responses.cell_idx[split.test_idx[0]]
    names = tuple(None if row == tested else tissue for row, tissue in enumerate(study.source.cells.tissues))
    with pytest.raises(LeakageError, match=r"1 known tissues.*unknown"):
        check_split(relabelled(study, tissues=names), split)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cell_blind", "folds": 16}, "split.folds=16, but there are only 15 cell lines"),
        ({"kind": "cell_blind", "fold": 5}, "fold=5 does not exist: 5 folds count from 0 to 4"),
        ({"kind": "cell_blind", "fold": -1}, "split.fold=-1 is not valid"),
        ({"kind": "cell_blind", "test_fraction": 0.2, "fold": 1}, "there is no fold 1"),
        ({"kind": "cell_blind", "test_fraction": 1.0}, "split.test_fraction=1.0 is not valid"),
        ({"kind": "cell_blind", "val_fraction": 1.0}, "split.val_fraction=1.0 is not valid"),
        ({"kind": "drug_blind", "test_fraction": 0.98}, "split.test_fraction=0.98 holds out all of 8 drugs"),
        ({"kind": "drug_blind", "test_fraction": 0.75, "val_fraction": 0.9}, "val_fraction=0.9 holds out all of 2 drugs"),
        ({"kind": "drug_blind", "test_fraction": 0.75, "val_fraction": 0.1}, "pairs of 1 drug to train on"),
        ({"kind": "cel_blind"}, "Did you mean 'cell_blind'"),
        (
            {"kind": "cell_blind", "scope": "target"},
            "'target' is not a valid choice. Did you mean 'target_oracle'",
        ),
        ({"kind": "cell_blind", "scope": "target_oracle"}, "split.scope=target_oracle, but the study has scope 'source'"),
        ({"kind": "cell_blind", "fraction": 0.1}, "split.fraction is not a known key"),
    ],
)
def test_impossible_settings_are_refused(study: Study, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        within(study, seed=0, **options)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((None,) * 15, "only 0 known tissues"),
        (("lung",) * 15, "only 1 known tissues"),
        (("lung", *["skin"] * 14), "holds out all of 1 known tissues"),
    ],
)
def test_too_few_tissues_are_refused(study: Study, names: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        within(relabelled(study, tissues=names), seed=0, kind="tissue_blind", folds=2)


def test_a_part_without_measured_pairs_is_refused(study: Study) -> None:
    split = within(study, seed=0, kind="both_blind")
    kept = np.setdiff1d(np.arange(len(study.source.responses)), split.test_idx)
    screen = replace(study.source, responses=study.source.responses.take(kept))
    with pytest.raises(ConfigError, match="leaves no measured pair to test"):
        within(replace(study, source=screen, target=screen), seed=0, kind="both_blind")


def test_a_split_does_not_fit_a_study_on_other_screens(study: Study) -> None:
    both = small_study()
    with pytest.raises(SchemaError, match="does not fit a study of scope 'across'"):
        check_split(both, within(study, seed=0, kind="pair"))
    with pytest.raises(SchemaError, match="does not fit a study of scope 'target_oracle'"):
        check_split(both.within("target"), cross_screen(both, seed=0))
    with pytest.raises(SchemaError, match=r"'cell_blid' is no kind of split. Did you mean 'cell_blind'"):
        check_split(study, replace(within(study, seed=0, kind="pair"), kind="cell_blid"))


def test_saved_split_is_the_same_whatever_the_seed(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split = within(study, seed=0, kind="both_blind")
    save_split(path, study, split)
    again = saved(study, seed=7, path=str(path))
    assert (again.content_hash, again.notes) == (split.content_hash, split.notes)
    assert saved_scope(path) == "source"
    with pytest.raises(LoadError, match="other data"):
        load_split(path, study_of())


@pytest.mark.parametrize("content", ["[]", '{"scope": "target"}', '{"scope": ["source"]}'])
def test_a_file_that_is_no_split_is_refused(study: Study, tmp_path: Path, content: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(LoadError, match="not a saved split"):
        saved_scope(path)
    with pytest.raises(LoadError, match="not a saved split"):
        load_split(path, study)


def test_a_split_saved_before_there_were_screens_to_choose_stands_across(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    both = small_study()
    save_split(path, both, cross_screen(both, seed=0))
    facts = json.loads(path.read_text())
    del facts["scope"], facts["notes"]
    path.write_text(json.dumps(facts))
    assert saved_scope(path) == "across"
    assert load_split(path, both).content_hash == cross_screen(both, seed=0).content_hash

"""The main split keeps lines apart, and says so when something does not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dadsp.errors import ConfigError, LeakageError, LoadError, SchemaError
from dadsp.models.base import seen_in_training
from dadsp.schema import IntArray, Screen, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import check_split
from dadsp.splits.store import load_split, save_split
from tests.support.studies import small_study


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.mark.parametrize("seed", range(5))
def test_validation_lines_train_nothing(study: Study, seed: int) -> None:
    split = cross_screen(study, seed=seed, val_fraction=0.25)
    cells = study.source.responses.cell_idx
    assert not set(cells[split.train_idx]) & set(cells[split.val_idx])
    assert len(set(cells[split.val_idx])) == 3  # a quarter of twelve
    together = np.concatenate([split.train_idx, split.val_idx])
    assert sorted(together) == list(range(len(study.source.responses)))


def test_one_line_under_two_ids_stays_on_one_side(study: Study) -> None:
    links = ("same", "same", *study.source.cells.link_ids[2:])
    cells = replace(study.source.cells, link_ids=links)
    study = replace(study, source=replace(study.source, cells=cells))
    for seed in range(12):
        split = cross_screen(study, seed=seed)
        val = set(study.source.responses.cell_idx[split.val_idx])
        assert (0 in val) == (1 in val)


def test_every_target_pair_is_tested_and_every_target_line_adapts(study: Study) -> None:
    split = cross_screen(study, seed=0)
    assert len(split.test_idx) == len(study.target.responses)
    assert len(split.adapt_cell_idx) == len(study.target.cells)


def test_seed_zero_is_a_seed_like_any_other(study: Study) -> None:
    assert cross_screen(study, seed=0).content_hash == cross_screen(study, seed=0).content_hash
    assert cross_screen(study, seed=0).content_hash != cross_screen(study, seed=1).content_hash


def test_target_labels_do_not_shape_the_split(study: Study) -> None:
    poisoned = replace(study.target.responses, potency=-study.target.responses.potency)
    other = replace(study, target=replace(study.target, responses=poisoned))
    assert cross_screen(study, seed=3).content_hash == cross_screen(other, seed=3).content_hash


def test_a_line_on_both_sides_is_leakage(study: Study) -> None:
    split = cross_screen(study, seed=0)
    leaky = replace(split, train_idx=np.append(split.train_idx, split.val_idx[0]))
    with pytest.raises(LeakageError, match="1 cell lines both train and validate"):
        check_split(study, leaky)


def test_rows_outside_the_study_are_refused(study: Study) -> None:
    split = cross_screen(study, seed=0)
    with pytest.raises(SchemaError, match="test part"):
        check_split(study, replace(split, test_idx=np.array([10**6])))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1, 2])
def test_impossible_fraction_is_refused(study: Study, fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"split\.val_fraction"):
        cross_screen(study, seed=0, val_fraction=fraction)


def keys(screen: Screen, rows: IntArray) -> list[tuple[str, str]]:
    """(line, structure) of each row; a line without a link is one of its own."""
    responses = screen.responses
    return [
        (screen.cells.link_ids[cell] or screen.cells.ids[cell], str(screen.drugs.structure_keys[drug]))
        for cell, drug in zip(responses.cell_idx[rows], responses.drug_idx[rows], strict=True)
    ]


OVERLAPS = [("keep", ()), ("drop_lines", (0,)), ("drop_drugs", (1,)), ("drop_both", (0, 1))]


@pytest.fixture
def overlapping() -> Study:
    """12 × 8 pairs, and a target of which 4 lines and 3 drugs with labels stand in the source, and 2 more lines without."""
    study = small_study(n_drugs=8, links=6)
    responses = study.target.responses
    labelled = responses.take((responses.drug_idx < 3) & (responses.cell_idx >= 2))
    return replace(study, target=replace(study.target, responses=labelled))


@pytest.mark.parametrize(("overlap", "sides"), OVERLAPS)
def test_source_pairs_whose_line_or_drug_is_tested_are_dropped(
    overlapping: Study, overlap: str, sides: tuple[int, ...]
) -> None:
    source, target = overlapping.source, overlapping.target
    split = cross_screen(overlapping, seed=1, overlap=overlap, val_fraction=0.3)
    tested = keys(target, np.arange(len(target.responses)))
    every = keys(source, np.arange(len(source.responses)))
    kept = [
        row for row, key in enumerate(every) if not any(key[side] in {other[side] for other in tested} for side in sides)
    ]
    assert sorted(np.concatenate([split.train_idx, split.val_idx])) == kept
    assert len(split.test_idx) == len(target.responses)
    assert len(split.adapt_cell_idx) == len(target.cells)
    # 4 of 12 source lines with 8 drugs each, 3 of 8 source drugs with 12 lines each
    assert [note.count for note in split.notes] == [{0: 4 * 8, 1: 3 * 12}[side] for side in sides]


@pytest.mark.parametrize(("overlap", "sides"), OVERLAPS)
def test_seen_strata_follow_the_overlap(overlapping: Study, overlap: str, sides: tuple[int, ...]) -> None:
    target = overlapping.target
    split = cross_screen(overlapping, seed=1, overlap=overlap)
    responses = target.responses
    seen = seen_in_training(overlapping, split, target, responses.cell_idx, responses.drug_idx)
    train, test = keys(overlapping.source, split.train_idx), keys(target, split.test_idx)
    for side in (0, 1):
        assert seen[side].tolist() == [key[side] in {other[side] for other in train} for key in test]
        assert seen[side].any() == (side not in sides)
    assert seen[2].tolist() == [key in set(train) for key in test]


@pytest.mark.parametrize(
    ("overlap", "what"), [("drop_lines", "cell lines"), ("drop_drugs", "drugs"), ("drop_both", "cell lines")]
)
@pytest.mark.parametrize("part", ["train_idx", "val_idx"])
def test_a_dropped_pair_put_back_is_leakage(overlapping: Study, overlap: str, what: str, part: str) -> None:
    split = cross_screen(overlapping, seed=1, overlap=overlap)
    tested = keys(overlapping.target, split.test_idx)[0]
    place = 1 if overlap == "drop_drugs" else 0
    kept = {key[0] for key in keys(overlapping.source, getattr(split, part))}
    row = next(
        row
        for row, key in enumerate(keys(overlapping.source, np.arange(len(overlapping.source.responses))))
        if key[place] == tested[place] and (place == 0 or key[0] in kept)
    )
    leaking: dict[str, Any] = {part: np.append(getattr(split, part), row)}
    with pytest.raises(LeakageError, match=f"1 {what} are tested and also train or validate"):
        check_split(overlapping, replace(split, **leaking))


def test_an_overlap_that_leaves_nothing_is_refused(study: Study) -> None:
    twins = replace(study, source=study.target)
    for overlap in ("drop_lines", "drop_drugs", "drop_both"):
        with pytest.raises(ConfigError, match=f"split.overlap={overlap} leaves none of 36 source pairs"):
            cross_screen(twins, seed=0, overlap=overlap)


def test_an_overlap_that_leaves_one_drug_is_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"drop_drugs split leaves .* of 1 drug to train on"):
        cross_screen(study, seed=0, overlap="drop_drugs")  # the target holds four of the source's five drugs


def test_two_drugs_are_enough_to_train_on() -> None:
    study = small_study(n_drugs=2)
    assert len(set(study.source.responses.drug_idx[cross_screen(study, seed=0).train_idx])) == 2


def test_misspelt_overlap_is_refused_with_the_nearest(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"split\.overlap='drop_line' is not a valid choice. Did you mean 'drop_lines'"):
        cross_screen(study, seed=0, overlap="drop_line")


def test_a_study_on_one_screen_is_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match="needs both screens, but the study has scope 'source'"):
        cross_screen(study.within("source"), seed=0)


def test_saved_split_comes_back_equal(study: Study, tmp_path: Path) -> None:
    split = cross_screen(study, seed=0)
    save_split(tmp_path / "split.json", study, split)
    assert load_split(tmp_path / "split.json", study).content_hash == split.content_hash


def test_tampered_split_is_refused(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    save_split(path, study, cross_screen(study, seed=0))
    saved = json.loads(path.read_text())
    saved["train_idx"].append(saved["val_idx"].pop())
    path.write_text(json.dumps(saved))
    with pytest.raises(LoadError, match="damaged"):
        load_split(path, study)


def test_split_of_other_data_is_refused(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    save_split(path, study, cross_screen(study, seed=0))
    with pytest.raises(LoadError, match="other data"):
        load_split(path, small_study(n_genes=8))


@pytest.mark.parametrize(("overlap", "sides"), OVERLAPS[1:])
@pytest.mark.parametrize("seed", range(3))
def test_a_portion_is_dropped_and_only_pairs_new_to_training_are_tested(
    overlapping: Study, overlap: str, sides: tuple[int, ...], seed: int
) -> None:
    source, target = overlapping.source, overlapping.target
    split = cross_screen(overlapping, seed=seed, overlap=overlap, portion=0.5)
    every = [keys(screen, np.arange(len(screen.responses))) for screen in (source, target)]
    known = keys(source, np.concatenate([split.train_idx, split.val_idx]))
    tested = keys(target, split.test_idx)
    for side in (0, 1):
        both = {key[side] for key in every[0]} & {key[side] for key in every[1]}
        dropped = both - {key[side] for key in known}
        assert len(dropped) == (2 if side in sides else 0)  # half of 4 lines, or half of 3 drugs
        if side in sides:
            assert not {key[side] for key in tested} & {key[side] for key in known}
    left = [key for key in every[0] if not any(key[side] in {k[side] for k in every[1]} for side in sides)]
    assert set(left) <= set(known)
    assert {key for key in every[1] if not any(key[side] in {k[side] for k in known} for side in sides)} == set(tested)
    assert len(split.notes) == 2 * len(sides)
    assert split.notes[-1].what.startswith("target pairs not tested, of ")


def test_a_portion_is_drawn_from_the_seed_and_leaves_the_whole_as_it_was(overlapping: Study) -> None:
    def tested(seed: int, portion: float) -> list[int]:
        return list(cross_screen(overlapping, seed=seed, overlap="drop_lines", portion=portion).test_idx)

    assert tested(1, 0.5) == tested(1, 0.5)
    assert len({tuple(tested(seed, 0.5)) for seed in range(6)}) > 1
    assert tested(1, 1.0) == list(range(len(overlapping.target.responses)))


def test_a_portion_of_hardly_any_is_one_line(overlapping: Study) -> None:
    split = cross_screen(overlapping, seed=1, overlap="drop_lines", portion=0.01)
    every, known = (
        {key[0] for key in keys(overlapping.source, rows)}
        for rows in (np.arange(len(overlapping.source.responses)), np.concatenate([split.train_idx, split.val_idx]))
    )
    assert len(every - known) == 1


def test_a_tested_pair_of_a_line_that_trains_is_leakage(overlapping: Study) -> None:
    split = cross_screen(overlapping, seed=1, overlap="drop_lines", portion=0.5)
    untested = np.setdiff1d(np.arange(len(overlapping.target.responses)), split.test_idx)
    leaky = replace(split, test_idx=np.append(split.test_idx, untested[0]))
    with pytest.raises(LeakageError, match="1 cell lines are tested and also train or validate"):
        check_split(overlapping, leaky)


def test_a_portion_of_nothing_is_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"split\.portion=0\.5 .* split\.overlap=keep leaves out none"):
        cross_screen(study, seed=0, portion=0.5)

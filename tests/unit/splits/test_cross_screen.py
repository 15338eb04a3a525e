"""The main split keeps lines apart, and says so when something does not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dadsp.errors import ConfigError, LeakageError, LoadError, SchemaError
from dadsp.schema import Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import check_split
from dadsp.splits.store import load_split, save_split
from tests.studies import small_study


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
    with pytest.raises(ConfigError, match="split.val_fraction"):
        cross_screen(study, seed=0, val_fraction=fraction)


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

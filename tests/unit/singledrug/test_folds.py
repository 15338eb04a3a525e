"""Splits of one repeat, and that nothing fitted on training lines can know the others."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from dadsp.singledrug.folds import Folds, Genes, split_rows
from dadsp.singledrug.lines import DrugLines, drug_lines
from dadsp.singledrug.selection import SelectionOptions
from dadsp.singledrug.settings import ProtocolOptions
from tests.support.panels import noise_lines, small_panel

PROTOCOL, SELECTION = ProtocolOptions(), SelectionOptions(n_genes=8)
PARTS = ("test", "validation", "inner0", "inner1", "inner2")


@pytest.mark.parametrize("part", PARTS)
def test_no_line_both_fits_and_judges(part: str) -> None:
    fit_idx, held_idx = split_rows(100, PROTOCOL, seed=0)[part]
    assert not set(fit_idx) & set(held_idx)


def test_shares_are_those_asked_for() -> None:
    rows = split_rows(100, ProtocolOptions(test_fraction=0.3, validation_fraction=0.3), seed=0)
    assert {part: tuple(map(len, rows[part])) for part in ("test", "validation")} == {
        "test": (70, 30),
        "validation": (49, 21),
    }


def test_inner_splits_divide_the_training_lines_and_hold_no_test_line() -> None:
    rows = split_rows(100, PROTOCOL, seed=0)
    train, test = (set(side.tolist()) for side in rows["test"])
    for part in PARTS[1:]:
        fit_idx, held_idx = rows[part]
        assert {*fit_idx.tolist(), *held_idx.tolist()} == train
        assert not test & {*fit_idx.tolist(), *held_idx.tolist()}
    assert sorted(line for part in PARTS[2:] for line in rows[part][1]) == sorted(train)


def test_the_split_hash_tells_draws_and_lines_apart() -> None:
    def split_hash(lines: DrugLines, seed: int) -> str:
        return Folds(lines, PROTOCOL, SELECTION, seed).split_hash

    lines = noise_lines(20, 10)
    renamed = replace(lines, cell_ids=(*lines.cell_ids[1:], "another"))
    assert split_hash(lines, 0) == split_hash(lines, 0)
    assert len({split_hash(lines, 0), split_hash(lines, 1), split_hash(renamed, 0)}) == 3


def test_repeats_draw_other_lines() -> None:
    assert set(split_rows(100, PROTOCOL, seed=0)["test"][1]) != set(split_rows(100, PROTOCOL, seed=1)["test"][1])


@pytest.fixture
def lines() -> DrugLines:
    return drug_lines(small_panel(), 0)


def poisoned(lines: DrugLines, part: str, *, expression: bool = True) -> DrugLines:
    """The same lines with nonsense in everything that the judging side of a split knows."""
    _, held_idx = Folds(lines, PROTOCOL, SELECTION, seed=0).rows[part]
    altered = copy.deepcopy(lines)
    if expression:
        altered.expression[held_idx] = np.random.default_rng(9).normal(50, 100, altered.expression[held_idx].shape)
    altered.response[held_idx] = np.linspace(-50, 50, len(held_idx))
    return altered


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("gene_set", ["selected", "all", "random"])
def test_genes_and_scale_ignore_the_lines_that_judge(lines: DrugLines, part: str, gene_set: str) -> None:
    genes = Genes(gene_set, "train")  # type: ignore[arg-type]
    clean, altered = (
        Folds(given, PROTOCOL, SELECTION, seed=0).prepared(part, genes) for given in (lines, poisoned(lines, part))
    )
    assert np.array_equal(clean.gene_idx, altered.gene_idx)
    for name in ("low", "span"):
        assert np.array_equal(getattr(clean.scale, name), getattr(altered.scale, name))
    assert np.array_equal(clean.fold.x_fit, altered.fold.x_fit)
    assert np.array_equal(clean.fold.y_fit, altered.fold.y_fit)


def test_oracle_selection_follows_the_labels_of_test_lines() -> None:
    lines, genes = noise_lines(60, 200), Genes("selected", "all_oracle")
    clean, altered = (
        Folds(given, PROTOCOL, SELECTION, seed=0).prepared("test", genes)
        for given in (lines, poisoned(lines, "test", expression=False))
    )
    assert not np.array_equal(clean.gene_idx, altered.gene_idx)
    assert np.array_equal(clean.scale.low, lines.expression[:, clean.gene_idx][clean_rows(lines)].min(axis=0))


def clean_rows(lines: DrugLines) -> np.ndarray:
    return Folds(lines, PROTOCOL, SELECTION, seed=0).rows["test"][0]


def test_oracle_genes_are_the_same_in_every_split() -> None:
    folds = Folds(noise_lines(60, 100), PROTOCOL, SELECTION, seed=0)
    chosen = {tuple(folds.prepared(part, Genes("selected", "all_oracle")).gene_idx) for part in PARTS}
    assert len(chosen) == 1


def test_inputs_of_fitted_lines_fill_the_unit_interval(lines: DrugLines) -> None:
    folds = Folds(lines, PROTOCOL, SELECTION, seed=0)
    prepared = folds.prepared("test", Genes("selected", "train"))
    assert np.allclose(prepared.fold.x_fit.min(axis=0), 0)
    assert np.allclose(prepared.fold.x_fit.max(axis=0), 1)
    assert np.array_equal(prepared.inputs(lines.expression[folds.rows["test"][1]]), prepared.fold.x_held)


def test_selection_finds_the_genes_that_were_planted(lines: DrugLines) -> None:
    chosen = (
        Folds(lines, PROTOCOL, replace(SELECTION, n_genes=4), seed=0).prepared("test", Genes("selected", "train")).gene_idx
    )
    assert {lines.genes[column] for column in chosen} >= set(lines.causal_genes)

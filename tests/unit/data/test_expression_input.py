"""What reaches a system of the expression, and what may decide it."""

from dataclasses import replace

import numpy as np
import pytest

from dadsp.data.alignment.base import Alignment, AlignmentLines
from dadsp.data.alignment.bridge import Bridge
from dadsp.data.alignment.gene_wise import ZScore
from dadsp.data.alignment.identity import NoAlignment
from dadsp.data.expression_input import ExpressionInput
from dadsp.data.scaling import fit_scaler
from dadsp.errors import ConfigError, SchemaError
from dadsp.schema import Screen, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import poisoned
from tests.unit.data.test_alignment import ALIGNMENTS, by_kind


def fit(study: Study, split: Split, alignment: Alignment | None) -> ExpressionInput:
    return ExpressionInput.fit(study, split, alignment=alignment, kind="zscore", scope="per_domain")


@pytest.fixture
def study() -> Study:
    return small_study(n_source=48, n_target=44, links=36)


@pytest.fixture
def split(study: Study) -> Split:
    whole = cross_screen(study, seed=0, val_fraction=0.2)
    return replace(whole, adapt_cell_idx=np.arange(38))  # six target lines lend nothing


def same(a: ExpressionInput, b: ExpressionInput) -> bool:
    one, other = a.arrays(), b.arrays()
    return a.facts() == b.facts() and all(np.array_equal(one[name], other[name]) for name in one | other)


@pytest.mark.parametrize("alignment", [None, NoAlignment()])
def test_without_alignment_expression_is_scaled_as_ever(study: Study, split: Split, alignment: Alignment | None) -> None:
    scaler = fit_scaler(
        "zscore", "per_domain", study, study.source.responses.cell_idx[split.train_idx], split.adapt_cell_idx
    )
    found = fit(study, split, alignment)
    for screen, domain in ((study.source, "source"), (study.target, "target")):
        expected = scaler.transform(screen.cells.expression, domain)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.transform(screen, domain), expected)  # type: ignore[arg-type]


def test_shrinkage_of_a_bridge_is_not_undone_by_scaling(study: Study, split: Split) -> None:
    found = fit(study, split, Bridge(penalties=(1e6,)))
    assert np.abs(found.transform(study.target, "target")).max() < 1e-2
    train = np.unique(study.source.responses.cell_idx[split.train_idx])
    np.testing.assert_allclose(found.transform(study.source, "source", train).std(axis=0), 1, atol=1e-5)


@by_kind
def test_no_label_changes_an_alignment(study: Study, split: Split, alignment: Alignment) -> None:
    responses = study.source.responses
    changed = replace(responses, potency=-responses.potency, censored=~responses.censored)
    other = replace(poisoned(study), source=replace(study.source, responses=changed))
    assert same(fit(study, split, alignment), fit(other, split, alignment))


def _other_lines(screen: Screen, rows: np.ndarray) -> Screen:
    expression = screen.cells.expression.copy()
    expression[rows] = 7 - 3 * expression[rows]
    return replace(screen, cells=replace(screen.cells, expression=expression))


@by_kind
def test_only_training_and_adapting_lines_and_partners_of_these_change_an_alignment(
    study: Study, split: Split, alignment: Alignment
) -> None:
    train = np.unique(study.source.responses.cell_idx[split.train_idx])
    partners = study.target_cell_in_source[split.adapt_cell_idx]
    idle = np.setdiff1d(np.arange(len(study.source.cells)), np.union1d(train, partners))
    left = np.setdiff1d(np.arange(len(study.target.cells)), split.adapt_cell_idx)
    assert len(idle)
    assert len(left)
    clean = fit(study, split, alignment)
    other = replace(study, source=_other_lines(study.source, idle), target=_other_lines(study.target, left))
    assert same(clean, fit(other, split, alignment))
    used = replace(study, target=_other_lines(study.target, split.adapt_cell_idx[:9]))
    assert not same(clean, fit(used, split, alignment))


def test_bridge_uses_shared_lines_whatever_labels_train(study: Study, split: Split) -> None:
    shared = np.unique(study.target_cell_in_source[study.target_cell_in_source >= 0])
    kept = ~np.isin(study.source.responses.cell_idx[split.train_idx], shared)
    removed = replace(split, train_idx=split.train_idx[kept])
    facts = fit(study, removed, Bridge()).facts()
    assert facts["n_shared"] == 36
    assert facts["n_lines_source"] == len(AlignmentLines.of(study, removed).source) < 48 - 36 + 1


def test_study_inside_one_screen_is_not_bridged(study: Study, split: Split) -> None:
    within = study.within("source")
    with pytest.raises(ConfigError, match="inside one screen"):
        fit(within, split, Bridge())
    assert fit(within, split, ZScore()).facts()["n_shared"] == 0


def test_no_target_line_to_align_with_is_refused(study: Study, split: Split) -> None:
    with pytest.raises(SchemaError, match="no line of TGT to fit the alignment on"):
        fit(study, replace(split, adapt_cell_idx=np.zeros(0, np.int64)), ZScore())


@pytest.mark.parametrize("alignment", [NoAlignment(), *ALIGNMENTS], ids=lambda alignment: alignment.kind)
def test_saved_input_transforms_a_wider_screen_bit_for_bit_alike(study: Study, split: Split, alignment: Alignment) -> None:
    narrow = study.genes[1:][::-1]
    found = fit(
        replace(study, source=study.source.with_genes(narrow), target=study.target.with_genes(narrow)), split, alignment
    )
    again = ExpressionInput.from_state(found.genes, found.facts(), found.arrays() | {"network.weight": np.ones(2)})
    rows = np.array([4, 1])
    expected = found.transform(study.target.with_genes(narrow), "target")
    np.testing.assert_array_equal(again.transform(study.target, "target"), expected)
    np.testing.assert_allclose(again.transform(study.target, "target", rows), expected[rows], atol=1e-5)


def test_model_saved_before_alignments_is_read_without_one(study: Study, split: Split) -> None:
    found = fit(study, split, None)
    old = ExpressionInput.from_state(found.genes, None, found.arrays())
    assert old.facts() == {"kind": "none"}
    np.testing.assert_array_equal(old.transform(study.target, "target"), found.transform(study.target, "target"))


def test_screen_that_lacks_genes_is_refused(study: Study, split: Split) -> None:
    found = fit(study, split, None)
    with pytest.raises(SchemaError, match="TGT lacks 2 of the model's 7 genes"):
        found.transform(study.target.with_genes(study.genes[2:]), "target")

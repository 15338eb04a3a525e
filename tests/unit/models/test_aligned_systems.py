"""Systems under every alignment: saved, loaded, explained, refused where there is nothing to align."""

from pathlib import Path

import numpy as np
import pytest

from dadsp.analysis.attribution import MEASURED, AttributionOptions, attribute_genes, meaning_of_genes
from dadsp.data.alignment.base import Alignment
from dadsp.data.alignment.bridge import Bridge
from dadsp.data.alignment.coral import Coral
from dadsp.data.alignment.gene_wise import ZScore
from dadsp.errors import ConfigError
from dadsp.models.systems.classical import Linear
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.deepdsc1 import DeepDsc1
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import SMALL, assert_reloads_bit_for_bit, poisoned
from tests.unit.data.test_alignment import by_kind

ONE_EPOCH = {"max_epochs": 1, "threads": 1}


@pytest.fixture
def study() -> Study:
    return small_study(n_source=40, n_target=36, links=32)


@pytest.fixture
def split(study: Study) -> Split:
    return cross_screen(study, seed=0, val_fraction=0.2)


def network(alignment: Alignment) -> DadspA:
    return DadspA(training=ONE_EPOCH, alignment=alignment, **SMALL | {"pretraining": None})


@by_kind
def test_aligned_systems_reload_bit_for_bit_and_state_their_alignment(
    study: Study, split: Split, alignment: Alignment, tmp_path: Path
) -> None:
    for system in (network(alignment), Linear(alignment=alignment, features="raw")):
        system.fit(study, split)
        facts = system.input_facts()["alignment"]
        assert facts["n_lines_target"] == 36
        assert facts["kind"] == ("bridge" if alignment.kind == "auto" else alignment.kind)
        assert_reloads_bit_for_bit(system, study, split, tmp_path / type(system).__name__)


def test_no_target_label_changes_a_bridged_network(study: Study, split: Split) -> None:
    pairs = Pairs(study.target, "target", np.arange(36), np.zeros(36, np.int64))
    clean, other = (network(Bridge()).fit(each, split).predict(pairs) for each in (study, poisoned(study)))
    np.testing.assert_array_equal(clean, other)


def test_attributions_under_a_bridge_are_complete_and_say_that_they_are_of_bridged_genes(study: Study, split: Split) -> None:
    model = network(Bridge()).fit(study, split)
    pairs = Pairs(study.target, "target", np.arange(3), np.zeros(3, np.int64))
    found = attribute_genes(model.potency_functions(pairs), pairs, model.genes, "mean_line", AttributionOptions())
    np.testing.assert_allclose(found.potency, model.predict(pairs), atol=1e-5)
    np.testing.assert_allclose(found.values.sum(axis=1), found.potency - found.baseline_potency, atol=1e-3)
    assert "alignment=bridge" in meaning_of_genes(model, "target")
    assert meaning_of_genes(model, "source") == MEASURED


def test_attributions_under_a_gene_wise_alignment_are_of_measured_genes(study: Study, split: Split) -> None:
    model = network(ZScore()).fit(study, split)
    assert meaning_of_genes(model, "target") == meaning_of_genes(model, "source") == MEASURED


def test_deepdsc1_learns_inside_one_screen_and_refuses_an_alignment() -> None:
    with pytest.raises(ConfigError, match="alignment=coral brings two platforms onto one scale"):
        DeepDsc1(alignment=Coral())

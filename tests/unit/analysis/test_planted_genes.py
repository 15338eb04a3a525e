"""Recovery of planted genes, by hand."""

import numpy as np
import pytest

from dadsp.analysis.planted_genes import planted_genes, recovery_auroc
from dadsp.data.sources.simulated import simulated_study
from tests.support.studies import small_screen


def test_planted_genes_are_the_drugs_causal_ones() -> None:
    study = simulated_study(
        seed=0, n_genes=60, n_source_cells=20, n_target_cells=12, n_shared_cells=6,
        n_source_drugs=6, n_target_drugs=4, n_shared_drugs=2, n_pathways=6,
    )  # fmt: skip
    drug = study.target.drugs.ids[0]
    planted = planted_genes(study.target, drug)
    assert planted == set(study.target.truth["causal_genes"][drug])
    assert 0 < len(planted) < 60


def test_measured_screens_have_no_planted_genes() -> None:
    assert planted_genes(small_screen("S", n_cells=2, n_drugs=1, n_genes=2, seed=0), "S-drug0") == frozenset()


def test_auroc_by_hand() -> None:
    values = np.array([[3.0, -4.0, 0.1, 0.2], [0.1, 0.2, 3.0, -4.0], [1.0, 2.0, -2.0, 4.0]], dtype=np.float32)
    found = recovery_auroc(values, ["a", "b", "c", "d"], frozenset({"a", "b", "elsewhere"}))
    assert found.tolist() == [1, 0, pytest.approx(0.5 / 4)]  # of four comparisons one is a tie, three are lost

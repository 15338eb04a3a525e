"""Rankings and their overlap by hand and against scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dadsp.analysis.gene_rankings import chance_jaccard, overlaps, rank_overlap, top_genes

VALUES = np.array([[0.1, -0.5, 0.3, 0.0], [0.2, 0.2, -0.1, 0.4]], dtype=np.float32)


def test_top_genes_are_those_farthest_from_zero_with_their_sign() -> None:
    expression = np.arange(8, dtype=np.float32).reshape(2, 4)
    table = top_genes(VALUES, ["A", "B"], ["g1", "g2", "g3", "g4"], expression, expression.mean(axis=0), 2)
    assert table["cell_id"].tolist() == ["A", "A", "B", "B"]
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert table["gene"].tolist() == ["g2", "g3", "g4", "g1"]  # of equals the earlier
    assert table["attribution"].tolist() == pytest.approx([-0.5, 0.3, 0.4, 0.2])
    assert table["expression"].tolist() == [1, 2, 7, 4]
    assert table["screen_mean"].tolist() == [3, 4, 5, 2]


def test_overlap_by_hand() -> None:
    overlap = rank_overlap(VALUES[0], VALUES[1], 2)
    assert overlap.jaccard == 0  # {g2, g3} and {g4, g1}
    assert rank_overlap(VALUES[0], VALUES[1], 3).jaccard == pytest.approx(2 / 4)  # {g2, g3, g1} and {g4, g1, g2}
    assert [*rank_overlap(VALUES[0], VALUES[0], 3)] == pytest.approx([1, 1, 1])
    assert [*rank_overlap(VALUES[0], -VALUES[0], 3)] == pytest.approx([1, -1, 1])


def test_correlations_are_scipys() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    overlap = rank_overlap(a, b, 5)
    assert overlap.spearman == pytest.approx(spearmanr(a, b).statistic)
    assert overlap.spearman_size == pytest.approx(spearmanr(np.abs(a), np.abs(b)).statistic)


def test_constant_attributions_have_no_order() -> None:
    assert rank_overlap(VALUES[0], np.zeros(4, dtype=np.float32), 2).spearman == 0


def test_overlap_table_has_a_row_per_line() -> None:
    table = overlaps("run", "seed 2", VALUES, VALUES, ["A", "B"], 3)
    assert table[["comparison", "other", "cell_id"]].to_numpy().tolist() == [["run", "seed 2", "A"], ["run", "seed 2", "B"]]
    assert table["jaccard"].tolist() == [1, 1]


def test_chance_is_the_overlap_of_random_sets() -> None:
    assert chance_jaccard(100, 10) == pytest.approx(1 / 19)  # one gene expected in common, 19 named in all
    assert chance_jaccard(4, 10) == 1

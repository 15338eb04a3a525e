"""The splits of one repeat, and what is fitted on the fitting lines of each: genes and scale."""

import hashlib
import time
from typing import NamedTuple

import numpy as np

from dadsp.schema import FloatArray, IntArray
from dadsp.seeding import derive_seed
from dadsp.singledrug.baselines import Fold
from dadsp.singledrug.lines import DrugLines
from dadsp.singledrug.scaling import MinMax
from dadsp.singledrug.selection import GeneSet, SelectionOptions, choose_genes
from dadsp.singledrug.settings import ProtocolOptions, Scope

Rows = tuple[IntArray, IntArray]  # lines that fit, lines that validate


class Genes(NamedTuple):
    """Which genes a model sees, and which lines select them."""

    gene_set: GeneSet
    scope: Scope


class PreparedFold(NamedTuple):
    """A split with what was fitted on its fitting lines.

    Attributes:
        fold: Scaled inputs and response of both sides.
        gene_idx: Columns of the expression that enter.
        scale: Scale of these.
        selection_s: Seconds it took to choose the genes.
    """

    fold: Fold
    gene_idx: IntArray
    scale: MinMax
    selection_s: float

    def inputs(self, expression: FloatArray) -> FloatArray:
        """The inputs of any lines, from their expression of all genes."""
        return self.scale.transform(expression[:, self.gene_idx])


def split_rows(n_lines: int, options: ProtocolOptions, seed: int) -> dict[str, Rows]:
    """The splits of one repeat.

    Returns:
        ``"test"``: training and test lines; ``"validation"``: the training lines divided again for the network;
        ``"inner0"``, …: the training lines divided into folds for the baselines. No split but the first holds a test line.
    """
    order = np.random.default_rng(seed).permutation(n_lines)
    n_test = round(n_lines * options.test_fraction)
    train, test = order[n_test:], order[:n_test]
    n_val = round(len(train) * options.validation_fraction)
    rows = {"test": (train, test), "validation": (train[n_val:], train[:n_val])}
    for number in range(options.inner_folds):
        held = np.arange(len(train)) % options.inner_folds == number
        rows[f"inner{number}"] = (train[~held], train[held])
    return rows


class Folds:
    """The splits of one repeat of one drug, each prepared once for each choice of genes.

    Args:
        lines: The drug's lines.
        protocol: Sizes of the splits.
        selection: How genes are selected.
        seed: Of the splits and of random genes.
    """

    def __init__(self, lines: DrugLines, protocol: ProtocolOptions, selection: SelectionOptions, seed: int) -> None:
        self.lines, self.selection, self.seed = lines, selection, seed
        self.rows = split_rows(len(lines), protocol, derive_seed(seed, "split"))
        self._prepared: dict[tuple[str, Genes], PreparedFold] = {}
        self._oracle_genes: tuple[IntArray, float] | None = None

    @property
    def split_hash(self) -> str:
        """Hash of the training and the test lines' ids, in the order of the draw."""
        train, test = ("|".join(self.lines.cell_ids[row] for row in rows) for rows in self.rows["test"])
        return hashlib.blake2b(f"{train}||{test}".encode(), digest_size=16).hexdigest()

    def prepared(self, part: str, genes: Genes) -> PreparedFold:
        """The named split with genes and scale fitted on its fitting lines (under ``all_oracle``: genes on all lines)."""
        key = (part, genes)
        if key not in self._prepared:
            self._prepared[key] = self._prepare(part, genes)
        return self._prepared[key]

    def inner(self, genes: Genes) -> list[PreparedFold]:
        """The baselines' folds."""
        return [self.prepared(part, genes) for part in self.rows if part.startswith("inner")]

    def _prepare(self, part: str, genes: Genes) -> PreparedFold:
        fit_idx, held_idx = self.rows[part]
        if genes == Genes("selected", "all_oracle"):
            self._oracle_genes = self._oracle_genes or self._choose(genes.gene_set, np.arange(len(self.lines)))
            gene_idx, seconds = self._oracle_genes
        else:
            gene_idx, seconds = self._choose(genes.gene_set, fit_idx)
        expression, response = self.lines.expression[:, gene_idx], self.lines.response
        scale = MinMax.fit(expression[fit_idx])
        x_fit, x_held = (scale.transform(expression[rows]) for rows in (fit_idx, held_idx))
        return PreparedFold(Fold(x_fit, response[fit_idx], x_held, response[held_idx]), gene_idx, scale, seconds)

    def _choose(self, gene_set: GeneSet, rows: IntArray) -> tuple[IntArray, float]:
        start = time.perf_counter()
        expression, response = self.lines.expression[rows], self.lines.response[rows]
        gene_idx = choose_genes(gene_set, expression, response, self.selection, derive_seed(self.seed, "random genes"))
        return gene_idx, time.perf_counter() - start

"""Which genes a model sees: recursive feature elimination with a linear ε-SVR, made for far more genes than lines."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.svm import SVR
from sklearn.utils.validation import check_is_fitted, validate_data

from dadsp.options import STRICT
from dadsp.schema import FloatArray, IntArray
from dadsp.singledrug.scaling import MinMax

MOST_GENES = 1000  # as the paper keeps
GeneSet = Literal["selected", "all", "random"]
Float64Array = NDArray[np.float64]


class SvrRfe(SelectorMixin, BaseEstimator):
    """The genes that scikit-learn's ``RFE(SVR(kernel="linear"))`` keeps, many times sooner.

    A linear SVR sees n lines × p genes only through the n × n Gram matrix of the lines. So every round solves the dual on
    that matrix (``SVR(kernel="precomputed")``), takes the weights w = Xᵀ(α − α*) from it, drops the genes of least w², and
    subtracts what they contributed: K ← K − X_gone X_goneᵀ. The whole elimination costs about three Gram products over all
    genes, where scikit-learn computes one each round, entry by entry.

    Subtraction leaves rounding errors behind, so K is computed anew whenever half of the genes are gone; its error then
    stays within a few units in the last place of its largest entry.

    Args:
        n_features_to_select: Genes to keep.
        step: Genes to drop each round: a count, or a share (< 1) of all genes given. The last round may drop fewer.
        epsilon: Half-width ε of the SVR's tube, in units of the response.
        C: Weight of the errors outside the tube.

    Attributes:
        support_: bool, shape (n_genes,); True for the genes kept.
        ranking_: int64, shape (n_genes,); 1 for the genes kept, 2 for those dropped last, and so on.
        n_features_: Genes kept.
        n_features_in_: Genes given.
    """

    def __init__(self, n_features_to_select: int = 1000, step: float = 0.05, epsilon: float = 0.1, C: float = 1.0) -> None:
        self.n_features_to_select = n_features_to_select
        self.step = step
        self.epsilon = epsilon
        self.C = C

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Itself, with the genes chosen for these lines.

        Args:
            X: Expression, shape (n_lines, n_genes), finite; computed in float64 whatever it comes in.
            y: Response, shape (n_lines,).

        Raises:
            ValueError: A parameter or the data is impossible, as for any scikit-learn estimator.
        """
        if self.n_features_to_select < 1 or self.step <= 0:
            raise ValueError(f"n_features_to_select={self.n_features_to_select} and step={self.step} must both be positive.")
        expression, response = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        n_genes = expression.shape[1]
        drop = int(max(1, self.step * n_genes)) if self.step < 1 else int(self.step)
        self.support_ = np.ones(n_genes, dtype=bool)
        self.ranking_ = np.ones(n_genes, dtype=np.int64)
        # Genes in rows: those of a round are then whole rows, and both products run along memory.
        held = np.arange(n_genes)
        by_gene = np.ascontiguousarray(expression.T)
        gram = by_gene.T @ by_gene
        while (surplus := int(self.support_.sum()) - self.n_features_to_select) > 0:
            kept = np.flatnonzero(self.support_[held])
            if 2 * len(kept) <= len(held):
                held, by_gene = held[kept], by_gene[kept]
                gram, kept = by_gene.T @ by_gene, np.arange(len(kept))
            weights = (by_gene @ self._dual(gram, response))[kept]
            gone = kept[np.argsort(weights**2)[: min(drop, surplus)]]
            gram -= by_gene[gone].T @ by_gene[gone]
            self.support_[held[gone]] = False
            self.ranking_[~self.support_] += 1
        self.n_features_ = int(self.support_.sum())
        return self

    def _dual(self, gram: Float64Array, response: Float64Array) -> Float64Array:
        """α − α* of each line, shape (n_lines,)."""
        svr = SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon).fit(gram, response)
        dual = np.zeros(len(response))
        dual[svr.support_] = svr.dual_coef_[0]
        return dual

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


@dataclass(frozen=True, config=STRICT)
class SelectionOptions:
    """How many genes to keep, and how to find them (config group ``selection``).

    Attributes:
        n_genes: Genes to keep; the paper keeps 1,000 of 56,318. None keeps half of those measured, at most 1,000.
        step: Genes to drop each round, a count or a share (< 1) of all.
        epsilon: Half-width of the SVR's tube, in units of the response.
        C: Weight of the errors outside the tube.
    """

    n_genes: int | None = Field(default=None, ge=1)
    step: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    epsilon: float = Field(default=0.1, ge=0)
    C: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _step_is_a_count_or_a_share(self) -> Self:
        if self.step >= 1 and self.step != int(self.step):
            raise ValueError(f"step={self.step:g} is neither a share of the genes, below 1, nor a whole number of them")
        return self

    def kept(self, n_measured: int) -> int:
        """How many of so many genes are kept."""
        return min(MOST_GENES, max(1, n_measured // 2)) if self.n_genes is None else self.n_genes


def choose_genes(
    gene_set: GeneSet, expression: FloatArray, response: FloatArray, options: SelectionOptions, seed: int
) -> IntArray:
    """Columns of ``expression`` that a model may use, ascending; genes that are zero in all these lines never are.

    Args:
        gene_set: ``"selected"`` by recursive elimination on these lines, ``"all"``, or as many ``"random"`` ones.
        expression: Lines that decide, shape (n_lines, n_genes).
        response: Their response, shape (n_lines,); read under ``"selected"`` alone.
        options: How many to keep, and how.
        seed: Of the random draw.
    """
    present = np.flatnonzero((expression != 0).any(axis=0))
    n_kept = min(options.kept(expression.shape[1]), len(present))
    if gene_set == "all":
        return present
    if gene_set == "random":
        return np.sort(np.random.default_rng(seed).choice(present, n_kept, replace=False))
    candidates = expression[:, present]
    rfe = SvrRfe(n_kept, options.step, options.epsilon, options.C)
    return present[rfe.fit(MinMax.fit(candidates).transform(candidates), response).support_]

"""Simple systems that learn each drug by itself: means with structure for new drugs, and one ridge regression per drug."""

import logging
from dataclasses import replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.linalg import cho_factor, cho_solve

from dadsp.models.base import Arrays
from dadsp.models.idle_keys import Idle
from dadsp.models.kernels.grid import Query
from dadsp.models.kernels.similarity import LineKernel, Values, line_similarity
from dadsp.models.kernels.system import KernelOptions, KernelSystem
from dadsp.options import STRICT
from dadsp.schema import BoolArray, FloatArray, Pairs, Split, Study

log = logging.getLogger(__name__)

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=STRICT)
class DrugKernelRidgeOptions(KernelOptions):
    """Choices of the kernel ridge regression of drug means; those of every kernel system."""

    name: str = "drug kernel ridge"


class DrugKernelRidge(KernelSystem):
    """The drug's level and nothing about the line: its mean label, or what structure says of a drug without labels.

    It reads no gene; an alignment makes no difference to it.
    """

    options_type = DrugKernelRidgeOptions
    options: DrugKernelRidgeOptions

    def _idle(self) -> list[Idle]:
        return [Idle(True, ("expression_scaling", "scaling_scope"), "the system reads no gene")]

    def without_effect(self) -> list[str]:
        """As every kernel system; and an alignment."""
        kind = "none" if self.alignment is None else self.alignment.kind
        aligned = [f"alignment={kind} has no effect: the system reads no gene"] if kind != "none" else []
        return super().without_effect() + aligned

    def _learn_from(self, study: Study, split: Split) -> None:
        # Without a gene there is nothing to align or scale, and none must come with lines to predict.
        self.alignment = None
        without = replace(study, source=study.source.with_genes(()), target=study.target.with_genes(()))
        super()._learn_from(without, split)

    def _weights(self, residuals: Values, measured: BoolArray, start: Values | None) -> Values:
        return np.zeros_like(residuals)

    def _residuals(self) -> Values:
        return np.zeros_like(self.learned.weights)

    def _similarities(self, query: Query) -> tuple[Values, Values]:
        n_lines, n_drugs = self.learned.weights.shape
        return np.zeros((len(query.line_keys), n_lines)), np.zeros((len(query.same_drug), n_drugs))


@dataclass(frozen=True, config=STRICT)
class DrugRidgeOptions(KernelOptions):
    """Choices of one ridge regression per drug.

    Attributes:
        penalties: Candidates for λ of ‖r − Zw‖² + λ‖w‖², one for all drugs, by RMSE on held-out source lines; r are a
            drug's labels minus its level, Z scaled expression of the lines that have them.
        power: Drugs without labels take the mean of the others' deviations, weighted by Tanimoto similarity to this power.
    """

    name: str = "ridge per drug"
    penalties: tuple[Positive, ...] = Field(default=(100.0, 300.0, 1000.0, 3000.0, 10000.0), min_length=1)
    power: float = Field(default=2.0, gt=0)


class DrugRidge(KernelSystem):
    """f(z, d) = zᵀ w_d, w_d = Zᵀ (ZZᵀ + λI)⁻¹ r over the lines measured with the drug: the dual of ridge regression."""

    options_type = DrugRidgeOptions
    options: DrugRidgeOptions

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.penalty = self.options.penalties[0]
        self.search: list[dict[str, float]] = []

    def _choose(self, labels: Values, measured: BoolArray, validation: Pairs, truth: FloatArray) -> None:
        best, chosen = np.inf, self.penalty
        for penalty in self.options.penalties:
            self.penalty = penalty
            self.learned = self._learn(labels, measured)
            rmse = float(np.sqrt(np.mean((self.predict(validation).astype(np.float64) - truth) ** 2)))
            self.search.append({"penalty": penalty, "val/source/rmse": rmse})
            if rmse < best:
                best, chosen = rmse, penalty
        self.penalty = chosen
        log.info("%s: penalty %g", self.name, chosen)

    def _chosen(self) -> dict[str, Any]:
        return {"penalties": (self.penalty,)}

    def _weights(self, residuals: Values, measured: BoolArray, start: Values | None) -> Values:
        n_genes = self.grid.expression.shape[1]
        inner = line_similarity("linear", self.grid.expression, self.grid.expression, 1.0)
        weights = np.zeros_like(residuals)
        for drug in np.flatnonzero(measured.any(axis=0)):
            rows = np.flatnonzero(measured[:, drug])
            kernel = inner[np.ix_(rows, rows)] + self.penalty / n_genes * np.eye(len(rows))
            weights[rows, drug] = cho_solve(cho_factor(kernel, overwrite_a=True), residuals[rows, drug])
        return weights

    def _rough_weights(self, residuals: Values, measured: BoolArray, drugs: BoolArray) -> Values:
        return self._weights(residuals, measured & drugs, None)

    def _residuals(self) -> Values:
        fit, expression = self.learned, self.grid.expression
        inner = line_similarity("linear", expression, expression, 1.0)
        return np.where(fit.measured, inner @ fit.weights + self.penalty / expression.shape[1] * fit.weights, 0.0)

    def _similarities(self, query: Query) -> tuple[Values, Values]:
        of_lines = line_similarity("linear", query.expression, self.grid.expression, 1.0)
        known = np.isfinite(self.learned.level.means)
        same = query.same_drug * known
        alike = np.where(
            same.any(axis=1, keepdims=True), same, np.maximum(query.similarity, 0) ** self.options.power * known
        )
        total = alike.sum(axis=1, keepdims=True)
        return of_lines, alike / np.where(total > 0, total, 1)

    @property
    def line_kernel(self) -> tuple[LineKernel, float]:
        """Inner products; they have no width."""
        return "linear", 1.0

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """As every kernel system's, with the penalty in use."""
        facts, arrays = super().state()
        return {**facts, "penalty": self.penalty, "search": self.search}, arrays

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved system."""
        system = super().from_state(facts, arrays)
        system.penalty, system.search = facts["penalty"], facts["search"]
        return system

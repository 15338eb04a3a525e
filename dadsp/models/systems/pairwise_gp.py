"""A Gaussian process over (cell line, drug) pairs with a Kronecker kernel: the system that transfers across screens.

    y(l, d) = m(d) + f(l, d) + ε,   f ~ N(0, K_L ⊗ K_D),   ε ~ N(0, ν) in units of the kernels
    K_L = S(z_l, z_l') + ρ·[same line]           S linear, radial, or their mean, of scaled expression
    K_D = a + b·T(d, d') + c·[same structure] + t·J(targets)

m(d) is the drug's level (``DrugLevel``), T the Tanimoto similarity of structures, J the Jaccard similarity of annotated
targets. a is what all drugs share (general sensitivity), c what only re-measurements of one structure share, ρ what a line
keeps between screens beyond its expression: where a target line was measured in the source, its labels there speak for it.

    E[y*] = m(d*) + k_L(l*)ᵀ A k_D(d*),   A = (P(K_L ⊗ K_D)Pᵀ + νI)⁻¹ (y − m) on the grid of training lines × drugs
    Var[f*] = k_ll k_dd − k*ᵀ (K_L ⊗ K_D + ν'I)⁻¹ k*   (``PairSystem.explained`` says where it is exact)

Reference: Stegle et al., Efficient inference in matrix-variate Gaussian models with iid observation noise, NeurIPS 2011;
Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.25, 2.26.
"""

import logging
from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from threadpoolctl import threadpool_limits

from dadsp.models.base import Arrays, Uncertainty
from dadsp.models.idle_keys import Idle
from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.grid import Query
from dadsp.models.kernels.normal import QUANTILES, expected_above, normal_errors
from dadsp.models.kernels.posterior import Posterior, Side
from dadsp.models.kernels.similarity import (
    LineKernel,
    PairSystem,
    Values,
    equal,
    line_similarity,
    median_distance,
    own_similarity,
    shared_targets,
    tanimoto,
)
from dadsp.models.kernels.system import KernelOptions, KernelSystem
from dadsp.options import STRICT
from dadsp.schema import BoolArray, Domain, FloatArray, Pairs, Screen

log = logging.getLogger(__name__)

ROUGH = 0.1  # relative residual of weights that are only compared


@dataclass(frozen=True, config=STRICT)
class Kernel:
    """The kernel's numbers; only their ratios matter to predictions.

    The defaults are flat optima of source validation; between the two halves of GDSC, from GDSC2 to GDSC1 and back, nothing
    speaks against them (``experiments/transfer/choices.py``).

    Attributes:
        lines: How expression tells lines apart: ``"linear"``, ``"rbf"``, or ``"mixed"``, the mean of the two.
        rbf_width: Of the radial part, in multiples of the median squared distance between training lines.
        same_line: ρ.
        all_drugs: a.
        structure: b.
        same_structure: c.
        targets: t; 0 leaves annotations out. They are those of the source's drugs, found by structure for others.
        noise: ν.
    """

    lines: LineKernel = "mixed"
    rbf_width: float = Field(default=1.0, gt=0)
    same_line: float = Field(default=1.0, ge=0)
    all_drugs: float = Field(default=0.1, ge=0)
    structure: float = Field(default=0.5, ge=0)
    same_structure: float = Field(default=0.4, ge=0)
    targets: float = Field(default=0.0, ge=0)
    noise: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _drugs_have_a_kernel(self) -> Self:
        if not self.all_drugs + self.structure + self.same_structure + self.targets > 0:
            raise ValueError("all_drugs, structure, same_structure and targets are all 0. Set one above.")
        return self

    @property
    def of_one_drug(self) -> float:
        """Prior variance of a drug, as a factor."""
        return self.all_drugs + self.structure + self.same_structure


@dataclass(frozen=True, config=STRICT)
class PairwiseGpOptions(KernelOptions):
    """Choices of the pairwise Gaussian process.

    Attributes:
        kernel: Its numbers, or where a search begins.
        choose: ``"given"`` takes the kernel as it is; ``"source_validation"`` tries every line kernel with half, once and
            twice the noise on held-out source lines; ``"marginal_likelihood"`` maximises the evidence of the training labels
            over ρ, a, b and c, in units of the noise.
        point: ``"mean"`` predicts E[y*], no lower than the target's cap; ``"expected"`` the expected value of a label that
            the cap censors, E[max(cap, y*)], with y* normal.
        tolerance: Relative residual at which the linear system counts as solved.
    """

    name: str = "pairwise GP"
    kernel: Kernel = Field(default_factory=lambda: Kernel())
    choose: Literal["given", "source_validation", "marginal_likelihood"] = "given"
    point: Literal["mean", "expected"] = "mean"
    tolerance: float = Field(default=1e-3, gt=0, lt=1)


class Distribution(NamedTuple):
    """What the process says of pairs; each of shape (n_pairs,), in −log10 IC50(µM) or its square.

    Attributes:
        mean: E[y*], before any cap.
        variance: Of a new label: of f, of the drug's level, and noise.
        expected: E[max(cap, y*)] of a normal y*; the mean where there is no cap.
    """

    mean: Values
    variance: Values
    expected: Values


class PairwiseGp(KernelSystem):
    """The process, in closed form up to the tolerance of conjugate gradients.

    Attributes:
        kernel: The numbers in use: the options', or what was chosen.
        search: What was tried and how it did.
        errors: Quantiles of held-out errors in predictive standard deviations, rising, shape (``QUANTILES``,); of a normal
            distribution without validation pairs.
    """

    options_type = PairwiseGpOptions
    options: PairwiseGpOptions
    kernel: Kernel
    width: float
    errors: Values

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kernel = self.options.kernel
        self.search: list[dict[str, Any]] = []
        self.errors = normal_errors()
        self._system: tuple[Kernel, PairSystem] | None = None  # the kernel, and what was computed of it

    def _idle(self) -> list[Idle]:
        tries_all = self.options.choose == "source_validation"
        linear = self.options.kernel.lines == "linear" and not tries_all
        return [
            *super()._idle(),
            Idle(tries_all, ("kernel.lines",), "model.choose=source_validation tries every kernel of lines"),
            Idle(linear, ("kernel.rbf_width",), "model.kernel.lines=linear has no radial part"),
        ]

    def _prepare(self, lines: BoolArray) -> None:
        self.width = median_distance(self.grid.expression[lines])
        self._system = None

    def _pair_system(self, measured: BoolArray, kernel: Kernel | None = None) -> PairSystem:
        """The linear system of the training grid; kernels are computed and decomposed anew only where they change."""
        kernel = kernel or self.kernel
        if self._system is None or self._system[0] != replace(kernel, noise=1.0):
            lines = self._of_lines(kernel, self.grid.expression, self.grid.line_keys)
            self._system = replace(kernel, noise=1.0), PairSystem(lines, self._of_drugs(kernel), measured, 1.0)
        return self._system[1].with_labels_of(measured, kernel.noise)

    def _of_lines(self, kernel: Kernel, expression: FloatArray, keys: tuple[str, ...]) -> Values:
        grid = self.grid
        alike = line_similarity(kernel.lines, expression, grid.expression, kernel.rbf_width * self.width)
        return alike + kernel.same_line * equal(keys, grid.line_keys)

    def _of_drugs(self, kernel: Kernel) -> Values:
        grid = self.grid
        same = equal(grid.drug_keys, grid.drug_keys)
        return self._drug_kernel(kernel, same, self._training_similarity, grid.targets)

    def _drug_kernel(self, kernel: Kernel, same: Values, similarity: Values, targets: tuple[frozenset[str], ...]) -> Values:
        total = kernel.all_drugs + kernel.structure * similarity + kernel.same_structure * same
        if kernel.targets:
            total = total + kernel.targets * shared_targets(targets, self.grid.targets)
        return total

    def _weights(self, residuals: Values, measured: BoolArray, start: Values | None) -> Values:
        system = self._pair_system(measured)
        weights, steps = system.solve(residuals, self.options.tolerance, start)
        log.info("%s: %d steps for %d pairs", self.name, steps, measured.sum())
        return weights

    def _rough_weights(self, residuals: Values, measured: BoolArray, drugs: BoolArray) -> Values:
        return self._pair_system(measured).solve(residuals, max(ROUGH, self.options.tolerance))[0]

    def _residuals(self) -> Values:
        fit = self.learned
        system = self._pair_system(fit.measured)
        return np.where(fit.measured, system.lines @ fit.weights @ system.drugs + system.noise * fit.weights, 0.0)

    def _similarities(self, query: Query) -> tuple[Values, Values]:
        of_lines = self._of_lines(self.kernel, query.expression, query.line_keys)
        return of_lines, self._drug_kernel(self.kernel, query.same_drug, query.similarity, self._known_targets(query))

    @property
    def line_kernel(self) -> tuple[LineKernel, float]:
        """S."""
        return self.kernel.lines, self.kernel.rbf_width * self.width

    def _known_targets(self, query: Query) -> tuple[frozenset[str], ...]:
        """Targets as the screen states them, else those of the same structure in training."""
        found = []
        for names, same in zip(query.targets, query.same_drug, strict=True):
            twins = np.flatnonzero(same)
            found.append(names or (self.grid.targets[twins[0]] if len(twins) else frozenset()))
        return tuple(found)

    def distribution(self, pairs: Pairs) -> Distribution:
        """Mean, variance and expected capped value of each pair's label."""
        query, line, drug = self._query(pairs)
        of_lines, of_drugs = self._similarities(query)
        mean = self.latent(query, (of_lines, of_drugs))[line, drug]
        variance = self._variance(query, of_lines, of_drugs)[line, drug]
        return Distribution(mean, variance, mean if self.cap is None else expected_above(self.cap, mean, np.sqrt(variance)))

    def _variance(self, query: Query, of_lines: Values, of_drugs: Values) -> Values:
        """Predictive variance of a label, shape (n_lines, n_drugs)."""
        left, scale, level = self._spread(query, of_lines, of_drugs)
        total: Values = scale**2 * (left + self.kernel.noise) + level
        return np.maximum(total, np.finfo(np.float32).eps)

    def _spread(self, query: Query, of_lines: Values, of_drugs: Values) -> tuple[Values, Values, Values]:
        """What the labels leave of the prior variance, the scale of its root, and the variance of each drug's level.

        The scale gives a drug's labels the spread about its level that they have in the source, −log10 IC50(µM); the level
        of a drug that was measured has no variance. Shapes: (n_lines, n_drugs) twice, and (n_drugs,).
        """
        kernel, fit, options = self.kernel, self.learned, self.options
        system = self._pair_system(fit.measured)
        own = own_similarity(kernel.lines, query.expression)
        prior = np.outer(own + kernel.same_line, np.full(len(of_drugs), kernel.of_one_drug + kernel.targets))
        left = np.maximum(prior - system.explained(of_lines, of_drugs), 0)
        same = query.same_drug * (fit.spread > 0)
        count = same.sum(axis=1)
        typical = float(np.sqrt(np.mean(fit.spread[fit.spread > 0] ** 2))) if (fit.spread > 0).any() else 0.0
        spread = np.where(count > 0, same @ fit.spread / np.maximum(count, 1), typical)
        level = fit.level.uncertainty(
            query.same_drug, query.similarity, self._training_similarity, options.level_power, options.level_penalty
        )
        return left, spread / np.sqrt(prior + kernel.noise), level

    def uncertainty(self, pairs: Pairs, given: Pairs) -> Uncertainty:
        """Covariances that the training labels leave (``dadsp.models.kernels.posterior``)."""
        of, line, drug = self._query(pairs)
        other, *given_rows = self._query(given)
        left, scale, level = self._spread(of, *self._similarities(of))
        covariance = self.posterior(of, other).between((line, drug), (given_rows[0], given_rows[1]))
        return Uncertainty(covariance, (scale**2 * left + level)[line, drug])

    def grid_uncertainty(self, screen: Screen, domain: Domain) -> Posterior:
        """Of all pairs of a screen."""
        lines, drugs = (np.arange(n, dtype=np.int64) for n in (len(screen.cells), len(screen.drugs)))
        n = max(len(lines), len(drugs))
        query, _, _ = self._query(Pairs(screen, domain, np.resize(lines, n), np.resize(drugs, n)))
        return self.posterior(query, query)

    def posterior(self, of: Query, given: Query) -> Posterior:
        """Covariances of the pairs of one set of lines and drugs with those of another."""
        kernel = self.kernel
        system = self._pair_system(self.learned.measured).labelled_part
        same = equal(of.drug_keys, given.drug_keys)
        alike_lines = line_similarity(kernel.lines, of.expression, given.expression, kernel.rbf_width * self.width)
        alike_drugs = (
            kernel.all_drugs + kernel.structure * tanimoto(of.features, given.features) + kernel.same_structure * same
        )
        if kernel.targets:
            alike_drugs = alike_drugs + kernel.targets * shared_targets(self._known_targets(of), self._known_targets(given))
        return Posterior(
            of=self._side(of),
            given=self._side(given),
            alike_lines=alike_lines + kernel.same_line * equal(of.line_keys, given.line_keys),
            alike_drugs=alike_drugs,
            same_drug=same,
            gain=system.gain,
            noise=float(np.mean(self._side(of).scale ** 2) * kernel.noise),
        )

    def _side(self, query: Query) -> Side:
        system = self._pair_system(self.learned.measured)
        measured, part = system.measured, system.labelled_part
        _, vectors_l, _, vectors_d = part.spectra
        of_lines, of_drugs = self._similarities(query)
        lines, drugs = of_lines[:, measured.any(axis=1)] @ vectors_l, of_drugs[:, measured.any(axis=0)] @ vectors_d
        _, scale, level = self._spread(query, of_lines, of_drugs)
        return Side(lines, drugs, scale, np.sqrt(level))

    def predict_with_sd(self, pairs: Pairs) -> tuple[FloatArray, FloatArray]:
        """What ``predict`` gives, and the standard deviation of each pair's label, from one look at the pairs."""
        if not len(pairs):
            nothing = np.zeros(0, dtype=np.float32)
            return nothing, nothing
        with threadpool_limits(self.training.threads):
            mean, variance, expected = self.distribution(pairs)
        potency = self._capped(mean) if self.options.point == "mean" else expected
        return potency.astype(np.float32), np.sqrt(variance).astype(np.float32)

    def _chosen(self) -> dict[str, Any]:
        return {"kernel": asdict(self.kernel), "choose": "given"}

    def predict(self, pairs: Pairs) -> FloatArray:
        """As every kernel system; under ``point="expected"`` the expected value under the target's cap."""
        if self.options.point == "mean" or self.cap is None or not len(pairs):
            return super().predict(pairs)
        return self.distribution(pairs).expected.astype(np.float32)

    def interval(self, pairs: Pairs, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """The central interval that holds a share ``level`` of labels, each float32 of shape (n_pairs,).

        Mean ± q·sd, q the quantile of errors in standard deviations on held-out source lines; no bound lies below the
        target's cap where labels were clipped at it. What another screen adds to the errors is not in it.
        """
        mean, variance, _ = self.distribution(pairs)
        reach = np.interp(level, np.linspace(0, 1, len(self.errors)), self.errors) * np.sqrt(variance)
        return self._capped(mean - reach).astype(np.float32), self._capped(mean + reach).astype(np.float32)

    def _calibrate(self, validation: Pairs, truth: FloatArray) -> None:
        mean, variance, _ = self.distribution(validation)
        sd = np.sqrt(variance)
        errors = np.abs(truth - mean) / sd
        if self.cap is not None:  # an interval that reaches down to the cap holds a label that stands there
            errors = np.where(truth <= self.cap, np.maximum(mean - self.cap, 0) / sd, errors)
        self.errors = np.quantile(errors, np.linspace(0, 1, QUANTILES))

    def _choose(self, labels: Values, measured: BoolArray, validation: Pairs, truth: FloatArray) -> None:
        if self.options.choose == "source_validation":
            self._choose_by_validation(labels, measured, validation, truth)
        elif self.options.choose == "marginal_likelihood":
            self._choose_by_evidence(labels, measured)

    def _choose_by_validation(self, labels: Values, measured: BoolArray, validation: Pairs, truth: FloatArray) -> None:
        given, chosen, best = self.options.kernel, self.options.kernel, np.inf
        kinds: tuple[LineKernel, ...] = ("linear", "rbf", "mixed")
        candidates = [replace(given, lines=kind, noise=factor * given.noise) for kind in kinds for factor in (0.5, 1.0, 2.0)]
        for candidate in candidates:
            self.kernel = candidate
            self.learned = self._learn(labels, measured)
            rmse = float(np.sqrt(np.mean((super().predict(validation).astype(np.float64) - truth) ** 2)))
            self.search.append({"lines": candidate.lines, "noise": candidate.noise, "val/source/rmse": rmse})
            if rmse < best:
                best, chosen = rmse, candidate
        self.kernel = chosen

    def _choose_by_evidence(self, labels: Values, measured: BoolArray) -> None:
        given, free = self.options.kernel, ("same_line", "all_drugs", "structure", "same_structure")  # noise sets the scale
        rows, columns = measured.any(axis=1), measured.any(axis=0)
        options = self.options
        level = DrugLevel.fit(labels, measured, self._training_similarity, options.level_power, options.level_penalty)
        residuals = np.where(measured, labels - np.nan_to_num(level.means), 0.0)[np.ix_(rows, columns)]

        def loss(logs: Values) -> float:
            kernel = _with(given, dict(zip(free, np.exp(logs).tolist(), strict=True)))
            whole, part = self._pair_system(measured, kernel), np.ix_(rows, columns)
            lines, drugs = whole.lines[np.ix_(rows, rows)], whole.drugs[np.ix_(columns, columns)]
            system = PairSystem(lines, drugs, measured[part], kernel.noise)
            evidence = system.log_evidence(residuals)
            self.search.append({**{name: getattr(kernel, name) for name in free}, "log_evidence": evidence})
            return -evidence / int(measured.sum())

        from scipy.optimize import minimize  # half a second that predicting does without

        start = np.log([max(getattr(given, name), 1e-3) for name in free])
        limits = {"bounds": [(-7.0, 4.0)] * len(free), "options": {"maxfev": 80, "xatol": 0.05, "fatol": 1e-5}}
        minimize(loss, start, method="Nelder-Mead", **limits)
        best = max(self.search, key=lambda tried: tried["log_evidence"])
        self.kernel = _with(given, {name: best[name] for name in free})

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """As every kernel system's, with the kernel in use and the quantiles of held-out errors."""
        facts, arrays = super().state()
        return {**facts, "kernel": asdict(self.kernel), "search": self.search, "width": self.width}, {
            **arrays,
            "errors": self.errors,
        }

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved process."""
        system = super().from_state(facts, arrays)
        system.kernel, system.search, system.width = Kernel(**facts["kernel"]), facts["search"], facts["width"]
        system.errors = arrays["errors"]
        return system


def _with(kernel: Kernel, numbers: dict[str, float]) -> Kernel:
    return replace(kernel, **numbers)  # type: ignore[arg-type]  # none of them is the kind of the line kernel

"""A fitted system brought to a new assay's level with a few labels measured there.

The labels y of given pairs (l, d) differ from the system's predictions p by a process in closed form:

    y − p = o + o_d + s·(p − p̄_d) + g(l, d) + ε
    o ~ N(0, τ₀²)   o_d ~ N(0, τ²)   s ~ N(0, σ²)   g ~ N(0, φC)   ε ~ N(0, ν²)

o is the assay's level, o_d a structure's own, s stretches or shrinks what the system says of lines about the drug's mean p̄_d
over them. C is the covariance that the system itself states of its errors (``Predictor.uncertainty``), with which a label
speaks for other lines and drugs too; a system that states none has C = 0, and s instead where that predicts the given labels
better, each left out in turn. All variances maximise the posterior of the given labels under the priors below. Few labels
therefore move little: the offset of a drug is its mean residual, shrunken.

Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.25, 5.12 (leave one out).
"""

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.data.new_platform.reference import Reference
from dadsp.errors import ConfigError
from dadsp.models.base import Arrays, FitContext, Predictor, registered_system, under
from dadsp.models.structures import keys_of
from dadsp.schema import CellLines, Domain, Drugs, FloatArray, Pairs, Responses, Screen, Split, Study

Values = NDArray[np.float64]

# Medians of the log-normal priors, of standard deviation SPREAD; the three of SHARES as shares of the mean squared residual.
PRIORS = {"assay": 0.05, "drug": 0.3, "stretch": 0.3**2, "shared": 1.0, "noise": 0.6}
SHARES = ("assay", "drug", "noise")
SPREAD = 1.5
MOST = 5000  # labels; more are a screen to train on
SEARCHED = 600  # labels that the variances are found with
FEWEST = 20  # labels from which errors left out in turn tell how wide intervals must be


@dataclass(frozen=True)
class Variances:
    """τ₀², τ² and ν² in squares of −log10 IC50(µM), σ² and φ as ratios; 0 for what is left out."""

    assay: float
    drug: float
    stretch: float
    shared: float
    noise: float


class Calibrated(Predictor):
    """The system and what given labels say of its errors.

    Attributes:
        inner: The system, as it was without these labels.
        given: The labelled pairs, lines and drugs of a screen of their own.
        residuals: Label minus the system's prediction of each, float64, shape (n_given,).
        centres: p̄_d by structure: mean prediction over the lines that were to be predicted.
        cap: No prediction lies below it; None: none does anyway.
        variances: Of the process.
    """

    inner: Predictor
    given: Pairs
    residuals: Values
    centres: dict[str, float]
    cap: float | None
    variances: Variances

    @classmethod
    def of(cls, inner: Predictor, given: Pairs, labels: FloatArray, lines: Pairs, cap: float | None) -> Self:
        """The system calibrated with labels.

        Args:
            inner: The fitted system.
            given: Labelled pairs.
            labels: Potency of each, float32, shape (n_given,).
            lines: Pairs of the same screen over which a drug's mean prediction is taken.
            cap: Least label of the assay, −log10 IC50(µM); None where it has none.

        Raises:
            ConfigError: There is no label, or there are more than ``MOST``.
        """
        if not 0 < len(given) <= MOST:
            raise ConfigError(f"Calibration takes 1 to {MOST:,} labels, not {len(given):,}. With more, train on them.")
        self = cls()
        self.inner, self.given, self.cap = inner, _own_screen(given), cap
        self.centres = _means(lines, inner.predict(lines))
        self.residuals = labels.astype(np.float64) - inner.predict(given)
        self._take_over()
        parts = self._against_given(self.given)
        # A system that states its errors' covariance needs no stretch: its labels speak for other lines already.
        candidates = [self._fitted(parts, stretch=stretch) for stretch in (False, True) if not stretch or not parts.stated]
        self.variances = min(candidates, key=lambda found: self._left_out(found, parts))
        return self

    def _take_over(self) -> None:
        inner = self.inner
        self.name = f"{inner.name} + {label_words(self.given)}"
        self.genes, self.main_stage = inner.genes, inner.main_stage
        self.learns_from_validation = inner.learns_from_validation

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        raise ConfigError("A calibrated system is made of a fitted one (Calibrated.of). Fit that one.")

    def _against_given(self, pairs: Pairs) -> "_Parts":
        stated, predicted = self.inner.uncertainty(pairs, self.given), self.inner.predict(pairs).astype(np.float64)
        keys = keys_of(pairs)
        centres = np.array([self.centres.get(key, value) for key, value in zip(keys, predicted, strict=True)])
        return _Parts(
            same=(keys[:, None] == keys_of(self.given)).astype(np.float64),
            predicted=predicted,
            deviation=predicted - centres,
            covariance=None if stated is None else stated.covariance,
            variance=np.zeros(len(pairs)) if stated is None else stated.variance,
        )

    def _fitted(self, given: "_Parts", *, stretch: bool) -> Variances:
        """The most probable variances, found with the first ``SEARCHED`` labels."""
        from scipy.linalg import solve_triangular  # half a second that predicting does without
        from scipy.optimize import minimize

        given, residuals = given.first(SEARCHED), self.residuals[:SEARCHED]
        absent = {name: 0.0 for name, there in (("stretch", stretch), ("shared", given.stated)) if not there}
        names = [name for name in PRIORS if name not in absent]
        typical = float(np.mean(residuals**2)) or 1e-6
        start = np.log([PRIORS[name] * (typical if name in SHARES else 1) for name in names])

        def variances(logs: Values) -> Variances:
            return Variances(**(absent | dict(zip(names, np.exp(logs).tolist(), strict=True))))

        def loss(logs: Values) -> float:
            factor = np.linalg.cholesky(given.prior(variances(logs)))
            white = solve_triangular(factor, residuals, lower=True)
            of_priors = ((logs - start) ** 2).sum() / (2 * SPREAD**2)
            return float(white @ white / 2 + np.log(np.diag(factor)).sum() + of_priors)

        limits = {"bounds": [(-14.0, 6.0)] * len(names), "options": {"maxfev": 400, "xatol": 0.02, "fatol": 1e-3}}
        return variances(minimize(loss, start, method="Nelder-Mead", **limits).x)

    def _left_out(self, of: Variances, given: "_Parts") -> float:
        """Mean squared error of each given label, predicted from the others."""
        inverse = np.linalg.inv(given.prior(of))
        return float(np.mean((inverse @ self.residuals / np.diag(inverse)) ** 2))

    @cached_property
    def _solved(self) -> tuple[Values, Values, Values]:
        """Weights of the given residuals, the inverse covariance, and errors left out in turn in standard deviations."""
        inverse: Values = np.linalg.inv(self._against_given(self.given).prior(self.variances)).astype(np.float64)
        weights = inverse @ self.residuals
        return weights, inverse, np.sort(np.abs(weights) / np.sqrt(np.diag(inverse)))

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,)."""
        if not len(pairs):
            return np.zeros(0, dtype=np.float32)
        parts, (weights, *_) = self._against_given(pairs), self._solved
        covariance = parts.with_given(self.variances, self._given_deviation)
        return self._capped(parts.predicted + covariance @ weights).astype(np.float32)

    @cached_property
    def _given_deviation(self) -> Values:
        return self._against_given(self.given).deviation

    def _capped(self, potency: Values) -> Values:
        return potency if self.cap is None else np.maximum(potency, self.cap)

    def interval(self, pairs: Pairs, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """The central interval that holds a share ``level`` of labels: mean ± q·sd of the process.

        q is the quantile of the given labels' errors, each predicted from the others, and with fewer than ``FEWEST`` of them
        that of a normal distribution.
        """
        from scipy.special import ndtri  # as above

        of, parts = self.variances, self._against_given(pairs)
        weights, inverse, errors = self._solved
        covariance = parts.with_given(of, self._given_deviation)
        known = np.einsum("ng,ng->n", covariance @ inverse, covariance)
        prior = of.assay + of.drug + of.shared * parts.variance + of.noise + of.stretch * parts.deviation**2
        n = len(errors)
        place = min(int(np.ceil(level * (n + 1))), n) - 1
        reach = (errors[place] if n >= FEWEST else ndtri((1 + level) / 2)) * np.sqrt(np.maximum(prior - known, 0))
        middle = parts.predicted + covariance @ weights
        return self._capped(middle - reach).astype(np.float32), self._capped(middle + reach).astype(np.float32)

    # What the system without the labels says of itself

    def reference(self, domain: Domain) -> Reference | None:
        """As of the system."""
        return self.inner.reference(domain)

    def seen_range(self, domain: Domain) -> tuple[float, float] | None:
        """As of the system."""
        return self.inner.seen_range(domain)

    def input_facts(self) -> dict[str, Any]:
        """As of the system."""
        return self.inner.input_facts()

    def history(self) -> Any:
        """As of the system."""
        return self.inner.history()

    def without_validation_labels(self) -> Predictor:
        """The system as it was before validation, without the given labels."""
        return self.inner.without_validation_labels()

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The system's, and lines, drugs and residuals of the given pairs."""
        facts, arrays = self.inner.state()
        screen = self.given.screen
        system = f"{type(self.inner).__module__}.{type(self.inner).__qualname__}"
        own: Arrays = {
            "expression": screen.cells.expression,
            "cell_idx": self.given.cell_idx,
            "drug_idx": self.given.drug_idx,
            "residuals": self.residuals,
        }
        words = {
            "name": screen.name,
            "domain": self.given.domain,
            "genes": screen.genes,
            "cells": {name: getattr(screen.cells, name) for name in _names_of(CellLines)},
            "drugs": {name: getattr(screen.drugs, name) for name in _names_of(Drugs)},
        }
        return {
            "name": self.name,
            "inner": {"system": system, **facts},
            "given": words,
            "centres": self.centres,
            "cap": self.cap,
            "variances": asdict(self.variances),
        }, {**{f"inner.{name}": array for name, array in arrays.items()}, **own}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved system."""
        self, inside = cls(), facts["inner"]
        self.inner = registered_system(str(inside["system"])).from_state(inside, under("inner.", arrays))
        self.inner.name = inside.get("name", self.inner.name)
        self.given = _given(facts["given"], arrays)
        self.residuals, self.centres, self.cap = arrays["residuals"], facts["centres"], facts["cap"]
        self.variances = Variances(**facts["variances"])
        self._take_over()
        return self


def calibrated(model: Predictor, study: Study, split: Split) -> Predictor:
    """The fitted model, calibrated with those target labels that the split gives; itself where it gives none."""
    if not len(split.calibrate_idx):
        return model
    labels = study.target.responses.potency[split.calibrate_idx]
    asked = study.target.responses.take(split.test_idx)
    cap = study.target.cap if study.label_cap == "target" else None
    lines = Pairs(study.target, "target", asked.cell_idx, asked.drug_idx)
    return Calibrated.of(model, given_pairs(study, split), labels, lines, cap)


def given_pairs(study: Study, split: Split) -> Pairs:
    """The target's pairs whose labels the split gives."""
    given = study.target.responses.take(split.calibrate_idx)
    return Pairs(study.target, "target", given.cell_idx, given.drug_idx)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Pairs against the given ones, before variances weigh them.

    Attributes:
        same: 1 where both have one structure, shape (n_pairs, n_given).
        predicted: p, shape (n_pairs,).
        deviation: p − p̄_d, the same shape; 0 for a structure without a mean.
        covariance: C, shape (n_pairs, n_given); None where the system states none.
        variance: Of each pair's error as the system states it, without noise, shape (n_pairs,).
    """

    same: Values
    predicted: Values
    deviation: Values
    covariance: Values | None
    variance: Values

    @property
    def stated(self) -> bool:
        """Whether the system says how its errors vary together."""
        return self.covariance is not None

    def first(self, n: int) -> "_Parts":
        """Of the given pairs against themselves: the first n of both."""
        covariance = None if self.covariance is None else self.covariance[:n, :n]
        return _Parts(self.same[:n, :n], self.predicted[:n], self.deviation[:n], covariance, self.variance[:n])

    def with_given(self, of: Variances, given_deviation: Values) -> Values:
        """Covariance of the pairs' errors with those of the given ones, shape (n_pairs, n_given)."""
        total = of.assay + of.drug * self.same
        if of.stretch:
            total = total + of.stretch * np.outer(self.deviation, given_deviation)
        return total if self.covariance is None else total + of.shared * self.covariance

    def prior(self, of: Variances) -> Values:
        """Covariance of the given residuals, noise included, shape (n_given, n_given); these are the given pairs."""
        return self.with_given(of, self.deviation) + (of.noise + 1e-9) * np.eye(len(self.same))


def _means(pairs: Pairs, predicted: FloatArray) -> dict[str, float]:
    keys, which = np.unique(keys_of(pairs).astype(str), return_inverse=True)
    means = np.bincount(which, weights=predicted.astype(np.float64)) / np.bincount(which)
    return dict(zip(keys.tolist(), means.tolist(), strict=True))


def _names_of(table: type) -> list[str]:
    return [column.name for column in fields(table) if column.name != "expression"]


def _own_screen(pairs: Pairs) -> Pairs:
    """The same pairs in a screen of their lines and drugs alone."""
    lines, line = np.unique(pairs.cell_idx, return_inverse=True)
    rows, drug = np.unique(pairs.drug_idx, return_inverse=True)
    cells, drugs = pairs.screen.cells, pairs.screen.drugs
    known = {name: getattr(cells, name) for name in _names_of(CellLines)}
    words = {name: tuple(values[line] for line in lines) if values else () for name, values in known.items()}
    screen = Screen(
        pairs.screen.name,
        pairs.screen.genes,
        CellLines(**words, expression=cells.expression[lines]),
        drugs.take(rows.tolist()),
        Responses.none(),
    )
    return Pairs(screen, pairs.domain, line.astype(np.int64), drug.astype(np.int64))


def _given(words: dict[str, Any], arrays: Arrays) -> Pairs:
    tables: list[dict[str, Any]] = [
        {name: None if values is None else tuple(values) for name, values in words[part].items()}
        for part in ("cells", "drugs")
    ]
    cells, drugs = tables
    screen = Screen(
        words["name"],
        tuple(words["genes"]),
        CellLines(**cells, expression=arrays["expression"]),
        Drugs(**drugs),
        Responses.none(),
    )
    cell_idx, drug_idx = arrays["cell_idx"], arrays["drug_idx"]
    for rows, size in ((cell_idx, len(screen.cells)), (drug_idx, len(screen.drugs))):
        if rows.shape != arrays["residuals"].shape or rows.min(initial=0) < 0 or rows.max(initial=0) >= size:
            raise ValueError("the given labels name lines or drugs that are not there")
    return Pairs(screen, words["domain"], cell_idx, drug_idx)


def label_words(given: Pairs) -> str:
    """How tables call a system's given labels: ``5 target labels per drug``, or their number where drugs differ."""
    counts = np.unique(keys_of(given).astype(str), return_counts=True)[1]
    alike = bool((counts == counts[0]).all())
    n = int(counts[0]) if alike else len(given)
    return f"{n} target label{'s' if n > 1 else ''}{' per drug' if alike else ''}"

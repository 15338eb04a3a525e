"""Integrated gradients: how much each gene moves the predicted potency of a line away from that of a baseline.

A path from a baseline b to a line x is straight in scaled expression, and the encoder's first layer is linear, so the path
is straight in that layer's outputs h too. Gradients are therefore integrated over these outputs (2,048 by default, whatever
the number of genes) and carried to the genes by one product with the layer's weights W: (x − b) ∘ Wᵀ ∫ ∂f/∂h. This is the
chain rule, not an approximation; tests hold it to gradients integrated over the genes. Systems of kernels have no such
layer; their gradients are integrated over the genes themselves.

Reference: Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import fields
from typing import Literal, Self

import numpy as np
import torch
from captum.attr import IntegratedGradients
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from dadsp.data.alignment.registry import fitted_kind
from dadsp.errors import ConfigError, DadspError, examples
from dadsp.models.base import Predictor
from dadsp.models.kernels.system import KernelSystem
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.models.networks.potency_function import GeneFunction, PotencyFunction
from dadsp.models.systems.deepdsc1 import DeepDsc1
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray, IntArray, Pairs
from dadsp.seeding import derive_seed

Baseline = Literal["zero", "mean_line", "random_lines"]

# A smooth function needs few Gauss-Legendre points. The kinks of ReLUs need many, whose places would take minutes to find.
MOST_GAUSS_POINTS = 256

SOURCE_BY_GENE = ("bridge", "coral")  # mix genes of target lines only

MEASURED = "each gene as measured: what the model reads of it depends on that gene alone"

MEANING: dict[str, str] = {
    "zero": "scaled expression 0 in every gene: the mean (z-scores) or the lowest value (min-max) over the lines that "
    "fitted the model's scaler",
    "mean_line": "the mean expression of all lines of the explained lines' screen, a line that does not exist",
    "random_lines": "real lines of the explained lines' screen drawn at random; attributions are the mean over them",
}


@dataclass(frozen=True, config=STRICT)
class AttributionOptions:
    """How gradients are integrated.

    Attributes:
        baselines: What lines are compared with; the first is the one that tables and figures show.
        random_lines: How many lines ``"random_lines"`` draws; all of the screen where it has fewer.
        steps: Points on a path at first.
        max_steps: Points are doubled up to this number where the error is above the tolerance.
        tolerance: Largest completeness error, −log10 µM.
        internal_batch: Points that pass the network at once; bounds the memory.
    """

    baselines: tuple[Baseline, ...] = Field(default=("zero", "mean_line", "random_lines"), min_length=1)
    random_lines: int = Field(default=20, ge=1)
    steps: int = Field(default=32, ge=2)
    max_steps: int = Field(default=4096, ge=2)
    tolerance: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    internal_batch: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError(f"a baseline stands twice in {', '.join(self.baselines)}. Name each once.")
        if self.max_steps < self.steps:
            raise ValueError(f"max_steps={self.max_steps} is below steps={self.steps}. Raise it.")
        if self.internal_batch < self.random_lines:
            raise ValueError(
                f"internal_batch={self.internal_batch} cannot hold random_lines={self.random_lines}. Raise the first."
            )
        return self


@plain_dataclass(frozen=True, eq=False)
class Attributions:
    """What parts of the input add to the predicted potency of one drug, line by line, in −log10 IC50(µM).

    Attributes:
        values: float32, shape (n_lines, n_inputs); positive where the input makes the line look more sensitive.
        potency: Predicted, shape (n_lines,).
        baseline_potency: Predicted for the baseline (mean over its lines), shape (n_lines,). What a system knows of a line
            beside its expression stands in both.
        completeness_error: Sum of the values − (potency − baseline potency), shape (n_lines,).
        steps: Most points that a path of the line needed, shape (n_lines,).
    """

    values: FloatArray
    potency: FloatArray
    baseline_potency: FloatArray
    completeness_error: FloatArray
    steps: IntArray


def potency_functions(model: Predictor, pairs: Pairs) -> Sequence[GeneFunction]:
    """The differentiable functions that make up the model's prediction of pairs of one drug.

    Raises:
        ConfigError: The model has no gradient.
    """
    if not isinstance(model, CrossScreenNetwork | DeepDsc1 | KernelSystem):
        raise ConfigError(
            f"{model.name} has no gradients to integrate. Explain a run of DADSP-A, DADSP-B, DeepDSC or SLA, of the "
            "pairwise GP or of the ridge per drug."
        )
    return model.potency_functions(pairs)


def meaning_of_genes(model: Predictor, domain: Domain) -> str:
    """Whether attributions are to genes as they were measured, or to genes as the model's alignment makes them."""
    kind = model.input_facts().get("alignment", {}).get("kind", "none")
    if fitted_kind(kind).gene_wise or (domain == "source" and kind in SOURCE_BY_GENE):
        return MEASURED
    return (
        f"genes as alignment={kind} gives them to the model: such a gene draws on other genes of the line too, so its "
        "attribution is not one to the measurement of that gene alone"
    )


def attribute_genes(
    functions: Sequence[GeneFunction],
    pairs: Pairs,
    genes: Sequence[str],
    baseline: Baseline,
    options: AttributionOptions,
    seed: int = 0,
) -> Attributions:
    """Attributions to the expression of each gene.

    Args:
        functions: Of the system that predicts the pairs.
        pairs: Lines, each with the same drug.
        genes: Of the model, in its order.
        baseline: What the lines are compared with; see ``MEANING``.
        options: Accuracy and memory.
        seed: Chooses the random lines.

    Returns:
        Attributions with ``values`` of shape (n_lines, n_genes).

    Raises:
        DadspError: The completeness error stays above the tolerance.
    """
    screen = pairs.screen if pairs.screen.genes == tuple(genes) else pairs.screen.with_genes(genes)
    expression = screen.cells.expression
    chosen = _baseline_lines(baseline, expression, options.random_lines, seed)

    parts = []
    for function in functions:
        lines = torch.from_numpy(function.scale(expression[pairs.cell_idx]))
        starts = torch.zeros_like(lines[:1]) if chosen is None else torch.from_numpy(function.scale(chosen))
        parts.append(_genes_of_function(function, lines, starts, options))
    return _gated(_mixture(functions, parts), pairs, options)


def _baseline_lines(baseline: Baseline, expression: FloatArray, n_random: int, seed: int) -> FloatArray | None:
    """Raw expression of the lines to start from; None where scaled expression is zero."""
    if baseline == "zero":
        return None
    if baseline == "mean_line":
        mean: FloatArray = expression.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return mean
    random = np.random.default_rng(derive_seed(seed, "random lines"))
    lines: FloatArray = expression[random.choice(len(expression), size=min(n_random, len(expression)), replace=False)]
    return lines


def _genes_of_function(function: GeneFunction, lines: Tensor, starts: Tensor, options: AttributionOptions) -> Attributions:
    """Attributions by one function, as the mean over ``starts``; as many lines at once as the internal batch allows."""
    first, n_starts = function.first_layer, len(starts)
    first_starts = starts if first is None else first(starts)
    parts = []
    for some in lines.split(max(1, options.internal_batch // n_starts)):
        ends = (some if first is None else first(some)).repeat_interleave(n_starts, 0)
        begins = first_starts.repeat(len(some), 1)
        gradient, steps = mean_gradient(function.of_first_outputs, begins, ends, options)
        over_genes = (gradient if first is None else gradient @ first.weight).view(len(some), n_starts, -1)
        values = ((some.unsqueeze(1) - starts) * over_genes).mean(1)
        potency, of_starts = (function.of_first_outputs(rows).view(len(some), n_starts).mean(1) for rows in (ends, begins))
        parts.append(_attributions(values, potency, of_starts, steps.view(len(some), n_starts).amax(1)))
    return _joined(parts)


def mean_gradient(
    function: Callable[..., Tensor],
    starts: Tensor,
    ends: Tensor,
    options: AttributionOptions,
    beside: tuple[Tensor, ...] = (),
) -> tuple[Tensor, Tensor]:
    """Mean gradient of a function along straight paths, by Gauss-Legendre quadrature, or by midpoints where many are needed.

    Points on the paths that miss completeness by more than the tolerance are doubled until none does or the limit is met.

    Args:
        function: Takes rows of shape (n, d), and of what stands ``beside``, to n values.
        starts: Shape (n, d), n at most the internal batch.
        ends: Shape (n, d).
        options: Accuracy and memory.
        beside: Further arguments of the function with n rows, constant along a path.

    Returns:
        Mean gradients, shape (n, d), and the points taken on each path, int64, shape (n,).
    """
    method = IntegratedGradients(function, multiply_by_inputs=False)
    gradient, steps = torch.empty_like(ends), torch.zeros(len(ends), dtype=torch.int64)
    rise = function(ends, *beside) - function(starts, *beside)
    rows, n_steps = torch.arange(len(ends)), options.steps
    while True:
        gradient[rows] = method.attribute(
            ends[rows],
            baselines=starts[rows],
            additional_forward_args=tuple(part[rows] for part in beside) or None,
            n_steps=n_steps,
            method="gausslegendre" if n_steps <= MOST_GAUSS_POINTS else "riemann_middle",
            internal_batch_size=options.internal_batch,
        ).to(gradient.dtype)
        steps[rows] = n_steps
        error = (gradient[rows] * (ends[rows] - starts[rows])).sum(1) - rise[rows]
        rows = rows[error.abs() > options.tolerance]
        if not len(rows) or n_steps == options.max_steps:
            return gradient, steps
        n_steps = min(2 * n_steps, options.max_steps)


def attribute_drug_features(
    functions: Sequence[PotencyFunction], pairs: Pairs, genes: Sequence[str], options: AttributionOptions
) -> Attributions:
    """Attributions to the features of the drug, from a drug without any (all zero), each line's expression kept.

    Args:
        functions: Of the system that predicts the pairs; their drug features are computed, not learned.
        pairs: Lines, each with the same drug.
        genes: Of the model, in its order.
        options: Accuracy and memory.

    Returns:
        Attributions with ``values`` of shape (n_lines, n_features).

    Raises:
        DadspError: The completeness error stays above the tolerance.
    """
    expression = pairs.screen.with_genes(genes).cells.expression[pairs.cell_idx]

    parts = [_drug_of_network(function, torch.from_numpy(function.scale(expression)), options) for function in functions]
    return _gated(_mixture(functions, parts), pairs, options)


def _drug_of_network(function: PotencyFunction, lines: Tensor, options: AttributionOptions) -> Attributions:
    parts = []
    for codes in function.codes(function.first_layer(lines)).split(options.internal_batch):
        ends = function.drug_row.repeat(len(codes), 1)
        starts = torch.zeros_like(ends)
        gradient, steps = mean_gradient(function.of_drug_features, starts, ends, options, (codes,))
        potency, of_starts = (function.of_drug_features(rows, codes) for rows in (ends, starts))
        parts.append(_attributions(gradient * ends, potency, of_starts, steps))
    return _joined(parts)


def _gated(attributions: Attributions, pairs: Pairs, options: AttributionOptions) -> Attributions:
    """The same attributions, if those of every line are complete."""
    error = np.abs(attributions.completeness_error)
    bad = np.flatnonzero(~(error <= options.tolerance))
    if len(bad):
        worst = [f"{pairs.screen.cells.ids[pairs.cell_idx[row]]}: {error[row]:.2g}" for row in bad[np.argsort(-error[bad])]]
        raise DadspError(
            f"The attributions of {len(bad)} of {len(error)} lines miss the difference they explain by more than "
            f"{options.tolerance:g} −log10 µM with up to {options.max_steps} steps (e.g. {examples(worst)}). "
            "Raise attribution.max_steps or attribution.tolerance."
        )
    return attributions


def _attributions(values: Tensor, potency: Tensor, baseline_potency: Tensor, steps: Tensor) -> Attributions:
    error = values.double().sum(1) - (potency.double() - baseline_potency.double())
    potency, baseline_potency = potency.float(), baseline_potency.float()
    return Attributions(values.numpy(), potency.numpy(), baseline_potency.numpy(), error.float().numpy(), steps.numpy())


def _joined(parts: Sequence[Attributions]) -> Attributions:
    """Attributions of some lines after those of others."""
    columns = [[getattr(part, column.name) for part in parts] for column in fields(Attributions)]
    return Attributions(*map(np.concatenate, columns))


def _mixture(functions: Sequence[GeneFunction], parts: Sequence[Attributions]) -> Attributions:
    """The functions' attributions weighted by their shares in each line; steps are the most that one took."""
    shares = np.stack([function.share for function in functions])
    beside = np.einsum("nl,nl->l", shares, np.stack([function.beside for function in functions]))

    def mixed(column: str) -> FloatArray:
        of_functions = np.stack([getattr(part, column) for part in parts])
        weighted: FloatArray = np.einsum("nl,nl...->l...", shares, of_functions)
        return weighted

    return Attributions(
        values=mixed("values"),
        potency=mixed("potency") + beside,
        baseline_potency=mixed("baseline_potency") + beside,
        completeness_error=mixed("completeness_error"),
        steps=np.max([part.steps for part in parts], axis=0),
    )

"""Whether a model ranks genes for a drug at all, before any gene is named.

A top-10 list always has ten genes. Three questions stand before it.

**Could it have come about if expression said nothing of the drug?** The effect of a gene is what one standard deviation of
its expression changes in the predicted potency of the drug, over lines of the explained lines' screen:

    e_g = cov_l(a(l, g), x(l, g)) / sd_l(x(l, g)),  a: attributions, x: expression

It is compared with effects under draws of the same model that cannot know the answer. How a draw is made decides what is
tested, and what that costs:

- *Systems of kernels* learn again from labels that were dealt to other lines. A line's labels of all drugs stay together,
  with its gaps, so labels keep their distribution, their correlation between drugs and their censoring; only their bond with
  expression is cut. This is a permutation test of "expression says nothing of the labels", whatever the noise; what was
  chosen on validation pairs before (a penalty, a kernel) is taken as given.
- *Networks* would have to train again. They get shuffled weights, which cost nothing and test less: that the network leans
  on some gene more than one that never trained. A network that learned noise has learned too, so this does not protect from
  noise. A second test stands beside it: does the network rank lines of this drug by labels that trained nothing (held-out
  source lines, the target's labels)? Under noise, the second passes with probability α; without learning, the first does.
  Both are needed, so each kind of error keeps its level. Shuffled weights change the scale of a network's output, so its
  effects are divided by their root mean square over genes.

The statistic of a gene is |e_g| over its root mean square in the model and all its draws together, so that genes which
every draw moves have no advantage. Counting the model as one of them keeps all of them exchangeable under the null. The p
value of a gene is the share of (model and draws) whose *largest* statistic over genes reaches the gene's own: the
single-step max-T of Westfall and Young. The probability to name any gene at all is then at most α where none has an effect,
however genes are correlated. α is 0.025: of 100 models of noise at least 95 name nothing with probability 0.96; with 0.05
it would be 0.62.

**Is it about this drug?** If the effects rank the genes as those of other drugs do, they are those of general sensitivity.
If two drugs' effects are each a shared part and an own part, of equal sizes in both, their correlation is the share of the
shared part in the variance. From ``equal`` (0.9) on nine tenths are everybody's, and no gene is named.

Not asked: whether a gene is a cause. A marker of a tissue that responds is a true finding of the first question.

Reference: Westfall and Young, Resampling-Based Multiple Testing, 1993; Ge, Dudoit and Speed, Test 12, 2003, section 4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from scipy.stats import norm

from dadsp.analysis.attribution import AttributionOptions, attribute_genes, potency_functions
from dadsp.analysis.gene_rankings import spearman
from dadsp.models.base import Predictor
from dadsp.models.kernels.system import KernelSystem
from dadsp.models.networks.potency_function import GeneFunction
from dadsp.options import STRICT
from dadsp.schema import BoolArray, Pairs
from dadsp.seeding import derive_seed

Values = NDArray[np.floating[Any]]
NO_GENES = "this model ranks no genes for this drug"
FEWEST_LABELS = 10  # of one screen, to ask whether lines are ranked
STEPS = 4  # on a path: effects need an order, no completeness


@dataclass(frozen=True, config=STRICT)
class GateOptions:
    """When genes are named.

    Attributes:
        draws: Of the model that knows nothing of the drug.
        alpha: Probability to name any gene where none has an effect; by default a gene must stand above every draw.
        lines: Lines of the screen, drawn at random, over which effects are taken; all where there are fewer.
        equal: Median Spearman correlation of effects with those of other drugs from which on they are not about this drug.
    """

    draws: int = Field(default=39, ge=1)
    alpha: float = Field(default=0.025, gt=0, lt=1)
    lines: int = Field(default=100, ge=3)
    equal: float = Field(default=0.9, gt=0, le=1)

    @model_validator(mode="after")
    def _can_pass(self) -> Self:
        if (self.draws + 1) * self.alpha < 1:
            fewest = int(np.ceil(1 / self.alpha)) - 1
            raise ValueError(f"draws={self.draws} can give no p value of alpha={self.alpha:g}. Take {fewest} or more.")
        return self


@plain_dataclass(frozen=True, eq=False)
class HeldOut:
    """Potency of a drug in lines of a screen, predicted and as labels that trained nothing say; shape (n_lines,) each."""

    predicted: Values
    measured: Values


@plain_dataclass(frozen=True, eq=False)
class Gate:
    """The verdict on one drug.

    Attributes:
        effects: −log10 IC50(µM) for one standard deviation of each gene's expression, shape (n_genes,).
        p: Of each gene, corrected for all of them, shape (n_genes,).
        named: Which genes may be named, shape (n_genes,).
        closed: Why none may, as words that go on from ``NO_GENES``; empty where the gate is open.
        facts: JSON-able figures behind it.
    """

    effects: Values
    p: Values
    named: BoolArray
    closed: str
    facts: dict[str, Any]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.closed:
            return f"{NO_GENES}: {self.closed}"
        return f"{int(self.named.sum())} of {len(self.named):,} genes stand above the null of {self.facts['null']}"


def gate(
    model: Predictor,
    pairs: Pairs,
    options: GateOptions,
    attribution: AttributionOptions,
    seed: int,
    other_drugs: Sequence[Pairs] = (),
    held_out: Sequence[HeldOut] = (),
) -> Gate:
    """Which genes the model may be said to rank for a drug.

    Args:
        model: A network or a system of kernels.
        pairs: Of the one drug, in the screen over whose lines effects are taken.
        options: When genes are named.
        attribution: How gradients are integrated; the first baseline counts.
        seed: Of lines and draws.
        other_drugs: The same screen with other drugs.
        held_out: Of the drug, by screen; networks need it.
    """
    n = len(pairs.screen.cells)
    random = np.random.default_rng(derive_seed(seed, "gate lines"))
    rows = random.choice(n, size=min(options.lines, n), replace=False).astype(np.int64)
    how = replace(attribution, tolerance=1e9, steps=STEPS, max_steps=STEPS)

    def effects(functions: Sequence[GeneFunction], of: Pairs) -> Values:
        values = attribute_genes(functions, of, model.genes, attribution.baselines[0], how, seed).values
        return gene_effects(values, of.screen.with_genes(model.genes).cells.expression[rows])

    over = _over(pairs, rows)
    functions = potency_functions(model, over)
    own = effects(functions, over)
    draws = np.stack([effects(each, over) for each in _unknowing(model, functions, over, options.draws, seed)])
    by_labels = isinstance(model, KernelSystem)
    p = max_t(own, draws, scale_free=not by_labels)
    alike = [spearman(own, effects(potency_functions(model, each), each)) for each in (_over(o, rows) for o in other_drugs)]
    z, n_labels = ranks_lines(held_out)
    ranked = float(norm.sf(z)) if n_labels else None
    alike_others = float(np.median(alike)) if alike else None
    closed = _closed(options, float(p.min()), alike_others)
    if not by_labels:  # what draws of shuffled weights do not show
        closed = closed or _unranked(options, ranked, n_labels)
    named = (p <= options.alpha) & (not closed)
    facts = {
        "open": not closed,
        "named": [model.genes[row] for row in np.argsort(-np.abs(own), kind="stable") if named[row]],
        "null": "labels dealt to other lines" if by_labels else "shuffled weights",
        "draws": options.draws,
        "alpha": options.alpha,
        "lines": len(rows),
        "smallest_p": float(p.min()),
        "largest_effect": float(np.abs(own).max()),
        "largest_effect_null": float(np.median(np.abs(draws).max(axis=1))),
        "other_drugs": {"n": len(alike), "spearman": alike_others, "limit": options.equal},
        "held_out": {"labels": n_labels, "p": ranked, "needed": not by_labels},
    }
    found = Gate(own, p, named, closed, facts)
    facts["sentence"] = found.sentence
    return found


def _closed(options: GateOptions, smallest: float, alike: float | None) -> str:
    """Why no gene may be named, from the null and from other drugs; empty where one may."""
    if smallest > options.alpha:
        return f"no gene's effect stands above the null (smallest p {smallest:.2g}, {options.alpha:g} is needed)"
    if alike is not None and alike >= options.equal:
        return f"the same genes for other drugs (median Spearman {alike:.2f} of effects, limit {options.equal:g})"
    return ""


def _unranked(options: GateOptions, p: float | None, n_labels: int) -> str:
    """Why no gene may be named, from labels that trained nothing; empty where one may."""
    if p is None:
        return f"there are not {FEWEST_LABELS} labels of it that trained nothing, to see whether it ranks lines"
    return f"it does not rank the lines of {n_labels} labels that trained nothing (p {p:.2g})" if p > options.alpha else ""


def gene_effects(attributions: Values, expression: Values) -> Values:
    """What one standard deviation of each gene changes in predicted potency, over lines.

    Args:
        attributions: −log10 µM, shape (n_lines, n_genes).
        expression: Of any scale, same shape.

    Returns:
        Shape (n_genes,), float64; positive where lines of high expression are more sensitive; 0 for a constant gene.
    """
    centred = expression.astype(np.float64) - expression.mean(axis=0, dtype=np.float64)
    spread = np.sqrt((centred**2).mean(axis=0))
    constant = spread <= 1e-6 * (1 + np.abs(expression).max(axis=0))
    covariance = (centred * attributions).mean(axis=0)
    return np.where(constant, 0.0, covariance / np.where(constant, 1.0, spread))


def max_t(own: Values, draws: Values, scale_free: bool = False) -> Values:
    """Corrected p values of effects by the largest statistic over genes, shape (n_genes,); none is below 1 / (n_draws + 1).

    Args:
        own: Effects, shape (n_genes,).
        draws: Effects under the null, shape (n_draws, n_genes).
        scale_free: Compare effects in units of their root mean square over genes.
    """
    every = np.vstack([own, draws]).astype(np.float64)
    if scale_free:
        every = every / np.maximum(np.sqrt((every**2).mean(axis=1, keepdims=True)), np.finfo(np.float64).tiny)
    spread = np.sqrt((every**2).mean(axis=0))
    statistic = np.abs(every) / np.where(spread > 0, spread, 1.0)
    largest = statistic.max(axis=1)
    p: Values = (largest[:, None] >= statistic[0]).mean(axis=0)
    return p


def ranks_lines(held_out: Sequence[HeldOut]) -> tuple[float, int]:
    """Whether predictions rank lines by labels that trained nothing: a standard normal z under "no", and the labels.

    Over screens, z = Σ (n − 1) ρ / √Σ (n − 1) with Spearman's ρ, whose variance under permutation is 1 / (n − 1), ties or
    not. Screens with fewer than ``FEWEST_LABELS`` are left out.
    """
    total, weight, n_labels = 0.0, 0, 0
    for each in held_out:
        n = len(each.measured)
        if n >= FEWEST_LABELS:
            total += (n - 1) * spearman(each.predicted, each.measured)
            weight, n_labels = weight + n - 1, n_labels + n
    return (total / np.sqrt(weight) if weight else 0.0), n_labels


def gate_table(found: Gate, genes: Sequence[str]) -> pd.DataFrame:
    """One row per gene, largest effect first: gene, effect, p, named."""
    table = pd.DataFrame({"gene": list(genes), "effect": found.effects, "p": found.p, "named": found.named})
    order = np.lexsort((-np.abs(found.effects), ~found.named))
    return table.iloc[order].reset_index(drop=True)


def _over(pairs: Pairs, rows: Any) -> Pairs:
    """The same drug in other lines of its screen."""
    return replace(pairs, cell_idx=rows, drug_idx=np.full(len(rows), pairs.drug_idx[0]))


def _unknowing(
    model: Predictor, functions: Sequence[GeneFunction], pairs: Pairs, n: int, seed: int
) -> Iterator[Sequence[GeneFunction]]:
    """Functions of the drug that cannot know which genes matter to it."""
    for number in range(n):
        of_draw = derive_seed(seed, "gate", number)
        if isinstance(model, KernelSystem):
            yield model.with_dealt_labels(pairs, of_draw).potency_functions(pairs)
        else:
            yield [each.with_shuffled_weights(of_draw) for each in functions]

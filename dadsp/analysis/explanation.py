"""One explanation: attributions of some lines and one drug, and the checks that say how far to trust them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.analysis.attribution import (
    AttributionOptions,
    Attributions,
    attribute_drug_features,
    attribute_genes,
    potency_functions,
)
from dadsp.analysis.drug_attribution import AtomAttributions, atom_attributions
from dadsp.analysis.enrichment import GeneSets, over_representation
from dadsp.analysis.gate import Gate, GateOptions, HeldOut, gate
from dadsp.analysis.gene_rankings import overlaps, top_genes, top_order
from dadsp.analysis.planted_genes import planted_genes, recovery_auroc
from dadsp.drugs.structures import parse
from dadsp.errors import ConfigError
from dadsp.models.base import Predictor
from dadsp.models.networks.potency_function import GeneFunction, PotencyFunction
from dadsp.options import STRICT
from dadsp.schema import FloatArray, Pairs
from dadsp.seeding import derive_seed

UNRELATED = 0.3  # mean size of a Spearman correlation below which attributions count as different
ALL_LINES = "mean over lines"


@dataclass(frozen=True, config=STRICT)
class ExplanationOptions:
    """What an explanation holds.

    Attributes:
        top: Genes per line in the table, and in comparisons of rankings.
        critical_genes: Genes tested for enrichment; None takes a tenth of the study's, 300 at most.
        min_set_genes: Gene sets with fewer genes in the study are not tested.
        shuffles: Systems with shuffled weights to compare with.
        other_drugs: Drugs to compare with; genes that all of them share are not about the drug.
        seed: Of random lines and shuffles; the command line draws the other drugs from it too.
        gate: When genes are named.
        attribution: How gradients are integrated.
    """

    top: int = Field(default=10, ge=1)
    critical_genes: int | None = Field(default=None, ge=1)
    min_set_genes: int = Field(default=5, ge=1)
    shuffles: int = Field(default=5, ge=1)
    other_drugs: int = Field(default=5, ge=0)
    seed: int = 0
    gate: GateOptions = Field(default_factory=lambda: GateOptions())
    attribution: AttributionOptions = Field(default_factory=lambda: AttributionOptions())


@plain_dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions and what checks them; all in −log10 IC50(µM).

    Attributes:
        genes: Of the model, in its order.
        cell_ids: Of the lines, in order.
        called: What people call each line, by its id.
        by_baseline: Attributions to genes for each baseline, the one that is shown first.
        lines: One row per baseline and line: predicted potency, completeness error, steps; on simulated screens the AUROC
            of planted genes.
        gate: Whether the model ranks genes for the drug, and which may be named.
        top: The top genes of each line from the first baseline; ``named`` and ``p_null`` are the gate's of the gene.
        overlaps: How alike the first baseline's attributions and others are: other baselines, runs, drugs, shuffled weights.
        atoms: Mean attributions over the lines to the drug's atoms, or why there are none.
        n_planted: Planted genes of the drug; 0 where nobody knows.
        notes: What a reader must know of this system's attributions.
    """

    genes: tuple[str, ...]
    cell_ids: tuple[str, ...]
    called: Mapping[str, str]
    by_baseline: Mapping[str, Attributions]
    lines: pd.DataFrame
    gate: Gate
    top: pd.DataFrame
    overlaps: pd.DataFrame
    atoms: AtomAttributions | str
    n_planted: int
    notes: tuple[str, ...]

    @property
    def baseline(self) -> str:
        """The baseline that is shown."""
        return next(iter(self.by_baseline))

    @property
    def shown(self) -> FloatArray:
        """Attributions from the baseline that is shown, shape (n_lines, n_genes)."""
        return self.by_baseline[self.baseline].values

    def table(self) -> pd.DataFrame:
        """All attributions, columns baseline, cell_id, gene, attribution."""
        frames = []
        for name, attributions in self.by_baseline.items():
            cell_id = np.repeat(np.array(self.cell_ids, dtype=object), len(self.genes))
            gene = np.tile(np.array(self.genes, dtype=object), len(self.cell_ids))
            columns = {"baseline": name, "cell_id": cell_id, "gene": gene, "attribution": attributions.values.ravel()}
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    @property
    def shuffled_correlation(self) -> float:
        """Mean size of the Spearman correlation with attributions under shuffled weights."""
        shuffled = self.overlaps[self.overlaps["comparison"] == "weights"]
        return float(shuffled["spearman"].abs().mean())

    @property
    def depends_on_weights(self) -> bool:
        """Whether attributions change when the weights are shuffled, as those of a learned function must."""
        return self.shuffled_correlation < UNRELATED


def explain(
    model: Predictor,
    pairs: Pairs,
    options: ExplanationOptions,
    other_runs: Mapping[str, Predictor] | None = None,
    other_drugs: Sequence[Pairs] = (),
    held_out: Sequence[HeldOut] = (),
) -> Explanation:
    """Why a model predicts what it does for some lines and one drug.

    Args:
        model: A network or a system of kernels.
        pairs: The lines, each once, all with the same drug.
        options: What to make.
        other_runs: Models of the same genes by display name, normally the same system trained from other seeds.
        other_drugs: The same lines, each time with another drug.
        held_out: Predictions and labels of the drug that trained nothing, by screen.

    Raises:
        ConfigError: The model, or one of the others, has no gradient or reads other genes.
        DadspError: Attributions do not add up to the difference they explain.
    """
    how, genes = options.attribution, model.genes
    functions = potency_functions(model, pairs)
    by_baseline: dict[str, Attributions] = {
        name: attribute_genes(functions, pairs, genes, name, how, options.seed) for name in how.baselines
    }
    first = how.baselines[0]
    shown = by_baseline[first].values
    cell_ids = tuple(pairs.screen.cells.ids[row] for row in pairs.cell_idx)

    compared = [("baseline", name, each.values) for name, each in by_baseline.items() if name != first]
    for name, other in (other_runs or {}).items():
        if other.genes != genes:
            raise ConfigError(f"{name} reads {len(other.genes)} genes that are not this run's {len(genes)}. Leave it out.")
        values = attribute_genes(potency_functions(other, pairs), pairs, genes, first, how, options.seed).values
        compared.append(("run", name, values))
    for others in other_drugs:
        values = attribute_genes(potency_functions(model, others), others, genes, first, how, options.seed).values
        compared.append(("drug", "other drugs", values))
    coarse = replace(how, tolerance=1e9)  # nobody reads these attributions; their order needs no more steps
    for number in range(options.shuffles):
        shuffled = [each.with_shuffled_weights(derive_seed(options.seed, number)) for each in functions]
        compared.append(("weights", "shuffled", attribute_genes(shuffled, pairs, genes, first, coarse, options.seed).values))

    found = gate(model, pairs, options.gate, how, options.seed, other_drugs, held_out)
    planted = planted_genes(pairs.screen, pairs.screen.drugs.ids[pairs.drug_idx[0]]) & set(genes)
    return Explanation(
        genes=genes,
        cell_ids=cell_ids,
        called=pairs.screen.cells.called(pairs.cell_idx),
        by_baseline=by_baseline,
        lines=pd.concat([_lines(name, each, cell_ids, genes, planted) for name, each in by_baseline.items()]),
        gate=found,
        top=_top(shown, pairs, genes, options.top, found),
        overlaps=pd.concat([overlaps(what, name, shown, values, cell_ids, options.top) for what, name, values in compared]),
        atoms=_atoms(functions, pairs, genes, how),
        n_planted=len(planted),
        notes=functions[0].notes,
    )


def enrich(explanation: Explanation, gene_sets: GeneSets, options: ExplanationOptions) -> pd.DataFrame:
    """Gene sets over-represented among the critical genes of each line, and of the lines' mean size of attribution.

    Returns:
        The columns of ``over_representation`` after ``genes_of``, the line or ``ALL_LINES``; corrected list by list.

    Raises:
        ConfigError: All genes would be critical.
        MissingIdsError: No gene set has enough genes in the study.
    """
    genes, shown = explanation.genes, explanation.shown
    n = options.critical_genes or min(300, max(1, len(genes) // 10))
    if n >= len(genes):
        raise ConfigError(f"critical_genes={n}, but the study has {len(genes)} genes. Choose fewer.")
    lists = dict(zip(explanation.cell_ids, shown, strict=True))
    if len(lists) > 1:
        lists = {ALL_LINES: np.abs(shown).mean(axis=0), **lists}
    tables = []
    for name, values in lists.items():
        critical = [genes[row] for row in top_order(values, n)]
        table = over_representation(critical, genes, gene_sets, min_genes=options.min_set_genes)
        table.insert(0, "genes_of", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _lines(
    baseline: str, attributions: Attributions, cell_ids: Sequence[str], genes: Sequence[str], planted: frozenset[str]
) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "baseline": baseline,
        "cell_id": list(cell_ids),
        "predicted": attributions.potency,
        "baseline_predicted": attributions.baseline_potency,
        "attributions_sum": attributions.values.sum(axis=1, dtype=np.float64),
        "completeness_error": attributions.completeness_error,
        "steps": attributions.steps,
    }
    if planted:
        columns["planted_auroc"] = recovery_auroc(attributions.values, genes, planted)
    return pd.DataFrame(columns)


def _top(shown: FloatArray, pairs: Pairs, genes: tuple[str, ...], n: int, found: Gate) -> pd.DataFrame:
    """The top genes of each line, with what the gate says of each."""
    expression, cell_ids = pairs.screen.with_genes(genes).cells.expression, pairs.screen.cells.ids
    ids = [cell_ids[row] for row in pairs.cell_idx]
    top = top_genes(shown, ids, genes, expression[pairs.cell_idx], expression.mean(axis=0), n)
    rows = [genes.index(gene) for gene in top["gene"]]
    return top.assign(named=found.named[rows], p_null=found.p[rows])


def _atoms(
    functions: Sequence[GeneFunction], pairs: Pairs, genes: Sequence[str], options: AttributionOptions
) -> AtomAttributions | str:
    networks = [function for function in functions if isinstance(function, PotencyFunction)]
    if not networks:
        return "skipped: drugs enter a system of kernels as similarities of whole structures"
    features, drugs, drug = networks[0].representation, pairs.screen.drugs, pairs.drug_idx[0]
    smiles, name = drugs.smiles[drug] or "", drugs.names[drug]
    if features.environments(parse([smiles], [name])[0]) is None:
        return "skipped: the run's drug features are no Morgan fingerprints"
    of_bits = attribute_drug_features(networks, pairs, genes, options).values.mean(axis=0)
    return atom_attributions(features, smiles, name, of_bits)

"""A pair of screens drawn from a known statistical model: labelled source, shifted and capped target.

``docs/simulated.md`` states the model with its equations. The structures are real compounds, their genes and effects not.
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from math import log10
from typing import Any, Literal, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from dadsp.data.sources.simulated_biology import (
    Biology,
    Cells,
    DrugLibrary,
    draw_biology,
    draw_cells,
    draw_drugs,
    latent_expression,
    noise_of,
    on_platforms,
    structure_of,
)
from dadsp.data.sources.simulation import TISSUES, Simulation
from dadsp.data.study import LabelCap, make_study
from dadsp.errors import ConfigError, nearest
from dadsp.options import validated
from dadsp.schema import CellLines, Drugs, FloatArray, IntArray, ResponsePanel, Responses, Screen, Study


def simulated_study(*, label_cap: LabelCap = "target", **settings: Any) -> Study:
    """A study over a simulated pair of screens.

    Args:
        label_cap: ``"target"`` clips source labels at the target's cap; ``"none"`` leaves them.
        settings: The attributes of ``Simulation``; the seed and the numbers of genes, lines and drugs are required.

    Returns:
        The study; ``study.source.truth`` and ``study.target.truth`` hold what ``simulated_screens`` documents.

    Raises:
        ConfigError: A setting is unknown, missing or impossible.
    """
    simulation = validated(Simulation, settings, "data")
    if label_cap not in get_args(LabelCap):
        hint = nearest(str(label_cap), get_args(LabelCap))
        raise ConfigError(f"data.label_cap={label_cap!r} is not a valid choice. {hint}")
    if label_cap == "target" and simulation.cap_um is None:
        raise ConfigError("data.label_cap=target needs a capped target. Set data.cap_um, or data.label_cap=none.")
    return make_study(*simulated_screens(simulation), label_cap=label_cap)


def simulated_panel(**settings: Any) -> ResponsePanel:
    """The source screen of a simulated pair as a panel for single-drug models: uncapped −log10 IC50(µM), planted genes.

    Args:
        settings: The attributes of ``Simulation``; the seed and the numbers of genes, lines and drugs are required.

    Returns:
        The panel; its ``truth`` holds what ``simulated_screens`` documents.

    Raises:
        ConfigError: A setting is unknown, missing or impossible.
    """
    source, _ = simulated_screens(validated(Simulation, settings, "panel"))
    values = np.full((len(source.cells), len(source.drugs)), np.nan, dtype=np.float32)
    values[source.responses.cell_idx, source.responses.drug_idx] = source.responses.potency
    return ResponsePanel(
        source.name, "−log10 IC50(µM)", source.genes, source.cells, source.drugs, values, source.notes, source.truth
    )


def simulated_screens(simulation: Simulation) -> tuple[Screen, Screen]:
    """Source and target drawn from the model, the source uncapped and the target capped at ``cap_um``.

    Returns:
        Two screens over the same genes. Equal ``link_ids`` mark the shared lines, equal structures the shared drugs. The
        ``truth`` of each holds:

        - ``potency``: float32, shape (n_cells, n_drugs), what this screen's assay would read without noise and cap;
        - ``line_effect`` (n_cells,) and ``drug_effect`` (n_drugs,): float32, general sensitivity and mean potency, so that
          ``potency − line_effect − drug_effect`` is the part the causal genes drive;
        - ``causal_genes``, ``causal_weights``: by drug id, the genes and their slopes (potency per standard deviation of
          the gene's latent expression);
        - ``drug_pathways``: by drug id; ``pathways``: by pathway, all its genes; ``line_genes``: genes behind half the
          variance of ``line_effect``;
        - ``label_noise``: standard deviation of the assay noise.
    """
    with threadpool_limits(1):  # sums are rounded alike on any number of threads, so that a seed names one study
        return _drawn(simulation)


def _drawn(simulation: Simulation) -> tuple[Screen, Screen]:
    cells = draw_cells(simulation)
    pathway_of_gene = simulation.rng("pathways").permutation(np.arange(simulation.n_genes) % simulation.n_pathways)
    latent = latent_expression(simulation, cells.programs, pathway_of_gene)
    drugs = draw_drugs(simulation)
    biology = draw_biology(simulation, latent, pathway_of_gene, drugs)
    source = _Side("source", cells.source, np.flatnonzero(drugs.in_source))
    target = _Side("target", cells.target, np.flatnonzero(drugs.in_target))
    expression = on_platforms(simulation, latent, source.cells, target.cells)
    return (
        _screen(simulation, source, cells, drugs, biology, expression[0]),
        _screen(simulation, target, cells, drugs, biology, expression[1]),
    )


@plain_dataclass(frozen=True, eq=False)
class _Side:
    """One screen's rows into all lines and all drugs."""

    role: Literal["source", "target"]
    cells: IntArray
    drugs: IntArray


def _screen(
    simulation: Simulation, side: _Side, cells: Cells, drugs: DrugLibrary, biology: Biology, expression: FloatArray
) -> Screen:
    genes = tuple(f"G{gene + 1:05d}" for gene in range(simulation.n_genes))
    ids = tuple(f"{side.role[0].upper()}D{row + 1:03d}" for row in range(len(side.drugs)))
    responses, cap, truth = _assay(simulation, side, drugs, biology)
    slopes = np.float32(simulation.gain(side.role)) * biology.slopes[side.drugs]
    truth |= _gene_truth(genes, ids, drugs.loadings[side.drugs], biology, slopes)
    chosen = [drugs.compounds[row] for row in side.drugs]
    return Screen(
        name=f"simulated {side.role}",
        genes=genes,
        cells=CellLines(
            ids=tuple(f"{side.role[0].upper()}C{row + 1:04d}" for row in range(len(side.cells))),
            link_ids=tuple(f"L{row + 1:04d}" for row in side.cells),
            tissues=tuple(TISSUES[row] for row in cells.tissue[side.cells]),
            expression=expression,
        ),
        drugs=Drugs(
            ids=ids,
            names=tuple(compound["name"] for compound in chosen),
            smiles=tuple(compound["smiles"] for compound in chosen),
            structure_keys=tuple(structure_of(compound["smiles"], compound["name"])[1] for compound in chosen),
            targets=tuple(", ".join(truth["causal_genes"][name]) for name in ids),
        ),
        responses=responses,
        cap=cap,
        truth=truth,
    )


def _assay(
    simulation: Simulation, side: _Side, drugs: DrugLibrary, biology: Biology
) -> tuple[Responses, float | None, dict[str, Any]]:
    """What one screen's assay reads, its cap, and the truth behind its labels."""
    rng = simulation.rng(side.role)
    is_target = side.role == "target"
    gain = np.float32(simulation.gain(side.role))
    effect = gain * drugs.effect[side.drugs]
    if is_target:
        effect += noise_of(simulation.screen_sd, effect.shape, rng)
    line_effect = gain * biology.line_effect[side.cells]
    potency = gain * biology.sensitivity[np.ix_(side.cells, side.drugs)] + line_effect[:, None] + effect

    missing = simulation.target_missing if is_target else simulation.source_missing
    cell_idx, drug_idx = np.divmod(_measured(potency.size, missing, rng), len(side.drugs))
    noise = simulation.target_noise if is_target else simulation.source_noise
    label = potency[cell_idx, drug_idx] + noise_of(noise, cell_idx.shape, rng)
    censored = np.zeros(len(label), dtype=np.bool_)
    cap = None
    if is_target and simulation.cap_um is not None:
        cap = -log10(simulation.cap_um)
        # The offset of the target's assay is what gives the stated share of capped labels.
        offset = np.float32(cap - np.quantile(label, simulation.capped_share))
        effect, potency, label = effect + offset, potency + offset, label + offset
        censored = label <= np.float32(cap)
        label = np.maximum(label, np.float32(cap))
    truth = {"potency": potency, "line_effect": line_effect, "drug_effect": effect, "label_noise": noise}
    return Responses(cell_idx, drug_idx, label, censored), cap, truth


def _gene_truth(
    genes: Sequence[str], ids: Sequence[str], loadings: FloatArray, biology: Biology, slopes: FloatArray
) -> dict[str, Any]:
    """The gene and pathway facts of a screen's truth, by name."""
    names = [f"P{pathway + 1:02d}" for pathway in range(len(biology.members))]
    causal = [np.flatnonzero(row) for row in slopes]

    def symbols(rows: IntArray) -> tuple[str, ...]:
        return tuple(genes[gene] for gene in rows)

    return {
        "causal_genes": {name: symbols(rows) for name, rows in zip(ids, causal, strict=True)},
        "causal_weights": {name: tuple(slope[rows].tolist()) for name, slope, rows in zip(ids, slopes, causal, strict=True)},
        "drug_pathways": {
            name: tuple(names[pathway] for pathway in np.flatnonzero(row)) for name, row in zip(ids, loadings, strict=True)
        },
        "pathways": {name: symbols(rows) for name, rows in zip(names, biology.members, strict=True)},
        "line_genes": symbols(biology.drivers[0]),
    }


def _measured(size: int, missing: float, rng: np.random.Generator) -> IntArray:
    """The measured cells of a grid in order, an exact share of them missing; at least one is measured."""
    return np.sort(rng.permutation(size)[: max(1, round(size * (1 - missing)))])

"""Small studies made in memory, for tests that need one and do not care how it was read."""

from dataclasses import replace

import numpy as np

from dadsp.drugs.structures import structure_keys
from dadsp.schema import CellLines, Drugs, Responses, Screen, Split, Study
from dadsp.splits.cross_screen import cross_screen

SMILES = ("CCO", "CC(=O)O", "c1ccccc1", "CCN", "CC(C)O", "c1ccncc1", "CCCl", "OCC(O)CO")


def small_screen(name: str, *, n_cells: int, n_drugs: int, n_genes: int, seed: int, links: int = 0) -> Screen:
    """A fully measured screen whose potency depends on drug and expression; its first ``links`` lines have link ids."""
    random = np.random.default_rng(seed)
    expression = random.normal(size=(n_cells, n_genes)).astype(np.float32)
    cell_idx, drug_idx = (part.ravel() for part in np.meshgrid(np.arange(n_cells), np.arange(n_drugs), indexing="ij"))
    potency = expression[cell_idx, 0] * np.where(drug_idx % 2, 0.5, -0.5) + 0.4 * drug_idx - 1.0
    return Screen(
        name=name,
        genes=tuple(f"G{gene}" for gene in range(n_genes)),
        cells=CellLines(
            ids=tuple(f"{name}-line{row}" for row in range(n_cells)),
            link_ids=tuple(f"L{row}" if row < links else None for row in range(n_cells)),
            tissues=(None,) * n_cells,
            expression=expression,
        ),
        drugs=Drugs(
            ids=tuple(f"{name}-drug{row}" for row in range(n_drugs)),
            names=tuple(f"drug{row}" for row in range(n_drugs)),
            smiles=SMILES[:n_drugs],
            structure_keys=structure_keys(SMILES[:n_drugs], SMILES[:n_drugs]),
            targets=(None,) * n_drugs,
        ),
        responses=Responses(
            cell_idx=cell_idx,
            drug_idx=drug_idx,
            potency=potency.astype(np.float32),
            censored=np.zeros(len(potency), dtype=bool),
        ),
    )


def small_study(*, n_source: int = 12, n_target: int = 9, n_drugs: int = 5, n_genes: int = 7, links: int = 4) -> Study:
    """A source and a target over the same genes; the first ``links`` lines stand in both, the target lacks a drug."""
    source = small_screen("SRC", n_cells=n_source, n_drugs=n_drugs, n_genes=n_genes, seed=0, links=links)
    target = small_screen("TGT", n_cells=n_target, n_drugs=n_drugs - 1, n_genes=n_genes, seed=1, links=links)
    return Study(source, target, "none", source.responses.potency)


def holey_study() -> tuple[Study, Split]:
    """A study of which a random 60 % of the pairs are measured, and a split that holds four source lines out."""
    study = small_study(n_source=20, n_target=12, n_drugs=6)
    random = np.random.default_rng(0)
    source, target = (
        replace(screen, responses=screen.responses.take(random.random(len(screen.responses)) < 0.6))
        for screen in (study.source, study.target)
    )
    study = Study(source, target, "none", source.responses.potency)
    return study, cross_screen(study, seed=0, val_fraction=0.2)

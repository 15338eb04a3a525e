"""Small response panels made in memory, for tests of single-drug models."""

import numpy as np

from dadsp.schema import CellLines, Drugs, ResponsePanel
from dadsp.singledrug.lines import DrugLines


def small_panel(*, n_cells: int = 60, n_genes: int = 30, n_drugs: int = 2, seed: int = 0) -> ResponsePanel:
    """Response of drug d rises with genes 2d and 2d + 1; gene 5 is zero everywhere, and the first line is not measured."""
    rng = np.random.default_rng(seed)
    expression = rng.uniform(0, 10, (n_cells, n_genes)).astype(np.float32)
    expression[:, 5] = 0
    drivers = np.array([[2 * drug, 2 * drug + 1] for drug in range(n_drugs)])
    values = expression[:, drivers].sum(axis=2) / 4 + rng.normal(0, 0.3, (n_cells, n_drugs))
    values[0] = np.nan
    lines, drugs = tuple(f"line{row}" for row in range(n_cells)), tuple(f"drug/{row}" for row in range(n_drugs))
    nothing = (None,) * n_drugs
    genes = tuple(f"G{column}" for column in range(n_genes))
    return ResponsePanel(
        name="SMALL",
        response="ActArea",
        genes=genes,
        cells=CellLines(lines, lines, (None,) * n_cells, expression),
        drugs=Drugs(drugs, drugs, nothing, nothing, nothing),
        values=values.astype(np.float32),
        truth={"causal_genes": {drug: tuple(genes[g] for g in drivers[row]) for row, drug in enumerate(drugs)}},
    )


def noise_lines(n_lines: int, n_genes: int, seed: int = 0) -> DrugLines:
    """Random genes and a random response that has nothing to do with them."""
    rng = np.random.default_rng(seed)
    expression = rng.uniform(0, 10, (n_lines, n_genes)).astype(np.float32)
    names = tuple(f"G{column}" for column in range(n_genes))
    lines = tuple(f"line{row}" for row in range(n_lines))
    return DrugLines("noise", names, lines, expression, rng.normal(size=n_lines).astype(np.float32))

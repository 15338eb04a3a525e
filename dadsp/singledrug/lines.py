"""The measured lines of one drug, out of a panel."""

from dataclasses import dataclass

import numpy as np

from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.schema import FloatArray, ResponsePanel
from dadsp.singledrug.settings import SingleDrugOptions


@dataclass(frozen=True, eq=False)
class DrugLines:
    """What a single-drug model can learn from: lines without expression or response are not among them.

    Attributes:
        drug_id: The drug.
        genes: Gene symbols, one per expression column.
        cell_ids: The lines.
        expression: float32, shape (n_lines, n_genes).
        response: float32, shape (n_lines,); higher is more sensitive.
        causal_genes: Genes that drive the response, where a simulation knows them.
    """

    drug_id: str
    genes: tuple[str, ...]
    cell_ids: tuple[str, ...]
    expression: FloatArray
    response: FloatArray
    causal_genes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.response)


def drug_lines(panel: ResponsePanel, drug_row: int) -> DrugLines:
    """The measured lines of the drug in this row of the panel's drugs."""
    response = panel.values[:, drug_row]
    rows = np.flatnonzero(np.isfinite(response))
    drug_id = panel.drugs.ids[drug_row]
    return DrugLines(
        drug_id=drug_id,
        genes=panel.genes,
        cell_ids=tuple(panel.cells.ids[row] for row in rows),
        expression=panel.cells.expression[rows],
        response=response[rows],
        causal_genes=panel.truth.get("causal_genes", {}).get(drug_id, ()),
    )


def chosen_drugs(panel: ResponsePanel, drug: object, options: SingleDrugOptions) -> list[int]:
    """Rows of the drugs a user names, each fit to be learned.

    Args:
        panel: The screen.
        drug: ``"all"``, one id, or several.
        options: Say how many lines and genes are needed.

    Raises:
        ConfigError: A drug is not known, or fewer genes are measured than shall be selected.
        SchemaError: A drug has too few lines or one response for all.
    """
    named = drug if isinstance(drug, list | tuple) else [drug]
    names = list(panel.drugs.ids) if drug == "all" else [str(name) for name in named]
    unknown = [name for name in names if name not in panel.drugs.ids]
    if unknown or not names:
        what = f"{len(unknown)} of {len(names)} names are no drugs of {panel.name}" if names else "no drug is named"
        raise ConfigError(f"drug: {what} ({examples(unknown)}). {nearest(str((*unknown, '')[0]), panel.drugs.ids)}")
    if (n_genes := options.selection.kept(len(panel.genes))) > len(panel.genes):
        raise ConfigError(
            f"selection.n_genes={n_genes}, but {panel.name} has {len(panel.genes)} genes. Set it to fewer, or to null."
        )
    rows = [panel.drugs.ids.index(name) for name in dict.fromkeys(names)]
    measured = {panel.drugs.ids[row]: panel.values[np.isfinite(panel.values[:, row]), row] for row in rows}
    few = [name for name, values in measured.items() if len(values) < options.protocol.min_lines]
    if few:
        raise SchemaError(
            f"{len(few)} of {len(rows)} drugs have fewer than {options.protocol.min_lines} measured lines with expression "
            f"(e.g. {examples(few)}). Name the others with drug=, or lower protocol.min_lines."
        )
    alike = [name for name, values in measured.items() if values.min() == values.max()]
    if alike:
        raise SchemaError(
            f"{len(alike)} of {len(rows)} drugs have one {panel.response} for all lines (e.g. {examples(alike)}). "
            "Name the others with drug=."
        )
    return rows

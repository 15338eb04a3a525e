"""Pairs a user wants predicted: their lines and drugs, from files or from a study already known."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from dadsp.data.new_platform.harmonise import NewLines
from dadsp.data.table_files import Frame
from dadsp.data.tables import places, read_matrix, read_table
from dadsp.drugs.structures import structure_keys
from dadsp.errors import MissingIdsError, SchemaError, examples
from dadsp.schema import BoolArray, CellLines, Domain, Drugs, Note, Pairs, Responses, Screen, duplicates

OnUnknown = Literal["error", "drop"]
REACH = 5  # widths of the range of training expression beyond which no measured value lies


def read_pairs(
    pairs: Path | Frame,
    *,
    expression: Path | Frame | NewLines | None,
    drugs: Path | Frame | None,
    known: Sequence[Screen],
    domain: Domain,
    on_unknown: OnUnknown = "error",
) -> tuple[Pairs, pd.DataFrame, tuple[Note, ...]]:
    """The pairs of a table, in a file or in memory, ready for ``Predictor.predict``.

    Args:
        pairs: Table with columns cell_id, drug_id.
        expression: Table of lines: column cell_id, every other column a gene; or lines. None takes those of ``known[0]``.
        drugs: Table with columns drug_id, smiles. None takes the drugs of all ``known`` screens, the first to name an id.
        known: Screens to fall back on; may be empty when both tables are given.
        domain: Which screen's platform measured the expression.
        on_unknown: ``"error"`` refuses pairs of unknown lines or drugs and invalid SMILES; ``"drop"`` leaves them out.

    Returns:
        The pairs; their cell_id and drug_id in the same order; what was left out.

    Raises:
        ConfigError: A file is absent.
        SchemaError: A file is empty or lacks a column, ids repeat, or a SMILES is invalid.
        MissingIdsError: Pairs name lines or drugs that are not known.
    """
    cells, genes = (known[0].cells, known[0].genes) if expression is None else _read_lines(expression)
    compounds, notes = (_joined([screen.drugs for screen in known]), ()) if drugs is None else _read_drugs(drugs, on_unknown)
    table = read_table(pairs, {"cell_id": "cell_id", "drug_id": "drug_id"})
    cell_idx = pd.Index(cells.ids).get_indexer(pd.Index(table["cell_id"]))
    drug_idx = pd.Index(compounds.ids).get_indexer(pd.Index(table["drug_id"]))
    for what, rows, column in (("lines", cell_idx, "cell_id"), ("drugs", drug_idx, "drug_id")):
        unknown = np.flatnonzero(rows < 0)
        if not len(unknown):
            continue
        names = examples(pd.unique(table[column].iloc[unknown]))
        if on_unknown == "error":
            raise MissingIdsError(
                f"{pairs}: {len(unknown)} of {len(table)} pairs name {what} that are not known (e.g. {names}; "
                f"{places(pairs, unknown.tolist())}). Add them to the table of {what}, or set on_unknown=drop."
            )
        notes = (*notes, Note(f"pairs of unknown {what} left out", len(unknown), names))
    kept = (cell_idx >= 0) & (drug_idx >= 0)
    if not kept.any():
        raise MissingIdsError(
            f"{pairs}: none of {len(table)} pairs can be predicted. Check that its ids are those of the tables."
        )
    screen = Screen(pairs.stem, genes, cells, compounds, Responses.none())
    return Pairs(screen, domain, cell_idx[kept], drug_idx[kept]), table[kept].reset_index(drop=True), notes


def refuse_impossible(screen: Screen, genes: Sequence[str], seen: tuple[float, float], where: str) -> None:
    """Passes if expression can be on the scale that a model was trained on.

    Only what no line can have is refused: values further outside the range of the training lines than ``REACH`` times its
    width, such as raw counts where the model knows logarithms, −99999 for a missing value, or 1e38. Another platform, an
    amplified gene or a line unlike any other lies far inside.

    Args:
        screen: Holds the lines.
        genes: Those that the model reads; others, and those the screen lacks, are not looked at.
        seen: Least and largest raw value among the training lines.
        where: What holds the lines, for the error.

    Raises:
        SchemaError: Some values are impossible.
    """
    position = {gene: column for column, gene in enumerate(screen.genes)}
    columns = [position[gene] for gene in genes if gene in position]
    values = screen.cells.expression[:, columns]
    low, high = seen
    reach = REACH * max(high - low, 1.0)
    # A comparison with NaN is false, so that what is no number is impossible too.
    rows, places_of = np.nonzero(~((values >= low - reach) & (values <= high + reach)))
    if not len(rows):
        return
    shown = [
        f"{screen.cells.ids[row]}/{screen.genes[columns[place]]}: {values[row, place]:g}"
        for row, place in zip(rows[:4], places_of[:4], strict=True)
    ]
    raise SchemaError(
        f"{where}: {len(rows):,} of {values.size:,} values of the model's genes, in {len(set(rows.tolist())):,} of "
        f"{len(values):,} lines, are impossible on the scale of its training lines, {low:.4g} to {high:.4g} (e.g. "
        f"{examples(shown)}). Give expression processed as theirs was (logarithms, not counts), impute what is missing, or "
        "leave those lines out."
    )


def _read_lines(path: Path | Frame | NewLines) -> tuple[CellLines, tuple[str, ...]]:
    if isinstance(path, NewLines):
        return CellLines(path.ids, (None,) * len(path.ids), (None,) * len(path.ids), path.expression), path.genes
    matrix = read_matrix(path, "cell_id")
    _refuse_repeated(matrix.rows, "cell lines", path)
    nobody = (None,) * len(matrix.rows)
    return CellLines(matrix.rows, nobody, nobody, matrix.numbers), matrix.columns


def _read_drugs(path: Path | Frame, on_unknown: OnUnknown) -> tuple[Drugs, tuple[Note, ...]]:
    table = read_table(
        path, {"drug_id": "drug_id", "smiles": "smiles"}, optional=("smiles",) if on_unknown == "drop" else ()
    )
    _refuse_repeated(list(table["drug_id"]), "drugs", path)
    usable = np.ones(len(table), dtype=bool)
    if on_unknown == "drop":
        usable = np.array([_is_structure(text) for text in table["smiles"]], dtype=bool)
    notes = _left_out(table, usable)
    table = table[usable]
    ids, smiles = tuple(table["drug_id"]), tuple(table["smiles"])
    try:
        keys = structure_keys(smiles, ids)
    except SchemaError as error:
        raise SchemaError(
            f"{path}: {len(ids)} structures were read. {str(error).partition(' Correct them')[0]} "
            "Correct them, or set on_unknown=drop."
        ) from error
    return Drugs(ids, ids, smiles, keys, (None,) * len(ids)), notes


def _left_out(table: pd.DataFrame, usable: BoolArray) -> tuple[Note, ...]:
    bad = list(table["drug_id"][~usable])
    return (Note("drugs without a valid SMILES left out", len(bad), examples(bad)),) if bad else ()


def _is_structure(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    try:
        structure_keys([text], [text])
    except SchemaError:
        return False
    return True


def _joined(tables: Sequence[Drugs]) -> Drugs:
    """The drugs of several screens; an id that stands in two is the first one's."""
    seen: set[str] = set()
    chosen: list[tuple[Drugs, int]] = []
    for drugs in tables:
        fresh = [row for row, name in enumerate(drugs.ids) if name not in seen]
        chosen += [(drugs, row) for row in fresh]
        seen.update(drugs.ids)
    return Drugs(*(tuple(getattr(drugs, column.name)[row] for drugs, row in chosen) for column in fields(Drugs)))


def _refuse_repeated(ids: Sequence[str], what: str, path: Path | Frame) -> None:
    repeated = duplicates(ids)
    if repeated:
        raise SchemaError(
            f"{path}: {len(repeated)} {what} stand more than once (e.g. {examples(repeated)}). Keep one row of each."
        )

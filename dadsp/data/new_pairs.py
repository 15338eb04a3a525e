"""Pairs a user wants predicted: their lines and drugs, from files or from a study already known, by the names people use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dadsp.data.drug_tables import repairs, told_drugs
from dadsp.data.matching import Pool, match_lines, refuse_doubtful
from dadsp.data.new_platform.harmonise import NewLines
from dadsp.data.table_files import Frame, header_of
from dadsp.data.tables import places, read_matrix, read_table
from dadsp.drugs.smiles_cells import read_cell
from dadsp.drugs.structures import not_valid
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, examples
from dadsp.schema import BoolArray, CellLines, Domain, Drugs, Identity, IntArray, Note, Pairs, Responses, Screen, duplicates

OnUnknown = Literal["error", "drop"]
Asked = Path | Frame | str | Sequence[str] | None  # lines or drugs: a table, "all", names
ALL = "all"
REACH = 5  # widths of the range of training expression beyond which no measured value lies


def read_pairs(
    pairs: Path | Frame | None,
    *,
    expression: Path | Frame | NewLines | None,
    drugs: Asked,
    known: Sequence[Screen],
    domain: Domain,
    on_unknown: OnUnknown = "error",
    lines: Asked = None,
    identity: Identity = "exact",
) -> tuple[Pairs, pd.DataFrame, tuple[Note, ...]]:
    """The pairs of a table, or all of some lines with some drugs, ready for ``Predictor.predict``.

    Lines and drugs are looked up by id, then by name however it is spelled where only one bears it; drugs by structure, too.

    Args:
        pairs: Table with columns cell_id, drug_id; None takes every line of ``lines`` with every drug of ``drugs``.
        expression: Table of lines: column cell_id, every other column a gene; or lines. None takes those of ``known[0]``.
        drugs: Table with columns drug_id, smiles of new drugs. Without ``pairs`` also ``"all"`` (or None) of all ``known``
            screens, or names, in a sequence or a table with a column drug_id.
        known: Screens to fall back on, the preferred one first; may be empty when both tables are given.
        domain: Which screen's platform measured the expression.
        on_unknown: ``"error"`` refuses pairs of unknown lines or drugs and invalid SMILES; ``"drop"`` leaves them out.
        lines: Without ``pairs``: ``"all"`` (or None), or names, in a sequence or a table with a column cell_id.
        identity: By what the drugs of a table are told, where no screen is known that says so.

    Returns:
        The pairs; their cell_id and drug_id, in the order given or line by line; what was left out or found by name.

    Raises:
        ConfigError: A file is absent, or ``lines`` or ``drugs`` say something beside ``pairs``.
        SchemaError: A file is empty or lacks a column, ids repeat, a SMILES is invalid, or a name means several things.
        MissingIdsError: Pairs name lines or drugs that are not known.
    """
    cells, genes = (known[0].cells, known[0].genes) if expression is None else _read_lines(expression)
    table_of_drugs = drugs if isinstance(drugs, Path | Frame) and _holds_drugs(drugs, pairs) else None
    pool, notes = Pool.of(known), tuple[Note, ...]()
    if table_of_drugs is not None:
        rule = known[0].drugs.identity if known else identity
        compounds, notes = _read_drugs(table_of_drugs, on_unknown, rule)
        pool = Pool.of_table(compounds)
    if pairs is not None:
        if lines is not None or (drugs is not None and table_of_drugs is None):
            raise ConfigError("pairs names lines and drugs already. Leave out lines and drugs, or pairs.")
        where: Path | Frame | str = pairs
        table = read_table(pairs, {"cell_id": "cell_id", "drug_id": "drug_id"})
    else:
        where = "lines and drugs"
        asked = _names(lines, "cell_id"), None if table_of_drugs is not None else _names(drugs, "drug_id")
        table = _crossed(cells.ids if asked[0] is None else asked[0], pool.all() if asked[1] is None else asked[1])
        if asked[1] is None and table_of_drugs is None:
            notes = (*notes, *_without_structure(pool))
    cell_idx, drug_idx, pool, found = _looked_up(table, cells, pool, where)
    kept, more = _known_ones(table, {"lines": cell_idx, "drugs": drug_idx}, where, on_unknown)
    named = expression if isinstance(expression, Path | Frame) else pairs  # what messages about genes mean
    screen = Screen(_stem(named), genes, cells, pool.drugs, Responses.none())
    return Pairs(screen, domain, cell_idx[kept], drug_idx[kept]), table[kept].reset_index(drop=True), (*notes, *found, *more)


def _looked_up(
    table: pd.DataFrame, cells: CellLines, pool: Pool, where: object
) -> tuple[IntArray, IntArray, Pool, tuple[Note, ...]]:
    """Rows of lines and drugs of each pair, −1 where unknown; the pool with drugs given by structure; what was found how."""
    (line, lines), (drug, drugs) = (pd.factorize(table[column]) for column in ("cell_id", "drug_id"))
    of_lines, of_drugs = match_lines(list(lines), cells), pool.match(list(drugs))
    refuse_doubtful(where, of_lines, of_drugs)
    notes = (*of_lines.notes, *of_drugs.notes)
    left = [text for text, row in zip(drugs, of_drugs.rows, strict=True) if row < 0]
    pool, note = pool.with_structures(left) if left else (pool, None)
    if note is not None:
        of_drugs, notes = pool.match(list(drugs)), (*notes, note)
    return of_lines.rows[line], of_drugs.rows[drug], pool, notes


def _known_ones(
    table: pd.DataFrame, rows: dict[str, IntArray], where: "Path | Frame | str", on_unknown: OnUnknown
) -> tuple[BoolArray, tuple[Note, ...]]:
    """Which pairs can be predicted, and notes on those that cannot."""
    notes: tuple[Note, ...] = ()
    kept = np.ones(len(table), dtype=bool)
    for what, column in (("lines", "cell_id"), ("drugs", "drug_id")):
        kept &= rows[what] >= 0
        unknown = np.flatnonzero(rows[what] < 0)
        if not len(unknown):
            continue
        names = examples(pd.unique(table[column].iloc[unknown]))
        if on_unknown == "error":
            place = "" if isinstance(where, str) else f"; {places(where, unknown.tolist())}"
            raise MissingIdsError(
                f"{where}: {len(unknown)} of {len(table)} pairs name {what} that are not known (e.g. {names}{place}). "
                f"Add them to the table of {what}, or set on_unknown=drop."
            )
        notes = (*notes, Note(f"pairs of unknown {what} left out", len(unknown), names))
    if not kept.any():
        raise MissingIdsError(
            f"{where}: none of {len(table)} pairs can be predicted. Check that its ids are those of the tables."
        )
    return kept, notes


def _holds_drugs(table: Path | Frame, pairs: Path | Frame | None) -> bool:
    """Whether a table describes drugs, and does not only name some."""
    return pairs is not None or "smiles" in header_of(table)


def _names(asked: Asked, column: str) -> list[str] | None:
    """The lines or drugs that are asked for; None for all."""
    if asked is None or (isinstance(asked, str) and asked == ALL):
        return None
    if isinstance(asked, Path | Frame):
        return list(dict.fromkeys(read_table(asked, {column: column})[column]))
    names = [asked] if isinstance(asked, str) else asked
    return list(dict.fromkeys(str(name).strip() for name in names))


def _crossed(lines: Sequence[str], drugs: Sequence[str]) -> pd.DataFrame:
    """Every line with every drug, line by line."""
    cell, drug = (part.ravel() for part in np.meshgrid(np.arange(len(lines)), np.arange(len(drugs)), indexing="ij"))
    named = {"cell_id": (lines, cell), "drug_id": (drugs, drug)}
    return pd.DataFrame({column: np.array(names, dtype=object)[rows] for column, (names, rows) in named.items()})


def _without_structure(pool: Pool) -> tuple[Note, ...]:
    lacking = [pool.drugs.ids[row] for row in pool.own if pool.drugs.smiles[row] is None]
    return (Note("drugs without a structure left out", len(lacking), examples(lacking)),) if lacking else ()


def _stem(pairs: Path | Frame | None) -> str:
    return "the request" if pairs is None else pairs.stem


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


def _read_drugs(path: Path | Frame, on_unknown: OnUnknown, identity: Identity) -> tuple[Drugs, tuple[Note, ...]]:
    table = read_table(
        path, {"drug_id": "drug_id", "smiles": "smiles"}, optional=("smiles",) if on_unknown == "drop" else ()
    )
    _refuse_repeated(list(table["drug_id"]), "drugs", path)
    named = {name: read_cell(text if isinstance(text, str) else "") for name, text in table.itertuples(index=False)}
    bad = [
        (name, str(text), named[name].fault or "")
        for name, text in table.itertuples(index=False)
        if named[name].smiles is None
    ]
    if bad and on_unknown == "error":
        raise SchemaError(
            f"{path}: {len(table)} structures were read. {not_valid(bad, len(table))} Correct them, or set on_unknown=drop."
        )
    notes = repairs(named)
    if bad:
        notes = (*notes, Note("drugs without a valid SMILES left out", len(bad), examples(name for name, _, _ in bad)))
    smiles = {name: cell.smiles for name, cell in named.items() if cell.smiles is not None}
    return told_drugs(list(smiles), list(smiles), tuple(smiles.values()), (None,) * len(smiles), identity), notes


def _refuse_repeated(ids: Sequence[str], what: str, path: Path | Frame) -> None:
    repeated = duplicates(ids)
    if repeated:
        raise SchemaError(
            f"{path}: {len(repeated)} {what} stand more than once (e.g. {examples(repeated)}). Keep one row of each."
        )

"""How responses lie in a file: one pair a row, or a matrix of lines and drugs; of one screen, or of several."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from dadsp.data.cell_values import cleaned
from dadsp.data.table_files import TableFile, header_of, require
from dadsp.data.tables import read_table
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

Layout = Literal["long", "lines_by_drugs", "drugs_by_lines"]
_AXES: dict[Layout, tuple[str, str]] = {"lines_by_drugs": ("cell_id", "drug_id"), "drugs_by_lines": ("drug_id", "cell_id")}
_CALLED = {"cell_id": "cell lines", "drug_id": "drugs"}
# Headers, without punctuation, of columns that tell apart what should not be read as one screen of one measure.
_TELLING = {
    *("study", "source", "dataset", "screen", "database", "project", "collection", "experiment", "cohort", "panel"),
    *("metric", "measure", "endpoint", "readout", "responsemetric", "doseresponsemetric", "standardtype", "assaytype"),
}  # fmt: skip


def melted(path: TableFile, layout: Layout, id_column: str, ignore: Sequence[str]) -> pd.DataFrame:
    """A matrix of responses as one row per cell, row by row; the index counts the file's data rows.

    Returns:
        Columns cell_id, drug_id, value, value_written (see ``read_table``) and column, the header of the cell.

    Raises:
        SchemaError: The file lacks or repeats a column, or has none beside the ids.
    """
    aside = [*ignore, *(name for name, _ in path.rows)]
    header, found = require(path, {"the row ids": id_column, **{f"ignored column {name}": name for name in aside}})
    names = [name for name in header if name not in found.values()]
    ids = cleaned(names)
    if None in ids or not ids:
        what = f"{ids.count(None)} of {len(ids)} columns have no name" if ids else f"no column beside {id_column!r}"
        raise SchemaError(f"{path}: {what}. Give it one column per line or drug, or name the others under responses.ignore.")
    columns = {"id": id_column, **{f"{number}": name for number, name in enumerate(names)}}
    numbers = [name for name in columns if name != "id"]
    table = read_table(path, columns, optional=numbers, written=numbers)
    down, across = _AXES[layout]
    return pd.DataFrame(
        {
            down: pd.Series(np.repeat(table["id"].to_numpy(dtype=object), len(names)), dtype="str"),
            across: pd.Series(np.tile(np.array(ids, dtype=object), len(table)), dtype="str"),
            "value": table[numbers].to_numpy().ravel(),
            "value_written": pd.Series(
                table[[f"{name}_written" for name in numbers]].to_numpy(dtype=object).ravel(), dtype="str"
            ),
            "column": np.tile(np.array(names, dtype=object), len(table)),
        }
    ).set_axis(np.repeat(table.index.to_numpy(), len(names)))


def measured(table: pd.DataFrame, path: TableFile) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The cells of a matrix that hold something, and a note on those that are empty or NA: not measured.

    Raises:
        SchemaError: All are empty.
    """
    empty = np.array([text is None for text in cleaned(table["value_written"].fillna("1").tolist())], dtype=bool)
    if empty.all():
        raise SchemaError(f"{path}: all {len(table)} cells of its matrix are empty. Fetch or write it again.")
    note = Note(f"empty cells of the {len(table)} of a matrix of responses taken as not measured", int(empty.sum()))
    return table[~empty], (note,) if empty.any() else ()


def refuse_matrix(path: TableFile, header: Sequence[str], cell_ids: Collection[str], drug_ids: Collection[str]) -> None:
    """Passes if a table that lacks the columns of a long one does not look like a matrix either.

    Raises:
        SchemaError: At least half of its columns are drugs, or lines; says which layout it seems to have.
    """
    known, columns = {"cell_id": set(cell_ids), "drug_id": set(drug_ids)}, cleaned(header)
    for layout, (down, across) in _AXES.items():
        ids = known[across]
        named = [name for name in columns if name in ids]
        if len(named) >= 2 and 2 * len(named) >= len(header) - 1:
            first = next((name for name, column in zip(header, columns, strict=True) if column not in ids), "")
            raise SchemaError(
                f"{path}: {len(named)} of its {len(header)} columns are {_CALLED[across]} (e.g. {examples(named)}), so it "
                f"seems to be a matrix with {_CALLED[down]} in its rows, not a table of one pair a row. Set "
                f"responses.layout: {layout} and responses.id_column: {first!r}, and leave responses.columns out."
            )


def refuse_turned(
    path: TableFile, layout: Layout, table: pd.DataFrame, cell_ids: Collection[str], drug_ids: Collection[str]
) -> None:
    """Passes if the columns of a matrix are what its layout says.

    Raises:
        SchemaError: They are the other kind, or none of them is known; says which layout it seems to have.
    """
    down, across = _AXES[layout]
    known = {"cell_id": set(cell_ids), "drug_id": set(drug_ids)}
    rows, columns = (list(table[name].dropna().unique()) for name in (down, across))
    as_said = len(known[down].intersection(rows)) + len(known[across].intersection(columns))
    turned = len(known[across].intersection(rows)) + len(known[down].intersection(columns))
    other = next(name for name in _AXES if name != layout)
    if turned > as_said:
        raise SchemaError(
            f"{path} was read as {layout}, but its columns are {_CALLED[down]} (e.g. {examples(columns)}) and its rows "
            f"{_CALLED[across]} (e.g. {examples(rows)}). Set responses.layout: {other}."
        )
    if known[across] and not known[across].intersection(columns):
        raise SchemaError(
            f"{path} was read as {layout}, but none of its {len(columns)} columns (e.g. {examples(columns)}) is one of the "
            f"{_CALLED[across]} (e.g. {examples(sorted(known[across]))}). Name them alike or, if a row holds one pair, set "
            "responses.layout: long and responses.columns."
        )


def several_screens(path: TableFile, used: Collection[str | None]) -> tuple[Note, ...]:
    """A note if a column tells screens or measures apart that were read as one.

    Args:
        path: The file, and which of its rows were chosen.
        used: Headers that are read for something else.
    """
    notes = []
    for name in header_of(path):
        telling = "".join(letter for letter in name.casefold() if letter.isalnum()) in _TELLING
        if not telling or name in {*used, *(column for column, _ in path.rows)}:
            continue
        held = read_table(path, {"value": name}, optional=("value",))["value"]
        counts = held.value_counts()
        if len(counts) > 1:
            what = (
                f"suspicious rows: the column {name!r} holds {len(counts)} values, as if the file held several screens or "
                f"measures; choose with responses.rows: {{{name}: VALUE}}; rows"
            )
            notes.append(Note(what, len(held), examples(f"{n} of {value}" for value, n in counts.items())))
    return tuple(notes)

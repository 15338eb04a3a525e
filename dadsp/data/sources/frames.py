"""A screen from tables in memory, read and checked as files of the same columns would be."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow.parquet

from dadsp.data.sources.tidy import tidy_screen
from dadsp.data.tables import Frame
from dadsp.errors import DadspError, SchemaError
from dadsp.schema import Screen

COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # required and optional ones
    "responses": (("cell_id", "drug_id", "value"), ("unit", "relation", "top_dose", "dose", "replicate")),
    "drugs": (("drug_id", "smiles"), ("name", "target")),
    "cells": (("cell_id",), ("link_id", "name", "tissue")),
}


def screen_of_frames(
    name: str,
    expression: pd.DataFrame,
    responses: pd.DataFrame,
    drugs: pd.DataFrame,
    cells: pd.DataFrame | None,
    options: Mapping[str, Any],
) -> Screen:
    """The screen that files with these tables would give.

    Args:
        name: Display name.
        expression: Column cell_id, then one column per gene.
        responses: Columns as in ``COLUMNS``.
        drugs: The same.
        cells: The same, or None.
        options: Of ``ResponseFile``; IC50 in µM where they say nothing.

    Raises:
        DadspError: A table lacks a column, or a value cannot be used; the message names the table.
    """
    measure = options.get("measure", "ic50")
    chosen = {"measure": measure, "unit": "um" if measure in ("ic50", "ec50") else None, **options}
    tables = {"responses": responses, "drugs": drugs} | ({} if cells is None else {"cells": cells})
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        nodes: dict[str, Any] = {
            "name": name,
            "expression": {"path": _written(root, "expression", expression), "id_column": "cell_id"},
        }
        for what, table in tables.items():
            required, optional = COLUMNS[what]
            columns = {column: column for column in (*required, *(column for column in optional if column in table))}
            nodes[what] = {"path": _written(root, what, table), "columns": columns}
        nodes["responses"] |= chosen
        try:
            return tidy_screen(nodes, root)
        except DadspError as error:
            raise type(error)(str(error).replace(f"{scratch}/", "").replace(".parquet", "")) from None


def _written(root: Path, what: str, table: pd.DataFrame) -> str:
    if not isinstance(table, pd.DataFrame):
        raise SchemaError(f"{what} is a {type(table).__name__}, not a data frame. Give a pandas.DataFrame.")
    if "cell_id" not in table and table.index.name == "cell_id":
        raise SchemaError(f"{what} has no column 'cell_id', but an index of this name. Give its reset_index().")
    path = f"{what}.parquet"
    pyarrow.parquet.write_table(Frame(what, table).arrow(range(table.shape[1])), root / path)
    return path

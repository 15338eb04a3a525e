"""A response panel from tidy files: expression, and one of the response columns a screen publishes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from dadsp.data.problems import remarks
from dadsp.data.response_cells import parsed
from dadsp.data.sources.file_options import File, OnMissing, Options
from dadsp.data.sources.tidy import base_folder
from dadsp.data.sources.tidy_files import ExpressionFile, IdMapFile
from dadsp.data.sources.tidy_lines import line_translation
from dadsp.data.sources.tidy_parts import complete, read_expression, rows_of
from dadsp.data.table_files import TableFile
from dadsp.data.tables import places, read_table
from dadsp.errors import ConfigError, SchemaError, UnitsError, examples, nearest
from dadsp.options import validated
from dadsp.schema import CellLines, Drugs, Note, ResponsePanel


class ResponseKind(Options):
    """One of the responses a file holds, and how it becomes "higher is more sensitive".

    Attributes:
        column: Header.
        scale: ``"plain"`` where it is so already, ``"negated"``, or ``"neg_log10"`` for a concentration.
    """

    column: str
    scale: Literal["plain", "negated", "neg_log10"] = "plain"


class PanelColumns(Options):
    """Headers of the response file: line (in the ids of the expression file or the id map) and drug."""

    cell_id: str
    drug_id: str


class PanelResponses(File):
    """Measured pairs, one row each, with one column per kind of response.

    Attributes:
        columns: Headers of line and drug.
        kinds: The kinds of response by the name the user chooses them with.
        on_missing_expression: What to do with rows that name lines without expression.
        on_missing_value: What to do with rows without a value of the chosen kind.
    """

    columns: PanelColumns
    kinds: dict[str, ResponseKind] = Field(min_length=1)
    on_missing_expression: OnMissing = "error"
    on_missing_value: OnMissing = "error"


class _PanelOptions(Options):
    name: str = Field(min_length=1)
    response: str
    expression: ExpressionFile
    responses: PanelResponses
    id_map: IdMapFile | None = None


def tidy_panel(
    root: str | Path | None,
    name: str,
    response: str,
    expression: Mapping[str, Any],
    responses: Mapping[str, Any],
    *,
    id_map: Mapping[str, Any] | None = None,
    folder: str | None = None,
) -> ResponsePanel:
    """A panel from a screen's files. Lines without any response stay in it: single-drug models take only measured ones.

    Args:
        root: Folder to which relative paths refer.
        name: Display name of the screen.
        response: The kind of response to read, one of ``responses.kinds``.
        expression: The expression file, as ``ExpressionFile``.
        responses: The response file, as ``PanelResponses``.
        id_map: Translation of line ids, as ``IdMapFile``, if responses and expression differ.
        folder: If ``root`` holds a folder of this name, paths refer to that one.

    Raises:
        ConfigError: ``root`` is not set or no folder, or an option is unknown, missing or impossible.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    given = {"name": name, "response": response, "expression": expression, "responses": responses, "id_map": id_map}
    options = validated(_PanelOptions, given, "panel")
    if response not in options.responses.kinds:
        hint = nearest(response, options.responses.kinds)
        raise ConfigError(f"panel.response={response!r} is not a valid choice. {hint}")
    base = base_folder(root, folder, "panel")
    kind = options.responses.kinds[response]
    with remarks() as remarked:
        matrix, expression_notes = read_expression(options.expression, base)
        table, notes = _pairs(options, kind, matrix.rows, base)
    drug_ids, drug_idx = np.unique(table["drug_id"].to_numpy(dtype=str), return_inverse=True)
    values = np.full((len(matrix.rows), len(drug_ids)), np.nan, dtype=np.float32)
    values[table["cell_idx"].to_numpy(dtype=np.int64), drug_idx] = table["value"]
    ids = tuple(map(str, drug_ids))
    unknown = (None,) * len(ids)
    written = {"plain": response, "negated": f"−{response}", "neg_log10": f"−log10 {response}"}
    return ResponsePanel(
        name=name,
        response=written[kind.scale],
        genes=matrix.columns,
        cells=CellLines(matrix.rows, matrix.rows, (None,) * len(matrix.rows), matrix.numbers),
        drugs=Drugs(ids, ids, unknown, unknown, unknown),
        values=values,
        notes=(*expression_notes, *notes, *remarked),
    )


def _pairs(
    options: _PanelOptions, kind: ResponseKind, cell_ids: tuple[str, ...], root: Path
) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """Columns cell_idx, drug_id, value (higher is more sensitive), each pair once, and what was left out."""
    file = options.responses
    path = file.at(root)
    columns = {**file.columns.model_dump(), "value": kind.column}
    table = read_table(path, columns, optional=("value",), written=("value",))
    table, read = parsed(table, None, path, f"values of {kind.column!r}")
    names = table["cell_id"]
    if options.id_map is not None:
        names = names.map(line_translation(options.id_map, root, list(names.unique())))
    table = table.assign(cell_idx=rows_of(names, cell_ids), drug_idx=0.0)
    table, notes = complete(table, file, path, {"cell_id": cell_ids})
    notes = (*file.left_out(root), *read, *notes)
    repeated = table[table.duplicated(["cell_idx", "drug_id"])]
    if len(repeated):
        named = examples(f"{cell}/{drug}" for cell, drug in zip(repeated["cell_id"], repeated["drug_id"], strict=True))
        raise SchemaError(
            f"{path}: {len(repeated)} of {len(table)} rows repeat a (line, drug) pair (e.g. {named}). Keep one row of each."
        )
    if not len(table):
        raise SchemaError(f"{path}: no response is left after joining. Check that the line ids of the files match.")
    return table.assign(value=_sensitivity(table["value"], kind, path)), notes


def _sensitivity(values: "pd.Series[float]", kind: ResponseKind, path: TableFile) -> "pd.Series[float]":
    """The values turned so that higher is more sensitive."""
    if kind.scale == "plain":
        return values
    if kind.scale == "negated":
        return -values
    bad = values[values <= 0]
    if len(bad):
        raise UnitsError(
            f"{path}: {len(bad)} of {len(values)} values of {kind.column!r} are zero or negative (e.g. "
            f"{places(path, bad.index)}), which no concentration can be. Set scale: plain or negated for this kind."
        )
    return values.map(np.log10) * -1

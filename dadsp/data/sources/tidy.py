"""Screens from tidy files: expression, responses and drugs, each under column names of the user's choice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from dadsp.data.potency import PLAUSIBLE, Replicates, Unit, censor, check_units, not_reached, replicates, to_potency
from dadsp.data.study import LabelCap, make_study
from dadsp.data.tables import Delimiter, Matrix, places, read_matrix, read_table
from dadsp.drugs.structures import structure_keys
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, examples
from dadsp.options import validated
from dadsp.schema import CellLines, Drugs, Note, Responses, Screen, Study, duplicates

OnMissing = Literal["error", "drop"]


class Options(BaseModel):
    """Checked options: unknown keys are refused, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Options):
    """Where a table lies; ``delimiter`` overrides what its extension says."""

    path: str
    delimiter: Delimiter | None = None


class ExpressionFile(File):
    """Lines × genes, or genes × lines.

    Attributes:
        id_column: Header of the column of line ids, or of gene symbols under ``"genes_by_lines"``.
        orientation: What stands in the rows.
        ignore: Headers of columns that hold no expression.
    """

    id_column: str
    orientation: Literal["lines_by_genes", "genes_by_lines"] = "lines_by_genes"
    ignore: list[str] = []


class ResponseColumns(Options):
    """Headers of the response file.

    Attributes:
        cell_id: Line, in the ids of the expression file or of the id map.
        drug_id: Drug, in the ids of the drug file.
        value: The response.
        unit: Unit of each row, to be checked against the declared one.
        relation: ``>`` (or true, yes, 1) where the IC50 was not reached.
    """

    cell_id: str
    drug_id: str
    value: str
    unit: str | None = None
    relation: str | None = None


class ResponseFile(File):
    """Measured pairs, one row each.

    Attributes:
        columns: Headers.
        unit: Unit of the values.
        cap: Highest tested concentration, in ``unit``; values at or beyond it are censored and set to it.
        replicates: What to do with pairs that stand more than once.
        plausible: Lowest and highest credible −log10 µM.
        on_missing_expression: What to do with rows that name lines without expression.
        on_missing_drug: What to do with rows that name drugs absent from the drug file.
        on_missing_value: What to do with rows without a value.
    """

    columns: ResponseColumns
    unit: Unit
    cap: float | None = None
    replicates: Replicates = "median"
    plausible: tuple[float, float] = PLAUSIBLE
    on_missing_expression: OnMissing = "error"
    on_missing_drug: OnMissing = "error"
    on_missing_value: OnMissing = "error"


class DrugColumns(Options):
    """Headers of the drug file; a missing name is the id."""

    drug_id: str
    smiles: str
    name: str | None = None
    target: str | None = None


class DrugFile(File):
    """One row per drug; empty SMILES are allowed."""

    columns: DrugColumns


class CellColumns(Options):
    """Headers of the annotation file.

    Attributes:
        cell_id: Line, in the ids of the expression file.
        link_id: Identity across screens; without this column a line's own id is its identity.
        tissue: Tissue or cancer type, for tissue splits and strata.
    """

    cell_id: str
    link_id: str | None = None
    tissue: str | None = None


class CellFile(File):
    """One row per line.

    Attributes:
        columns: Headers.
        unknown_tissues: Entries of the tissue column that name no tissue.
        on_missing: ``"error"``, or ``"blank"`` to leave lines without a row unlinked and without tissue.
    """

    columns: CellColumns
    unknown_tissues: tuple[str, ...] = ()
    on_missing: Literal["error", "blank"] = "error"


class IdMapColumns(Options):
    """Headers of an id map: how the response file and how the expression file call a line."""

    response_id: str
    expression_id: str


class IdMapFile(File):
    """Translates the line ids of the responses; ids it lacks count as lines without expression."""

    columns: IdMapColumns


class ScreenOptions(Options):
    """All files of one screen.

    Attributes:
        name: Display name.
        expression: Expression per line.
        responses: Measured pairs.
        drugs: Names and structures.
        cells: Annotation of the lines, if there is any.
        id_map: Translation of line ids, if responses and expression differ.
    """

    name: str = Field(min_length=1)
    expression: ExpressionFile
    responses: ResponseFile
    drugs: DrugFile
    cells: CellFile | None = None
    id_map: IdMapFile | None = None


def tidy_study(
    root: str | Path | None,
    source: Mapping[str, Any] | ScreenOptions,
    target: Mapping[str, Any] | ScreenOptions,
    *,
    folder: str | None = None,
    label_cap: LabelCap = "none",
    on_missing_structure: Literal["drop", "error"] = "drop",
    min_genes: int = 2,
) -> Study:
    """A study from the files of two screens.

    Args:
        root: Folder to which relative paths refer.
        source: Options of the screen whose labels train.
        target: Options of the screen whose labels are held out.
        folder: If ``root`` holds a folder of this name, paths refer to that one.
        label_cap: See ``make_study``.
        on_missing_structure: See ``make_study``.
        min_genes: See ``make_study``.

    Raises:
        ConfigError: ``root`` is not set or no folder, or an option is unknown, missing or impossible.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    given = {"label_cap": label_cap, "on_missing_structure": on_missing_structure, "min_genes": min_genes}
    joining = validated(_StudyOptions, given, "data")
    base = base_folder(root, folder, "data")
    sides = [validated(ScreenOptions, options, f"data.{side}") for side, options in (("source", source), ("target", target))]
    return make_study(*(tidy_screen(side, base) for side in sides), **joining.model_dump())


def tidy_screen(options: Mapping[str, Any] | ScreenOptions, root: str | Path = ".") -> Screen:
    """One screen from its files.

    Lines with expression but no responses stay, and so do drugs of the drug file without responses.

    Args:
        options: The files and what their columns are called.
        root: Folder to which relative paths refer.

    Raises:
        ConfigError: An option is unknown, missing or impossible, or a file is absent.
        DadspError: A file is wrong; the message says which, where and what to do.
    """
    options = validated(ScreenOptions, options, "screen")
    root = Path(root)
    expression = read_expression(options.expression, root)
    cells, cell_notes = _cells(options.cells, expression, root)
    drugs = _drugs(options.drugs, root)
    labels = _responses(options, cells.ids, drugs.ids, root)
    return Screen(
        name=options.name,
        genes=expression.columns,
        cells=cells,
        drugs=drugs,
        responses=labels.responses,
        cap=labels.cap,
        notes=(*cell_notes, *labels.notes),
    )


class _StudyOptions(Options):
    label_cap: LabelCap
    on_missing_structure: Literal["drop", "error"]
    min_genes: int = Field(ge=1)


class _Labels(NamedTuple):
    responses: Responses
    cap: float | None
    notes: tuple[Note, ...]


def base_folder(root: str | Path | None, folder: str | None, where: str) -> Path:
    """The folder to which a configuration's paths refer.

    Args:
        root: What the user set.
        folder: If ``root`` holds a folder of this name, it is that one.
        where: Path of these options in the configuration, for errors.

    Raises:
        ConfigError: ``root`` is not set or no folder.
    """
    if not root:
        holding = f"that holds {folder}" if folder else "to which the paths refer"
        raise ConfigError(
            f"{where}.root is not set. Give the folder {holding} as {where}.root=FOLDER, or in the environment variable "
            f"that the {where} config names beside root (DADSP_REAL_DATA for the real panel)."
        )
    base = Path(root)
    if not base.is_dir():
        raise ConfigError(f"{where}.root={root} is not a folder. Give the one that holds the raw files.")
    return base / folder if folder and (base / folder).is_dir() else base


def read_expression(file: ExpressionFile, root: Path) -> Matrix:
    """Lines × genes, each named once."""
    path = root / file.path
    matrix = read_matrix(path, file.id_column, ignore=file.ignore, delimiter=file.delimiter)
    if file.orientation == "genes_by_lines":
        matrix = Matrix(matrix.columns, matrix.rows, np.ascontiguousarray(matrix.numbers.T))
    _unique(matrix.rows, "cell lines", path)
    _unique(matrix.columns, "genes", path)
    return matrix


def _cells(file: CellFile | None, expression: Matrix, root: Path) -> tuple[CellLines, tuple[Note, ...]]:
    ids = expression.rows
    if file is None:
        return CellLines(ids, ids, (None,) * len(ids), expression.numbers), ()
    path = root / file.path
    table = read_table(path, file.columns.model_dump(), optional=("link_id", "tissue"), delimiter=file.delimiter)
    _unique(table["cell_id"], "cell lines", path)
    known = set(table["cell_id"])
    missing = [name for name in ids if name not in known]
    if missing and file.on_missing == "error":
        raise MissingIdsError(
            f"{path}: {len(missing)} of {len(ids)} cell lines with expression have no row (e.g. {examples(missing)}). "
            "Add them, or set cells.on_missing: blank."
        )
    chosen = table.set_index("cell_id").reindex(list(ids))
    links = _texts(chosen, "link_id") if file.columns.link_id else ids
    _unique([link for link in links if link is not None], "link ids", path)
    notes = (Note("cell lines without annotation kept, unlinked", len(missing), examples(missing)),) if missing else ()
    tissues = (None if tissue in file.unknown_tissues else tissue for tissue in _texts(chosen, "tissue"))
    return CellLines(ids, links, tuple(tissues), expression.numbers), notes


def _drugs(file: DrugFile, root: Path) -> Drugs:
    path = root / file.path
    table = read_table(path, file.columns.model_dump(), optional=("smiles", "name", "target"), delimiter=file.delimiter)
    _unique(table["drug_id"], "drugs", path)
    ids, smiles = tuple(table["drug_id"]), _texts(table, "smiles")
    names = tuple(name or drug_id for name, drug_id in zip(_texts(table, "name"), ids, strict=True))
    try:
        keys = structure_keys(smiles, names)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from error
    return Drugs(ids=ids, names=names, smiles=smiles, structure_keys=keys, targets=_texts(table, "target"))


def _responses(options: ScreenOptions, cell_ids: tuple[str, ...], drug_ids: tuple[str, ...], root: Path) -> _Labels:
    file = options.responses
    path = root / file.path
    table = read_table(
        path,
        file.columns.model_dump(),
        numbers=("value",),
        optional=("value", "unit", "relation"),
        delimiter=file.delimiter,
    )
    if "unit" in table:
        check_units(table["unit"], file.unit, str(path))
    cell_names = table["cell_id"]
    if options.id_map is not None:
        cell_names = cell_names.map(line_translation(options.id_map, root))
    table, gap_notes = complete(
        table.assign(cell_idx=rows_of(cell_names, cell_ids), drug_idx=rows_of(table["drug_id"], drug_ids)), file, path
    )
    potency = to_potency(table["value"].to_numpy(), file.unit, file.plausible, str(path))
    flags, relation_notes = not_reached(table["relation"], file.unit, str(path)) if "relation" in table else (None, ())
    labels = censor(potency, flags, file.cap, file.unit)
    cell_idx, drug_idx = (table[name].to_numpy().astype(np.int64) for name in ("cell_idx", "drug_idx"))
    measured = Responses(cell_idx, drug_idx, labels.potency, labels.censored)
    merged, merge_notes = replicates(measured, file.replicates, cell_ids, drug_ids, str(path))
    return _Labels(merged, labels.cap, (*gap_notes, *relation_notes, *merge_notes))


def rows_of(names: "pd.Series[Any]", ids: tuple[str, ...]) -> "pd.Series[Any]":
    """Where each name stands among the ids; missing where it does not."""
    rows = pd.Index(ids).get_indexer(pd.Index(names)).astype(np.float64)
    return pd.Series(np.where(rows >= 0, rows, np.nan), index=names.index)


# What the option governs: (column that is then missing, column that names the culprit, what is wrong with the row).
_GAPS: dict[str, tuple[str, str | None, str]] = {
    "on_missing_value": ("value", None, "have no value"),
    "on_missing_expression": ("cell_idx", "cell_id", "name cell lines without expression"),
    "on_missing_drug": ("drug_idx", "drug_id", "name drugs that the drug file lacks"),
}


def complete(table: pd.DataFrame, file: File, path: Path) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The rows with a value, a line and a drug; the others are refused or, where the options say so, dropped with a note."""
    notes: list[Note] = []
    for option, (column, culprit, what) in _GAPS.items():
        gone = table[column].isna()
        if not gone.any():
            continue
        bad = table[gone]
        names = list(bad[culprit].unique()) if culprit else []
        counted = f"{what} ({len(names)} different ones)" if culprit else what
        shown = examples(names) if culprit else places(path, bad.index)
        if getattr(file, option) == "error":
            kind = MissingIdsError if culprit else SchemaError
            raise kind(
                f"{path}: {len(bad)} of {len(table)} responses {counted}, e.g. {shown}. "
                f"Supply what is missing, or set responses.{option}: drop."
            )
        notes.append(Note(f"responses of {len(table)} that {counted} left out", len(bad), shown))
        table = table[~gone]
    return table, tuple(notes)


def line_translation(file: IdMapFile, root: Path) -> dict[str, str]:
    """Response id → expression id, for the ids that have one."""
    path = root / file.path
    table = read_table(path, file.columns.model_dump(), optional=("expression_id",), delimiter=file.delimiter)
    table = table.dropna().drop_duplicates()
    _unique(table["response_id"], "response ids", path)
    return dict(zip(table["response_id"], table["expression_id"], strict=True))


def _texts(table: pd.DataFrame, name: str) -> tuple[str | None, ...]:
    """A column as Python strings, None where empty or where there is no such column."""
    if name not in table:
        return (None,) * len(table)
    return tuple(None if pd.isna(text) else str(text) for text in table[name])


def _unique(ids: Sequence[str] | pd.Series, what: str, path: Path) -> None:
    repeated = duplicates(ids)
    if repeated:
        raise SchemaError(
            f"{path}: {len(repeated)} {what} stand more than once (e.g. {examples(repeated)}). Keep one of each."
        )

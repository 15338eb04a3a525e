"""Expression tables of any layout: lines × genes, whichever way they lie, under the model's names of genes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from dadsp.data.genes import once
from dadsp.data.new_platform.gene_names import gene_names, refuse_unknown
from dadsp.data.table_files import Frame, header_of
from dadsp.data.tables import Matrix, read_matrix, read_table
from dadsp.errors import DadspError, SchemaError, examples
from dadsp.schema import Note

ID_COLUMN = "cell_id"
DESCRIBING = 10  # leading columns of a text file that may describe its rows
PANDAS_INDEX = "__index_level_0__"  # how pandas calls an unnamed index in Parquet


def read_lines(table: Path | Frame, genes: Sequence[str], gene_table: Path | None) -> tuple[Matrix, tuple[Note, ...]]:
    """Lines × genes of a table, with all its genes, those of the model under the model's names.

    Args:
        table: .csv, .tsv, .txt, .gct, .xlsx, .parquet or .h5ad; or one in memory. Lines × genes or genes × lines. Names of
            its rows stand in ``cell_id``, else in its first column of text, else in its first column.
        genes: Of the model.
        gene_table: As for ``gene_names``.

    Returns:
        The matrix, each line once, and notes on all that was done.

    Raises:
        ConfigError: The file is absent.
        SchemaError: It cannot be read, knows no gene of the model, holds anything but real finite numbers, or lines repeat.
    """
    matrix, notes = _read_annotated(table, genes) if _is_annotated(table) else _read_table(table, genes, gene_table)
    across, down = (gene_names(names, genes, gene_table) for names in (matrix.columns, matrix.rows))
    if not across.matched and not down.matched:
        refuse_unknown(matrix.columns, genes, gene_table, str(table))
    named, lines, numbers = across, matrix.rows, matrix.numbers
    if down.matched > across.matched:
        named, lines, numbers = down, matrix.columns, matrix.numbers.T
        turned = Note("the table is genes × lines: its rows name the model's genes", down.matched, examples(down.names))
        notes = (*notes, turned)
    columns, numbers, repeated = once(named.names, numbers, "mean", str(table))
    kept, doubled = _each_line_once(lines, numbers, table)
    lines = tuple(lines[row] for row in kept)
    return Matrix(lines, columns, np.ascontiguousarray(numbers[kept])), (*notes, *named.notes, *repeated, *doubled)


def _is_annotated(table: Path | Frame) -> bool:
    return not isinstance(table, Frame) and table.suffix == ".h5ad"


def _read_annotated(path: Path | Frame, genes: Sequence[str]) -> tuple[Matrix, tuple[Note, ...]]:
    """AnnData; where neither index names the model's genes, by a column of ``var`` that does."""
    from dadsp.data.sources.h5ad import H5ad  # h5py, where there is such a file

    matrix, _ = H5ad(path=str(path)).read(Path())
    if any(gene_names(names, genes, None).matched for names in (matrix.columns, matrix.rows)):
        return matrix, ()
    for column in ("gene_symbols", "gene_symbol", "gene_name", "gene_names", "feature_name", "symbol"):
        try:
            other, _ = H5ad(path=str(path), symbols=column).read(Path())
        except DadspError:  # no such column
            continue
        if gene_names(other.columns, genes, None).matched:
            return other, (Note(f"genes named by var/{column}", len(other.columns), examples(other.columns)),)
    return matrix, ()


def _read_table(table: Path | Frame, genes: Sequence[str], gene_table: Path | None) -> tuple[Matrix, tuple[Note, ...]]:
    table = _with_index(table)
    header = header_of(table)
    _refuse_no_numbers(table, header)
    if ID_COLUMN in header:
        return read_matrix(table, ID_COLUMN), ()
    texts = _text_columns(table, header)
    if not texts and gene_names(header[:1], genes, gene_table).matched:
        raise SchemaError(f"{table} has no column 'cell_id'. Name its lines there; its first column is a gene.")
    choices = [name for name in texts if name != PANDAS_INDEX] if PANDAS_INDEX not in header else [PANDAS_INDEX]
    choices = choices or header[:1]
    named = choices[0]
    if len(choices) > 1 and not gene_names(header, genes, gene_table).matched:
        rows = [list(read_table(table, {"id": name}, optional=("id",))["id"].dropna()) for name in choices]
        matched = [gene_names(names, genes, gene_table).matched for names in rows]
        named = choices[int(np.argmax(matched))]
    ignored = [name for name in texts if name != named]
    matrix = read_matrix(table, named, ignore=ignored)
    shown = "its index" if named in ("", PANDAS_INDEX) else f"the column {named}"
    notes = [Note(f"no column cell_id: rows are named by {shown}", len(matrix.rows), examples(matrix.rows))]
    if ignored:
        notes.append(Note("columns of text left out", len(ignored), examples(ignored)))
    return matrix, tuple(notes)


def _with_index(table: Path | Frame) -> Path | Frame:
    """A table in memory whose index names its rows, with these names as a column."""
    if not isinstance(table, Frame) or ID_COLUMN in table.frame.columns or table.frame.index.dtype.kind in "iu":
        return table
    name = table.frame.index.name
    return replace(table, frame=table.frame.rename_axis(PANDAS_INDEX if name is None else str(name)).reset_index())


def _refuse_no_numbers(table: Path | Frame, header: Sequence[str]) -> None:
    """Values that would become numbers without being expression: truth values, dates, complex numbers."""
    if isinstance(table, Frame):
        bad = [name for name, kind in zip(header, map(_kind, table.frame.items()), strict=True) if kind]
        kinds = {kind for kind in map(_kind, table.frame.items()) if kind}
    elif table.suffix == ".parquet":
        schema = pa.parquet.read_schema(table)
        bad = [field.name for field in schema if pa.types.is_boolean(field.type) or pa.types.is_temporal(field.type)]
        kinds = {str(field.type) for field in schema if field.name in bad}
    else:
        return
    if bad:
        raise SchemaError(
            f"{table}: {len(bad):,} of {len(header):,} columns hold {examples(sorted(kinds))}, not real numbers (e.g. "
            f"{examples(bad)}). Give expression as numbers, or leave those columns out."
        )


def _kind(column: tuple[object, object]) -> str:
    """What a column holds that is no real number and no text; "" where there is nothing of it."""
    values = np.asarray(column[1])
    kind = {"b": "truth values", "M": "dates", "m": "durations", "c": "complex numbers"}.get(values.dtype.kind, "")
    if values.dtype.kind != "O":
        return kind
    odd = {bool: "truth values", np.bool_: "truth values", complex: "complex numbers", date: "dates"}
    return next((name for each in values for one, name in odd.items() if isinstance(each, one)), "")


def _text_columns(table: Path | Frame, header: Sequence[str]) -> list[str]:
    """Columns that hold no number at all, which may name or describe the rows; of a text file among its first few."""
    if isinstance(table, Frame):
        likely = [
            name for name, kind in zip(header, table.frame.dtypes, strict=True) if getattr(kind, "kind", "O") in "OUTS"
        ]
    elif table.suffix == ".parquet":
        schema = pa.parquet.read_schema(table)
        likely = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    else:
        likely = list(dict.fromkeys(header[:DESCRIBING]))
    if not likely:
        return []
    read = read_table(table, {str(i): name for i, name in enumerate(likely)}, optional=[str(i) for i in range(len(likely))])
    return [name for place, name in enumerate(likely) if _is_text(list(read[str(place)].dropna()))]


def _is_text(values: Sequence[str]) -> bool:
    def number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    return len(values) > 0 and not any(number(text) for text in values)


def _each_line_once(lines: Sequence[str], numbers: np.ndarray, table: Path | Frame) -> tuple[list[int], tuple[Note, ...]]:
    """Rows to keep: lines that stand twice with the same values once; and a note on equal lines of different names."""
    first: dict[str, int] = {}
    by_values: dict[bytes, str] = {}
    doubled: list[str] = []
    differing: list[str] = []
    twins: list[str] = []
    for row, name in enumerate(lines):
        if name in first:
            (doubled if np.array_equal(numbers[row], numbers[first[name]]) else differing).append(name)
            continue
        first[name] = row
        twin = by_values.setdefault(numbers[row].tobytes(), name)
        if twin != name:
            twins.append(f"{name} = {twin}")
    if differing:
        raise SchemaError(
            f"{table}: {len(differing)} cell lines stand more than once (e.g. {examples(differing)}) with different values. "
            "Keep one row of each."
        )
    notes = []
    if doubled:
        notes.append(Note("lines that stand twice with the same values, taken once", len(doubled), examples(doubled)))
    if twins:
        notes.append(Note("lines with the very values of another line, predicted alike", len(twins), examples(twins)))
    return list(first.values()), tuple(notes)

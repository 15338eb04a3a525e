"""Tables of text and numbers from files or memory, with errors that say which file, which line and what to do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dadsp.data.cell_values import cleaned, is_float, numbers_in, of_no_row, plain, spelling, texts_in
from dadsp.data.problems import refuse, remark
from dadsp.data.table_files import Frame, NotANumber, Table, load, places, require, rows_of_interest, stripped
from dadsp.errors import SchemaError, examples
from dadsp.schema import BoolArray, FloatArray, Note, duplicates

__all__ = ["BEYOND_MEASURE", "Frame", "Matrix", "Table", "places", "read_matrix", "read_table"]

_PLAINLY = "Correct them (decimal point, no units or signs such as '>')."
BEYOND_MEASURE = 1e12  # no assay counts so far; squares of larger numbers leave float32


@dataclass(frozen=True, eq=False)
class Matrix:
    """A table of numbers with named rows and columns.

    Attributes:
        rows: Row ids, as they stand in the file.
        columns: Column ids, as they stand in the file.
        numbers: float32, shape (n_rows, n_columns), all finite.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: FloatArray


def read_table(
    table: Table,
    columns: Mapping[str, str | None],
    *,
    numbers: Collection[str] = (),
    optional: Collection[str] = (),
    written: Collection[str] = (),
) -> pd.DataFrame:
    """The mapped columns of a table under our own names.

    Args:
        table: A file (.csv, .tsv, .txt or .gct, each also compressed, .xlsx or .parquet), of the usual layout where only its
            path is given; or a table in memory.
        columns: Our name → the file's name; a name mapped to None is left out.
        numbers: Our names of the columns that hold numbers; all others are text.
        optional: Our names of the columns whose cells may be empty.
        written: Our names of columns of numbers whose other cells are no error: a column NAME_written has their text.

    Returns:
        One row per chosen row of the file, in order; the index counts them, also where some are refused. Numbers are
        float64. Text is as ``cell_values.cleaned`` has it.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged, lacks a column, repeats its header, or holds text for numbers, values of
            another kind for names, or an empty required cell.
    """
    _, wanted = require(table, {ours: theirs for ours, theirs in columns.items() if theirs is not None})
    read = load(table, sorted(set(wanted.values())), dict.fromkeys(wanted.values(), pa.string()))
    if not len(read):
        raise SchemaError(f"{table} has a header but no rows. Give it at least one.")
    _refuse_repeated_header(read, table)
    columns_read: dict[str, Any] = {}
    refused = np.zeros(len(read), dtype=bool)
    for ours, theirs in wanted.items():
        if ours in written:
            columns_read[ours], columns_read[f"{ours}_written"] = _numbers_and_rest(read.column(theirs))
        elif ours in numbers:
            columns_read[ours], bad = _numbers(read.column(theirs), theirs, table)
            refused |= bad
        else:
            columns_read[ours] = texts_in(read.column(theirs), theirs, table, names=ours not in optional)
    frame = pd.DataFrame(columns_read)
    for ours in wanted:
        gaps = np.flatnonzero(frame[ours].isna() & ~refused)
        if len(gaps) and ours not in optional:
            refuse(
                SchemaError(
                    f"{table}: {len(gaps)} of {len(frame)} rows have no {wanted[ours]!r} (e.g. {places(table, gaps)}). "
                    "Fill them in or remove those rows."
                )
            )
            refused[gaps] = True
        if ours not in (*numbers, *written) and ours not in optional:
            odd = of_no_row(frame[ours].dropna().unique())
            if odd:
                what = f"suspicious rows whose {wanted[ours]!r} reads like a total or a comment; names"
                remark(Note(what, len(odd), examples(odd)))
    return frame[~refused] if refused.any() else frame


def read_matrix(
    table: Table,
    id_column: str,
    *,
    ignore: Sequence[str] = (),
    unnamed_rows: Literal["error", "blank"] = "error",
    repeated_columns: Literal["error", "first"] = "error",
) -> Matrix:
    """A table of one id column and otherwise only numbers.

    Args:
        table: As for ``read_table``.
        id_column: Header of the column that names the rows ("" for an unnamed one).
        ignore: Headers of columns that are neither; "" takes out all that have none.
        unnamed_rows: ``"blank"`` gives rows without an id the empty name.
        repeated_columns: ``"first"`` reads the first of equally named columns.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged, lacks or repeats a column, or holds anything but finite numbers.
    """
    aside = [*filter(None, ignore), *(name for name, _ in rows_of_interest(table))]
    header, found = require(table, {"the row ids": id_column, **{f"ignored column {name}": name for name in aside}})
    id_column = found["the row ids"]
    names = [name for name in header if name not in found.values() and (name or "" not in ignore)]
    if repeated_columns == "first":
        names = list(dict.fromkeys(names))
    columns = cleaned(names)
    if None in columns or not columns:
        some = f"{columns.count(None)} of {len(columns)} columns have no name"
        raise SchemaError(
            f"{table}: {some if columns else f'no column beside {id_column!r}'}. Give it one column per gene or line, or "
            'name the others under ignore ("" for all without a name).'
        )
    repeated = duplicates(names)
    if repeated:
        raise SchemaError(
            f"{table}: {len(repeated)} columns stand more than once (e.g. {examples(repeated)}). Keep one of each."
        )
    rows, values = _ids_and_numbers(table, id_column, names)
    if not len(rows):
        raise SchemaError(f"{table} has a header but no rows. Give it at least one.")
    unnamed = np.flatnonzero(rows.isna())
    if unnamed_rows == "blank":
        rows = rows.fillna("")
    elif len(unnamed):
        raise SchemaError(
            f"{table}: {len(unnamed)} of {len(rows)} rows have no {id_column!r} (e.g. {places(table, unnamed)}). "
            "Name them or remove those rows."
        )
    _refuse_beyond_measure(values, list(rows), names, table)
    return Matrix(tuple(rows), tuple(map(str, columns)), np.ascontiguousarray(values))


def _ids_and_numbers(table: Table, id_column: str, names: list[str]) -> tuple["pd.Series[Any]", FloatArray]:
    text = {id_column: pa.string()}
    try:
        read = load(table, [id_column, *names], text | dict.fromkeys(names, pa.float32()))
    except NotANumber:  # only now worth the slow way, which can count and show what is wrong
        read = load(table, [id_column, *names], dict.fromkeys([id_column, *names], pa.string()))
    columns = [read.column(name) for name in names]
    if not all(is_float(column.type) for column in columns):
        columns = _all_numbers(columns, names, table)
    values = np.column_stack([column.to_numpy() for column in columns]).astype(np.float32, copy=False)
    return texts_in(read.column(id_column), id_column, table, names=True, spoiled=True), values


def _all_numbers(columns: Sequence[pa.ChunkedArray], names: Sequence[str], table: Table) -> list[pa.ChunkedArray]:
    """The columns as float64.

    Raises:
        SchemaError: Some hold something else.
    """
    read = [numbers_in(column) for column in columns]
    bad = [(place, np.flatnonzero(refused)) for place, (_, refused) in enumerate(read) if refused.any()]
    if len(bad) == 1:
        place, rows = bad[0]
        raise _not_numbers(columns[place], rows, repr(names[place]), table)
    if bad:
        written = [str(columns[place][int(rows[0])].as_py()) for place, rows in bad]
        shown = [
            f"{places(table, rows[:1])}, {names[place]!r}: {text!r}"
            for (place, rows), text in zip(bad[:4], written, strict=False)
        ]
        raise SchemaError(
            f"{table}: {sum(len(rows) for _, rows in bad)} of {len(columns) * len(columns[0])} values in {len(bad)} of "
            f"{len(columns)} columns are not finite numbers (e.g. {examples(shown)}). {spelling(written) or _PLAINLY}"
        )
    return [pa.chunked_array([pa.array(values)]) for values, _ in read]


def _refuse_beyond_measure(values: FloatArray, rows: Sequence[str], columns: Sequence[str], table: Table) -> None:
    bad_rows, bad_columns = np.nonzero(~(np.abs(values) < BEYOND_MEASURE))
    if len(bad_rows):
        shown = [f"{rows[row]}/{columns[column]}" for row, column in zip(bad_rows[:4], bad_columns[:4], strict=True)]
        raise SchemaError(
            f"{table}: {len(bad_rows)} of {values.size} values are missing or infinite (beyond ±{BEYOND_MEASURE:.0e}), in "
            f"{len(set(bad_rows))} rows and {len(set(bad_columns))} columns (e.g. {examples(shown)}). Impute them or remove "
            "those rows or columns."
        )


def _refuse_repeated_header(read: pa.Table, table: Table) -> None:
    """Files that were joined hold the header of the second among their rows."""
    alike = np.ones(len(read), dtype=bool)
    for name, column in zip(read.column_names, read.columns, strict=True):
        if not pa.types.is_string(column.type):
            return
        alike &= pc.equal(column, name).fill_null(False).to_numpy()
    if alike.any():
        rows = np.flatnonzero(alike)
        raise SchemaError(
            f"{table}: {len(rows)} rows repeat the header (e.g. {places(table, rows)}), as where files were joined. Take "
            "those rows out."
        )


def _numbers(column: pa.ChunkedArray, name: str, table: Table) -> tuple[NDArray[np.float64], BoolArray]:
    """A column as float64, NaN where empty, NA or refused, and where it was refused."""
    values, refused = numbers_in(column)
    if refused.any():
        refuse(_not_numbers(column, np.flatnonzero(refused), repr(name), table))
    return values, refused


def _numbers_and_rest(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], "pd.Series[Any]"]:
    """Finite numbers as float64, NaN elsewhere; and the stripped text of what is no finite number, missing where one is."""
    values, _ = numbers_in(column)
    other = np.isnan(values)
    rest = np.full(len(values), None, dtype=object)
    rest[other] = [stripped("" if cell is None else str(cell)) for cell in plain(column).filter(pa.array(other)).to_pylist()]
    return values, pd.Series(rest, dtype="str")


def _not_numbers(column: pa.ChunkedArray, rows: NDArray[np.intp], name: str, table: Table) -> SchemaError:
    written = [str(column[int(row)].as_py()) for row in rows]
    shown = [f"{places(table, [row])}: {text!r}" for row, text in zip(rows[:4], written[:4], strict=True)]
    return SchemaError(
        f"{table}: {len(rows)} of {len(column)} values of {name} are not finite numbers (e.g. {examples(shown)}). "
        f"{spelling(written) or _PLAINLY}"
    )

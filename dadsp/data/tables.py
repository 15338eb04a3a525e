"""Tables of text and numbers from files or memory, with errors that say which file, which line and what to do."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dadsp.data.problems import Unreadable, refuse
from dadsp.data.table_files import Delimiter, Frame, NotANumber, header_of, lines_above_header, load, require
from dadsp.errors import SchemaError, examples
from dadsp.schema import BoolArray, FloatArray, duplicates

__all__ = ["BEYOND_MEASURE", "Frame", "Matrix", "places", "read_matrix", "read_table"]

_EMPTY = {"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"}
_WHOLE = re.compile(r"-?\d+(\.0*)?")

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
    path: Path | Frame,
    columns: Mapping[str, str | None],
    *,
    numbers: Collection[str] = (),
    optional: Collection[str] = (),
    delimiter: Delimiter | None = None,
) -> pd.DataFrame:
    """The mapped columns of a file under our own names.

    Args:
        path: .csv, .tsv, .txt or .gct (tab-separated), each also with .gz, .xlsx (its first sheet) or .parquet; or a table
            in memory.
        columns: Our name → the file's name; a name mapped to None is left out.
        numbers: Our names of the columns that hold numbers; all others are text.
        optional: Our names of the columns whose cells may be empty.
        delimiter: Overrides what the extension says.

    Returns:
        One row per row of the file, in order. Numbers are float64. Text is stripped, whole numbers written as decimals
        ("907295.0") lose their zeros when the whole column is numeric, and empty or NA cells are missing.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged, lacks a column, or holds text for numbers or an empty required cell.
    """
    header = header_of(path, delimiter)
    wanted = {ours: theirs for ours, theirs in columns.items() if theirs is not None}
    require(path, header, wanted, delimiter)
    table = load(path, delimiter, sorted(set(wanted.values())), {name: pa.string() for name in wanted.values()})
    if not len(table):
        raise SchemaError(f"{path} has a header but no rows. Give it at least one.")
    columns_read: dict[str, Any] = {}
    refused = np.zeros(len(table), dtype=bool)
    for ours, theirs in wanted.items():
        if ours in numbers:
            columns_read[ours], bad = _numbers(table, theirs, path)
            refused |= bad
        else:
            columns_read[ours] = _texts(table.column(theirs))
    frame = pd.DataFrame(columns_read)
    for ours in wanted:
        gaps = np.flatnonzero(frame[ours].isna() & ~refused)
        if len(gaps) and ours not in optional:
            refuse(
                SchemaError(
                    f"{path}: {len(gaps)} of {len(frame)} rows have no {wanted[ours]!r} (e.g. {places(path, gaps)}). "
                    "Fill them in or remove those rows."
                )
            )
            refused[gaps] = True
    return frame[~refused] if refused.any() else frame


def read_matrix(
    path: Path | Frame,
    id_column: str,
    *,
    ignore: Sequence[str] = (),
    delimiter: Delimiter | None = None,
    unnamed_rows: Literal["error", "blank"] = "error",
    repeated_columns: Literal["error", "first"] = "error",
) -> Matrix:
    """A file of one id column and otherwise only numbers.

    Args:
        path: As for ``read_table``.
        id_column: Header of the column that names the rows ("" for an unnamed one).
        ignore: Headers of columns that are neither.
        delimiter: Overrides what the extension says.
        unnamed_rows: ``"blank"`` gives rows without an id the empty name.
        repeated_columns: ``"first"`` reads the first of equally named columns.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged, lacks or repeats a column, or holds anything but finite numbers.
    """
    header = header_of(path, delimiter)
    require(path, header, {"the row ids": id_column, **{f"ignored column {name}": name for name in ignore}}, delimiter)
    names = [name for name in header if name not in {id_column, *ignore}]
    repeated = duplicates(names)
    if repeated_columns == "first":
        names = list(dict.fromkeys(names))
    elif repeated:
        raise SchemaError(
            f"{path}: {len(repeated)} columns stand more than once (e.g. {examples(repeated)}). Keep one of each."
        )
    columns = _cleaned(names)
    if None in columns or not columns:
        what = (
            f"{columns.count(None)} of {len(columns)} columns have no name" if columns else f"no column beside {id_column!r}"
        )
        raise SchemaError(f"{path}: {what}. Give it one column per gene or line, or name the others under ignore.")
    rows, values = _ids_and_numbers(path, id_column, names, delimiter)
    if not len(rows):
        raise SchemaError(f"{path} has a header but no rows. Give it at least one.")
    unnamed = np.flatnonzero(rows.isna())
    if unnamed_rows == "blank":
        rows = rows.fillna("")
    elif len(unnamed):
        raise SchemaError(
            f"{path}: {len(unnamed)} of {len(rows)} rows have no {id_column!r} (e.g. {places(path, unnamed)}). "
            "Name them or remove those rows."
        )
    _refuse_beyond_measure(values, list(rows), names, path)
    return Matrix(tuple(rows), tuple(map(str, columns)), np.ascontiguousarray(values))


def _ids_and_numbers(
    path: Path | Frame, id_column: str, names: list[str], delimiter: Delimiter | None
) -> tuple["pd.Series[Any]", FloatArray]:
    text = {id_column: pa.string()}
    try:
        table = load(path, delimiter, [id_column, *names], text | dict.fromkeys(names, pa.float32()))
        values = np.column_stack([table.column(name).to_numpy() for name in names]).astype(np.float32, copy=False)
    except (NotANumber, ValueError):
        # Only now worth the slow way, which can count and show what is wrong.
        table = load(path, delimiter, [id_column, *names], dict.fromkeys([id_column, *names], pa.string()))
        parts = [_numbers(table, name, path) for name in names]
        if any(refused.any() for _, refused in parts):  # while problems are collected
            raise Unreadable(f"{path} holds text for numbers.") from None
        values = np.column_stack([numbers for numbers, _ in parts]).astype(np.float32)
    return _texts(table.column(id_column)), values


def _refuse_beyond_measure(values: FloatArray, rows: Sequence[str], columns: Sequence[str], path: Path | Frame) -> None:
    bad_rows, bad_columns = np.nonzero(~(np.abs(values) < BEYOND_MEASURE))
    if len(bad_rows):
        shown = [f"{rows[row]}/{columns[column]}" for row, column in zip(bad_rows[:4], bad_columns[:4], strict=True)]
        raise SchemaError(
            f"{path}: {len(bad_rows)} of {values.size} values are missing or infinite (beyond ±{BEYOND_MEASURE:.0e}), in "
            f"{len(set(bad_rows))} rows and {len(set(bad_columns))} columns (e.g. {examples(shown)}). Impute them or remove "
            "those rows or columns."
        )


def places(path: Path | Frame, rows: Collection[int]) -> str:
    """Where the first few data rows stand: line numbers in a text file, row numbers in a Parquet or Excel file."""
    word, first = {".parquet": ("row", 1), ".xlsx": ("row", 2)}.get(path.suffix, ("line", 2 + lines_above_header(path)))
    return examples([f"{word} {row + first}" for row in list(rows)[:4]])


def _texts(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """Cleaned text, missing where there is none."""
    encoded = column.combine_chunks().dictionary_encode()  # far fewer distinct texts than rows
    distinct = [*_cleaned(encoded.dictionary.to_pylist()), None]
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Series(np.array(distinct, dtype=object)[codes], dtype="str")


def _cleaned(written: Sequence[object]) -> list[str | None]:
    """Stripped texts, None where empty or NA, and "907295.0" as "907295" when all of them are whole numbers."""
    texts = [str(value).strip() for value in written]
    named = [text for text in texts if text not in _EMPTY]
    if all(_WHOLE.fullmatch(text) for text in named):
        texts = [text.split(".")[0] for text in texts]
    return [None if text in _EMPTY else text for text in texts]


def _numbers(table: pa.Table, name: str, path: Path | Frame) -> tuple[NDArray[np.float64], BoolArray]:
    """A column as float64, NaN where empty, NA or refused, and where it was refused."""
    column = pd.Series(table.column(name).to_pandas())
    if column.dtype.kind in "iuf":
        values, empty = column.to_numpy(np.float64), column.isna()
    else:
        written = column.astype("str").str.strip()
        empty = written.isna() | written.isin(_EMPTY)
        values = pd.to_numeric(written.mask(empty), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    refused = np.asarray(~np.isfinite(values) & ~empty, dtype=bool)
    if refused.any():
        bad = np.flatnonzero(refused)
        shown = [f"{places(path, [row])}: {str(column[row])!r}" for row in bad[:4]]
        refuse(
            SchemaError(
                f"{path}: {len(bad)} of {len(column)} values of {name!r} are not finite numbers (e.g. {examples(shown)}). "
                "Correct them (decimal point, no units or signs such as '>')."
            )
        )
    return np.where(refused, np.nan, values), refused

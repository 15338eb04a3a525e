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
from dadsp.errors import SchemaError, examples, nearest
from dadsp.schema import BoolArray, FloatArray, Note, duplicates

__all__ = ["BEYOND_MEASURE", "Frame", "Matrix", "Rows", "cleaned", "places", "read_matrix", "read_table", "rows_left_out"]

Rows = Mapping[str, Sequence[str]]  # header → what the rows of interest hold there, in any case

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
    rows: Rows | None = None,
    written: Collection[str] = (),
) -> pd.DataFrame:
    """The mapped columns of a file under our own names.

    Args:
        path: .csv, .tsv, .txt or .gct (tab-separated), each also with .gz, .xlsx (its first sheet) or .parquet; or a table
            in memory.
        columns: Our name → the file's name; a name mapped to None is left out.
        numbers: Our names of the columns that hold numbers; all others are text.
        optional: Our names of the columns whose cells may be empty.
        delimiter: Overrides what the extension says.
        rows: Which rows of the file to read; None reads all.
        written: Our names of columns of numbers whose other cells are no error: a column NAME_written has their text.

    Returns:
        One row per row of the file, in order; the index counts the file's data rows. Numbers are float64. Text is stripped,
        whole numbers written as decimals ("907295.0") lose their zeros when the whole column is numeric, and empty or NA
        cells are missing.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged, lacks a column, or holds text for numbers or an empty required cell.
    """
    wanted = {ours: theirs for ours, theirs in columns.items() if theirs is not None}
    table, place = _loaded(path, wanted, rows or {}, delimiter)
    columns_read: dict[str, Any] = {}
    refused = np.zeros(len(table), dtype=bool)
    for ours, theirs in wanted.items():
        if ours in written:
            columns_read[ours], rest = _numbers_and_rest(table.column(theirs))
            columns_read[f"{ours}_written"] = rest
        elif ours in numbers:
            columns_read[ours], bad = _numbers(table, theirs, path, place)
            refused |= bad
        else:
            columns_read[ours] = _texts(table.column(theirs))
    frame = pd.DataFrame(columns_read).set_axis(place)
    for ours in wanted:
        gaps = np.flatnonzero(frame[ours].isna() & ~refused)
        if len(gaps) and ours not in optional:
            refuse(
                SchemaError(
                    f"{path}: {len(gaps)} of {len(frame)} rows have no {wanted[ours]!r} (e.g. {places(path, place[gaps])}). "
                    "Fill them in or remove those rows."
                )
            )
            refused[gaps] = True
    return frame[~refused] if refused.any() else frame


def _loaded(
    path: Path | Frame, wanted: Mapping[str, str], rows: Rows, delimiter: Delimiter | None
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The wanted columns of the chosen rows, as text, and which rows of the file these are."""
    require(path, header_of(path, delimiter), {**wanted, **{f"rows.{name}": name for name in rows}}, delimiter)
    columns = sorted({*wanted.values(), *rows})
    table = load(path, delimiter, columns, dict.fromkeys(columns, pa.string()))
    if not len(table):
        raise SchemaError(f"{path} has a header but no rows. Give it at least one.")
    place = np.flatnonzero(_chosen(table, rows, path)) if rows else np.arange(len(table))
    return (table.take(place) if rows else table), place


def read_matrix(
    path: Path | Frame,
    id_column: str,
    *,
    ignore: Sequence[str] = (),
    delimiter: Delimiter | None = None,
    unnamed_rows: Literal["error", "blank"] = "error",
    repeated_columns: Literal["error", "first"] = "error",
    rows: Rows | None = None,
) -> Matrix:
    """A file of one id column and otherwise only numbers.

    Args:
        path: As for ``read_table``.
        id_column: Header of the column that names the rows ("" for an unnamed one).
        ignore: Headers of columns that are neither.
        delimiter: Overrides what the extension says.
        unnamed_rows: ``"blank"`` gives rows without an id the empty name.
        repeated_columns: ``"first"`` reads the first of equally named columns.
        rows: As for ``read_table``; its columns are ignored too.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged, lacks or repeats a column, or holds anything but finite numbers.
    """
    header = header_of(path, delimiter)
    aside = [*ignore, *(rows or ())]
    require(path, header, {"the row ids": id_column, **{f"ignored column {name}": name for name in aside}}, delimiter)
    names = [name for name in header if name not in {id_column, *aside}]
    repeated = duplicates(names)
    if repeated_columns == "first":
        names = list(dict.fromkeys(names))
    elif repeated:
        raise SchemaError(
            f"{path}: {len(repeated)} columns stand more than once (e.g. {examples(repeated)}). Keep one of each."
        )
    columns = cleaned(names)
    if None in columns or not columns:
        what = (
            f"{columns.count(None)} of {len(columns)} columns have no name" if columns else f"no column beside {id_column!r}"
        )
        raise SchemaError(f"{path}: {what}. Give it one column per gene or line, or name the others under ignore.")
    ids, values = _ids_and_numbers(path, id_column, names, delimiter, rows or {})
    if not len(ids):
        raise SchemaError(f"{path} has a header but no rows. Give it at least one.")
    unnamed = np.flatnonzero(ids.isna())
    if unnamed_rows == "blank":
        ids = ids.fillna("")
    elif len(unnamed):
        raise SchemaError(
            f"{path}: {len(unnamed)} of {len(ids)} rows have no {id_column!r} (e.g. {places(path, ids.index[unnamed])}). "
            "Name them or remove those rows."
        )
    _refuse_beyond_measure(values, list(ids), names, path)
    return Matrix(tuple(ids), tuple(map(str, columns)), np.ascontiguousarray(values))


def _ids_and_numbers(
    path: Path | Frame, id_column: str, names: list[str], delimiter: Delimiter | None, rows: Rows
) -> tuple["pd.Series[Any]", FloatArray]:
    """Ids, their index counting the file's data rows, and the values of the chosen rows."""
    texts = {name: pa.string() for name in (id_column, *rows)}

    def chosen(types: Mapping[str, pa.DataType]) -> tuple[pa.Table, NDArray[np.int64]]:
        table = load(path, delimiter, [*texts, *names], types)
        place = np.flatnonzero(_chosen(table, rows, path)) if rows else np.arange(len(table))
        return table.take(place) if rows else table, place

    try:
        table, place = chosen(dict.fromkeys(names, pa.float32()) | texts)
        values = np.column_stack([table.column(name).to_numpy() for name in names]).astype(np.float32, copy=False)
    except (NotANumber, ValueError):
        # Only now worth the slow way, which can count and show what is wrong.
        table, place = chosen(dict.fromkeys(names, pa.string()) | texts)
        parts = [_numbers(table, name, path, place) for name in names]
        if any(refused.any() for _, refused in parts):  # while problems are collected
            raise Unreadable(f"{path} holds text for numbers.") from None
        values = np.column_stack([numbers for numbers, _ in parts]).astype(np.float32)
    return _texts(table.column(id_column)).set_axis(place), values


def rows_left_out(path: Path | Frame, rows: Rows | None, delimiter: Delimiter | None = None) -> tuple[Note, ...]:
    """A note on the rows of a file that ``rows`` leaves out.

    Raises:
        ConfigError: The file is absent.
        SchemaError: It lacks a column of ``rows``, or no row holds a value.
    """
    if not rows:
        return ()
    require(path, header_of(path, delimiter), {f"rows.{name}": name for name in rows}, delimiter)
    kept = _chosen(load(path, delimiter, list(rows), dict.fromkeys(rows, pa.string())), rows, path)
    said = " and ".join(f"{name} = {' or '.join(values)}" for name, values in rows.items())
    what = f"rows of {len(kept)} of {path if isinstance(path, Frame) else path.name} left out, all but those with {said}"
    return (Note(what, int((~kept).sum())),) if not kept.all() else ()


def _chosen(table: pa.Table, rows: Rows, path: Path | Frame) -> BoolArray:
    """Which rows hold in each column of ``rows`` one of its values."""
    kept = np.ones(len(table), dtype=bool)
    for name, values in rows.items():
        column = _texts(table.column(name))
        held = column.str.casefold()
        present = set(held.dropna())
        absent = [value for value in values if value.casefold() not in present]
        if absent:
            raise SchemaError(
                f"{path} has no row whose {name!r} is {examples(absent)}. {nearest(absent[0], set(column.dropna()))}"
            )
        kept &= held.isin([value.casefold() for value in values]).to_numpy(dtype=bool)
    if not kept.any():
        raise SchemaError(f"{path} has no row that fits all of {examples(rows)} at once. Choose other values in rows.")
    return kept


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
    distinct = [*cleaned(encoded.dictionary.to_pylist()), None]
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Series(np.array(distinct, dtype=object)[codes], dtype="str")


def cleaned(written: Sequence[object]) -> list[str | None]:
    """Stripped texts, None where empty or NA, and "907295.0" as "907295" when all of them are whole numbers."""
    texts = [str(value).strip() for value in written]
    named = [text for text in texts if text not in _EMPTY]
    if all(_WHOLE.fullmatch(text) for text in named):
        texts = [text.split(".")[0] for text in texts]
    return [None if text in _EMPTY else text for text in texts]


def _numbers(
    table: pa.Table, name: str, path: Path | Frame, place: NDArray[np.int64]
) -> tuple[NDArray[np.float64], BoolArray]:
    """A column as float64, NaN where empty, NA or refused, and where it was refused; ``place``: its rows in the file."""
    values, rest = _numbers_and_rest(table.column(name))
    refused = (rest.notna() & ~rest.isin(_EMPTY)).to_numpy(dtype=bool)
    if refused.any():
        bad = np.flatnonzero(refused)
        shown = [f"{places(path, [place[row]])}: {str(rest[row])!r}" for row in bad[:4]]
        refuse(
            SchemaError(
                f"{path}: {len(bad)} of {len(rest)} values of {name!r} are not finite numbers (e.g. {examples(shown)}). "
                "Correct them (decimal point, no units or signs such as '>')."
            )
        )
    return values, refused


def _numbers_and_rest(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], "pd.Series[Any]"]:
    """Finite numbers as float64, NaN elsewhere; and the stripped text of what is no finite number, missing where one is."""
    cells = pd.Series(column.to_pandas())
    if cells.dtype.kind in "iuf":
        values = cells.to_numpy(np.float64)
    else:
        cells = cells.astype("str").str.strip()
        values = pd.to_numeric(cells.mask(cells.isin(_EMPTY)), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    values = np.where(np.isfinite(values), values, np.nan)
    other = np.isnan(values)
    rest = np.full(len(cells), None, dtype=object)
    rest[other] = cells[other].astype("str").fillna("")
    return values, pd.Series(rest, dtype="str")

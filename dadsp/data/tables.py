"""Reading delimited, Excel and Parquet files, with errors that say which file, which line and what to do."""

import csv
import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray
from python_calamine import CalamineError, CalamineWorkbook

from dadsp.data.problems import Unreadable, refuse
from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.schema import BoolArray, FloatArray, duplicates

Delimiter = Literal["comma", "tab", "semicolon"]

_MARKS: dict[str, str] = {"comma": ",", "tab": "\t", "semicolon": ";"}
_BY_SUFFIX = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".gct": "\t"}
_LINES_ABOVE_HEADER = {".gct": 2}  # version and size
_read: ContextVar[set[Path] | None] = ContextVar("read", default=None)
_EMPTY = {"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"}
_BLOCK_BYTES = (
    16 << 20
)  # pyarrow's own 1 MiB holds seven rows of 16,017 genes, and cuts such a table into millions of pieces
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


@dataclass(frozen=True, eq=False)
class Frame:
    """A table in memory, read as a file of the same columns would be.

    Attributes:
        name: What messages call it.
        frame: The table.
    """

    name: str
    frame: pd.DataFrame

    suffix = ".parquet"  # typed columns, rows without line numbers

    @property
    def stem(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def arrow(self, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        """These columns, as text or float32.

        Raises:
            _NotANumber: A column asked for as numbers holds something else.
        """
        frame = self.frame.set_axis(self.frame.columns.map(str), axis="columns")

        def typed(name: str) -> Any:
            return frame[name].astype("str") if types[name] == pa.string() else frame[name].to_numpy(np.float32)

        try:
            return pa.table({name: pa.array(typed(name)) for name in columns})
        except (TypeError, ValueError) as error:
            raise _NotANumber from error


@contextmanager
def files_read() -> Iterator[set[Path]]:
    """A set that fills with the files that are read inside."""
    paths: set[Path] = set()
    token = _read.set(paths)
    try:
        yield paths
    finally:
        _read.reset(token)


def check_file(path: Path) -> None:
    """Passes if there is something to read.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}. {_neighbours(path)}")
    if path.stat().st_size == 0:
        raise SchemaError(f"{path} is empty. Fetch or write it again.")
    known = _read.get()
    if known is not None:
        known.add(path)


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
    _require(path, header, wanted, delimiter)
    table = _load(path, delimiter, sorted(set(wanted.values())), {name: pa.string() for name in wanted.values()})
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
    _require(path, header, {"the row ids": id_column, **{f"ignored column {name}": name for name in ignore}}, delimiter)
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
    text = {id_column: pa.string()}
    try:
        table = _load(path, delimiter, [id_column, *names], text | dict.fromkeys(names, pa.float32()))
        values = np.column_stack([table.column(name).to_numpy() for name in names]).astype(np.float32, copy=False)
    except (_NotANumber, ValueError):
        # Only now worth the slow way, which can count and show what is wrong.
        table = _load(path, delimiter, [id_column, *names], dict.fromkeys([id_column, *names], pa.string()))
        parts = [_numbers(table, name, path) for name in names]
        if any(refused.any() for _, refused in parts):  # while problems are collected
            raise Unreadable(f"{path} holds text for numbers.") from None
        values = np.column_stack([numbers for numbers, _ in parts]).astype(np.float32)
    rows = _texts(table.column(id_column))
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
    word, first = {".parquet": ("row", 1), ".xlsx": ("row", 2)}.get(path.suffix, ("line", 2 + _lines_above_header(path)))
    return examples([f"{word} {row + first}" for row in list(rows)[:4]])


class _NotANumber(Exception):
    """A column that was asked for as numbers holds something else."""


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


def header_of(path: Path | Frame, delimiter: Delimiter | None = None) -> list[str]:
    """Column names of a file, as they stand there.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged.
    """
    if isinstance(path, Frame):
        return [str(name) for name in path.frame.columns]
    check_file(path)
    try:
        if path.suffix == ".parquet":
            return list(pa.parquet.read_schema(path).names)
        if path.suffix == ".xlsx":
            return _sheet(path, path.stat().st_mtime_ns)[0]
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            for _ in range(_lines_above_header(path)):
                lines.readline()
            line = lines.readline()
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise SchemaError(f"{path} cannot be read: {error}. Fetch or write it again.") from error
    if not line.strip():
        raise SchemaError(f"{path} is empty: its first line holds no column names. Fetch or write it again.")
    try:
        return next(csv.reader([line], delimiter=_mark(path, delimiter)))
    except csv.Error as error:
        raise SchemaError(f"{path}: its first line holds no column names ({error}). Fetch or write it again.") from error


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"Nor is there a folder {path.parent}: check data.root."
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    return nearest(path.name, names) if names else "Its folder holds no file: check data.root."


def _mark(path: Path | Frame, delimiter: Delimiter | None) -> str:
    if delimiter is not None:
        return _MARKS[delimiter]
    suffix = _suffix(path)
    if suffix not in _BY_SUFFIX:
        valid = [*_BY_SUFFIX, ".parquet", ".xlsx"]
        raise ConfigError(f"{path}: cannot tell its layout from '{suffix}'. {nearest(suffix, valid)}")
    return _BY_SUFFIX[suffix]


def _suffix(path: Path | Frame) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _lines_above_header(path: Path | Frame) -> int:
    return _LINES_ABOVE_HEADER.get(_suffix(path), 0)


@lru_cache(maxsize=1)
def _sheet(path: Path, changed_ns: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first sheet as text; kept, since header and rows are asked for one after the other."""
    try:
        rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    except (CalamineError, OSError) as error:
        raise SchemaError(f"{path} cannot be read: {error}. Save it as .xlsx or .csv again.") from error
    if not rows:
        raise SchemaError(f"{path}: its first sheet is empty. Put the table there.")
    # Publishers break long headings over lines.
    return [" ".join(str(name).split()) for name in rows[0]], [[str(value) for value in row] for row in rows[1:]]


def _require(path: Path | Frame, header: list[str], wanted: Mapping[str, str], delimiter: Delimiter | None) -> None:
    """Every wanted column stands in the header exactly once."""
    absent = [(ours, theirs) for ours, theirs in wanted.items() if theirs not in header]
    if absent and len(header) == 1 and path.suffix not in (".parquet", ".xlsx"):
        for name, mark in _MARKS.items():
            if mark in header[0]:
                raise SchemaError(
                    f"{path} seems to be separated by {name}s, but was read as separated by "
                    f"{_name(_mark(path, delimiter))}s. Set delimiter: {name} for this file."
                )
    if absent:
        ours, theirs = absent[0]
        others = f" (and {len(absent) - 1} more: {examples(name for _, name in absent[1:])})" if absent[1:] else ""
        present = [" ".join(name.split()) for name in header]  # a stray quote may have swallowed a line break
        raise SchemaError(f"{path} has no column {theirs!r} for {ours}{others}. {nearest(theirs, present)}")
    repeated = set(duplicates(header)) & set(wanted.values())
    if repeated:
        raise SchemaError(
            f"{path}: {len(repeated)} columns stand more than once ({examples(sorted(repeated))}). Keep one of each."
        )


def _read_options(path: Path, header: list[str]) -> pa.csv.ReadOptions:
    above = _lines_above_header(path)
    if len(set(header)) == len(header):
        return pa.csv.ReadOptions(skip_rows=above, block_size=_BLOCK_BYTES)
    seen: set[str] = set()
    names = []
    for place, name in enumerate(header):
        names.append(f"{name}\x1f{place}" if name in seen else name)  # the first of equals keeps its name
        seen.add(name)
    return pa.csv.ReadOptions(skip_rows=above + 1, column_names=names, block_size=_BLOCK_BYTES)


def _name(mark: str) -> str:
    return next(name for name, known in _MARKS.items() if known == mark)


def _load(path: Path | Frame, delimiter: Delimiter | None, columns: list[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    if isinstance(path, Frame):
        return path.arrow(columns, types)
    try:
        if path.suffix == ".parquet":
            return pa.parquet.read_table(path, columns=columns)
        header = header_of(path, delimiter)
        if path.suffix == ".xlsx":
            rows = _sheet(path, path.stat().st_mtime_ns)[1]
            _sheet.cache_clear()
            return pa.table({name: pa.array([row[header.index(name)] for row in rows], pa.string()) for name in columns})
        return pa.csv.read_csv(
            path,
            read_options=_read_options(path, header),
            parse_options=pa.csv.ParseOptions(delimiter=_mark(path, delimiter), newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(include_columns=columns, column_types=types),
        )
    except pa.ArrowInvalid as error:
        first = str(error).splitlines()[0]
        if "conversion error to float" in first:
            raise _NotANumber from error
        remedy = "Save it as UTF-8" if "UTF8" in first else "Give every row the columns of the header"
        raise SchemaError(f"{path} is not a well-formed table: {first.rstrip('.')}. {remedy}.") from error
    except OSError as error:
        raise SchemaError(f"{path} is damaged: {error}. Fetch or write it again.") from error

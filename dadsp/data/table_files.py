"""Opening delimited, Excel and Parquet files, with errors that say which file and what to do."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
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
from python_calamine import CalamineError, CalamineWorkbook

from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.schema import duplicates

Delimiter = Literal["comma", "tab", "semicolon"]
_MARKS: dict[str, str] = {"comma": ",", "tab": "\t", "semicolon": ";"}
_BY_SUFFIX = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".gct": "\t"}
ENDINGS = (*_BY_SUFFIX, ".gz", ".parquet", ".xlsx")
_LINES_ABOVE_HEADER = {".gct": 2}  # version and size
_read: ContextVar[set[Path] | None] = ContextVar("read", default=None)
# pyarrow's own 1 MiB holds seven rows of 16,017 genes, and cuts such a table into millions of pieces.
_BLOCK_BYTES = 16 << 20


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
            NotANumber: A column asked for as numbers holds something else.
        """
        frame = self.frame.set_axis(self.frame.columns.map(str), axis="columns")

        def typed(name: str) -> Any:
            return frame[name].astype("str") if types[name] == pa.string() else frame[name].to_numpy(np.float32)

        try:
            return pa.table({name: pa.array(typed(name)) for name in columns})
        except (TypeError, ValueError) as error:
            raise NotANumber from error


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


class NotANumber(Exception):
    """A column that was asked for as numbers holds something else."""


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
            for _ in range(lines_above_header(path)):
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


def lines_above_header(path: Path | Frame) -> int:
    """How many lines of the file stand above the one that names its columns."""
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


def require(path: Path | Frame, header: list[str], wanted: Mapping[str, str], delimiter: Delimiter | None) -> None:
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
    above = lines_above_header(path)
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


def load(path: Path | Frame, delimiter: Delimiter | None, columns: list[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    """The named columns of a file or a table in memory, of these types where it is text.

    Raises:
        NotANumber: A column asked for as numbers holds something else.
        SchemaError: The file is no well-formed table, or damaged.
    """
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
            raise NotANumber from error
        remedy = "Save it as UTF-8" if "UTF8" in first else "Give every row the columns of the header"
        raise SchemaError(f"{path} is not a well-formed table: {first.rstrip('.')}. {remedy}.") from error
    except OSError as error:
        raise SchemaError(f"{path} is damaged: {error}. Fetch or write it again.") from error

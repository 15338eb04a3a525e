"""Opening delimited, Excel and Parquet files, with errors that say which file and what to do."""

import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from dadsp.data.file_kinds import READ_ERRORS, refuse_other_kind
from dadsp.data.problems import remark
from dadsp.data.sheet_tables import first_data_row, load_sheet, other_sheets_with, sheet_header, sheet_names, sheet_rows
from dadsp.data.table_places import ENDINGS, MARKS, Delimiter, Frame, Table, TableFile, at
from dadsp.data.text_tables import NotANumber, line_numbers, load_text, text_header, text_lines
from dadsp.errors import ConfigError, SchemaError, examples, nearest
from dadsp.schema import BoolArray, Note, duplicates

__all__ = [
    "ENDINGS", "Delimiter", "Frame", "NotANumber", "Table", "TableFile",
    "check_file", "files_read", "header_of", "load", "places", "require", "rows_left_out",
    "rows_of_interest", "stripped",
]  # fmt: skip

_WITHOUT_WIDTH = "\ufeff\u200b\u200c\u200d\u2060\u00ad"  # what str.strip leaves in place
_read: ContextVar[set[Path] | None] = ContextVar("read", default=None)


def stripped(text: str) -> str:
    """The text without white space and marks without width around it."""
    return text.strip().strip(_WITHOUT_WIDTH).strip()


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
    """Passes if there is something to read, of the kind that the file's name says.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty, or something else.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}. {_neighbours(path)}")
    if path.stat().st_size == 0:
        raise SchemaError(f"{path} is empty. Fetch or write it again.")
    refuse_other_kind(path)
    known = _read.get()
    if known is not None:
        known.add(path)


def header_of(table: Table) -> list[str]:
    """Column names of a table, without the white space around them unless only that tells two apart.

    Raises:
        ConfigError: The file is absent.
        SchemaError: The file is empty or damaged.
    """
    return _trimmed(_written_header(at(table)))


def _trimmed(written: Sequence[str]) -> list[str]:
    plain = [stripped(name) for name in written]
    twice = set(duplicates(plain))
    return [own if name in twice else name for own, name in zip(written, plain, strict=True)]


def _written_header(table: TableFile | Frame) -> list[str]:
    if isinstance(table, Frame):
        return [str(name) for name in table.frame.columns]
    _check_layout(table)
    check_file(table.path)
    try:
        if table.suffix == ".parquet":
            return list(pa.parquet.read_schema(table.path).names)
        return sheet_header(table) if table.suffix == ".xlsx" else text_header(table)
    except UnicodeDecodeError as error:
        raise SchemaError(f"{table} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except (*READ_ERRORS, pa.ArrowInvalid) as error:
        raise SchemaError(f"{table} cannot be read: {error}. Fetch or write it again.") from error


def _check_layout(table: TableFile) -> None:
    """Options of another kind of file would be passed over in silence."""
    idle = ["sheet"] if table.sheet is not None and table.suffix != ".xlsx" else []
    if table.suffix == ".parquet":
        idle += ["skip_lines"] * (table.skip_lines is not None) + ["header_lines"] * (table.header_lines != 1)
    if idle:
        raise ConfigError(f"{table}: a {table.suffix} file has no {' and no '.join(idle)}. Leave that option out.")


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"Nor is there a folder {path.parent}: check data.root."
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    return nearest(path.name, names) if names else "Its folder holds no file: check data.root."


def require(table: Table, wanted: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The header of a table, in which every wanted column stands exactly once, and what the wanted ones are called there.

    Args:
        table: The table.
        wanted: What a column is for → its name; white space around it does not count.

    Raises:
        SchemaError: A column is absent or repeated; the message says what comes nearest.
    """
    table = at(table)
    written = _written_header(table)
    header = _trimmed(written)
    names = {ours: theirs if theirs in header else stripped(theirs) for ours, theirs in wanted.items()}
    absent = [ours for ours, name in names.items() if name not in header]
    if absent:
        raise SchemaError(_absent(table, header, {ours: wanted[ours] for ours in absent}, set(names.values())))
    repeated = set(duplicates(header)) & set(names.values())
    if repeated:
        raise SchemaError(
            f"{table}: {len(repeated)} columns stand more than once ({examples(sorted(repeated))}). Keep one of each."
        )
    _remark_on_header(table, set(names.values()), [name for name in written if name not in wanted.values()])
    return header, names


def _remark_on_header(table: TableFile | Frame, names: set[str], others: Sequence[str]) -> None:
    """What was passed over to find the wanted columns: white space around them, and other sheets that have them too."""
    trimmed = [ascii(name) for name in others if name not in names and stripped(name) in names]
    if trimmed:
        what = f"{Path(str(table)).name}: white space around column names passed over; columns"
        remark(Note(what, len(trimmed), examples(trimmed)))
    if isinstance(table, TableFile) and table.suffix == ".xlsx" and table.sheet is None:
        sheets = other_sheets_with(table, names)
        if sheets:
            what = f"suspicious {table.path.name}: sheets beside the first that have its columns and are not read"
            remark(Note(what, len(sheets), examples(sheets)))


def _absent(table: TableFile | Frame, header: list[str], absent: Mapping[str, str], wanted: set[str]) -> str:
    """What to say of a header that lacks columns."""
    if isinstance(table, TableFile) and table.is_text and len(header) == 1:
        used = next(known for known, own in MARKS.items() if own == table.mark)
        for name, mark in MARKS.items():
            if mark in header[0] and mark != table.mark:
                return (
                    f"{table} seems to be separated by {name}s, but was read as separated by {used}s. "
                    f"Set delimiter: {name} for this file."
                )
        if len(absent) == len(wanted) > 1 and not _elsewhere(table, wanted):
            return f"{table} has no {used} in its header ({header[0][:60]!r}). Separate its columns by {', '.join(MARKS)}."
    (ours, theirs), *more = absent.items()
    others = f" (and {len(more)} more: {examples(name for _, name in more)})" if more else ""
    alike = [name for name in header if _folded(name) == _folded(theirs)]
    hint = _elsewhere(table, wanted) if isinstance(table, TableFile) else ""
    if alike:
        hint = f"It has {alike[0]!a}, which differs in {_difference(alike[0], theirs)}. Write it as it stands there."
    elif not hint:
        hint = nearest(theirs, [" ".join(name.split()) for name in header])
        if len(absent) == len(wanted) > 1 and table.suffix != ".parquet":
            hint += ' If its first line holds no names, set header_lines: 0 and name its columns "1", "2", ….'
        if "" in header:
            hint += ' A column without a name is called "".'
    return f"{table} has no column {theirs!r} for {ours}{others}. {hint}"


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(mark for mark in plain if not mark.isspace() and mark not in _WITHOUT_WIDTH)


def _difference(name: str, other: str) -> str:
    if name.lower() == other.lower():
        return "upper and lower case"
    return "white space" if "".join(name.split()) == "".join(other.split()) else "characters that look alike"


def _elsewhere(table: TableFile, wanted: set[str]) -> str:
    """Where else in the file a header with all wanted columns stands."""
    if table.suffix == ".parquet":
        return ""
    rows = text_lines(table) if table.is_text else sheet_rows(table)
    lines = [number for number, row in enumerate(rows) if wanted <= {stripped(cell) for cell in row}]
    if lines and lines[0] != table.above:
        return f"Line {lines[0] + 1} names them: set skip_lines: {lines[0]} for this file."
    if not table.is_text:
        named = other_sheets_with(table, wanted)
        if named:
            here = table.sheet or sheet_names(table)[0]
            return f"Its sheet {here!r} was read; sheet {named[0]!r} has them: set sheet: {named[0]} for this file."
    return ""


def load(table: Table, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    """The named columns of a table, of these types where it is text, else of their own; of its chosen rows alone.

    Args:
        table: The table.
        columns: Names as ``header_of`` gives them; of equal ones the first is read.
        types: By name.

    Raises:
        NotANumber: A column asked for as numbers holds something else.
        SchemaError: The file is no well-formed table, or damaged.
    """
    table = at(table)
    if isinstance(table, TableFile) and table.rows:
        return load(replace(table, rows=()), columns, types).filter(pa.array(_chosen(table)))
    names = header_of(table)
    try:
        if isinstance(table, TableFile) and table.is_text:
            return load_text(table, columns, names, types)
        if isinstance(table, TableFile) and table.suffix == ".xlsx":
            return load_sheet(table, columns, names)
        places = [names.index(name) for name in columns]
        if isinstance(table, Frame):
            return table.arrow(places).rename_columns(list(columns))
        file = pa.parquet.ParquetFile(table.path)
        return (
            file.read(columns=[file.schema_arrow.names[place] for place in places])
            .select([file.schema_arrow.names[place] for place in places])
            .rename_columns(list(columns))
        )
    except UnicodeDecodeError as error:
        raise SchemaError(f"{table} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except (*READ_ERRORS, pa.ArrowInvalid) as error:
        raise SchemaError(f"{table} is damaged: {error}. Fetch or write it again.") from error


def rows_of_interest(table: Table) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Headers, each with what the rows to read hold there."""
    return table.rows if isinstance(table, TableFile) else ()


def rows_left_out(table: TableFile) -> tuple[Note, ...]:
    """A note on the rows of a file that its ``rows`` leaves out.

    Raises:
        ConfigError: The file is absent.
        SchemaError: It lacks a column of ``rows``, or no row holds a value.
    """
    kept = _chosen(table) if table.rows else np.ones(0, dtype=bool)
    said = " and ".join(f"{name} = {' or '.join(values)}" for name, values in table.rows)
    what = f"rows of {len(kept)} of {table.path.name} left out, all but those with {said}"
    return (Note(what, int((~kept).sum())),) if not kept.all() else ()


def _chosen(table: TableFile) -> BoolArray:
    """Which rows of the file hold in each column of its ``rows`` one of the values."""
    whole = replace(table, rows=())
    _, headers = require(whole, {f"rows.{name}": name for name, _ in table.rows})
    read = load(whole, list(headers.values()), dict.fromkeys(headers.values(), pa.string()))
    kept = np.ones(len(read), dtype=bool)
    for (name, values), column in zip(table.rows, read.columns, strict=True):
        encoded = column.combine_chunks().dictionary_encode()
        present = [stripped(str(value)) for value in encoded.dictionary.to_pylist()]
        plain = [_plain_value(text) for text in present]
        absent = [value for value in values if _plain_value(value) not in plain]
        if absent:
            raise SchemaError(f"{table} has no row whose {name!r} is {examples(absent)}. {nearest(absent[0], set(present))}")
        wanted = np.array([*(text in map(_plain_value, values) for text in plain), False])
        kept &= wanted[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    if not kept.any():
        named = examples(name for name, _ in table.rows)
        raise SchemaError(f"{table} has no row that fits all of {named} at once. Choose other values in rows.")
    return kept


def _plain_value(text: str) -> str:
    return text.casefold().removesuffix(".0")


def places(table: Table, rows: Collection[int]) -> str:
    """Where the first few data rows stand: line numbers in a text file, row numbers in a Parquet or Excel file."""
    table, first = at(table), list(rows)[:4]
    if isinstance(table, TableFile) and table.rows:
        return places(replace(table, rows=()), np.flatnonzero(_chosen(table))[first].tolist())
    if isinstance(table, Frame) or table.suffix == ".parquet":
        return examples([f"row {row + 1}" for row in first])
    if table.suffix == ".xlsx":
        start = first_data_row(table)
        return examples([f"row {row + start}" for row in first])
    return examples([f"line {line}" for line in line_numbers(table, first)])

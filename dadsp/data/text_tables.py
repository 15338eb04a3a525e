"""Delimited text: its header, and its rows, whose number must be that of its lines."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import IO

import pyarrow as pa
import pyarrow.csv

from dadsp.data.file_kinds import HEAD, OPENERS, opened, refuse_packed_kind
from dadsp.data.quotes import open_quote, quoting, refuse_blanks_before_quotes
from dadsp.data.table_places import TableFile
from dadsp.errors import SchemaError, examples

# pyarrow's own 1 MiB holds seven rows of 16,017 genes, and cuts such a table into millions of pieces.
_BLOCK_BYTES = 16 << 20
_BOM = b"\xef\xbb\xbf"
_FOREIGN = (  # what no table holds, and how it comes there
    (b"\x00", "a NUL byte", "The file is damaged, or UTF-16: save it as UTF-8"),
    (b"\x1a", "the mark of an end of file (Ctrl-Z)", "Take it out"),
    (_BOM, "a byte order mark", "Files were joined: take out the header that repeats there"),
)
_LOOKED_AT = 30  # lines among which a header is looked for


class NotANumber(Exception):
    """A column that was asked for as numbers holds something else."""


def text_header(table: TableFile) -> list[str]:
    """Column names, as they stand in the file.

    Raises:
        SchemaError: There are none, or their quotes are not closed.
    """
    with opened(table.path) as stream:
        _refuse_packed(table, stream)
        return _header(table, stream)[0]


def text_lines(table: TableFile) -> list[list[str]]:
    """The cells of the file's first lines, to look for a header."""
    with opened(table.path) as stream:
        lines = [stream.readline(1 << 20) for _ in range(_LOOKED_AT)]
    texts = [line.decode("utf-8-sig", errors="replace").strip() for line in lines]
    return [[cell.strip('"') for cell in text.split(table.mark)] for text in texts]


def load_text(table: TableFile, columns: Iterable[str], names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    """These columns of the file, as text or numbers.

    Args:
        table: The file.
        columns: Names of the columns to read.
        names: Names of all its columns, in order.
        types: Of the columns to read.

    Raises:
        NotANumber: A column asked for as numbers holds something else.
        SchemaError: The file is no well-formed table.
    """
    with opened(table.path) as stream:
        content = _with_plain_line_ends(stream.read())
    _refuse_foreign(content, table)
    _, offset = _header(table, io.BytesIO(content))
    first_line = 1 + content.count(b"\n", 0, offset)
    body = pa.py_buffer(content).slice(offset)
    if not content[offset : offset + HEAD].strip() and not content[offset:].strip():
        return pa.table({name: pa.array([], types[name]) for name in columns})
    enclose, inside = quoting(content, offset, table, first_line, len(names))
    options = pa.csv.ReadOptions(column_names=_once(names), block_size=_BLOCK_BYTES)
    parsing = pa.csv.ParseOptions(
        delimiter=table.mark, quote_char='"' if enclose else False, newlines_in_values=table.newlines_in_values
    )
    converting = pa.csv.ConvertOptions(include_columns=list(columns), column_types=dict(types))
    try:
        read = pa.csv.read_csv(pa.BufferReader(body), options, parsing, converting)
    except pa.ArrowInvalid as error:
        first = str(error).splitlines()[0]
        if "conversion error to float" in first:
            raise NotANumber from error
        _refuse_other_encoding(content, table)
        if "columns, got" in first:
            raise SchemaError(_ragged(pa.BufferReader(body), table, options, parsing)) from error
        raise SchemaError(f"{table} is not a well-formed table: {first.rstrip('.')}. Write it again.") from error
    lines = content.count(b"\n", offset) + (not content.endswith(b"\n")) - inside
    if read.num_rows != lines:
        plain = (
            re.sub(rb'"[^"]*"', b"x", content[offset:]) if enclose else content[offset:]
        )  # empty lines may stand in values
        lines = sum(1 for line in plain.splitlines() if line)
    if read.num_rows != lines:
        raise SchemaError(
            f"{table} is not a well-formed table: {lines} lines stand below its header, but {read.num_rows} rows were read. "
            "Take out quotes and control characters that belong to no value."
        )
    return read


def line_numbers(table: TableFile, rows: Sequence[int]) -> list[int]:
    """In which lines of the file these rows begin, counted from 0 below the header; empty lines are no rows."""
    with opened(table.path) as stream:
        content = _with_plain_line_ends(stream.read())
    _, offset = _header(table, io.BytesIO(content))
    first = 1 + content.count(b"\n", 0, offset)
    if table.newlines_in_values:
        lines = csv.reader(io.StringIO(content[offset:].decode(errors="replace"), newline=""), delimiter=table.mark)
        ends = [first - 1, *(first - 1 + lines.line_num for row in lines if row)]
        return [ends[row] + 1 for row in rows if row + 1 < len(ends)]
    held = [number for number, line in enumerate(content[offset:].split(b"\n"), first) if line.strip(b"\r")]
    return [held[row] for row in rows if row < len(held)]


def _refuse_packed(table: TableFile, stream: IO[bytes]) -> None:
    if table.path.suffix.lower() in OPENERS:
        refuse_packed_kind(stream.read(HEAD), table.path)
        stream.seek(0)


def _with_plain_line_ends(content: bytes) -> bytes:
    """The text with the line ends of an old Mac, and those written twice over, as usual ones."""
    if b"\r" not in content:
        return content
    return content.replace(b"\r\r\n", b"\r\n") if b"\n" in content else content.replace(b"\r", b"\n")


def _header(table: TableFile, stream: IO[bytes]) -> tuple[list[str], int]:
    """Column names, and how many bytes stand before the rows."""
    start = stream.readline()
    if b"\r" in start.rstrip(b"\r\n"):
        stream = io.BytesIO(_with_plain_line_ends(start + stream.read()))
        start = stream.readline()
    line, offset = start.removeprefix(_BOM), len(start)
    for _ in range(table.above):
        line = stream.readline()
        offset += len(line)
    if not line.strip():
        what = f"line {table.above + 1}" if table.above else "its first line"
        later = (place for place, text in enumerate(islice(stream, _LOOKED_AT), table.above + 1) if text.strip())
        names = next(later, None)
        if names is not None:
            raise SchemaError(f"{table}: {what} is blank. Line {names + 1} is not: set skip_lines: {names} for this file.")
        raise SchemaError(f"{table} is empty: {what} holds no column names. Fetch or write it again.")
    rows = [_cells(table, line, stream)]
    if not table.header_lines:
        return [str(place + 1) for place in range(len(rows[0][0]))], offset - len(line)
    rows += [_cells(table, stream.readline(), stream) for _ in range(table.header_lines - 1)]
    offset += sum(length for _, length in rows) - len(line)
    return joined([cells for cells, _ in rows]), offset


def joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """The names of columns whose header stands in several rows; a group's name stands once, above its first column."""
    names = list(rows[-1])
    for row in reversed(rows[:-1]):
        group = ""
        for place, cell in enumerate(row[: len(names)]):
            group = cell.strip() or group
            names[place] = f"{group} {names[place]}".strip()
    return names


def _cells(table: TableFile, line: bytes, stream: IO[bytes]) -> tuple[list[str], int]:
    """The cells of a header line that begins so, and how many bytes it takes."""
    if table.newlines_in_values:
        while open_quote(line, table.mark, one_line=False) and (more := stream.readline()):
            line += more
    text = line.decode()
    refuse_blanks_before_quotes(line, table, table.above + 1)
    if open_quote(line, table.mark, one_line=not table.newlines_in_values):
        raise SchemaError(
            f"{table}: its header has a quote that the line does not close (e.g. {text.strip()[-30:]!r}). Take it out, or "
            "set newlines_in_values: true for this file if a name goes on in the next line."
        )
    if '"' not in text:
        return text.rstrip("\r\n").split(table.mark), len(line)
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=table.mark)), len(line)
    except csv.Error as error:
        raise SchemaError(f"{table}: its header is no line of names ({error}). Fetch or write it again.") from error


def _once(names: Sequence[str]) -> list[str]:
    """The names, those that stand more than once made different behind the first of them."""
    seen: set[str] = set()
    different = []
    for place, name in enumerate(names):
        different.append(f"{name}\x1f{place}" if name in seen else name)
        seen.add(name)
    return different


def _refuse_foreign(content: bytes, table: TableFile) -> None:
    if content.isascii() and not any(mark in content for mark in (b"\x00", b"\x1a", b"\r")):
        return
    found = [(content.find(mark, 3), what, remedy) for mark, what, remedy in _FOREIGN]
    if content.count(b"\r") != content.count(b"\r\n"):
        lone = content.replace(b"\r\n", b"\n\n").find(b"\r")
        found.append((lone, "a carriage return inside it", "Take it out, or write line ends of one kind"))
    for place, what, remedy in found:
        if place >= 0:
            line = 1 + content.count(b"\n", 0, place)
            raise SchemaError(f"{table} is not a well-formed table: line {line} holds {what}. {remedy}.")


def _refuse_other_encoding(content: bytes, table: TableFile) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line, byte = 1 + content.count(b"\n", 0, error.start), content[error.start]
        raise SchemaError(
            f"{table} is not UTF-8 text: line {line} holds the byte 0x{byte:02x}. Save it as UTF-8."
        ) from error


def _ragged(body: pa.NativeFile, table: TableFile, options: pa.csv.ReadOptions, parsing: pa.csv.ParseOptions) -> str:
    """What is wrong with a text whose lines differ in the number of their cells."""
    width = len(options.column_names)
    bad: list[tuple[int, int]] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        bad.append((row.number - 1, row.actual_columns))
        return "skip"

    parsing.invalid_row_handler = keep
    options.use_threads = False  # only then rows are numbered
    rows = pa.csv.read_csv(body, options, parsing).num_rows + len(bad)
    places = line_numbers(table, [row for row, _ in bad[:4]])
    shown = examples([f"line {line}: {cells} cells" for line, (_, cells) in zip(places, bad, strict=False)])
    remedy = "Give every row the columns of the header; a value that holds the delimiter stands in quotes"
    if len(bad) == rows and {cells for _, cells in bad} == {width + 1}:
        remedy = (
            "Every row has one cell more than the header: R writes row names so (set col.names = NA there), or rows end "
            "with a delimiter. Give the header a name for it"
        )
    return (
        f"{table} is not a well-formed table: {len(bad)} of {rows} rows have other than the {width} columns of the header "
        f"(e.g. {shown}). {remedy}."
    )

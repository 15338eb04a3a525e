"""What the quotes of a delimited text mean, so that lines and rows are known to agree."""

import re
from collections.abc import Iterator

import numpy as np

from dadsp.data.problems import remark
from dadsp.data.table_places import TableFile
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

_QUOTE = ord('"')
_BLOCK = 16 << 20


def quoting(content: bytes, offset: int, table: TableFile, first_line: int, width: int) -> tuple[bool, int]:
    """Whether quotes enclose values in this text, and how many line ends stand inside them.

    A quote encloses a value if the value begins with it and its closing one ends the value, in the same line unless the
    table allows otherwise. Tab-separated text in which no quote does so is read as it stands.

    Args:
        content: The whole text.
        offset: How many bytes stand before the rows.
        table: Its delimiter, and whether values may go on in the next line.
        first_line: Number of the line in which the rows begin.
        width: How many columns the header has.

    Raises:
        SchemaError: Quotes are open at the end of a line, or text stands behind a closing one.
    """
    if content.find(b'"', offset) < 0:
        return False, 0
    header, body = content[:offset], content[offset:]
    refuse_blanks_before_quotes(body, table, first_line)
    sound, inside = True, 0
    for block in [body] if table.newlines_in_values else _blocks(body):
        one_sound, within = _enclosed(block, table.mark)
        sound, inside = sound and one_sound, inside + within
    if sound and not inside:
        return True, 0
    if table.newlines_in_values:
        return True, _across_lines(body, table, first_line, width)
    return _within_lines(body, header, table, first_line, width), 0


def open_quote(line: bytes, mark: str, *, one_line: bool) -> bool:
    """Whether quotes in the line are neither closed at the end of their value nor plain text inside one."""
    return b'"' in line and _line_of(mark, one_line=one_line).fullmatch(line) is None


def refuse_blanks_before_quotes(text: bytes, table: TableFile, first_line: int) -> None:
    """Passes unless white space keeps quotes from the delimiter: they would belong to the value, and enclose nothing."""
    if table.mark == "\t" or f'{table.mark} "'.encode() not in text:
        return
    values = re.compile(_value(table.mark, one_line=True).encode())
    lines = ((number, values.findall(line)) for number, line in enumerate(text.split(b"\n"), first_line) if b' "' in line)
    found = [
        (number, value)
        for number, cells in lines
        for value in cells
        if value.lstrip(b" ").startswith(b'"') and value[:1] == b" "
    ]
    if found:
        shown = examples([f"line {number}: {_text(value)}" for number, value in found[:4]])
        raise SchemaError(
            f"{table} is not a well-formed table: {len(found)} values have white space before their quote (e.g. {shown}). "
            "Take that white space out."
        )


def _blocks(body: bytes) -> Iterator[bytes]:
    """The text in pieces of whole lines."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + _BLOCK) + 1 or len(body)
        yield body[start:end]
        start = end


def _enclosed(block: bytes, mark: str) -> tuple[bool, int]:
    """Whether every odd quote opens a value and every even one closes it, and the line ends in between."""
    data = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    if len(quotes) % 2:
        return False, 0
    if not len(quotes):
        return True, 0
    beside = np.zeros(256, dtype=bool)
    beside[[ord(mark), 10, 13, _QUOTE]] = True
    before, after = quotes[0::2] - 1, quotes[1::2] + 1
    opens = beside[data[before]] | (before < 0)
    closes = beside[data[np.minimum(after, len(data) - 1)]] | (after == len(data))
    ends = np.flatnonzero(data == 10)
    return bool(opens.all() and closes.all()), int((np.searchsorted(quotes, ends) % 2).sum())


def _value(mark: str, *, one_line: bool) -> str:
    delimiter, ends = re.escape(mark), r"\r\n" if one_line else ""
    return rf'(?:"(?:[^"{ends}]|"")*+"|[^"{delimiter}\r\n][^{delimiter}\r\n]*+|)'


def _line_of(mark: str, *, one_line: bool) -> re.Pattern[bytes]:
    value = _value(mark, one_line=one_line)
    return re.compile(rf"{value}(?:{re.escape(mark)}{value})*+[\r\n]*".encode())


def _within_lines(body: bytes, header: bytes, table: TableFile, first_line: int, width: int) -> bool:
    """Whether quotes enclose values, where no value goes on in the next line."""
    mark = table.mark.encode()
    line_form = _line_of(table.mark, one_line=True)
    enclosed = re.compile(rb'(?:^|%b)"(?:[^"]|"")*+"(?=%b|\r?$)' % (mark, mark))
    quoted = [(n, line) for n, line in enumerate(body.split(b"\n")) if b'"' in line]
    stray = [(n, line) for n, line in quoted if line_form.fullmatch(line) is None]
    if not stray:
        return True
    words = "cells begin with a quote that their line does not close" if len(stray) > 1 else _ONE_STRAY
    shown = examples([f"line {first_line + n}: {_stray_value(line, table.mark)}" for n, line in stray[:4]])
    lines = [*header.split(b"\n"), *(line for _, line in quoted)]
    whole_lines = all(line.count(mark) + 1 == width for _, line in stray)
    if table.mark == "\t" and whole_lines and not any(enclosed.search(line) for line in lines):
        remark(Note(f"{table.path.name}: quotes read as they stand, since none encloses a value; lines", len(stray), shown))
        return False
    raise SchemaError(
        f"{table} is not a well-formed table: {len(stray)} {words} (e.g. {shown}). Write a quote that belongs to the value "
        'twice, and the value in quotes ("""5-prime x"), or take it out; if a value does go on in the next line, set '
        "newlines_in_values: true for this file."
    )


_ONE_STRAY = "cell begins with a quote that its line does not close"


def _across_lines(body: bytes, table: TableFile, first_line: int, width: int) -> int:
    """How many line ends stand inside values that are allowed to hold some."""
    mark = table.mark.encode()
    values = re.compile(rf"({_value(table.mark, one_line=False)})({re.escape(table.mark)}|\r?\n|\Z)".encode())
    inside = place = 0
    while place < len(body):
        found = values.match(body, place)
        value = found[1] if found else body[place : place + 40]
        held = value.count(b"\n")
        if found is None or (held and _joins_rows(body, place, value, mark, width)):
            line = first_line + body.count(b"\n", 0, place)
            raise SchemaError(
                f"{table} is not a well-formed table: a quote in line {line} is not closed at the end of its value, or "
                f"encloses whole rows (e.g. {_text(value)}). Write a quote that belongs to the value twice, and the "
                "value in quotes."
            )
        inside += held
        place = found.end()
    return inside


def _joins_rows(body: bytes, place: int, value: bytes, mark: bytes, width: int) -> bool:
    """Whether the lines over which a value goes are rows by themselves: a stray quote swallowed them."""
    start = body.rfind(b"\n", 0, place) + 1
    end = body.find(b"\n", place + len(value))
    lines = body[start : end if end >= 0 else len(body)].split(b"\n")
    return width > 1 and all(line.count(mark) + 1 == width for line in lines)


def _stray_value(line: bytes, mark: str) -> str:
    """The first value whose quotes are stray, cut short."""
    sound = re.match(rf"(?:{_value(mark, one_line=True)}{re.escape(mark)})*+".encode(), line)
    return _text(line[sound.end() if sound else 0 :].split(mark.encode())[0])


def _text(cell: bytes) -> str:
    return repr(cell[:30].rstrip().decode(errors="replace"))

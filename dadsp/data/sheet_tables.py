"""Sheets of Excel workbooks."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from dadsp.data.table_places import TableFile, typed
from dadsp.data.text_tables import joined
from dadsp.errors import ConfigError, SchemaError, nearest


class Sheet(NamedTuple):
    """What stands on a sheet: its rows of cells, empty ones None, and the number of the first."""

    rows: list[list[Any]]
    first_row: int


def sheet_header(table: TableFile) -> list[str]:
    """Column names, each on one line: publishers break long headings.

    Raises:
        ConfigError: There is no such sheet.
        SchemaError: There are none, or the file is no workbook.
    """
    rows = _sheet(table).rows
    if len(rows) <= table.above:
        raise SchemaError(f"{table}: its {_which(table)} is empty. Put the table there.")
    if not table.header_lines:
        return [str(place + 1) for place in range(len(rows[0]))]
    return joined([sheet_cells(row) for row in rows[table.above : table.above + table.header_lines]])


def load_sheet(table: TableFile, columns: Iterable[str], names: Sequence[str]) -> pa.Table:
    """These columns below the header, numbers as numbers and the rest as text; dates as 2023-09-02 among text."""
    rows = _sheet(table).rows[table.above + table.header_lines :]
    _kept.cache_clear()
    return pa.table({name: _column([row[names.index(name)] for row in rows]) for name in columns})


def first_data_row(table: TableFile) -> int:
    """The number that Excel shows beside the first row below the header."""
    return _sheet(table).first_row + table.above + table.header_lines


def sheet_rows(table: TableFile) -> list[list[str]]:
    """The sheet's first rows as text, to look for a header."""
    return [sheet_cells(row) for row in _sheet(table).rows[:30]]


def other_sheets_with(table: TableFile, wanted: Collection[str]) -> list[str]:
    """The other sheets of the workbook whose header has all these columns."""
    here = table.sheet or sheet_names(table)[0]
    others = [name for name in sheet_names(table) if name != here]
    return [name for name in others if set(wanted) <= set(_top(table, name))]


def sheet_names(table: TableFile) -> list[str]:
    """All sheets of the workbook, in its order."""
    return list(_workbook(table.path).sheet_names)


def sheet_cells(row: Sequence[Any]) -> list[str]:
    """Cells of a header as text of one line."""
    return [" ".join(_text(cell).split()) if cell is not None else "" for cell in row]


def _which(table: TableFile) -> str:
    return "first sheet" if table.sheet is None else f"sheet {table.sheet!r}"


def _sheet(table: TableFile) -> Sheet:
    return _kept(table.path, table.path.stat().st_mtime_ns, table.sheet)


@lru_cache(maxsize=1)
def _kept(path: Path, changed_ns: int, sheet: str | None) -> Sheet:
    """The sheet; kept, since header and rows are asked for one after the other."""
    workbook = _workbook(path)
    if sheet is not None and sheet not in workbook.sheet_names:
        raise ConfigError(f"{path} has no sheet {sheet!r}. {nearest(sheet, workbook.sheet_names)}")
    try:
        found = workbook.get_sheet_by_name(sheet or workbook.sheet_names[0])
        rows = [[None if cell == "" else cell for cell in row] for row in found.to_python()]
    except (CalamineError, OSError, IndexError) as error:
        raise SchemaError(f"{path} cannot be read: {error}. Save it as .xlsx or .csv again.") from error
    return Sheet(rows, 1 + (found.start[0] if found.start else 0))


def _workbook(path: Path) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_path(path)
    except (CalamineError, OSError) as error:
        raise SchemaError(f"{path} cannot be read: {error}. Save it as .xlsx or .csv again.") from error


def _top(table: TableFile, sheet: str) -> list[str]:
    rows = _workbook(table.path).get_sheet_by_name(sheet).to_python(nrows=table.above + 1)
    return sheet_cells(rows[table.above]) if len(rows) > table.above else []


def _column(cells: list[Any]) -> pa.Array:
    kinds = {type(cell) for cell in cells if cell is not None}
    if len(kinds) == 1:
        return typed(cells)
    return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str:
    if isinstance(cell, datetime) and cell.time() == time():
        cell = cell.date()
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)

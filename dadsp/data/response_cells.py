"""Cells of a response file that hold more, or less, than a number: words for nothing, relations, units."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dadsp.data.cell_values import compatible, spelling
from dadsp.data.potency import relation_kinds
from dadsp.data.problems import refuse
from dadsp.data.table_files import Table, places
from dadsp.data.units import Unit, unit_of
from dadsp.errors import SchemaError, UnitsError, examples
from dadsp.schema import Note

# What people, spreadsheets and programs write where there is no value, in any case.
_NOTHING = frozenset(
    {
        *("", "-", "--", "---", "–", "—", ".", "..", "...", "?", "??", "???", "*"),
        *("na", "n/a", "n.a.", "n.a", "<na>", "nan", "<nan>", "null", "<null>", "none", "nil", "missing", "unknown"),
        *("nd", "n/d", "n.d.", "n.d", "nt", "n/t", "n.t.", "n.t", "not tested", "untested", "not determined"),
        *("not measured", "not done", "not available", "not applicable", "no data", "no value", "no fit", "not fitted"),
        *("#n/a", "#na", "#n/a n/a", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!", "#error!"),
        *("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "∞", "+∞", "-∞"),
        *("1.#inf", "-1.#inf", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
    }
)
_CELL = re.compile(r"([<>=~≤≥≪≫≈]{0,2})\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([^\d\s.,+-].*)?")
_LIKE_A_UNIT = re.compile(r"[(\[]?[^\W\d_%]+[^\d,;]*|%")


class _Cell(NamedTuple):
    """A number with what stands around it: ``relation`` is ``>``, ``<``, ``=`` or "", ``unit`` as written."""

    relation: str
    number: float
    unit: str


class _Fault(NamedTuple):
    rows: Sequence[int]
    wrong: str
    remedy: str
    kind: type[SchemaError] | type[UnitsError] = SchemaError


def parsed(
    table: pd.DataFrame, unit: Unit | None, path: Table, what: str = "values", *, percent: bool = False
) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The responses with what their cells hold beside plain numbers read, and a note on it.

    Args:
        table: Columns ``value`` and ``value_written`` as ``read_table`` gives them, perhaps ``relation``, and ``column``
            where the values stood in several columns.
        unit: Unit of the values; None where they are no concentrations, and know no bounds.
        path: The file, for messages.
        what: What the values are, for messages.
        percent: Whether values may be written as "85 %".

    Returns:
        The rows that could be read: ``value`` and ``relation`` also of cells such as "> 10" or "10 nM", ``value_written``
        only where a word says that there is no value.

    Raises:
        SchemaError: Cells cannot be read, are bounds of what knows none, or contradict the relation column.
        UnitsError: Cells are in another unit.
    """
    if "value_written" not in table:  # a reader of its own, which knows numbers only
        return table, ()
    plain = table["value_written"].map(_plain, na_action="ignore")
    nothing = plain.isin(_NOTHING)
    odd = [int(row) for row in np.flatnonzero(plain.notna() & ~nothing)]
    if not odd:
        return table, ()
    cells = {row: cell for row in odd if (cell := _cell(plain.iloc[row], unit, percent)) is not None}
    kept = np.ones(len(table), dtype=bool)
    for fault in _faults(table, odd, cells, unit):
        if not fault.rows:
            continue
        shown = _shown(table, fault.rows, path)
        refuse(fault.kind(f"{path}: {len(fault.rows)} of {len(table)} {what} {fault.wrong} (e.g. {shown}). {fault.remedy}."))
        kept[fault.rows] = False
    read = {row: cell for row, cell in cells.items() if kept[row]}
    said = _said(read, unit)
    note = Note(f"{what} read from cells that hold more than a number ({said})", len(read), _shown(table, list(read), path))
    table = _with_cells(table, read).assign(value_written=table["value_written"].where(nothing))
    return table[kept], (note,) if read else ()


def where_of(table: pd.DataFrame, rows: Sequence[int], path: Table) -> list[str]:
    """Where the first few of these rows (by position) stand in the file, with the column where values stood in several."""
    found = [places(path, [table.index[row]]) for row in rows[:4]]
    if "column" not in table:
        return found
    return [f"{place}, column {name}" for place, name in zip(found, table["column"].iloc[list(rows[:4])], strict=True)]


def _shown(table: pd.DataFrame, rows: Sequence[int], path: Table) -> str:
    texts = table["value_written"].iloc[list(rows[:4])]
    return examples(f"{place}: {text!r}" for place, text in zip(where_of(table, rows, path), texts, strict=True))


def _plain(text: str) -> str:
    return " ".join(compatible(text).casefold().replace("−", "-").replace("_", " ").split())


def _cell(text: str, unit: Unit | None, percent: bool) -> _Cell | None:
    """The number and what stands around it; None where that is neither a relation nor a unit."""
    match = _CELL.fullmatch(text)
    if match is None or not np.isfinite(float(match[2])):
        return None
    signs, written = set(match[1]), match[3] or ""
    above, below = signs & set(">≥≫"), signs & set("<≤≪")
    if (above and below) or written[:1].isnumeric():  # 10³, or the mark of a footnote
        return None
    relation = ">" if above else "<" if below else "=" if signs else ""
    known = percent and written == "%" if unit is None else unit_of(written) == unit or _LIKE_A_UNIT.fullmatch(written)
    return _Cell(relation, float(match[2]), written) if known or not written else None


def _faults(table: pd.DataFrame, odd: Sequence[int], cells: Mapping[int, _Cell], unit: Unit | None) -> Iterator[_Fault]:
    """What is wrong with which rows; a row may be named by the first of its faults only."""
    unread = [row for row in odd if row not in cells]
    yield _Fault(
        unread,
        "are not finite numbers",
        spelling(table["value_written"].iloc[unread].tolist()).rstrip(".")
        or "Write one number with a decimal point (a relation such as '>' may stand before, the declared unit behind it), "
        "or NA where there is none",
    )
    if unit is None:
        bounds = [row for row, cell in cells.items() if cell.relation in ("<", ">")]
        yield _Fault(bounds, "are bounds, which only an IC50 or EC50 may be", "Write plain numbers, or empty those cells")
        return
    foreign = [row for row, cell in cells.items() if cell.unit and unit_of(cell.unit) != unit]
    listed = examples((f"{n} in {name}" for name, n in Counter(cells[row].unit for row in foreign).most_common()), 6)
    yield _Fault(
        foreign,
        f"are written in another unit than the declared {unit} ({listed})",
        "Convert them to one unit, or correct responses.unit",
        UnitsError,
    )
    if "relation" in table:
        bound = [row for row, cell in cells.items() if cell.relation and row not in set(foreign)]
        column = table["relation"].iloc[bound]
        said = relation_kinds(column, unit)
        own = relation_kinds(pd.Series([cells[row].relation for row in bound], dtype="str"), unit)
        differ = (column.fillna("").str.strip() != "").to_numpy(dtype=bool) & (said != own) & (said != "unknown")
        yield _Fault(
            [row for row, other in zip(bound, differ, strict=True) if other],
            "contradict the relation column of their row",
            "Correct either",
        )


def _said(cells: Mapping[int, _Cell], unit: Unit | None) -> str:
    """How many cells held what."""
    kinds = relation_kinds(pd.Series([cell.relation for cell in cells.values()], dtype="str"), unit)
    counted = {
        "taken as not reached": int((kinds == "not reached").sum()),
        "below the lowest dose": int((kinds == "below").sum()),
        "with = or ~": sum(cell.relation == "=" for cell in cells.values()),
        "with their unit": sum(cell.unit != "" for cell in cells.values()),
    }
    return ", ".join(f"{n} {name}" for name, n in counted.items() if n) or "signs"


def _with_cells(table: pd.DataFrame, cells: Mapping[int, _Cell]) -> pd.DataFrame:
    """The table with the numbers and relations of these cells in its columns."""
    rows, values = list(cells), table["value"].to_numpy(copy=True)
    values[rows] = [cell.number for cell in cells.values()]
    table = table.assign(value=values)
    bounds = {row: cell.relation for row, cell in cells.items() if cell.relation}
    if not bounds:
        return table
    given = table.get("relation", pd.Series("", index=table.index, dtype="str")).to_numpy(dtype=object, copy=True)
    given[list(bounds)] = list(bounds.values())
    return table.assign(relation=pd.Series(given, index=table.index, dtype="str"))

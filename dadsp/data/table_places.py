"""Where a table stands: in a file of some layout, or in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from dadsp.data.file_kinds import OPENERS
from dadsp.errors import ConfigError, nearest

Delimiter = Literal["comma", "tab", "semicolon"]
MARKS: dict[str, str] = {"comma": ",", "tab": "\t", "semicolon": ";"}
_BY_SUFFIX = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".gct": "\t"}
ENDINGS = (*_BY_SUFFIX, *OPENERS, ".parquet", ".xlsx")
_LINES_ABOVE_HEADER = {".gct": 2}  # version and size


@dataclass(frozen=True)
class TableFile:
    """A table in a file.

    Attributes:
        path: Where it lies.
        delimiter: Overrides what the extension says.
        header_lines: How many lines name the columns; 0 names them "1", "2", ….
        skip_lines: How many lines stand above those; None takes what the extension says.
        sheet: Of an Excel workbook; None takes the first.
        newlines_in_values: Whether a quoted value may go on in the next line.
        rows: Headers, each with what the rows of interest hold there, in any case; none reads all rows.
    """

    path: Path
    delimiter: Delimiter | None = None
    header_lines: int = 1
    skip_lines: int | None = None
    sheet: str | None = None
    newlines_in_values: bool = False
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def suffix(self) -> str:
        """The extension, without that of a compression, in small letters."""
        name = Path(self.path.name.lower())
        return Path(name.stem).suffix if name.suffix in OPENERS else name.suffix

    @property
    def is_text(self) -> bool:
        return self.suffix not in (".parquet", ".xlsx")

    @property
    def above(self) -> int:
        """How many lines stand above those that name the columns."""
        return _LINES_ABOVE_HEADER.get(self.suffix, 0) if self.skip_lines is None else self.skip_lines

    @property
    def mark(self) -> str:
        """What separates the cells of a text file.

        Raises:
            ConfigError: Neither option nor extension says so.
        """
        if self.delimiter is not None:
            return MARKS[self.delimiter]
        if self.suffix not in _BY_SUFFIX:
            valid = [*_BY_SUFFIX, ".parquet", ".xlsx"]
            raise ConfigError(f"{self.path}: cannot tell its layout from '{self.suffix}'. {nearest(self.suffix, valid)}")
        return _BY_SUFFIX[self.suffix]

    def __str__(self) -> str:
        return str(self.path)


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
    is_text = False

    @property
    def stem(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def arrow(self, places: Sequence[int]) -> pa.Table:
        """The columns at these places, of their types; mixed ones as text."""
        names = [str(self.frame.columns[place]) for place in places]
        return pa.Table.from_arrays([typed(self.frame.iloc[:, place]) for place in places], names=names)


def typed(values: Any) -> pa.Array:
    """A column as an array of the one type its values have, or of their texts."""
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if pd.api.types.is_scalar(one) and pd.isna(one) else str(one) for one in values], pa.string())


Table = Path | TableFile | Frame


def at(table: Table) -> TableFile | Frame:
    """The same, a bare path as a file of the usual layout."""
    return TableFile(table) if isinstance(table, Path) else table

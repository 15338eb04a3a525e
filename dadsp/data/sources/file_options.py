"""Options of any table file: where it lies, how it is read, which of its rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dadsp.data.table_files import Delimiter, TableFile, rows_left_out
from dadsp.schema import Note

OnMissing = Literal["error", "drop"]


class Options(BaseModel):
    """Checked options: unknown keys are refused, nothing changes; a number where a name belongs is its digits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


class File(Options):
    """Where a table lies, and how: see ``TableFile``.

    Attributes:
        rows: Header → the value, or values, of the rows to read, for a file that holds several screens; None reads all.
    """

    chooses_rows: ClassVar[bool] = True
    path: str
    delimiter: Delimiter | None = None
    rows: dict[str, tuple[str, ...]] | None = None
    header_lines: int = Field(default=1, ge=0)
    skip_lines: int | None = Field(default=None, ge=0)
    sheet: str | None = None
    newlines_in_values: bool = False

    @field_validator("rows", mode="before")
    @classmethod
    def _rows_as_text(cls, given: Any) -> Any:
        if given and not cls.chooses_rows:
            raise ValueError("this layout has no columns to choose rows by. Leave rows out")
        if not isinstance(given, Mapping):
            return given
        return {
            name: [_text(one) for one in (value if isinstance(value, list | tuple) else [value])]
            for name, value in given.items()
        }

    def left_out(self, root: Path) -> tuple[Note, ...]:
        """A note on the rows that ``rows`` leaves out."""
        return rows_left_out(self.at(root))

    def at(self, root: Path) -> TableFile:
        """The file, below this folder."""
        layout = {name: getattr(self, name) for name in File.model_fields if name not in ("path", "rows")}
        return TableFile(root / self.path, **layout, rows=tuple((self.rows or {}).items()))


def _text(value: object) -> object:
    """A number or truth value of a YAML file as a table writes it."""
    return str(value) if isinstance(value, bool | int | float) else value

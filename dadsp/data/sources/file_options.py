"""Options of any table file: where it lies, how it is read, which of its rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from dadsp.data.table_files import Delimiter
from dadsp.data.tables import rows_left_out
from dadsp.schema import Note

OnMissing = Literal["error", "drop"]


class Options(BaseModel):
    """Checked options: unknown keys are refused, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class File(Options):
    """Where a table lies.

    Attributes:
        path: The file.
        delimiter: Overrides what its extension says.
        rows: Header → the value, or values, of the rows to read, for a file that holds several screens; None reads all.
    """

    chooses_rows: ClassVar[bool] = True
    path: str
    delimiter: Delimiter | None = None
    rows: dict[str, tuple[str, ...]] | None = None

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
        return rows_left_out(root / self.path, self.rows, self.delimiter)


def _text(value: object) -> object:
    """A number or truth value of a YAML file as a table writes it."""
    return str(value) if isinstance(value, bool | int | float) else value

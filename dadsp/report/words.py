"""How pages write numbers and names."""

from collections.abc import Mapping
from typing import Any

from dadsp.evaluation.compare_tables import MISSING, number

__all__ = ["LONG", "MISSING", "decimal", "note_line", "number", "percent", "side"]

LONG = 30  # rows; longer tables open on demand


def decimal(value: float | None, digits: int = 3) -> str:
    """Digits after the point; a dash where there is no value."""
    return number(float("nan") if value is None else value, digits)


def percent(value: float | None) -> str:
    """A share as percentage; a dash where there is none."""
    return MISSING if value is None or value != value else f"{value:.1%}"


def note_line(note: Mapping[str, Any]) -> str:
    """What reading or splitting left out, merged or clipped, as one line."""
    return f"{note['what']}: {note['count']:,}" + (f" ({note['examples']})" if note["examples"] else "")


def side(name: str) -> str:
    """What a stratum is called."""
    words = {"censored": "at the cap", "uncensored": "not at the cap"}
    return words.get(name, name.replace("cell_", "line_").replace("_drug", ", drug").replace("_", " "))

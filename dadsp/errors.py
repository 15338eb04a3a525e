"""The errors dadsp raises at its borders.

Every error says what is wrong, how many rows or names are concerned, shows examples and names the remedy. The command line
prints the message on one line and exits with code 2; a traceback is shown only under ``--debug``.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class DadspError(Exception):
    """Base of every error a user can cause and mend."""


class ConfigError(DadspError):
    """A configuration key or value is unknown, missing or impossible."""


class SchemaError(DadspError):
    """An input table is empty, lacks a column, or holds values of the wrong kind."""


class MissingIdsError(DadspError):
    """A table names cell lines, drugs or genes that another table does not hold."""


class UnitsError(DadspError):
    """Response values cannot be in the unit that was declared."""


class LeakageError(DadspError):
    """Training and held-out rows share what the split promises to keep apart."""


class DivergenceError(DadspError):
    """Training left the region from which it can recover."""


class FreezeError(DadspError):
    """Weights that a stage must leave alone have changed."""


class StorageError(DadspError):
    """A file cannot be written: the disk is full, or the folder is not for writing."""


class LoadError(DadspError):
    """A saved run, model or checkpoint is absent, damaged or of another version."""


def examples(names: Iterable[object], limit: int = 3) -> str:
    """The first few names, comma-separated, with an ellipsis when there are more."""
    shown = [str(name) for _, name in zip(range(limit + 1), names, strict=False)]
    return ", ".join(shown[:limit]) + (", …" if len(shown) > limit else "")


def nearest(name: str, valid: Iterable[str]) -> str:
    """A remedy for a misspelt name: the closest valid choice, then all of them (at most 12)."""
    choices = sorted(valid)
    close = get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid: {examples(choices, 12)}."

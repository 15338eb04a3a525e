"""The words of a command line, as Hydra's grammar reads them."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

_OVERRIDE = re.compile(r"[+~]{0,2}[\w./@:-]+=.")


def readable(arguments: list[str]) -> list[str]:
    """The same arguments; a value that is no sentence of Hydra's grammar, as paths with blanks or accents, is put in quotes.

    So is one that the grammar would take for a list of choices or a number, where a file or folder has just that name.
    """
    return [_readable(argument) for argument in arguments]


def _readable(argument: str) -> str:
    key, _, value = argument.partition("=")
    if not _OVERRIDE.match(argument) or value[0] in "'\"":
        return argument
    named = _exists(value)
    try:
        if _parser().parse_override(argument).value() == value or not named:
            return argument
    except HydraException:
        if value[0] in "[{" and not named:  # a list or dict with a mistake in it, which Hydra shows
            return argument
    # Backslashes count double before a quote, and only there.
    inside = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    quoted = f"{key}='{inside}'"
    try:
        return quoted if _parser().parse_override(quoted).value() == value else argument
    except HydraException:
        return argument


@cache
def _parser() -> Any:
    return OverridesParser.create()


def _exists(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):
        return False

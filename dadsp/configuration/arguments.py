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

    So is one that the grammar would take for a list of choices or a number, where a file or folder has just that name; and
    so is what a list holds, as names of drugs with brackets, Nutlin-3a (-), and SMILES.
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
        if value[0] in "[{" and not named:
            return _with_quoted_entries(key, value) or argument  # with a mistake in it, Hydra shows it
    quoted = f"{key}={_quoted(value)}"
    return quoted if _value(quoted) == value else argument


def _quoted(value: str) -> str:
    # Backslashes count double before a quote, and only there.
    inside = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"'{inside}'"


def _value(argument: str) -> Any:
    """What Hydra makes of an argument; None where it is no sentence of its grammar."""
    try:
        return _parser().parse_override(argument).value()
    except HydraException:
        return None


def _with_quoted_entries(key: str, value: str) -> str | None:
    """A list or dict with those of its entries in quotes that need them; None where that does not help."""
    entries = _entries(value[1:-1]) if value[-1] == {"[": "]", "{": "}"}[value[0]] else None
    if entries is None:
        return None
    written = []
    for entry in entries:
        name, colon, text = entry.partition(": ") if value[0] == "{" else ("", "", entry)
        text = text.strip()
        written.append(f"{name}{colon}{text if _value(f'{key}={text}') is not None else _quoted(text)}")
    argument = f"{key}={value[0]}{','.join(written)}{value[-1]}"
    return argument if _value(argument) is not None else None


def _entries(text: str) -> list[str] | None:
    """The parts between commas outside of brackets and quotes; None where one is never closed, or a part is empty."""
    closing = {"(": ")", "[": "]", "{": "}"}
    parts, awaited, quote = [""], "", ""
    for letter in text:
        if letter == "," and not awaited and not quote:
            parts.append("")
            continue
        parts[-1] += letter
        if quote or (letter in "'\"" and not parts[-1][:-1].strip()):
            quote = "" if letter == quote else quote or letter
        elif letter in closing:
            awaited += closing[letter]
        elif letter in closing.values():
            if awaited[-1:] != letter:
                return None
            awaited = awaited[:-1]
    return None if awaited or quote or not all(part.strip() for part in parts) else parts


@cache
def _parser() -> Any:
    return OverridesParser.create()


def _exists(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):
        return False

"""Keys that were set and cannot act, as the others stand."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Idle(NamedTuple):
    """Keys that do nothing under a condition.

    Attributes:
        when: Whether it holds.
        names: Of the keys.
        reason: What makes them idle, for the user.
    """

    when: bool
    names: tuple[str, ...]
    reason: str


def told(options: Any, where: str, rules: Iterable[Idle]) -> list[str]:
    """A line for each reason that keys which were set, to something else than their default, do nothing.

    Args:
        options: An instance of a class of options whose fields all have defaults.
        where: Path of these options in the configuration.
        rules: What is idle when.
    """
    default = type(options)()
    lines = []
    for rule in rules:
        given = [name for name in rule.names if rule.when and getattr(options, name) != getattr(default, name)]
        if given:
            keys = ", ".join(f"{where}.{name}={_written(getattr(options, name))}" for name in given)
            lines.append(f"{keys} {'have' if len(given) > 1 else 'has'} no effect: {rule.reason}")
    return lines


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)

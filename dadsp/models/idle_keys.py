"""Keys that were set and cannot act, as the others stand."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from dadsp.data.alignment.base import Alignment
from dadsp.models.training.options import TrainingOptions


class Idle(NamedTuple):
    """Keys that do nothing under a condition.

    Attributes:
        when: Whether it holds.
        names: Of the keys, dotted where one stands inside another; a key that holds others speaks for all of them.
        reason: What makes them idle, for the user.
    """

    when: bool
    names: tuple[str, ...]
    reason: str


def idle_scope(alignment: Alignment | None) -> Idle:
    """The scaler's scope, where an alignment makes it one."""
    kind = "none" if alignment is None else alignment.kind
    return Idle(kind != "none", ("scaling_scope",), f"alignment={kind} puts both screens on one scale")


def idle_trainer(reason: str, *, but: tuple[str, ...] = ()) -> Idle:
    """The whole trainer but for these keys and those that say where a fit runs."""
    kept = ("device", "threads", "checkpoint_every_s", *but)
    return Idle(True, tuple(field.name for field in fields(TrainingOptions) if field.name not in kept), reason)


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
        names = rule.names if rule.when else ()
        given = [key for name in names for key in _set(name, attrgetter(name)(options), attrgetter(name)(default))]
        if given:
            keys = ", ".join(f"{where}.{name}={_written(value)}" for name, value in given)
            lines.append(f"{keys} {'have' if len(given) > 1 else 'has'} no effect: {rule.reason}")
    return lines


def _set(name: str, value: Any, default: Any) -> Iterator[tuple[str, Any]]:
    """The keys at and below ``name`` whose values are not the defaults."""
    if not is_dataclass(value) or isinstance(value, type):
        yield from [(name, value)] if value != default else []
        return
    reference = type(value)() if default is None else default
    for field in fields(value):
        yield from _set(f"{name}.{field.name}", getattr(value, field.name), getattr(reference, field.name))


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)

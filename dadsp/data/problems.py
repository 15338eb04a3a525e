"""Raising what is wrong with raw files at once, or collecting all of it first; and what was noticed on the way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from dadsp.errors import DadspError
from dadsp.schema import Note

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: Screen and part, e.g. ``"GDSC responses"``; empty for what concerns the study.
        kind: Name of the error's class.
        message: What is wrong, how often, examples with line numbers, the remedy.
    """

    where: str
    kind: str
    message: str


class Unreadable(DadspError):
    """A part could not be read; why stands among the collected problems."""


_collected: ContextVar[list[Problem] | None] = ContextVar("collected", default=None)
_where: ContextVar[str] = ContextVar("where", default="")


def refuse(error: DadspError) -> None:
    """Raises the error or, while problems are collected, notes it; the caller then goes on without what is wrong."""
    problems = _collected.get()
    if problems is None:
        raise error
    known = {problem.message for problem in problems}  # one file may serve several parts
    if not isinstance(error, Unreadable) and str(error) not in known:
        problems.append(Problem(_where.get(), type(error).__name__, str(error)))


def stop_if_unsound() -> None:
    """Ends the reading of a part, or the joining of all, once a problem is noted in it, where others would follow from it.

    Raises:
        Unreadable: One is.
    """
    where = _where.get()
    if any(not where or problem.where == where for problem in _collected.get() or ()):
        raise Unreadable("What is wrong stands among the collected problems.")


def attempt(where: str, read: Callable[[], T]) -> T | None:
    """What ``read`` returns; None where it fails while problems are collected.

    Args:
        where: Names the part in the problems found.
        read: Reads it.

    Raises:
        DadspError: ``read`` raised it, and problems are not being collected.
    """
    token = _where.set(where)
    try:
        return read()
    except DadspError as error:
        refuse(error)
        return None
    finally:
        _where.reset(token)


@contextmanager
def collecting() -> Iterator[list[Problem]]:
    """A list that fills with all problems met inside; an error that ends the reading is the last of them."""
    problems: list[Problem] = []
    token = _collected.set(problems)
    try:
        yield problems
    except DadspError as error:
        refuse(error)
    finally:
        _collected.reset(token)


_remarks: ContextVar[list[Note] | None] = ContextVar("remarks", default=None)


def remark(note: Note) -> None:
    """Notes what a reader of files repaired or found odd, if somebody listens."""
    notes = _remarks.get()
    if notes is not None and note not in notes:
        notes.append(note)


@contextmanager
def remarks() -> Iterator[list[Note]]:
    """A list that fills with what is remarked inside."""
    notes: list[Note] = []
    token = _remarks.set(notes)
    try:
        yield notes
    finally:
        _remarks.reset(token)

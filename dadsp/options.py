"""Checking the options a user gives, with messages that name the key and the nearest valid choice."""

import re
from typing import Any, TypeVar, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from dadsp.errors import ConfigError, nearest

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)  # of every class of options

_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
_MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}


def validated(model: type[T], data: Any, where: str) -> T:
    """``data`` as an instance of ``model``.

    Args:
        model: A pydantic model or pydantic dataclass, normally with ``extra="forbid"``.
        data: A plain dict of options, or an instance of ``model``.
        where: Path of these options in the configuration, e.g. ``"data.source"``.

    Raises:
        ConfigError: A key is unknown or missing, or a value is impossible.
    """
    try:
        return TypeAdapter(model).validate_python(data)
    except ValidationError as error:
        raise config_error(error, model, where) from None


def check_choice(key: str, value: object, choices: Any) -> None:
    """Passes if ``value`` is one of the values of the ``Literal`` type ``choices``.

    Raises:
        ConfigError: It is not; names ``key`` and the nearest choice.
    """
    if value not in get_args(choices):
        raise ConfigError(f"{key}={value!r} is not a valid choice. {nearest(str(value), get_args(choices))}")


def config_error(error: ValidationError, model: type, where: str) -> ConfigError:
    """The same failure in the user's words: which key, what was given, what is valid.

    Args:
        error: Raised by pydantic while building ``model``.
        model: The model or dataclass that was built.
        where: Path of its options in the configuration; empty when there is none.
    """
    problems = [_explain(problem, model, where) for problem in error.errors(include_url=False)]
    return ConfigError(" ".join(problems[:3]) + (f" ({len(problems) - 3} more.)" if len(problems) > 3 else ""))


def _explain(problem: Any, model: type, where: str) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join([*([where] if where else []), *location])
    if problem["type"] in _UNKNOWN:
        return f"{key} is not a known key. {nearest(location[-1], _keys(model, location[:-1]))}"
    if problem["type"] in _MISSING:
        return f"{key} is required. Set it."
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return f"{key}={problem['input']!r} is not a valid choice. {nearest(str(problem['input']), choices)}"
    if problem["type"] == "value_error":  # a rule over several keys; the input would be all of them
        return f"{key}: {problem['ctx']['error']}"
    return f"{key}={problem['input']!r} is not valid: {problem['msg'][0].lower()}{problem['msg'][1:]}."


def _keys(model: Any, location: list[str]) -> list[str]:
    """Keys of the (nested) model that stands at ``location``."""
    for part in location:
        field = getattr(model, "__pydantic_fields__", {}).get(part)
        if field is None:  # a list position, or the name pydantic gives to a member of a union
            continue
        kinds = (field.annotation, *get_args(field.annotation))
        model = next((kind for kind in kinds if hasattr(kind, "__pydantic_fields__")), None)
    return list(getattr(model, "__pydantic_fields__", {}))

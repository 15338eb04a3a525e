"""YAML as plain values. What came from elsewhere is read without running code, with no more work than its size warrants."""

import re
from pathlib import Path
from typing import Any

import yaml

from dadsp.errors import LoadError

MAX_DEPTH = 40
MAX_NODES = 200_000  # after aliases are written out; the largest configuration of dadsp has some 200


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads as OmegaConf does: dates stay text, 1e-4 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_EXPONENT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
ELSE = "Restore it from a copy."


class _Dumper(yaml.SafeDumper):
    """Writes what ``_Loader`` reads back as it was: text that looks like a number stands in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "'" if _EXPONENT.match(text) else None)
)


def plain_yaml(content: Any) -> str:
    """Plain values as YAML, keys in their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


def read_plain_yaml(path: Path) -> Any:
    """The content of a YAML file: dicts, lists, text, numbers, booleans and None.

    Raises:
        OSError: It cannot be read.
        LoadError: It is not YAML, asks for an object of Python, or would grow beyond measure.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _check_depth(text, path)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _written_out(root, path, {})
            content = loader.construct_document(root)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:  # UnicodeDecodeError among them
        raise LoadError(f"{path} is damaged: {' '.join(str(error).split())}. {ELSE}") from None
    _check_plain(content, path)
    return content


def _check_depth(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise LoadError(f"{path} is nested more than {MAX_DEPTH} deep and is not read. {ELSE}")


def _written_out(node: Any, path: Path, known: dict[int, int | None]) -> int:
    """How many nodes there are once every alias stands for a copy of what it names."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise LoadError(f"{path} contains itself (line {node.start_mark.line + 1}) and is not read. {ELSE}")
        return size
    known[id(node)] = None
    parts = node.value if isinstance(node.value, list) else []
    total = 1 + sum(
        _written_out(each, path, known) for part in parts for each in (part if isinstance(part, tuple) else (part,))
    )
    if total > MAX_NODES:
        raise LoadError(f"{path} grows beyond {MAX_NODES:,} values when its aliases are written out. {ELSE}")
    known[id(node)] = total
    return total


def _check_plain(value: Any, path: Path) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str | int | float):
                raise LoadError(f"{path} has a key that is no text: {key!r}. {ELSE}")
            _check_plain(each, path)
    elif isinstance(value, list):
        for each in value:
            _check_plain(each, path)
    elif not isinstance(value, str | int | float | None):
        raise LoadError(f"{path} holds a {type(value).__name__}, which no configuration has. {ELSE}")

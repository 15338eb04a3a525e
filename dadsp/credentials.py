"""Keeping passwords and tokens of addresses in memory: whatever is written or shown loses them first."""

import logging
import re
from collections.abc import Mapping
from typing import Any

# user:password@ of an address. A password may hold signs that do not belong there, a slash among them; digits alone
# before a slash are a port.
_USER = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#\s:@]+:(?!\d+[/?#])\S*@)")
_NAMES = r"[\w.-]*(?:password|passwd|pwd|token|secret|api_?key|access_?key|signature|credential|auth)[\w.-]*|sig|key|pass"
_QUERY = re.compile(rf"(?<=[?&])(?:{_NAMES})=[^&#\s'\"]*&?", re.IGNORECASE)
_EMPTY_QUERY = re.compile(r"(://[^\s'\"]*?)[?&](?=$|[\s'\"#])")


def without_credentials(text: str) -> str:
    """The same text, its addresses without user name, password, and values named like a password or token."""
    if "://" not in text:
        return text
    lean = _QUERY.sub("", _USER.sub("", text))
    return _EMPTY_QUERY.sub(r"\1", lean) if lean != text else text


def tree_without_credentials(node: Any) -> Any:
    """The same for all text in nested mappings and lists."""
    if isinstance(node, str):
        return without_credentials(node)
    if isinstance(node, Mapping):
        return {tree_without_credentials(key): tree_without_credentials(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [tree_without_credentials(value) for value in node]
    return node


class LeanFormatter(logging.Formatter):
    """Formats records of a log, tracebacks among them, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one text."""
        return without_credentials(super().format(record))

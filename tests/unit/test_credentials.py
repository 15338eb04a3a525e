"""Addresses with passwords, as users and libraries write them."""

import logging
import sys

import pytest

from dadsp.credentials import LeanFormatter, tree_without_credentials, without_credentials


@pytest.mark.parametrize(
    ("text", "lean"),
    [
        ("http://ada:secret@host:5000/x", "http://host:5000/x"),
        ("https://secret@host", "https://host"),
        ("postgresql+psycopg2://ada:s@cret@host/db", "postgresql+psycopg2://host/db"),
        ("http://ada:se/cret@host/db", "http://host/db"),
        ("http://ada:1se?c#ret@host/db", "http://host/db"),
        ("http://host/x?token=secret", "http://host/x"),
        ("http://host/x?a=1&password=secret", "http://host/x?a=1"),
        ("http://host/x?Access_Token=secret&a=1", "http://host/x?a=1"),
        ("tracking.uri=http://ada:secret@host,seed=0", "tracking.uri=http://host,seed=0"),
        ("'tracking.uri=http://host?api_key=secret' seed=0", "'tracking.uri=http://host' seed=0"),
        ("two: http://a:secret@h and http://b:secret@i", "two: http://h and http://i"),
        ('{"uri": "http://a:secret@h"}', '{"uri": "http://h"}'),
    ],
)
def test_credentials_are_taken_out(text: str, lean: str) -> None:
    assert without_credentials(text) == lean
    assert "secret" not in lean


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/ada@lab/runs/mlflow.db",
        "file:///home/a@b",
        "http://host:5000/a@b",
        "http://127.0.0.1:5000/?page=2&keys=3",
        "ada@example.org",
        "password=secret",
        "s3://bucket/key=1/a",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert without_credentials(text) == text


def test_trees_are_gone_through() -> None:
    tree = {"http://a:secret@h": [1, None, ("http://a:secret@h",)], "b": {"c": "http://a:secret@h"}}
    assert tree_without_credentials(tree) == {"http://h": [1, None, ["http://h"]], "b": {"c": "http://h"}}


def test_log_shows_no_password_in_messages_or_tracebacks() -> None:
    try:
        raise ValueError("http://ada:secret@host refused")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "at %s", ("http://ada:secret@host",), sys.exc_info())
    shown = LeanFormatter("%(message)s").format(record)
    assert "at http://host" in shown
    assert "ValueError: http://host refused" in shown
    assert "secret" not in shown

"""YAML from elsewhere."""

import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dadsp.configuration.folder import conf_folder
from dadsp.errors import LoadError
from dadsp.plain_yaml import MAX_DEPTH, read_plain_yaml


@pytest.mark.parametrize("path", sorted(conf_folder().rglob("*.yaml")), ids=lambda path: path.stem)
def test_reads_as_omegaconf_does(path: Path) -> None:
    read = OmegaConf.load(path)
    assert (read_plain_yaml(path) or {}) == OmegaConf.to_container(read)


def test_dates_are_text_and_exponents_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 2026-01-02\nb: 1e-4\nc: [1.5E+3, -2e5]\nd: 1_e\n")
    assert read_plain_yaml(tmp_path / "x.yaml") == {"a": "2026-01-02", "b": 1e-4, "c": [1500.0, -2e5], "d": "1_e"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is damaged"),
        ("a: &a [*a]", "contains itself"),
        ("&a {b: *a}", "contains itself"),
        ("[" * (MAX_DEPTH + 1), "nested more than"),
        ("- " * 100_000 + "x", "nested more than"),
        ("a: !!python/object/apply:os.mkdir [x]", "is damaged"),
        ("a: !!binary aGk=", "holds a bytes"),
        ("a: !!set {x, y}", "holds a set"),
        ("? [1, 2]\n: x", "is damaged"),
        ("a: \x00", "is damaged"),
    ],
)
def test_what_is_no_plain_value_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(LoadError, match=message):
        read_plain_yaml(tmp_path / "x.yaml")


def test_aliases_that_grow_without_end_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]" for b, c in zip("abcdefgh", "bcdefghi", strict=True)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    start = time.perf_counter()
    with pytest.raises(LoadError, match="grows beyond"):
        read_plain_yaml(tmp_path / "x.yaml")
    assert time.perf_counter() - start < 2


def test_aliases_within_measure_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}\n")
    assert read_plain_yaml(tmp_path / "x.yaml") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}

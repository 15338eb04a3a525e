"""What is installed, and under which licence: pins, hashes, build requirements and the table of licences agree."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.licences import ALLOWED, installed, licence, parts, pins

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS: dict[str, str] = {canonicalize_name(name): version for name, version in pins().items()}


def hashed() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of every package of .ci/hashes.txt."""
    text = (ROOT / ".ci" / "hashes.txt").read_text(encoding="utf-8")
    blocks = re.findall(r"^([\w.-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})*)$", text, flags=re.M)
    return {canonicalize_name(name): (version, re.findall(r"[0-9a-f]{64}", hashes)) for name, version, hashes in blocks}


def test_every_pin_but_torch_has_a_hash_of_the_same_version() -> None:
    assert {name: version for name, (version, _) in hashed().items()} == {
        name: version for name, version in PINS.items() if name != "torch"
    }
    assert [name for name, (_, hashes) in hashed().items() if not hashes] == []


def test_a_wheel_is_built_by_exactly_the_pinned_packages() -> None:
    wanted = PROJECT["build-system"]["requires"]
    assert all(str(Requirement(one).specifier) == f"=={PINS[Requirement(one).name]}" for one in wanted)
    builder = installed("hatchling")
    assert builder is not None
    needed = [Requirement(text) for text in builder.requires or []]
    here = {canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert {"hatchling"} | here == {Requirement(one).name for one in wanted}


def test_no_hydra_older_than_the_pinned_one_is_admitted() -> None:
    (hydra,) = [Requirement(one) for one in PROJECT["project"]["dependencies"] if one.startswith("hydra-core")]
    assert hydra.specifier.contains(PINS["hydra-core"])
    assert not hydra.specifier.contains("1.3.2")
    assert f">={PINS['hydra-core']}" in str(hydra.specifier)


def test_every_requirement_of_the_project_has_a_pin_that_it_admits() -> None:
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    wanted = [Requirement(one) for group in groups for one in group]
    assert [str(one) for one in wanted if not one.specifier.contains(PINS.get(canonicalize_name(one.name), "0"))] == []


def test_every_pin_stands_on_the_page_of_licences() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|", (ROOT / "docs" / "licences.md").read_text(encoding="utf-8"), re.M
    )
    listed: dict[str, tuple[str, str]] = {canonicalize_name(name): (version, terms) for name, version, terms in rows}
    assert {name: listed.get(name, ("", ""))[0] for name in PINS} == PINS
    read = {name: licence(package) for name in PINS if (package := installed(name)) is not None}
    assert {name: listed[name][1] for name in read} == read


def test_every_licence_may_stand_beside_apache_2() -> None:
    read = {name: licence(package) for name in PINS if (package := installed(name)) is not None}
    assert {name: terms for name, terms in read.items() if not set(parts(terms)) <= ALLOWED} == {}
    assert len(read) > 100

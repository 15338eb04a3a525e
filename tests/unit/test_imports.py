"""The import table of docs/architecture.md, and what no file of dadsp may do."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dadsp"
FILES = sorted(PACKAGE.rglob("*.py"))

TABLE = ROOT / "docs" / "architecture.md"


def allowed(text: str) -> dict[str, set[str]]:
    """What each room may import, from the table of the page: ``| rooms | may import |``."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text[text.index("| room | may import |") :], re.MULTILINE)[1:]
    table: dict[str, set[str]] = {}
    for given, may in rows:
        names = _names(given)
        if set(names) <= set("-"):
            continue
        if may.startswith("all of the above"):
            found = {*table} - {*_names(may.partition(" but ")[2])}
        elif may == "everything":
            found = {*table}
        else:
            found = set() if may.startswith("nothing") else {*_names(may.partition(", on first use")[0])}
        table |= {"__init__" if name == "`dadsp` itself" else name: found for name in names}
    return table


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


ALLOWED = allowed(TABLE.read_text(encoding="utf-8")) | {"__main__": {"cli"}}
VERSION = {"runs", "api", "cli"}  # rooms that may ask for dadsp.__version__

OWNERS = {  # package → the only rooms that may import it
    "mlflow": {"tracking", "tracked_model", "tracked_runs", "tracking_store"},
    "hydra": {"cli", "configuration"},
    "omegaconf": {"cli", "configuration"},
    "optuna": {"runs"},
    "pytorch_lightning": {"models", "singledrug"},
}
# Formats that run code when they are read, and a second Lightning beside pytorch_lightning.
FORBIDDEN = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "lightning"}


def imported(source: str, package: str) -> set[str]:
    """Dotted names a module imports at any depth, relative ones resolved against its ``package``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def rooms(names: set[str]) -> set[str]:
    """The rooms of dadsp among ``names``; ``from dadsp import __version__`` counts as "version"."""
    found = {name.split(".")[1] for name in names if name.startswith("dadsp.")}
    return {"version" if room == "__version__" else room for room in found}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports_of(path: Path) -> set[str]:
    return imported(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parent.parts))


def called(source: str) -> list[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called, e.g. ``torch.load``."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in calls]


def offences(source: str) -> list[str]:
    """Calls that would run code out of a file: unchecked ``torch.load``, pickled numpy or pandas."""
    found = []
    for name, call in called(source):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        unsafe_torch = name == "torch.load" and given.get("weights_only") != "True"
        unsafe_numpy = given.get("allow_pickle", "False") != "False"
        if unsafe_torch or unsafe_numpy or name.endswith(("read_pickle", "to_pickle")):
            found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import dadsp.nets.mmd", {"nets"}),
        ("from dadsp import nets, schema", {"nets", "schema"}),
        ("def late():\n    from dadsp.data.genes import shared", {"data"}),
        ("from ..nets import mmd", {"nets"}),
        ("from .. import nets", {"nets"}),
        ("from . import naive", {"models"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import dadsp.cli", {"cli"}),
        ("from dadsp import __version__", {"version"}),
        ("import numpy as np", set()),
    ],
)
def test_walker_finds_every_form_of_import(source: str, expected: set[str]) -> None:
    assert rooms(imported(source, "dadsp.models")) == expected


@pytest.mark.parametrize(
    "source",
    ["torch.load(path)", "torch.load(path, weights_only=False)", "np.load(p, allow_pickle=True)", "pd.read_pickle(path)"],
)
def test_walker_finds_calls_that_run_code_from_a_file(source: str) -> None:
    assert len(offences(source)) == 1


def test_walker_allows_weights_only_loading() -> None:
    assert offences("torch.load(path, weights_only=True)\nnp.load(path, allow_pickle=False)") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_room_imports_only_what_the_table_allows(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED, f"{room} is no room of docs/architecture.md"
    assert rooms(imports_of(path)) - {room, "version" if room in VERSION else room} <= ALLOWED[room]


def test_table_is_read_as_it_stands() -> None:
    text = "| room | may import |\n|---|---|\n| a, b | nothing of dadsp |\n| c | a, b |\n| d | all of the above but b |\n"
    assert allowed(text) == {"a": set(), "b": set(), "c": {"a", "b"}, "d": {"a", "c"}}
    assert ALLOWED["errors"] == set()
    assert "cli" not in ALLOWED["runs"] | ALLOWED["report"] | ALLOWED["api"] | ALLOWED["models"]


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_package_is_imported_only_by_its_owner(package: str) -> None:
    importers = {room_of(path) for path in FILES if any(n.split(".")[0] == package for n in imports_of(path))}
    assert importers <= OWNERS[package]


def test_nothing_imports_a_format_that_runs_code() -> None:
    found = {str(path): {n for n in imports_of(path) if n.split(".")[0] in FORBIDDEN} for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}


def test_nothing_loads_pickled_content() -> None:
    found = {str(path): offences(path.read_text(encoding="utf-8")) for path in FILES}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_only_the_command_line_prints() -> None:
    found = {
        str(p) for p in FILES for name, _ in called(p.read_text(encoding="utf-8")) if name == "print" and room_of(p) != "cli"
    }
    assert found == set()


def test_every_third_party_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra, lines in project["optional-dependencies"].items() if extra != "dev" for line in lines]
    declared = {_normal(re.split(r"[<>=!~;\[ ]", line)[0]) for line in [*project["dependencies"], *extras]}
    distributions = packages_distributions()
    top = {name.split(".")[0] for path in FILES for name in imports_of(path)} - {"dadsp"} - set(sys.stdlib_module_names)
    undeclared = {n for n in top if not declared & {_normal(d) for d in distributions.get(n, [])}}
    assert undeclared == set()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""What a result was made with: code, versions, commit."""

import ast
import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# What makes numbers. Figures, reports and the command line decide none, and are told by commit and version alone.
NUMBERS = ("data", "drugs", "models", "nets", "schema", "seeding.py", "splits")
PACKAGES = ("dadsp", "torch", "pytorch-lightning", "rdkit", "numpy", "pandas", "scikit-learn")


def environment_tags() -> dict[str, str]:
    """What the run was made with: versions, the processor's instructions and, in a git checkout, the commit.

    No host name, user name or path is among them.

    Returns:
        ``version.<package>`` for the packages that matter (only those installed), ``version.python``, ``code_hash``,
        ``cpu.instructions`` (the vector instructions that torch adds numbers with: in another order with others, so that
        networks end elsewhere, see experiments/rounding), and ``git.sha``, which ends in "-dirty" when code, settings or
        pins differ from the commit.
    """
    import torch  # here, for commands that need none begin sooner without

    tags = {
        "code_hash": code_hash(),
        "cpu.instructions": torch.backends.cpu.get_cpu_capability(),
        "version.python": ".".join(map(str, sys.version_info[:3])),
    }
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    sha = git_sha(PACKAGE.parent)
    return tags if sha is None else {"git.sha": sha, **tags}


@cache
def code_hash(package: Path = PACKAGE) -> str:
    """Hash of the modules of a package, by default dadsp's, that decide numbers.

    They count as Python reads them: comments, docstrings and layout do not.
    """
    deciding = (path for name in NUMBERS for path in [*package.glob(name), *(package / name).rglob("*.py")])
    return _hash((path.relative_to(package).as_posix(), path) for path in sorted(deciding) if path.is_file())


@cache
def packages_hash(names: frozenset[str]) -> str:
    """Hash of all Python files of installed packages or modules, given by their top names; as ``code_hash``."""
    return _hash((f"{name} {inside}", path) for name in sorted(names) for inside, path in _files_of(name))


def _files_of(name: str) -> Iterator[tuple[str, Path]]:
    """Python files of a package or module, each with its path inside; none of what was typed into a notebook."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # ValueError: __main__
        return
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        module = Path(spec.origin or "")
        yield from [("", module)] if module.suffix == ".py" and module.is_file() else []
        return
    for folder in map(Path, spec.submodule_search_locations):
        yield from ((path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*.py")))


def _hash(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, path in files:
        digest.update(f"{name}\n{_as_read(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def _as_read(source: bytes) -> str:
    """What Python makes of a module, without comments, docstrings and layout; the bytes where it is none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a template among the files of a package
        return repr(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)]
    return ast.dump(tree)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def git_sha(checkout: Path) -> str | None:
    """The commit of ``checkout``, with "-dirty" when what decides a result differs from it; None outside git."""
    # An installed package may lie in a virtual environment inside somebody else's checkout, whose commit says nothing.
    if not (checkout / ".git").exists():
        return None
    sha = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--", "dadsp", "conf", "pyproject.toml", "constraints.txt")
    if not sha or changes is None:
        return None
    return f"{sha}-dirty" if changes else sha


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

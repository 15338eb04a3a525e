"""No file and no function of dadsp is longer than one can read at once."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "dadsp"
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 400, 60


def long_functions(source: str) -> list[str]:
    """Functions, from ``def`` to their last line, that are too long."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {f"{node.name} (line {node.lineno})": (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    return [f"{name}: {n} lines" for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION]


def test_long_functions_are_counted() -> None:
    body = "    x = 1\n" * MOST_LINES_OF_A_FUNCTION
    assert long_functions(f"class A:\n  def f():\n{body}") == ["f (line 2): 61 lines"]
    assert long_functions(f"def f():\n{body}".rstrip().rsplit("\n", 1)[0]) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_and_its_functions_are_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert long_functions(source) == []
    assert len(source.splitlines()) <= MOST_LINES_OF_A_FILE

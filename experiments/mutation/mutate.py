"""Whether a unit test fails when the code is wrong: small faults, one at a time, in a copy of the tree.

    python experiments/mutation/mutate.py --named                      the faults that once slipped through
    python experiments/mutation/mutate.py --rooms nets splits --per-room 15 --seed 0

A fault changes one place of one module: a comparison, an operator, a number by 1, a truth value, a ``not`` or a sign
dropped, min and max exchanged, an attribute that is not set. Modules of figures, which are judged by eye, are left out.
Faults of a room are drawn at random. Each meets the files of tests/unit that concern its module (``tests_of``), until the
first failure; a test that fails without the fault too counts for nothing. What is in ``--out`` already is not run again.
"""

import argparse
import ast
import csv
import importlib
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("nets", "models", "splits", "evaluation", "drugs", "singledrug")
COLUMNS = ("room", "module", "line", "column", "fault", "outcome", "by")
# Imported once and not for each fault; nothing of dadsp or of pytest's plug-ins is among them.
SLOW_TO_IMPORT = ("numpy", "pandas", "scipy.optimize", "torch", "pytorch_lightning", "sklearn.ensemble", "pytest")

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
}
EXCHANGED = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}


class Fault(NamedTuple):
    """A text that takes the place of another, at a line and a column (from 1, in characters) of a module."""

    room: str
    module: str
    line: int
    column: int
    old: str
    new: str
    name: str = ""

    @property
    def said(self) -> str:
        return self.name or f"{_short(self.old)} → {_short(self.new)}"

    @property
    def key(self) -> tuple[str, ...]:
        return self.module, str(self.line), str(self.column), self.said


NAMED = {
    "gamma is ignored in the ramp of λ": (
        "dadsp/nets/gradient_reversal.py",
        "math.exp(-gamma * progress)",
        "math.exp(-10.0 * progress)",
    ),
    "λ is that of the epoch, not of the step": (
        "dadsp/models/stages/dadsp_a.py",
        "reversal_strength(self.progress, self.gamma)",
        "reversal_strength(self.current_epoch / self.options.max_epochs, self.gamma)",
    ),
    "DADSP-B's target encoder does not start from the trained source encoder": (
        "dadsp/models/systems/dadsp_b.py",
        "        copy_layers(source_layers, sae.encoders)\n",
        "",
    ),
    "paired target sampling takes the wrong partners": (
        "dadsp/models/systems/dadsp_a.py",
        "= inputs.target_lines[in_source >= 0]\n",
        "= np.roll(inputs.target_lines[in_source >= 0], 1)\n",
    ),
    "schedule=dann has another exponent": ("dadsp/models/training/stage.py", "** -0.75", "** -0.5"),
}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:40]}…{text[-18:]}"


def named_faults() -> list[Fault]:
    """``NAMED``, each at the one place where its old text stands."""
    faults = []
    for name, (module, old, new) in NAMED.items():
        text = (ROOT / module).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{module} holds {old!r} {text.count(old)} times, so '{name}' cannot be made. Write it anew.")
        before = text[: text.index(old)]
        column = len(before) - before.rfind("\n")
        faults.append(Fault(module.split("/")[1], module, before.count("\n") + 1, column, old, new, name))
    return faults


def faults_of(module: Path) -> list[Fault]:
    """Every fault that can be made in a module, in the order of their places."""
    source = module.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def place(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    faults = []
    name, room = module.relative_to(ROOT).as_posix(), module.relative_to(ROOT).parts[1]
    for node, new in [(old, new) for old in _walk(ast.parse(source)) for new in _instead(old)]:
        start, end = place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
        text = ast.unparse(ast.fix_missing_locations(new))
        text = text if isinstance(new, ast.stmt | ast.Name | ast.Attribute | ast.Constant) else f"({text})"
        faults.append(Fault(room, name, node.lineno, start - starts[node.lineno - 1] + 1, source[start:end], text))
    return faults


def _walk(node: ast.AST) -> Iterator[Any]:
    """Nodes that a fault may change: no annotation, text, import or call of a log."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.Expr) and ast.unparse(node).startswith("log."):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _instead(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=others):
            yield ast.Compare(left, [COMPARISONS[type(operator)]()], others)
        case ast.BinOp(op=ast.Div(), right=ast.Constant(value=str())):
            return  # a path
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(operator)](), right)
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in EXCHANGED:
            yield ast.Call(ast.Name(EXCHANGED[name]), args, keywords)
        case ast.Call(func=ast.Attribute(value=of, attr=name), args=args, keywords=keywords) if name in EXCHANGED:
            yield ast.Call(ast.Attribute(of, EXCHANGED[name]), args, keywords)
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"))]):
            yield ast.Pass()


def drawn(room: str, n: int, seed: int) -> list[Fault]:
    """``n`` faults of a room."""
    modules = [module for module in sorted((ROOT / "dadsp" / room).rglob("*.py")) if "figures" not in module.stem]
    possible = [fault for module in modules for fault in faults_of(module)]
    return random.Random(f"{seed}/{room}").sample(possible, min(n, len(possible)))


def tests_of(module: str, most: int) -> list[str]:
    """Files of tests/unit that concern a module, at most so many (0: all).

    The two nearest to its name; three that import it; two of its room that import what imports it; then the others of both
    kinds. Of each kind first the room's own, then by how often they name the module, shorter ones first.
    """
    path = Path(module)
    files = {file: file.read_text(encoding="utf-8") for file in sorted((ROOT / "tests" / "unit").rglob("test_*.py"))}

    def concerned(dotted: str) -> dict[Path, int]:
        package, _, name = dotted.rpartition(".")
        words = rf"{re.escape(dotted)}\b|from {re.escape(package)} import [^\n]*\b{name}\b"
        return {file: len(re.findall(words, text)) for file, text in files.items() if re.search(words, text)}

    def in_order(found: dict[Path, int]) -> list[Path]:
        return sorted(found, key=lambda file: (file.parent.name != path.parts[1], -found[file], len(files[file])))

    dotted = ".".join(path.with_suffix("").parts)
    own = [file for file in files if path.stem in file.stem and file.parent.name == path.parts[1]]
    own = sorted(own, key=lambda file: len(file.stem))[:2]
    near = {file: n + files[file].count(path.stem) for file, n in concerned(dotted).items()}
    further: dict[Path, int] = {}
    for other in sorted((ROOT / "dadsp").rglob("*.py")):
        if f"from {dotted} import" in other.read_text(encoding="utf-8"):
            further |= concerned(".".join(other.relative_to(ROOT).with_suffix("").parts))
    of_room = [file for file in in_order(further) if file.parent.name == path.parts[1]]
    order = dict.fromkeys([*own, *in_order(near)[:3], *of_room[:2], *in_order(near), *in_order(further)])
    return [file.relative_to(ROOT).as_posix() for file in order][: most or None]


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of the files under version control as they are now."""
    with tempfile.TemporaryDirectory(prefix="mutation_") as folder:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy(ROOT / name, target)
        yield Path(folder)


@contextmanager
def made(fault: Fault, tree: Path) -> Iterator[None]:
    """The fault in the tree's module; compiled files of it, which are told by size and second, are removed."""
    path = tree / fault.module
    text = path.read_text(encoding="utf-8")
    start = sum(len(line) for line in text.splitlines(keepends=True)[: fault.line - 1]) + fault.column - 1
    if not text.startswith(fault.old, start):
        raise SystemExit(f"{fault.module}:{fault.line} is not as it was. Start with a new --out.")

    def write(content: str) -> None:
        path.write_text(content, encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()

    write(text[:start] + fault.new + text[start + len(fault.old) :])
    try:
        yield
    finally:
        write(text)


def run_tests(tree: Path, tests: list[str], seconds: int) -> tuple[int, str]:
    """Exit status of pytest in the tree (−1: out of time), and the first test that failed."""
    sys.stdout.flush()
    report = tree / "report.txt"
    process = os.fork()
    if process == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            handle = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            os.chdir(tree)
            sys.path[:0] = [str(tree), str(tree / "dadsp" / "cli" / "plugins")]
            os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
            # Time here is that of the processor, whatever else the machine does.
            status = sys.modules["pytest"].main(["-x", "-q", "-o", "timeout=0", "-p", "no:cacheprovider", *tests])
            sys.stdout.flush()
            os._exit(int(status))
        except BaseException:  # the child must not return into the parent's loop
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(70)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return -1, ""
    text = report.read_text(encoding="utf-8", errors="replace")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+(?:\[[^\n]*?\])?)(?: - |$)", text, re.MULTILINE)
    return os.waitstatus_to_exitcode(status), failed[1] if failed else ""


def outcome_of(fault: Fault, tree: Path, tests: list[str], seconds: int, sound: dict[str, bool]) -> tuple[str, str]:
    """``killed`` and by which test, ``survived``, ``timeout``, ``untested``, or ``unsound`` where the test fails anyway."""
    if not tests:
        return "untested", ""
    with made(fault, tree):
        status, test = run_tests(tree, tests, seconds)
    if status == 0:
        return "survived", ""
    if status == -1:
        return "timeout", ""
    anyway = test or tests[0]
    if anyway not in sound:
        sound[anyway] = run_tests(tree, [anyway], seconds)[0] == 0
    return ("killed" if sound[anyway] else "unsound"), anyway


def work(faults: list[Fault], out: Path, arguments: argparse.Namespace) -> None:
    """Meets each fault with its tests, and writes a row of each as soon as it is known."""
    sound: dict[str, bool] = {}
    with copied_tree() as tree:
        for fault in faults:
            outcome, test = outcome_of(fault, tree, tests_of(fault.module, arguments.files), arguments.seconds, sound)
            with out.open("a", encoding="utf-8", newline="") as file:
                row = (fault.room, *fault.key[:3], fault.said, outcome, test)
                csv.writer(file, lineterminator="\n").writerow(row)
            print(f"{outcome:9} {fault.module}:{fault.line}  {fault.said}  {test}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--named", action="store_true", help="the named faults alone")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, choices=ROOMS)
    parser.add_argument("--per-room", type=int, default=15, help="faults drawn in each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=6, help="most files of tests for a fault; 0: all that concern it")
    parser.add_argument("--seconds", type=int, default=300, help="of processor time for a fault")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.csv"))
    arguments = parser.parse_args()
    if arguments.named:
        faults = named_faults()
    else:
        of_rooms = [drawn(room, arguments.per_room, arguments.seed) for room in arguments.rooms]
        faults = [fault for turn in range(arguments.per_room) for room in of_rooms for fault in room[turn : turn + 1]]
    out: Path = arguments.out
    if not out.exists():
        out.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with out.open(encoding="utf-8", newline="") as file:
        done = {tuple(row[name] for name in ("module", "line", "column", "fault")) for row in csv.DictReader(file)}
    left = [fault for fault in faults if fault.key not in done]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)
    workers = []
    for number in range(arguments.jobs):
        process = os.fork() if arguments.jobs > 1 else 0
        if process:
            workers.append(process)
            continue
        work(left[number :: arguments.jobs], out, arguments)
        if arguments.jobs > 1:
            os._exit(0)
    for process in workers:
        os.waitpid(process, 0)


if __name__ == "__main__":
    main()

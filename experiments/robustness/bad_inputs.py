"""Some 400 bad inputs, each of which must end with exit code 2 and one line that begins with "error:", and change nothing.

python experiments/robustness/bad_inputs.py --count 400 --out experiments/robustness/bad_inputs.csv

Run again with the same seed, it goes on where it was stopped.
"""

import argparse
import collections
import hashlib
import random
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

import forks
from bad_cases import Base, Case
from bad_options import option_cases
from bad_runs import compressed_cases, no_folder_cases, run_cases, single_run_cases
from bad_tables import structure_cases, table_cases
from rows import read_rows, write_rows

COLUMNS = ("case", "kind", "exit_code", "seconds", "cpu_seconds", "verdict", "first_line")
SLOW_S = 10.0  # of wall time from the fork on: imports are done, and everything else counts
LIMIT_S = 30.0


def main() -> None:
    """Runs the cases that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("bad_inputs.csv"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "dadsp_bad_inputs", help="scratch folder")
    parser.add_argument("--kind", help="this kind alone")
    asked = parser.parse_args()
    known = read_rows(asked.out)
    chosen = [case for case in choose(all_cases(asked.seed), asked.count, asked.seed) if asked.kind in (None, case.kind)]
    if not chosen:
        parser.error(f"no case among {asked.count} is of kind {asked.kind}")
    forks.preload()
    base = Base(asked.work / "base")
    base.build(lambda arguments, folder: forks.run(arguments, folder, 600).code)
    for case in chosen:
        if case.name not in {row["case"] for row in known}:
            known.append(try_case(case, base, asked.work / "case"))
            write_rows(asked.out, COLUMNS, known)
    names = {case.name for case in chosen}
    _tell([row for row in known if row["case"] in names])


def all_cases(seed: int) -> list[Case]:
    """Every case there is; names are unique."""
    cases = [*table_cases(), *structure_cases(), *option_cases(), *run_cases(), *single_run_cases(), *no_folder_cases()]
    cases += compressed_cases(seed, 60)
    doubled = [name for name, times in collections.Counter(case.name for case in cases).items() if times > 1]
    if doubled:
        raise SystemExit(f"Cases of the same name: {doubled[:3]}")
    return cases


def choose(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """So many cases, every kind in proportion to its number; those of a smaller count are among a larger's."""
    draw = random.Random(seed)
    places = []
    for kind in dict.fromkeys(case.kind for case in cases):
        of_kind = [case for case in cases if case.kind == kind]
        draw.shuffle(of_kind)
        places += [((number + 0.5) / len(of_kind), case) for number, case in enumerate(of_kind)]
    return [case for _, case in sorted(places, key=lambda place: place[0])[:count]]


def try_case(case: Case, base: Base, folder: Path) -> dict[str, str]:
    """One row of the table."""
    base.copy(case.needs, folder)
    case.damage(folder)
    before = state(folder)
    ended = forks.run(case.command, folder, LIMIT_S)
    lines = ended.err.splitlines()
    verdict = judge(ended, lines, before, state(folder))
    shutil.rmtree(folder)
    first = next((line for line in lines if line.startswith("error:")), lines[0] if lines else "")
    first = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in first.replace(str(folder), "…"))
    row = (case.name, case.kind, str(ended.code), f"{ended.seconds:.1f}", f"{ended.cpu_seconds:.1f}", verdict, first[:300])
    if verdict != "held":
        print(
            f"{verdict}: {case.kind}: {case.name}: exit {ended.code}, {ended.seconds:.1f} s: {(lines or [''])[-1][:160]}",
            flush=True,
        )
    return dict(zip(COLUMNS, row, strict=True))


def judge(ended: forks.Ended, lines: Sequence[str], before: dict[str, str], after: dict[str, str]) -> str:
    """What is wrong with how the command ended, the worst first; "held" where nothing is."""
    if ended.stopped:
        return "hang"
    if "Traceback" in ended.err:
        return "traceback"
    if ended.code == 0:
        return "silent nonsense"
    if ended.code < 0:
        return "crash"
    if ended.code != 2:
        return "another exit code"
    if not (len(lines) == 1 and lines[0].startswith("error: ")):
        return "not one line"
    if not lines[0].isprintable():
        return "control characters"  # a file could rewrite what the terminal shows
    if ended.seconds > SLOW_S:
        return "slow"
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return f"changed {changed[0]}" if changed else "held"


def state(folder: Path) -> dict[str, str]:
    """What lies in a folder: of files their hash, of everything else its kind; folders and locks alone are no change."""
    found = {}
    for path in folder.rglob("*"):
        if path.name.endswith(".lock"):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found[path.relative_to(folder).as_posix()] = hashlib.blake2b(path.read_bytes()).hexdigest()
        elif not stat.S_ISDIR(mode):
            found[path.relative_to(folder).as_posix()] = str(stat.S_IFMT(mode))
    return found


def _tell(rows: Sequence[dict[str, str]]) -> None:
    counted = collections.Counter((row["kind"], row["verdict"].split(" ")[0]) for row in rows)
    verdicts = sorted({verdict for _, verdict in counted}, key=lambda verdict: (verdict != "held", verdict))
    print("kind".ljust(18) + "".join(verdict.rjust(12) for verdict in verdicts))
    for kind in sorted({kind for kind, _ in counted}):
        print(kind.ljust(18) + "".join(str(counted[kind, verdict]).rjust(12) for verdict in verdicts))
    print(f"slowest: {max(float(row['seconds']) for row in rows):.1f} s")


if __name__ == "__main__":
    main()

"""Kills commands of dadsp at random moments, goes on with them, holds what they leave against a run without a kill.

python experiments/robustness/kills.py --count 100 --out experiments/robustness/kills.csv

Run again with the same seed, it goes on where it was stopped.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import forks
from kill_checks import found_state, wrong_with
from kill_scenarios import SCENARIOS, Scenario, Window, earlier_run
from rows import read_rows, write_rows

COLUMNS = ("number", "command", "signal", "aimed_at", "fraction", "found", "went_on_with", "exit_code", "outcome", "wrong")
SHARE_IN_WINDOWS = 0.4
LIMIT_S = 600.0


class Whole(NamedTuple):
    """The command without a kill.

    Attributes:
        folder: What it left.
        seconds: How long it took.
        windows: Length of each bad moment, in seconds.
    """

    folder: Path
    seconds: float
    windows: dict[str, float]


def main() -> None:
    """Does the kills that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("kills.csv"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "dadsp_kills", help="scratch folder")
    parser.add_argument("--only", nargs="*", default=[], help="commands whose name holds one of these")
    asked = parser.parse_args()
    scenarios = [one for one in SCENARIOS if not asked.only or any(part in one.name for part in asked.only)]
    if not scenarios:
        parser.error(f"--only {' '.join(asked.only)} chooses none of: {', '.join(one.name for one in SCENARIOS)}")
    rows = read_rows(asked.out)
    done = {(row["number"], row["command"]) for row in rows}
    forks.preload()
    asked.work.mkdir(parents=True, exist_ok=True)
    _earlier(asked.work)
    measured: dict[str, Whole] = {}
    for number in range(asked.count):
        scenario = scenarios[number % len(scenarios)]
        if (str(number), scenario.name) in done:
            continue
        if scenario.name not in measured:
            measured[scenario.name] = measure(scenario, asked.work)
        rows.append(kill(number, scenario, measured[scenario.name], asked.work, random.Random(f"{asked.seed} {number}")))
        write_rows(asked.out, COLUMNS, rows)
    _tell(rows)


def measure(scenario: Scenario, work: Path) -> Whole:
    """Runs the command whole, and times it and its bad moments."""
    folder = work / "whole" / scenario.name.replace(" ", "_")
    prepare(scenario, folder, work)
    seen: dict[tuple[str, bool], float] = {}

    def watch(process: int, seconds: float) -> None:
        for window in scenario.windows:
            for pattern, end in ((window.begins, False), (window.ends, True)):
                if pattern and (window.name, end) not in seen and any(folder.glob(pattern)):
                    seen[window.name, end] = seconds

    ended = forks.run(scenario.command, folder, LIMIT_S, watch)
    if ended.code:
        raise SystemExit(f"{scenario.name} fails without a kill: {ended.err[-500:]}")
    wrong = wrong_with(scenario, folder, folder)
    if wrong:
        raise SystemExit(f"{scenario.name} leaves without a kill: {', '.join(wrong)}")
    lengths = {
        window.name: seen.get((window.name, True), ended.seconds) - seen.get((window.name, False), ended.seconds)
        for window in scenario.windows
    }
    return Whole(folder, ended.seconds, lengths)


def prepare(scenario: Scenario, folder: Path, work: Path) -> None:
    """The folder in which the command runs, with what there is before it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if scenario.needs_run:
        shutil.copytree(work / "earlier" / "done", folder / "done")
    elif scenario.earlier:
        shutil.copytree(work / "earlier" / "runs", folder / "runs")
        place = (folder.resolve() / "runs" / "mlartifacts").as_uri()  # the store holds it as an absolute path
        with closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as database, database:
            database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'kills'", (place,))


def kill(number: int, scenario: Scenario, whole: Whole, work: Path, draw: random.Random) -> dict[str, str]:
    """One kill, and what became of it."""
    sent = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
    window = draw.choice(scenario.windows) if scenario.windows and draw.random() < SHARE_IN_WINDOWS else None
    share = draw.random()
    folder = work / "killed"
    while True:
        prepare(scenario, folder, work)
        before = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
        at = _Moment(window, share * (whole.windows[window.name] if window else whole.seconds), folder, sent)
        ended = forks.run(scenario.command, folder, LIMIT_S, at)
        if at.sent_after is not None and ended.code != 0:
            break
        if at.begun is None:
            window = None  # it was too short to be seen this time
        share *= 0.7  # it ended before; the machine is faster now, or a signal came too late
    state = found_state(folder, before)
    how, command = going_on(scenario, folder, before)
    again = forks.run(command, folder, LIMIT_S)
    wrong = [] if again.code == 0 else [f"going on ends with {again.code}: {(again.err.splitlines() or [''])[-1][:200]}"]
    wrong += wrong_with(scenario, folder, whole.folder)
    if ended.code > 0 and "Traceback" in ended.err:
        wrong.append("a traceback when interrupted")
    row = {
        "number": str(number),
        "command": scenario.name,
        "signal": sent.name,
        "aimed_at": window.name if window else "any moment",
        "fraction": f"{min(1.0, at.sent_after / whole.seconds):.2f}",
        "found": state,
        "went_on_with": how,
        "exit_code": str(again.code),
        "outcome": "bad" if wrong else "held",
        "wrong": "; ".join(dict.fromkeys(wrong)),
    }
    print("  ".join(row.values()), flush=True)
    return row


class _Moment:
    """Sends a signal so many seconds after the start, or after a window has begun."""

    def __init__(self, window: Window | None, delay: float, folder: Path, sent: signal.Signals) -> None:
        self.window, self.delay, self.folder, self.sent = window, delay, folder, sent
        self.begun = 0.0 if window is None else None
        self.sent_after: float | None = None

    def __call__(self, process: int, seconds: float) -> None:
        if self.begun is None and self.window is not None and any(self.folder.glob(self.window.begins)):
            self.begun = seconds
        if self.sent_after is None and self.begun is not None and seconds >= self.begun + self.delay:
            self.sent_after = seconds
            os.kill(process, self.sent)


def going_on(scenario: Scenario, folder: Path, before: list[str]) -> tuple[str, tuple[str, ...]]:
    """How a user goes on: with ``resume=`` where the run folder has its configuration, else with the same command."""
    if scenario.resumable:
        for config in sorted(folder.glob("runs/*_seed7/config.yaml")):
            if config.relative_to(folder).as_posix() not in before:
                return "resume", (scenario.resumable, f"resume={config.parent.relative_to(folder)}")
    return "same command", scenario.command


def _earlier(work: Path) -> None:
    folder = work / "earlier"
    if not (folder / ".ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        earlier_run(folder, lambda command, place: forks.run(command, place, LIMIT_S).code)
        (folder / ".ready").touch()


def _tell(rows: list[dict[str, str]]) -> None:
    counted = collections.Counter((row["command"], row["outcome"]) for row in rows)
    print(f"{'command':<24}{'kills':>7}{'held':>7}{'bad':>7}")
    for command in dict.fromkeys(row["command"] for row in rows):
        held, bad = counted[command, "held"], counted[command, "bad"]
        print(f"{command:<24}{held + bad:>7}{held:>7}{bad:>7}")


if __name__ == "__main__":
    main()

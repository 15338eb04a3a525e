"""A small sample of the campaigns of experiments/robustness: killed commands lose nothing, bad inputs end in one line."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments" / "robustness"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def campaign(script: str, folder: Path, *arguments: str) -> list[dict[str, str]]:
    """The rows of the table that a campaign writes."""
    table = folder / "table.csv"
    command: list[str | Path] = [sys.executable, FOLDER / script, "--out", table, "--work", folder / "work", *arguments]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_killed_commands_go_on_and_lose_nothing(tmp_path: Path) -> None:
    rows = campaign("kills.py", tmp_path, "--count", "2", "--only", "new store", "impute")
    assert len(rows) == 2
    assert [row for row in rows if row["outcome"] != "held"] == []


def test_bad_inputs_end_with_one_line_and_change_nothing(tmp_path: Path) -> None:
    rows = campaign("bad_inputs.py", tmp_path, "--count", "8")
    assert len(rows) == 8
    assert [row for row in rows if row["verdict"] != "held"] == []


def test_the_campaign_notices_a_command_that_does_not_refuse(tmp_path: Path) -> None:
    sys.path.insert(0, str(FOLDER))
    try:
        from bad_inputs import judge  # type: ignore[import-not-found,unused-ignore]
        from forks import Ended  # type: ignore[import-not-found,unused-ignore]
    finally:
        sys.path.remove(str(FOLDER))
    said = "error: no."
    held = Ended(2, 1.0, 0.5, False, "", said + "\n")
    assert judge(held, [said], {"a": "1"}, {"a": "1"}) == "held"
    assert judge(held, [said], {"a": "1"}, {"a": "1", "new": "2"}) == "changed new"
    assert judge(held._replace(code=0), [said], {}, {}) == "silent nonsense"
    assert judge(held._replace(code=1), [said], {}, {}) == "another exit code"
    assert judge(held._replace(code=-9, stopped=True), [], {}, {}) == "hang"
    assert judge(held._replace(seconds=11.0), [said], {}, {}) == "slow"
    assert judge(held, [said, said], {}, {}) == "not one line"
    assert judge(held, [said + "\x1b[2J"], {}, {}) == "control characters"
    assert judge(held._replace(err="Traceback (most recent call last)"), [said], {}, {}) == "traceback"

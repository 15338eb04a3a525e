"""``dadsp reproduce``: rows of a table again, within the spread that is stated or not."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dadsp.cli.main import main
from dadsp.runs import reproducing
from tests.support.processes import running

COMMAND = "dadsp train data=simulated_tiny model=drug_ridge seed=1 trainer.threads=1 tracking=none runs=elsewhere"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with a table of two rows that a run made and a naive one, and a table of spreads."""
    monkeypatch.chdir(tmp_path)

    def forked(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        with running(*command[3:]) as (process, said):
            error = said.read()
        return subprocess.CompletedProcess(command, process.exitcode or 0, "", error)

    monkeypatch.setattr(subprocess, "run", forked)
    assert main(COMMAND.split()[1:]) == 0
    capsys.readouterr()
    (folder,) = Path("elsewhere").iterdir()
    row = pd.read_csv(folder / "comparison.csv").query("kind == 'model'").iloc[0]
    run = json.loads((folder / "metrics.json").read_text())["run"]
    hashes = {name: run[name] for name in ("data_hash", "split_hash")}
    scores = {"system": row["system"], "rmse": row["rmse"], "median_drug_pearson": row["median_drug_pearson"]}
    good = {**scores, "command": COMMAND, **hashes}
    naive = {**good, "system": "source mean"}
    off = {**good, "rmse": row["rmse"] + 0.02}
    pd.DataFrame([good, naive, off]).to_csv("results.csv", index=False)
    pd.DataFrame(
        [{"system": row["system"], "data_hash": run["data_hash"], "df": 9, "rmse_sd": 0.004, "median_drug_pearson_sd": 0.0}]
    ).to_csv("spread.csv", index=False)
    return tmp_path


def again(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["reproduce", "table=results.csv", "spread=spread.csv", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_the_same_row_on_the_same_machine_is_within_and_another_number_is_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = again(capsys, "rows=[1,3]")
    assert (found["rows"], found["within"]) == (2, 1)
    by_row = {(each["row"], each["score"]): each for each in found["scores"]}
    assert by_row[1, "rmse"]["now"] == pytest.approx(by_row[1, "rmse"]["before"], abs=1e-9)
    assert by_row[1, "rmse"]["limit"] == pytest.approx(2.2622 * 2**0.5 * 0.004, rel=1e-4)  # t of nine degrees of freedom
    assert by_row[1, "median_drug_pearson"]["limit"] == reproducing.AS_PRINTED
    assert all(each["same_data"] for each in found["scores"])
    assert not by_row[3, "rmse"]["within"]  # 0.02 away, of 0.0128
    assert by_row[3, "median_drug_pearson"]["within"]
    written = pd.read_csv(here / "reproduced" / "reproduced.csv")
    assert list(written["within"]) == [True, True, False, True]


def test_rows_are_drawn_among_runs_and_keys_may_be_added(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = again(capsys, "draw=5", "with=[model.level_penalty=9]")
    assert {each["row"] for each in found["scores"]} == {1, 3}  # the naive row has no run of its own
    assert all(each["command"].endswith("model.level_penalty=9") for each in found["scores"])
    assert all(each["same_data"] for each in found["scores"])


def test_another_split_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "table=results.csv", "spread=spread.csv", "rows=[1]", "with=[split.val_fraction=0.3]"]) == 0
    printed = capsys.readouterr()
    assert "on other data or another split" in printed.err
    assert "of 1 rows lie" in printed.out


def test_without_a_stated_spread_only_the_digits_of_a_table_are_allowed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spread = pd.read_csv("spread.csv").assign(system="another")
    spread.to_csv("spread.csv", index=False)
    found = again(capsys, "rows=[1]")
    assert {each["limit"] for each in found["scores"]} == {reproducing.AS_PRINTED}
    assert {each["sd"] for each in found["scores"]} == {None}


def test_a_row_that_can_no_longer_be_trained_is_a_row_that_failed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("results.csv")
    table.loc[0, "command"] = COMMAND + " model.no_such_key=3"
    table.to_csv("results.csv", index=False)
    found = again(capsys, "rows=[1]")
    assert found["within"] == 0
    assert "no_such_key" in found["scores"][0]["problem"]


@pytest.mark.parametrize("df", [0, -3])
def test_a_spread_without_degrees_of_freedom_is_refused(df: int, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_csv("spread.csv").assign(df=df).to_csv("spread.csv", index=False)
    assert main(["reproduce", "table=results.csv", "spread=spread.csv", "rows=[1]"]) == 2
    assert "less than one degree of freedom" in capsys.readouterr().err
    assert not (here / "reproduced").exists()


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ({}, ["rows=[2]"], "are no runs of dadsp train"),
        ({}, ["rows=[9]"], "Name some of the 2 that are"),
        ({}, ["spread=none.csv"], "spread=none.csv does not exist"),
        ({}, ["table=none.csv"], "none.csv"),
        ({}, ["draw=0"], "draw"),
        ({"command": COMMAND + " -m"}, ["rows=[1]"], "is no key=value of one training"),
        ({"command": COMMAND + " plugins=[guestlab]"}, ["rows=[1]"], "is no key=value of one training"),
        ({"command": COMMAND + " tracking.uri=http://x"}, ["rows=[1]"], "is no key=value of one training"),
        ({"command": COMMAND + " hydra.run.dir=/"}, ["rows=[1]"], "is no key=value of one training"),
        ({"command": "rm -r x"}, [], "has no row with a command of dadsp train"),
        ({"rmse": "much"}, [], "rmse"),
    ],
)
def test_what_cannot_be_reproduced_is_one_error(
    change: dict[str, str], arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_csv("results.csv", dtype=str).assign(**change).to_csv("results.csv", index=False)
    given = {"table": "results.csv", "spread": "spread.csv"} | dict(part.split("=", 1) for part in arguments)
    assert main(["reproduce", *(f"{name}={value}" for name, value in given.items())]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not (here / "reproduced").exists()

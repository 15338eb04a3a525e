"""The small inputs of shared/data/cases, each of a kind that was once read wrongly, end as their README says is right."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dadsp.cli.main import main

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A copy of the case that the test's parameter names, as working directory."""
    given = os.environ.get("DADSP_REAL_DATA")
    folder = (Path(given) if given else CHECKOUT.parent / "shared" / "data") / "cases" / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"the case is not here: there is no folder {folder} (set DADSP_REAL_DATA)")
    copied = shutil.copytree(folder, tmp_path / "case")
    monkeypatch.chdir(copied)
    return copied


def validated(capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, Any]:
    """What ``dadsp data validate --json`` says: ``exit``, ``problems`` and ``notes``."""
    code = main(["data", "validate", "--config-dir", "conf", "data=mine", *overrides, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {"exit": code, **found}


SEEN = "2-Sep = SEPTIN2, 1-Mar = MARCHF1, 1-Dec = DELEC1"


@pytest.mark.parametrize("case", ["excel_genes"], indirect=True)
def test_genes_that_became_dates_are_named(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = validated(capsys)
    assert (found["exit"], found["problems"]) == (0, [])
    (note,) = [note for note in found["notes"] if "dates, which a spreadsheet makes of symbols" in note["what"]]
    assert (note["screen"], note["count"], note["examples"]) == ("SRC", 3, SEEN)
    assert not [note for note in found["notes"] if "absent" in note["what"]]


@pytest.mark.parametrize("case", ["excel_genes"], indirect=True)
def test_genes_that_became_dates_are_repaired_if_asked(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = validated(capsys, "+data.repair_genes=true")
    (note,) = [note for note in found["notes"] if "gene" in note["what"]]
    assert (note["what"], note["count"], note["examples"]) == (
        "genes renamed to the symbols of TGT", 3, SEEN.replace("=", "→"),
    )  # fmt: skip
    assert main(["data", "describe", "--config-dir", "conf", "data=mine", "+data.repair_genes=true", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_genes"] == 8

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


DROP = "+data.source.drugs.on_invalid_structure=drop"


@pytest.mark.parametrize("case", ["one_bad_smiles"], indirect=True)
def test_an_invalid_structure_is_one_problem_or_left_out_by_policy(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = validated(capsys)
    assert found["exit"] == 2
    (problem,) = found["problems"]
    assert problem["where"] == "SRC drugs"
    assert "src_drugs.csv: 1 of 5 SMILES are not valid (e.g. never screened: 'CN(C)(C)(C)C' (" in problem["message"]
    assert "on_invalid_structure: drop" in problem["message"]
    found = validated(capsys, DROP)
    assert (found["exit"], found["problems"]) == (0, [])
    assert [(note["count"], note["examples"]) for note in found["notes"]] == [
        (1, "never screened: CN(C)(C)(C)C"),
        (1, "never screened (d99)"),
    ]


@pytest.mark.parametrize("case", ["gdsc_cid"], indirect=True)
def test_cids_are_read_and_lists_and_words_explained(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = validated(capsys)
    assert found["exit"] == 0
    assert {note["what"]: (note["count"], note["examples"]) for note in found["notes"]} == {
        "cells that hold no PubChem CID taken as empty": (2, "several: 1, none: 1"),
        "drugs without a structure in struct.csv": (2, "caffeine, paracetamol"),
        "drugs without a structure left out, with 24 of 48 responses": (2, "caffeine (d3), paracetamol (d4)"),
    }

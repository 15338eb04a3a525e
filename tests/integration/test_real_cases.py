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


@pytest.mark.parametrize("case", ["link_float", "link_clean"], indirect=True)
def test_ids_written_as_decimals_link_as_whole_ones(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "describe", "--config-dir", "conf", "data=mine", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["overlap"]["lines"] == 6
    assert not [note for note in facts["target"]["notes"] if "suspicious" in note["what"]]


@pytest.mark.parametrize("case", ["link_clean"], indirect=True)
def test_ids_of_another_kind_are_a_warning_wherever_one_looks(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = case / "tgt_cells.csv"
    cells.write_text(cells.read_text().replace(",9059", ",ACH-0009"))
    said = "none of 12 cell lines linked to SRC, though the names of 6 agree (e.g. L6, L7, L8, …); SRC: COSMIC ids"
    (note,) = validated(capsys)["notes"]
    assert note["count"] == 12
    assert said in note["what"]
    assert "TGT: DepMap ids such as ACH-000906, ACH-000907, ACH-000908, …" in note["what"]
    assert main(["data", "describe", "--config-dir", "conf", "data=mine"]) == 0
    assert said in capsys.readouterr().out
    naive = ["model=naive_drug_mean", "tracking=none", "hydra.run.dir=run"]
    assert main(["train", "--config-dir", "conf", "data=mine", *naive, "--json"]) == 0
    out, told = capsys.readouterr()
    assert f"warning: TGT: suspicious links: {said}" in told
    assert json.loads(out)["warnings"] == [note]


@pytest.mark.parametrize("case", ["aac_as_auc"], indirect=True)
def test_an_area_above_the_curve_declared_as_below_is_a_warning(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (check,) = [check for check in validated(capsys)["cross_checks"] if check["verdict"] == "suspicious"]
    assert check["of"] == check["count"] == 24
    assert "they anticorrelate. Turn one of them (responses.measure" in check["what"]
    assert main(["data", "describe", "--config-dir", "conf", "data=mine"]) == 0
    assert "suspicious: direction of labels: r -0.40 over 24 pairs" in capsys.readouterr().out
    assert [
        c for c in validated(capsys, "data.target.responses.measure=aac")["cross_checks"] if c["verdict"] == "suspicious"
    ] == []

"""The small inputs of shared/data/cases, each of a kind that was once read wrongly, end as their README says is right."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dadsp.cli.main import main
from dadsp.data.sources.h5ad import H5ad
from dadsp.data.tables import read_table

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


@pytest.mark.parametrize("case", ["h5ad_legacy_var"], indirect=True)
def test_categories_of_an_old_anndata_file_are_symbols(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = validated(capsys)
    assert found["exit"] == 0
    assert "genes absent from TGT left out" in json.dumps(found)  # of eight genes the target has seven
    matrix, _ = H5ad(path="src.h5ad", symbols="symbol").read(case)
    assert matrix.columns[:4] == ("TP53", "EGFR", "KRAS", "MYC")


@pytest.mark.parametrize("case", ["stray_quote"], indirect=True)
def test_stray_quotes_swallow_no_row(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validated(capsys)["exit"] == 0
    columns = {"id": "drug", "name": "name", "smiles": "smiles"}
    table = read_table(case / "src_drugs.tsv", columns)
    assert table["id"].tolist() == ["d1", "d2", "d3", "d4"]
    assert table["name"].tolist() == ['"5-prime x', "aspirin", '"3-prime y', "paracetamol"]
    assert main(["data", "describe", "--config-dir", "conf", "data=mine"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "src_drugs.tsv: quotes read as they stand, since none encloses a value; lines: 2 (line 2: '\"5-prime x'" in printed
    )


@pytest.mark.parametrize("case", ["link_float"], indirect=True)
def test_ids_with_zeros_beside_a_word_are_the_plain_ones(case: Path) -> None:
    links = read_table(case / "tgt_cells.csv", {"line": "line", "link": "cosmic"})["link"].tolist()
    assert links[:4] == ["905906", "905907", "none", "905909"]


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

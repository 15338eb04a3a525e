"""``dadsp data validate``, ``prepare`` and ``fetch`` as a user calls them."""

import json
import re
from pathlib import Path

import pytest

from dadsp.cli.main import main
from tests.support.raw_files import edit, write_config, write_panel


@pytest.fixture
def panel(tmp_path: Path) -> list[str]:
    """Arguments that name a study of small files."""
    write_config(tmp_path, write_panel(tmp_path / "raw"))
    return ["--config-dir", str(tmp_path / "conf"), "data=mine"]


def test_validate_passes_sound_files_and_states_what_reading_did(
    panel: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "validate", *panel]) == 0
    shown = capsys.readouterr().out
    assert "SRC → TGT: no problem" in shown
    assert "TGT: responses of 15 that name cell lines without expression (1 different ones) left out: 3 (OMEGA)" in shown
    assert main(["data", "validate", *panel, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["problems"] == []
    assert {"screen": "SRC", "count": 1}.items() <= facts["notes"][0].items()


def test_validate_lists_all_problems_by_part(panel: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tmp_path / "raw/source/responses.csv", "1001,11,4.0", "1001,11,high")
    edit(tmp_path / "raw/source/drugs.csv", "c1ccccc1", "c1ccccc")
    edit(tmp_path / "raw/target/expression.csv", "EGFR,BRAF", "EGFR,EGFR")
    assert main(["data", "validate", *panel]) == 2
    printed = capsys.readouterr()
    assert printed.err == "error: 3 problems in 3 parts of the data. Mend them and validate again.\n"
    assert "SRC responses: 1 problem\n" in printed.out
    assert "line 2: 'high'" in printed.out
    assert main(["data", "validate", *panel, "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["where"] for problem in problems] == ["SRC drugs", "SRC responses", "TGT expression"]


def test_prepare_writes_a_cache_that_a_configuration_reads(
    panel: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "prepared"
    prepare = ["data", "prepare", *panel, f"out={out}", "--json"]
    assert main(prepare) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["rebuilt"] == "there is no cache yet"
    assert first["raw_files"] == 8
    assert main(prepare) == 0
    assert json.loads(capsys.readouterr().out)["rebuilt"] is None
    described = ["data", "describe", "--config-dir", str(out / "conf"), "data=prepared", "--json"]
    written_ns = (out / "cache" / "manifest.json").stat().st_mtime_ns
    assert main(described) == 0
    assert (out / "cache" / "manifest.json").stat().st_mtime_ns == written_ns
    assert json.loads(capsys.readouterr().out)["content_hash"] == first["data_hash"]
    edit(tmp_path / "raw/source/responses.csv", "1001,11,4.0", "1001,11,3.0")
    assert main(described) == 0
    assert json.loads(capsys.readouterr().out)["content_hash"] != first["data_hash"]


@pytest.mark.slow
def test_a_prepared_study_trains(panel: list[str], tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    assert main(["data", "prepare", *panel, f"out={out}"]) == 0
    command = ["train", "--config-dir", str(out / "conf"), "data=prepared", "model=naive_drug_mean"]
    assert main([*command, f"runs={tmp_path / 'runs'}", "tracking=none"]) == 0
    (run,) = (tmp_path / "runs").glob("*seed0")
    notes = json.loads((run / "data_notes.json").read_text())
    assert notes["TGT"][0]["count"] == 3


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the worked example, in a folder of its files."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    text = page[page.index("## From three small files") : page.index("## Use your own two screens")]
    for name, content in re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return [line.split() for line in re.findall(r"^    dadsp (.*)$", text, re.MULTILINE)]


def test_the_worked_example_is_sound(example: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(example[0]) == 0
    assert capsys.readouterr().out.startswith("Mine → Mine: no problem")


@pytest.mark.slow
def test_the_worked_example_trains(example: list[list[str]], tmp_path: Path) -> None:
    assert main([*example[1], "tracking=none"]) == 0
    (run,) = (tmp_path / "runs").glob("*seed0")
    assert json.loads((run / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "gdcs"], "Did you mean 'gdsc'"),
        (["fetch", "pubchem-smiles"], "pubchem-smiles.names is required"),
        (["fetch", "ccle", "ccle.drug_data.sha256=abc"], "ccle.drug_data.sha256"),
        (["fetch", "ccle", "ccle.drug_dat.url=x"], "drug_dat"),
        (["prepare", "data=simulated_tiny"], "out is required"),
        (["validate", "data=screens", "screen@data.source=gdcs2"], "gdsc2"),
        (["validate", "data=screens", "data.source.responses.measure=aucs"], "no measure 'aucs'"),
        (["validate", "data=screens", "data.root=/nowhere"], "/nowhere"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err + printed.out
    assert printed.err.count("\n") == 1


def test_train_warns_of_what_screens_say_about_each_other_and_keeps_it(
    panel: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(tmp_path / "raw/target/drugs.csv", "c1ccccc1", "CCN")
    said = "suspicious structures of a name: 2 names in both; drugs of one name with another structure"
    run = tmp_path / "run"
    assert main(["train", *panel, "model=naive_drug_mean", "tracking=none", f"hydra.run.dir={run}", "--json"]) == 0
    out, told = capsys.readouterr()
    assert f"warning: {said.replace('suspicious ', 'suspicious: ')}" in told
    (warning,) = json.loads(out)["warnings"]
    assert warning["what"].startswith(said)
    assert {**warning, "what": ""} == {"screen": "cross-checks", "what": "", "count": 1, "examples": "benzene"}
    assert json.loads((run / "data_notes.json").read_text())["cross-checks"][0]["what"] == warning["what"]


def test_a_warning_of_one_of_several_sources_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = write_panel(tmp_path / "raw")
    one = options.pop("source")
    two = {**one, "name": "TWO", "responses": {**one["responses"], "unit": "neg_log10_um"}}
    write_config(tmp_path, {**options, "sources": {"one": one, "two": two}})
    arguments = ["--config-dir", str(tmp_path / "conf"), "data=mine", "model=naive_drug_mean", "tracking=none"]
    assert main(["train", *arguments, f"hydra.run.dir={tmp_path / 'run'}", "--json"]) == 0
    out, told = capsys.readouterr()
    said = "suspicious direction of labels of SRC and TWO: r -1.00 over 15 pairs measured in both"
    assert f"warning: SRC+TWO: {said}" in told
    assert [warning["what"].startswith(said) for warning in json.loads(out)["warnings"]] == [True]

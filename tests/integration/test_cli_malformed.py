"""Malformed input files: one clear error with count, example and remedy, exit code 2, nothing left behind."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dadsp.cli.main import main
from tests.support.raw_files import edit, write_config, write_panel, write_source

Damage = Callable[[Path, dict[str, Any]], None]


def missing_column(root: Path, options: dict[str, Any]) -> None:
    edit(root / "source/responses.csv", "line,drug,ln_ic50", "line,drug,lnic50")


def nan_expression(root: Path, options: dict[str, Any]) -> None:
    edit(root / "source/expression.csv", "1002,1.5,", "1002,NaN,")


def duplicate_lines(root: Path, options: dict[str, Any]) -> None:
    edit(root / "source/expression.csv", "1002,", "1001,")


def mixed_units(root: Path, options: dict[str, Any]) -> None:
    path = root / "target/responses.csv"
    rows = path.read_text().splitlines()
    path.write_text(
        "\n".join([rows[0] + ",unit", *(f"{row},{'nM' if n % 3 else 'uM'}" for n, row in enumerate(rows[1:]))]) + "\n"
    )
    options["target"]["responses"]["columns"]["unit"] = "unit"


def impossible_unit(root: Path, options: dict[str, Any]) -> None:
    options["source"]["responses"]["unit"] = "um"  # natural logarithms read as µM: some are negative


def empty_file(root: Path, options: dict[str, Any]) -> None:
    (root / "source/drugs.csv").write_text("")


def wrong_delimiter(root: Path, options: dict[str, Any]) -> None:
    path = root / "source/responses.csv"
    path.write_text(path.read_text().replace(",", ";"))


def unknown_line(root: Path, options: dict[str, Any]) -> None:
    edit(root / "source/expression.csv", "1005,", "9999,")
    options["source"]["cells"] = None


def invalid_smiles(root: Path, options: dict[str, Any]) -> None:
    edit(root / "source/drugs.csv", "c1ccccc1", "c1ccccc")


def all_capped(root: Path, options: dict[str, Any]) -> None:
    options["target"]["responses"]["cap"] = 1e-6
    options["target"]["responses"]["plausible"] = [-12, 12]


def one_drug(root: Path, options: dict[str, Any]) -> None:
    path = root / "source/responses.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *(row for row in rows[1:] if row.split(",")[1] == "11")]) + "\n")


def missing_file(root: Path, options: dict[str, Any]) -> None:
    (root / "target/drugs.csv").unlink()


def source_and_sources(root: Path, options: dict[str, Any]) -> None:
    options["sources"] = {"one": options["source"]}


def sources_that_disagree_about_a_line(root: Path, options: dict[str, Any]) -> None:
    second = {**write_source(root / "second"), "name": "SRC2"}
    options["sources"] = {"first": options.pop("source"), "second": second}
    edit(root / "second/expression.csv", "1002,1.5,", "1002,1.25,")


def area_of_an_ic50(root: Path, options: dict[str, Any]) -> None:
    options["source"]["responses"]["full_area"] = 8


def structure_of_an_unknown_drug(root: Path, options: dict[str, Any]) -> None:
    options["source"]["drugs"]["smiles"] = {"1": "CCO"}


CASES: list[tuple[Damage, str]] = [
    (missing_column, r"responses\.csv has no column 'ln_ic50'.*Did you mean 'lnic50'"),
    (nan_expression, r"expression\.csv.*1 .*TP53.*1002|expression\.csv.*1 .*1002.*TP53"),
    (duplicate_lines, r"1 cell lines stand more than once \(e\.g\. 1001\)"),
    (mixed_units, r"responses\.csv.*nM"),
    (impossible_unit, r"responses\.csv.*µM|responses\.csv.*um"),
    (empty_file, r"drugs\.csv is empty"),
    (wrong_delimiter, r"separated by semicolons.*delimiter: semicolon"),
    (unknown_line, r"4 of 20 .*1005.*on_missing_expression"),
    (invalid_smiles, r"1 of 3 SMILES are not valid \(e\.g\. benzene: 'c1ccccc'\)"),
    (all_capped, r"cap"),
    (one_drug, r"one drug only \(ethanol\)"),
    (missing_file, r"There is no file .*drugs\.csv"),
    (source_and_sources, r"data has both source and sources"),
    (sources_that_disagree_about_a_line, r"1 of 5 lines of SRC2 .*\(e\.g\. 1002\)\. Give all sources one expression file"),
    (area_of_an_ic50, r"measure ic50 is no area\. Leave full_area out"),
    (structure_of_an_unknown_drug, r"drugs\.smiles names 1 drugs that .*drugs\.csv lacks \(e\.g\. 1\)"),
]


@pytest.mark.parametrize(("damage", "message"), CASES, ids=[damage.__name__ for damage, _ in CASES])
def test_malformed_input_is_one_clear_error(
    damage: Damage, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = write_panel(tmp_path / "raw")
    damage(tmp_path / "raw", options)
    write_config(tmp_path, options)
    assert main(["train", "--config-dir", str(tmp_path / "conf"), "data=mine", f"runs={tmp_path / 'runs'}"]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert not list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else True


@pytest.mark.parametrize("flags", [["--config-dir", "conf"], ["--config-dir=conf"], ["hydra.searchpath=[conf]"]])
@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_the_undamaged_panel_trains_and_the_command_that_is_kept_does_so_again(
    flags: list[str], sweep: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, write_panel(tmp_path / "raw"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", *sweep, *flags, "data=mine", "model=naive_drug_mean", "runs=one", "tracking=none"]) == 0
    (kept,) = Path("one").glob("**/run.json")
    command = json.loads(kept.read_text())["command"]
    stated = shlex.join(["--config-dir", "conf"] if flags[0].startswith("-") else flags)
    assert command == f"dadsp train {stated} data=mine model=naive_drug_mean runs=one tracking=none"
    assert json.loads(kept.with_name("metrics.json").read_text())["run"]["command"] == command
    assert main([*shlex.split(command)[1:], "hydra.run.dir=two"]) == 0
    assert Path("two/metrics.json").is_file()


@pytest.mark.parametrize("folder", ["O'Neil", "two, words", "50 % (a)"])
def test_the_folder_of_the_configuration_may_have_any_name(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(tmp_path / folder, write_panel(tmp_path / "raw"))
    conf = str(tmp_path / folder / "conf")
    assert main(["data", "validate", "--config-dir", conf, "data=mine"]) == 0
    assert main(["data", "validate", f"--config-dir={conf}", "data=mine"]) == 0
    assert capsys.readouterr().err == ""

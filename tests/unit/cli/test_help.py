"""What ``--help``, ``list`` and completion say, and that they and misspelt keys import nothing heavy."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dadsp.cli.choices import KINDS, choices, groups
from dadsp.cli.help import ACTIONS, of_verb
from dadsp.cli.listing import SCRIPT, completed
from dadsp.cli.main import main
from dadsp.cli.verbs import CONFIGURATIONS, WHAT
from dadsp.configuration.folder import conf_folder

COMPOSED = [verb for verb in WHAT if verb not in ("data", "list", "models", "completion")]
HEAVY = ("torch", "matplotlib", "mlflow", "pandas", "numpy", "scipy", "sklearn", "rdkit", "optuna", "pydantic", "asyncio")


@pytest.mark.parametrize("verb", COMPOSED)
def test_help_of_a_verb_shows_each_of_its_keys_and_every_choice_of_its_groups(verb: str) -> None:
    text = of_verb(verb, [])
    name = CONFIGURATIONS.get(verb, verb)
    content = yaml.safe_load((conf_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    for key in set(content) - {"defaults", "hydra"}:
        assert re.search(rf"(?m)^  {key}:", text), key
    for group in groups(name):
        shown = re.search(rf"(?ms)^  {group} +(.*?)(?=^  \w|^$)", text)
        assert shown is not None, group
        assert {word.rstrip("*") for word in re.split(r"[,\s]+", shown[1].strip())} == {c.name for c in choices(group)}
    assert "Hydra" not in text
    assert max(map(len, text.splitlines())) < 150


def test_help_of_a_verb_names_no_group_that_it_refuses() -> None:
    assert not re.search(r"(?m)^  (model|data) ", of_verb("predict", []))
    assert set(groups("single_drug")) == {"panel", "tracking"}
    assert groups("tune") == groups("config")


@pytest.mark.parametrize("action", ACTIONS)
def test_help_of_an_action_of_data_shows_its_usage(action: str) -> None:
    assert of_verb("data", [action]).startswith(ACTIONS[action])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("asked", ["data {} --help", "data {} -h", "data --help {}", "data {} more --help", "help data {}"])
def test_every_action_of_data_answers_help_wherever_it_is_asked_for(
    asked: str, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked.format(action).split()) == 0
    printed = capsys.readouterr()
    assert printed.out == of_verb("data", [action])
    assert printed.err == ""


@pytest.mark.parametrize(
    "words", [["predict", "--help"], ["data", "--help"], ["data", "describe", "-h"], ["list", "--help"]]
)
def test_help_is_printed_and_ends_well(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "dadsp" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_says_what_it_is_in_its_first_line(kind: str) -> None:
    for choice in choices(kind):
        assert 15 < len(choice.what) <= 150, choice
        assert choice.what[-1] in ".…:", choice


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_listed_in_a_line_each(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [path.stem for path in sorted((conf_folder() / kind).glob("*.yaml"))]
    assert main(["list", kind]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names
    assert main(["list", kind, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == names


def test_one_choice_is_shown_with_the_files_it_is_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "dadsp_a"]) == 0
    shown = capsys.readouterr().out
    for part in ("dadsp_a", "parts/network"):
        assert (conf_folder() / "model" / f"{part}.yaml").read_text(encoding="utf-8") in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "Did you mean 'train'"),
        (["trian", "--help"], "Did you mean 'train'"),
        (["data", "descrbe", "--help"], "Did you mean 'describe'"),
        (["list", "modle"], "Did you mean 'model'"),
        (["list", "model", "dadsp_c"], "model=dadsp_c is not a valid choice. Did you mean 'dadsp_"),
    ],
)
def test_what_is_misspelt_is_told_with_the_nearest(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dadsp pre", ["predict "]),
        ("dadsp train mod", ["model="]),
        ("dadsp train -m model=pairw", ["model=pairwise_gp"]),
        ("dadsp tune mod", ["model="]),
        ("dadsp predict dom", ["domain="]),
        ("dadsp predict model=", []),
        ("dadsp data desc", ["describe "]),
        ("dadsp data describe data=gdsc_", ["data=gdsc_ccle_panel"]),
        ("dadsp list pan", ["panel"]),
        ("dadsp list panel simulated_t", ["simulated_tiny"]),
        ("dadsp models svr", ["svr"]),
        ("dadsp nothing mod", []),
    ],
)
def test_words_are_completed(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    (tmp_path / "dadsp").write_text(f'#!/bin/sh\nexec {sys.executable} -m dadsp "$@"\n')
    (tmp_path / "dadsp").chmod(0o755)
    line = "dadsp train model=pairw"
    ask = f'{SCRIPT}\nPATH="{tmp_path}:$PATH"; COMP_LINE="{line}"; COMP_POINT={len(line)}; _dadsp; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "pairwise_gp\n"


def test_what_computes_nothing_imports_nothing_heavy(tmp_path: Path) -> None:
    commands: list[tuple[list[str], int]] = [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["data", "describe", "--help"], 0),
        (["list", "model"], 0),
        (["train", "--cfg", "job"], 0),
        (["predict", "run=x", "pairs=y", "--cfg", "job"], 0),
        (["train", "model.dropuot=1"], 2),
        (["train", "model=dadsp_z"], 2),
        (["tune", "tune.trails=1"], 2),
        (["single-drug", "drgu=1"], 2),
        (["data", "describe", "data=simulatd"], 2),
        (["trian"], 2),
    ]
    program = f"""
import sys
from dadsp.cli.main import main
for words in {[words for words, _ in commands]!r}:  # what one command imports is still there after the next
    code = main(words)
    print("imported", sorted(set({HEAVY!r}) & set(sys.modules)), "by", words, code, file=sys.stderr)
"""
    root = str(conf_folder().parent)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": root, "PATH": ""}
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("imported ")]
    assert said == [f"imported [] by {words} {code}" for words, code in commands]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["completion", "fish"], "dadsp completion takes no argument"),
        (["list", "model", "dadsp_a", "nobody"], "model=nobody is not a valid choice"),
        (["train", "plugins=[../x]"], "is no name of a plug-in"),
    ],
)
def test_what_cannot_be_listed_completed_or_plugged_in_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err

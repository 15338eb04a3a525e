"""Words of the command line as Hydra's grammar reads them."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dadsp.configuration.arguments import readable

NAMES = [
    "runs/my run",
    "runs/Zürich",
    "runs/試験",
    "runs/a,b",
    "runs/a=b",
    "runs/(1)",
    "runs/[old]",
    "runs/it's",
    'runs/"x"',
    "runs/100%",
    "runs/a;b",
    "runs/a&b",
    "runs/a#b",
    "runs/a\\",
    "runs/a\\'b",
    "[x]",
    "{x}",
    "2024",
    "1e5",
    "null",
    "true",
    "a,b",
    "range(1,3)",
]


def value_of(argument: str) -> object:
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_can_be_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    (argument,) = readable([f"run={name}"])
    assert value_of(argument) == name


@pytest.mark.parametrize("name", ["runs/my run", "runs/Zürich", "out/試験", "a#b", "x&y"])
def test_what_does_not_exist_yet_can_be_named_too(name: str) -> None:
    (argument,) = readable([f"out={name}"])
    assert value_of(argument) == name


@pytest.mark.parametrize(
    "argument",
    [
        "seed=0,1,2",
        "model.encoder_widths=[8,4]",
        "data.source={name: x}",
        "drug='a b'",
        "data.root=${oc.env:HOME}",
        "model.x=[1",
        "~tracking",
        "+model.gama=3",
        "--json",
        "--config-dir=my conf",
        "resume=",
        "runs=null",
        "trainer.max_epochs=range(1,4)",
    ],
)
def test_what_the_grammar_reads_is_left_as_it_is(argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert readable([argument]) == [argument]

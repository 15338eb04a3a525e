"""Words of the command line as Hydra's grammar reads them."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dadsp.configuration.arguments import readable
from dadsp.configuration.compose import compose
from dadsp.errors import ConfigError

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


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[Nutlin-3a (-)]", ["Nutlin-3a (-)"]),
        ("[Nutlin-3a (-), Erlotinib]", ["Nutlin-3a (-)", "Erlotinib"]),
        ("[(5Z)-7-Oxozeaenol,5-Fluorouracil]", ["(5Z)-7-Oxozeaenol", "5-Fluorouracil"]),
        ("[C[C@H](N)C(=O)O, 'a, b', (+)-JQ1]", ["C[C@H](N)C(=O)O", "a, b", "(+)-JQ1"]),
        ("[Bleomycin (50 uM), JQ1 [S], it's (x)]", ["Bleomycin (50 uM)", "JQ1 [S]", "it's (x)"]),
        ("[α-Tocopherol, 5′-x]", ["α-Tocopherol", "5′-x"]),
        ("{Erlotinib: CC(=O)O, x: C[NH3+]}", {"Erlotinib": "CC(=O)O", "x": "C[NH3+]"}),
    ],
)
def test_names_with_brackets_and_structures_may_stand_in_lists(value: str, meant: object) -> None:
    (argument,) = readable([f"drugs={value}"])
    assert value_of(argument) == meant


@pytest.mark.parametrize(
    "value", ["[a,b", "[a,,b (x)]", "[a (b]", "[a) (b]", "{a: b", "{Nutlin-3a (-): CCO}", "['a (-), b]"]
)
def test_a_list_with_a_mistake_in_it_is_left_for_an_error_that_says_how_to_quote(value: str) -> None:
    assert readable([f"drugs={value}"]) == [f"drugs={value}"]
    with pytest.raises(ConfigError) as caught:
        compose("predict", [f"drugs={value}"])
    assert str(caught.value).startswith(f"drugs={value} cannot be read. Put a name or SMILES with brackets")
    assert "\n" not in str(caught.value)


def test_a_key_below_what_a_configuration_lacks_is_to_be_added() -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.sources\.gdsc2\.drugs\.foo is not there to be changed\. Add it: \+data\.sources"
    ):
        compose("config", ["data=gdsc12_ccle", "data.sources.gdsc2.drugs.foo=1"])

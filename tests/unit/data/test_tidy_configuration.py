"""How configurations describe a user's files: the template, folders, structures written there, names of earlier versions."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from pydantic import BaseModel

from dadsp.building import registered
from dadsp.configuration.compose import compose
from dadsp.data.sources import tidy_files
from dadsp.data.sources.tidy import tidy_screen, tidy_study
from dadsp.data.sources.tidy_files import ScreenOptions
from dadsp.errors import ConfigError
from tests.support.raw_files import write_panel, write_source, write_target

Options = dict[str, Any]


def test_a_structure_of_the_configuration_goes_before_that_of_the_file(tmp_path: Path) -> None:
    panel = write_panel(tmp_path)
    panel["source"]["drugs"]["smiles"] = {"14": "CCCC", "11": "CCS"}
    screen = tidy_screen(panel["source"], panel["root"])
    assert screen.drugs.smiles == ("CCS", "c1ccccc1", "CC(=O)O", "CCCC")
    (note,) = (note for note in screen.notes if "drugs.smiles" in note.what)
    assert (note.count, note.examples) == (2, "14, 11")


def test_numbers_of_a_configuration_are_names_where_names_belong(tmp_path: Path) -> None:
    panel = write_panel(tmp_path)
    path = tmp_path / "source/responses.csv"
    path.write_text(path.read_text().partition("\n")[2])
    named = panel["source"]["responses"] | {"header_lines": 0, "columns": {"cell_id": "1", "drug_id": "2", "value": "3"}}
    counted = named | {"columns": {"cell_id": 1, "drug_id": 2, "value": 3}}
    drugs = panel["source"]["drugs"] | {"smiles": {11: "CCS"}}
    one, other = (
        tidy_screen(panel["source"] | {"responses": responses, "drugs": drugs}, tmp_path) for responses in (named, counted)
    )
    assert one.content_hash == other.content_hash
    assert one.drugs.smiles[0] == "CCS"


def test_root_may_be_the_folder_or_the_one_that_holds_it(tmp_path: Path) -> None:
    inner = tmp_path / "panel"
    options = write_panel(inner)
    del options["root"]
    inside, outside = (tidy_study(root, folder="panel", **options) for root in (inner, tmp_path))
    assert inside.content_hash == outside.content_hash


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """All keys of a model and of the models in it."""
    found = set()
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(kind, type)]
        nested = [kind for kind in inner if issubclass(kind, BaseModel)]
        found |= _keys(nested[0], f"{prefix}{name}.") if nested else {prefix + name}
    return found


def _paths(node: Any, prefix: str = "") -> set[str]:
    if not isinstance(node, dict):
        return {prefix.rstrip(".")}
    return {path for key, value in node.items() for path in _paths(value, f"{prefix}{key}.")}


@pytest.mark.parametrize("side", ["source", "target"])
def test_the_template_names_every_option_and_no_other(side: str) -> None:
    template = OmegaConf.to_container(compose("config", ["data=own_csv"]).data)
    assert isinstance(template, dict)
    written = _paths(template[side])
    whole = ("id_map", "drugs.structures", "cells.links", "responses.fit")  # shown as one line
    keys = {next((part for part in whole if key.startswith(f"{part}.")), key) for key in _keys(ScreenOptions)}
    assert written == keys


def test_the_template_filled_in_reads(tmp_path: Path) -> None:
    filled: Options = {
        "root": str(tmp_path),
        "source": write_source(tmp_path / "source"),
        "target": write_target(tmp_path / "target"),
    }
    expected = tidy_study(**filled).content_hash
    template = compose("config", ["data=own_csv"]).data
    OmegaConf.set_struct(template, False)
    merged = OmegaConf.to_container(OmegaConf.merge(template, filled), throw_on_missing=True)
    assert isinstance(merged, dict)
    options = {str(key): value for key, value in merged.items() if not str(key).startswith("_")}
    assert tidy_study(**options).content_hash == expected


def test_the_panel_config_without_its_folder_says_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DADSP_REAL_DATA", raising=False)
    config = OmegaConf.to_container(compose("config", ["data=gdsc_ccle_panel"]).data, resolve=True)
    assert isinstance(config, dict)
    options: Options = {str(key): value for key, value in config.items() if not str(key).startswith("_")}
    with pytest.raises(ConfigError, match=r"the folder that holds gdsc_ccle as data\.root=FOLDER, or .*DADSP_REAL_DATA"):
        tidy_study(**options)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("expression", "ExpressionFile"), ("responses", "ResponseFile"), ("drugs", "DrugFile"), ("cells", "CellFile")],
)
def test_files_are_found_where_configurations_of_earlier_runs_name_them(kind: str, name: str) -> None:
    assert registered(kind, f"dadsp.data.sources.tidy.{name}") is getattr(tidy_files, name)

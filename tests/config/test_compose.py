"""Every choice of every group composes and builds."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from pydantic import BaseModel

from dadsp.cli.configuration import build, compose, conf_folder
from dadsp.models.base import Predictor
from dadsp.models.dadsp_a import DadspA
from dadsp.models.dadsp_b import DadspB
from dadsp.models.deepdsc1 import DeepDsc1
from dadsp.models.sla import Sla

GROUPS = ("data", "split", "drug_features", "model", "trainer", "tracking", "experiment")
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((conf_folder() / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_its_model_builds(group: str, choice: str) -> None:
    config = compose("config", [f"{group}={choice}"])
    assert isinstance(build(config.model, "model"), Predictor)


@pytest.mark.parametrize("choice", [name for group, name in CHOICES if group == "experiment"])
def test_every_experiment_names_an_mlflow_experiment_of_its_own(choice: str) -> None:
    assert compose("config", [f"experiment={choice}"]).tracking.experiment == choice


def test_tiny_study_and_split_build() -> None:
    config = compose("config", ["data=simulated_tiny"])
    study = build(config.data, "data")
    split = build(config.split, "split", study=study, seed=0)
    assert len(split.test_idx) == len(study.target.responses)


@pytest.mark.parametrize(
    ("choice", "system"), [("dadsp_a", DadspA), ("dadsp_b", DadspB), ("deepdsc1", DeepDsc1), ("sla", Sla)]
)
def test_yaml_of_a_deep_system_states_the_code_s_own_defaults(choice: str, system: Any) -> None:
    config = compose("config", [f"model={choice}"]).model
    assert build(config, "model").options == system().options
    assert build(config, "model").training == system().training
    assert {str(key) for key in config} - {"_target_", "_convert_", "drug_features", "training"} == set(
        asdict(system().options)
    )


@pytest.mark.parametrize("screen", sorted(path.stem for path in (conf_folder() / "screen").glob("*.yaml")))
def test_every_screen_composes_on_either_side_and_its_parts_build(screen: str) -> None:
    data = compose("config", ["data=screens", f"screen@data.source={screen}", f"screen@data.target={screen}"]).data
    assert data.source == data.target
    parts = {key: node for key, node in data.source.items() if isinstance(node, DictConfig) and "_target_" in node}
    for key, node in parts.items():
        assert isinstance(build(node, f"data.source.{key}"), BaseModel)


def test_configuration_is_found_in_a_checkout() -> None:
    assert (conf_folder() / "config.yaml").is_file()
    assert Path(conf_folder()).name == "conf"

"""Every choice of every group composes and builds."""

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel

from dadsp.configuration.compose import build, compose
from dadsp.configuration.folder import conf_folder
from dadsp.drugs.graphs import MolecularGraph
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.similarity import SimilarityProfile
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.models.base import Predictor
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.dadsp_b import DadspB
from dadsp.models.systems.deepdsc1 import DeepDsc1
from dadsp.models.systems.drug_ridge import DrugRidge
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.models.systems.sla import Sla
from dadsp.options import validated
from dadsp.singledrug.network import NetworkOptions
from dadsp.singledrug.settings import OPTIONS, SingleDrugOptions

PANELS = sorted(path.stem for path in (conf_folder() / "panel").glob("*.yaml"))
GROUPS = ("data", "split", "drug_features", "alignment", "model", "trainer", "tracking", "experiment")
ROOT = Path(__file__).resolve().parents[2]
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((conf_folder() / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_its_model_builds(group: str, choice: str) -> None:
    config = compose("config", [f"{group}={choice}"])
    assert isinstance(build(config.model, "model"), Predictor)
    if group == "experiment":  # each names an MLflow experiment of its own
        assert config.tracking.experiment == choice


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_every_system_of_a_table_builds_and_published_numbers_name_it(table: str) -> None:
    params = yaml.safe_load((conf_folder() / "experiment" / f"{table}.yaml").read_text())["hydra"]["sweeper"]["params"]
    assert params.pop("seed") == "0,1,2,3,4"
    names = {}
    for chosen in product(*(choices.split(",") for choices in params.values())):
        config = compose("config", [f"experiment={table}", *map("=".join, zip(params, chosen, strict=True))])
        name = build(config.model, "model").name
        if "drug_features" in params:  # dadsp compare adds what varies within a system
            name += f" [drug_features={config.drug_features._target_.rpartition('.')[2]}]"
        names[chosen] = name
    assert len(set(names.values())) == len(names)
    expected = pd.read_csv(ROOT / "experiments" / table / "expected.csv")
    keys = zip(*(expected.get(group, ["dadsp_a"] * len(expected)) for group in params), strict=True)
    assert expected["system"].tolist() == [names[key] for key in keys]


@pytest.mark.parametrize("experiment", ["paper_literal", "authors_code"])
def test_every_system_of_text_and_code_builds_with_their_choices(experiment: str) -> None:
    params = yaml.safe_load((conf_folder() / "experiment" / f"{experiment}.yaml").read_text())["hydra"]["sweeper"]["params"]
    text = experiment == "paper_literal"
    for name in params["model"].split(","):
        config = compose("config", [f"experiment={experiment}", f"model={name}"])
        model = build(config.model, "model")
        options = model.options
        assert (options.encoder_activation, options.selection, options.drug_widths) == (
            ("relu", "source_val", (256, 256)) if text else ("sigmoid", "target_oracle", ())
        )
        assert (options.expression_scaling, options.input_basis, options.output_start) == ("minmax", "genes", "fresh")
        assert options.scaling_scope == ("per_domain" if text else "joint")
        assert {options.pretraining.decoder_activation, options.pretraining.output_activation} == {
            "relu" if text else "linear"
        }
        assert (model.training.regression_loss, model.training.batching) == ("sum" if text else "mean", "pairs")
        assert config.data.label_cap == "none"
        if name.startswith("dadsp_a"):
            assert (options.target_sampling, options.discriminator_batch_norm) == (
                ("independent", False) if text else ("paired", True)
            )
        if name.startswith("dadsp_b"):
            assert options.stages.adaptation.mmd_squared != text


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
    assert {str(key) for key in config} - {"_target_", "drug_features", "alignment", "training"} == set(
        asdict(system().options)
    )


@pytest.mark.parametrize(
    ("choice", "features"), [("morgan", Morgan), ("ssp", SimilarityProfile), ("cnn", SmilesTokens), ("gcn", MolecularGraph)]
)
def test_yaml_of_drug_features_states_the_code_s_own_defaults(choice: str, features: Any) -> None:
    config = compose("config", [f"drug_features={choice}"]).drug_features
    assert build(config, "drug_features") == features()


@pytest.mark.parametrize(("choice", "system"), [("pairwise_gp", PairwiseGp), ("drug_ridge", DrugRidge)])
def test_yaml_of_a_kernel_system_states_the_code_s_own_defaults(choice: str, system: Any) -> None:
    built, own = build(compose("config", [f"model={choice}"]).model, "model").options, system().options
    assert {key: value for key, value in asdict(built).items() if key != "name"} == {
        key: value for key, value in asdict(own).items() if key != "name"
    }


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_composes_and_the_simulated_ones_build(panel: str) -> None:
    config = compose("single_drug", [f"panel={panel}"])
    if panel in ("simulated", "simulated_tiny"):
        assert len(build(config.panel, "panel").genes) == config.panel.n_genes
    else:
        assert config.panel._target_.startswith("dadsp.data.sources.")


def test_yaml_of_single_drug_states_the_code_s_own_defaults() -> None:
    config = OmegaConf.to_container(compose("single_drug", []))
    assert isinstance(config, dict)
    stated = validated(SingleDrugOptions, {key: config[key] for key in OPTIONS}, "")
    assert stated == SingleDrugOptions(network=NetworkOptions(architecture="fixed"))


@pytest.mark.parametrize("screen", sorted(path.stem for path in (conf_folder() / "screen").glob("*.yaml")))
def test_every_screen_composes_on_either_side_and_its_parts_build(screen: str) -> None:
    data = compose("config", ["data=screens", f"screen@data.source={screen}", f"screen@data.target={screen}"]).data
    assert data.source == data.target
    nodes = {key: data.source._get_node(key) for key in data.source}
    parts = {key: node for key, node in nodes.items() if isinstance(node, DictConfig) and "_target_" in node}
    for key, node in parts.items():
        assert isinstance(build(node, f"data.source.{key}"), BaseModel)


def test_configuration_is_found_in_a_checkout() -> None:
    assert (conf_folder() / "config.yaml").is_file()
    assert Path(conf_folder()).name == "conf"

"""Keys that cannot act are told, and what is told is true: with them or without, the system is the same."""

from typing import Any

import numpy as np
import pytest

from dadsp.cli.main import main
from dadsp.drugs.graphs import MolecularGraph
from dadsp.models.idle_keys import Idle, told
from dadsp.models.systems.classical import SvrOptions
from dadsp.models.systems.dadsp_a import DadspAOptions
from dadsp.models.systems.line_network import LineNetworkSystem
from dadsp.models.systems.naive import Naive
from dadsp.models.training.options import PretrainingOptions, TrainingOptions
from dadsp.runs.parts import without_effect
from dadsp.schema import Split, Study
from tests.unit.models.test_honesty import CHOICES, configured, predictions

BLOCKS = "batches are blocks of lines × drugs"
PAIRS = "batches are pairs drawn one by one"


def key(name: str) -> str:
    """Of the model where it has no prefix."""
    return name.replace("trainer_", "trainer.") if name.startswith("trainer_") else f"model.{name}"


@pytest.mark.parametrize(
    ("choice", "beside", "idle", "reason"),
    [
        ("deepdsc1", {}, {"pretraining_lines": "both"}, "inside one screen"),
        ("source_only", {}, {"target_sampling": "paired", "gamma": 3.0}, "model.adversarial_weight=0"),
        ("source_only", {}, {"discriminator_batch_norm": True}, "without adversary"),
        ("dadsp_a_no_pretrain", {}, {"pretraining_lines": "both"}, "model.pretraining=null"),
        ("dadsp_a", {}, {"trainer_batch_size": 7}, BLOCKS),
        ("dadsp_b", {"trainer_batching": "pairs"}, {"trainer_block_lines": 3, "trainer_min_blocks": 9}, PAIRS),
        ("dadsp_a", {"target_sampling": "paired"}, {"trainer_block_drugs": 2}, PAIRS),
        ("line_network", {}, {"adaptation_weight": 3.0, "gamma": 3.0}, "model.adaptation=none"),
        ("line_network", {"free_codes": False}, {"free_code_dropout": 0.9}, "model.free_codes=false"),
        ("line_network", {"centred": False}, {"level_power": 3.0, "level_penalty": 2.0}, "model.centred=false"),
        ("line_network", {"adaptation_weight": 0.0}, {"adaptation": "mmd"}, "adapts nothing"),
        ("line_network_adversary", {"adaptation_weight": 0.0}, {"gamma": 3.0}, "trains no adversary"),
        ("linear", {"features": "raw"}, {"input_basis": "genes", "pretraining.batch_size": 3}, "learns no encoder"),
        ("linear", {}, {"pca_components": 3}, "takes no principal components"),
        ("linear", {}, {"trainer_learning_rate": 3.0, "trainer_devices": 2}, "trains by model.pretraining alone"),
        ("linear", {"features": "pca"}, {"trainer_gradient_clip": 1e-3}, "trains no network"),
        (
            "dadsp_a",
            {"alignment": "{_target_: dadsp.data.alignment.rank.Rank}"},
            {"scaling_scope": "joint"},
            "alignment=rank",
        ),
        ("pairwise_gp", {"kernel.lines": "linear"}, {"kernel.rbf_width": 3.0}, "has no radial part"),
        ("pairwise_gp", {"choose": "source_validation"}, {"kernel.lines": "rbf"}, "tries every kernel of lines"),
        ("pairwise_gp", {}, {"trainer_max_epochs": 3, "trainer_precision": "bf16"}, "in closed form"),
        ("drug_kernel_ridge", {}, {"expression_scaling": "minmax", "scaling_scope": "joint"}, "reads no gene"),
        ("deepdsc1", {}, {"trainer_batch_size": 7}, BLOCKS),
        ("line_network_mmd", {}, {"gamma": 3.0}, "has no adversary"),
        ("source_only_coral", {}, {"code_width": 3, "free_code_dropout": 0.5}, "model.head=published"),
    ],
)
def test_idle_keys_are_told_and_change_nothing(
    choice: str, beside: dict[str, Any], idle: dict[str, Any], reason: str, study: Study, split: Split
) -> None:
    plain = configured(choice, **{key(name): value for name, value in beside.items()})
    given = configured(choice, **{key(name): value for name, value in (beside | idle).items()})
    told_before = plain.without_effect()
    (line,) = [line for line in given.without_effect() if line not in told_before and reason in line]
    assert all(key(name) in line for name in idle)
    ours, theirs = (predictions(system.fit(study, split), study) for system in (plain, given))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_an_activation_without_hidden_layers_is_told_and_changes_nothing(study: Study, split: Split) -> None:
    given: dict[str, Any] = {
        "drug_widths": (),
        "encoder_widths": (8,),
        "training": {"max_epochs": 1, "min_blocks": 1, "device": "cpu"},
    }
    plain, changed = LineNetworkSystem(**given), LineNetworkSystem(**given, activation="tanh")
    (line,) = changed.without_effect()
    assert line.startswith("model.activation=tanh has no effect: ")
    assert not plain.without_effect()
    assert not LineNetworkSystem(activation="tanh").without_effect()
    ours, theirs = (predictions(system.fit(study, split), study) for system in (plain, changed))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("choice", CHOICES)
def test_no_system_as_configured_has_idle_keys(choice: str) -> None:
    """But for what ``configured`` shrinks."""
    shrunk = ("regressor_widths=[8,4]", "discriminator_widths=[6,4]", "min_blocks=1 ", "pca learns no encoder")
    assert not [line for line in configured(choice).without_effect() if not any(words in line for words in shrunk)]


def test_a_line_names_what_was_set_to_something_else_than_its_default() -> None:
    options = TrainingOptions(block_lines=4, block_drugs=None, patience=None)
    rules = [Idle(True, ("block_lines", "block_drugs", "patience"), "so"), Idle(False, ("block_lines",), "not so")]
    assert told(options, "trainer", rules) == ["trainer.block_lines=4, trainer.patience=null have no effect: so"]
    assert told(TrainingOptions(), "trainer", rules) == []


def test_a_key_that_holds_others_tells_which_of_them_were_set() -> None:
    rules = [Idle(True, ("pretraining", "name"), "so")]
    changed, without = SvrOptions(pretraining=PretrainingOptions(stack_epochs=3)), DadspAOptions(pretraining=None)
    assert told(changed, "model", rules) == ["model.pretraining.stack_epochs=3 has no effect: so"]
    assert told(without, "model", rules) == ["model.pretraining=null has no effect: so"]


def test_the_width_of_a_read_out_that_is_not_there_is_told() -> None:
    assert MolecularGraph(outputs=7).without_effect() == [
        "drug_features.outputs=7 has no effect: drug_features.read_out=max has no such layer"
    ]
    assert not MolecularGraph(outputs=7, read_out="dense").without_effect()
    assert not MolecularGraph().without_effect()


def test_a_trainer_is_told_where_a_system_takes_none() -> None:
    settings = {"model": {}, "trainer": {"max_epochs": 3, "threads": 2}}
    assert without_effect(Naive(), settings) == ["trainer.max_epochs=3 has no effect: the system takes no trainer"]
    assert not without_effect(Naive(), {**settings, "model": {"training": {}}})


@pytest.mark.usefixtures("tmp_path")
def test_training_tells_them(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["data=simulated_tiny", "trainer=tiny", "tracking=none", "model=source_only", "model.pretraining=null"]
    assert main(["train", *given, "model.gamma=3", "trainer.block_drugs=4", "trainer.min_blocks=60"]) == 0
    said = capsys.readouterr().err
    assert "model.gamma=3.0 has no effect: model.adversarial_weight=0 trains without adversary" in said
    assert "trainer.block_drugs=4 is overruled by trainer.min_blocks=60" in said

"""Keys that cannot act are told, and what is told is true: with them or without, the system is the same."""

from typing import Any

import numpy as np
import pytest

from dadsp.cli.main import main
from dadsp.models.idle_keys import Idle, told
from dadsp.models.training.options import TrainingOptions
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
        ("line_network", {"centred": False}, {"level_power": 3.0}, "model.centred=false"),
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
    (line,) = [line for line in given.without_effect() if line not in told_before]
    assert reason in line
    assert all(key(name) in line for name in idle)
    ours, theirs = (predictions(system.fit(study, split), study) for system in (plain, given))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("choice", CHOICES)
def test_no_system_as_configured_has_idle_keys(choice: str) -> None:
    """But for what ``configured`` shrinks."""
    shrunk = ("regressor_widths=[8,4]", "discriminator_widths=[6,4]", "min_blocks=1 ")
    assert not [line for line in configured(choice).without_effect() if not any(words in line for words in shrunk)]


def test_a_line_names_what_was_set_to_something_else_than_its_default() -> None:
    options = TrainingOptions(block_lines=4, block_drugs=None, patience=None)
    rules = [Idle(True, ("block_lines", "block_drugs", "patience"), "so"), Idle(False, ("block_lines",), "not so")]
    assert told(options, "trainer", rules) == ["trainer.block_lines=4, trainer.patience=null have no effect: so"]
    assert told(TrainingOptions(), "trainer", rules) == []


@pytest.mark.usefixtures("tmp_path")
def test_training_tells_them(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["data=simulated_tiny", "trainer=tiny", "tracking=none", "model=source_only", "model.pretraining=null"]
    assert main(["train", *given, "model.gamma=3", "trainer.block_drugs=4", "trainer.min_blocks=60"]) == 0
    said = capsys.readouterr().err
    assert "model.gamma=3.0 has no effect: model.adversarial_weight=0 trains without adversary" in said
    assert "trainer.block_drugs=4 is overruled by trainer.min_blocks=60" in said

"""Small deep systems and what tests ask of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dadsp.models.base import FitContext, Predictor, load_model, predict_split, save_model
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.schema import Split, Study

SMALL: dict[str, Any] = {
    "encoder_activation": "relu",  # a few sigmoid units tell few lines apart after a few steps
    "encoder_widths": (16, 8),
    "drug_widths": (8, 8),
    "regressor_widths": (8, 4),
    "pretraining": {"layer_epochs": 1, "stack_epochs": 1, "batch_size": 8},
}
LIVELY = SMALL | {"activation": "tanh", "encoder_activation": "tanh"}  # so few ReLUs may all be dead from the start
# So many steps and units that a few pairs are learned by heart.
OVERFITTING: dict[str, Any] = {
    "epochs": 80,
    "training": {"learning_rate": 0.03, "patience": None},
    "encoder_widths": (32, 16),
    "regressor_widths": (32, 16),
}


class Killed(Exception):
    """Stands for the end of a process."""


def killed_at(stage: str, epoch: int, **context: Any) -> FitContext:
    """A context whose run ends after that epoch."""

    def kill(this_stage: str, this_epoch: int, metrics: dict[str, float]) -> None:
        if (this_stage, this_epoch) == (stage, epoch):
            raise Killed

    return FitContext(**context, on_epoch=kill)


def noting(into: list[tuple[str, int]]) -> Callable[[str, int, dict[str, float]], None]:
    """A callback that notes (stage, epoch)."""
    return lambda stage, epoch, metrics: into.append((stage, epoch))


def weights(model: CrossScreenNetwork) -> list[torch.Tensor]:
    return [value.clone() for value in model.network.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def poisoned(study: Study) -> Study:
    """The same study with other target labels."""
    responses = study.target.responses
    changed = replace(responses, potency=responses.potency * -2 + 3, censored=~responses.censored)
    return replace(study, target=replace(study.target, responses=changed))


def with_target_expression(study: Study, expression: Any) -> Study:
    """The same study with other target expression."""
    cells = replace(study.target.cells, expression=expression)
    return replace(study, target=replace(study.target, cells=cells))


def assert_reloads_bit_for_bit(model: Predictor, study: Study, split: Split, folder: Path) -> None:
    """The saved model is the same one: its name and all its predictions."""
    save_model(model, folder)
    again = load_model(folder)
    assert again.name == model.name
    expected, found = (predict_split(m, study, split).frame["y_pred"].to_numpy() for m in (model, again))
    assert np.array_equal(expected, found)


def fitted_dadsp_a(study: Study, split: Split, context: FitContext | None = None, epochs: int = 2, **options: Any) -> DadspA:
    """A small DADSP-A, trained for some epochs."""
    training = {"max_epochs": epochs, "min_blocks": 1, **options.pop("training", {})}
    return DadspA(training=training, **{**SMALL, "discriminator_widths": (6, 4), **options}).fit(study, split, context)

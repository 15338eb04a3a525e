"""A stage's progress and learning rate move with every optimizer step."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dadsp.models.base import FitContext
from dadsp.models.training.batches import RowBatches
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.stage import Stage, run_stage

EPOCHS, STEPS = 3, 4  # of each epoch


class NotingStage(Stage):
    """Notes progress and learning rate of every step."""

    def __init__(self, **options: Any) -> None:
        training = TrainingOptions(max_epochs=EPOCHS, patience=None, learning_rate=0.01, **options)
        super().__init__("noting", nn.Linear(1, 1), training, FitContext())
        self.steps: list[tuple[float, float]] = []

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        self.steps.append((self.progress, self.trainer.optimizers[0].param_groups[0]["lr"]))
        return {"loss": self.network(torch.ones(len(batch), 1)).square().mean()}


def steps(**options: Any) -> list[tuple[float, float]]:
    stage = NotingStage(**options)
    run_stage(stage, RowBatches(8, size=2, seed=0, epoch=lambda: 0), STEPS, FitContext())
    return stage.steps


def test_progress_is_the_share_of_planned_steps_taken() -> None:
    assert [progress for progress, _ in steps()] == pytest.approx([step / 12 for step in range(12)])


def test_learning_rate_follows_its_schedule_step_by_step() -> None:
    assert {rate for _, rate in steps()} == {0.01}
    for step, (_, rate) in enumerate(steps(schedule="dann")):
        assert (0.01 / rate) ** 4 == pytest.approx((1 + 10 * step / 12) ** 3)

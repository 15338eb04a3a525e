"""A method of adaptation is its loss on both screens' codes: Deep CORAL as a guest."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.errors import ConfigError
from dadsp.models.base import FitContext
from dadsp.models.stages.adapted import AdaptedStage
from dadsp.schema import Split, Study
from tests.support import deep_coral
from tests.support.deep_coral import DeepCoral
from tests.support.systems import LIVELY, assert_reloads_bit_for_bit, poisoned, same, weights, with_target_expression


def fitted(study: Study, split: Split, **options: Any) -> DeepCoral:
    training = {"max_epochs": 3, "min_blocks": 1, **options.pop("training", {})}
    return DeepCoral(training=training, **{**LIVELY, "pretraining": None, **options}).fit(study, split)


def test_deep_coral_takes_at_most_forty_lines() -> None:
    assert len(Path(deep_coral.__file__).read_text(encoding="utf-8").splitlines()) <= 40


def test_its_loss_is_the_scaled_distance_of_covariances() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=(7, 3)), random.normal(size=(5, 3)) * 2
    expected = ((np.cov(source.T) - np.cov(target.T)) ** 2).sum() / (4 * 3**2)
    found = DeepCoral().domain_loss(torch.from_numpy(source), torch.from_numpy(target))
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batching", ["blocks", "pairs"])
def test_it_brings_the_codes_of_both_screens_closer(study: Study, split: Split, batching: str) -> None:
    far = with_target_expression(study, study.target.cells.expression * 3)
    training = {"max_epochs": 40, "learning_rate": 0.01, "patience": None, "batching": batching, "batch_size": 16}
    without, adapted = (
        fitted(far, split, training=training, scaling_scope="joint", adaptation_weight=weight) for weight in (0.0, 30.0)
    )
    distances = []
    for model in (without, adapted):
        codes = (torch.from_numpy(part) for part in (model.codes(far.source, "source"), model.codes(far.target, "target")))
        distances.append(float(model.domain_loss(*codes)))
    assert distances[1] < 0.5 * distances[0]
    assert {"train/loss", "train/mse", "train/domain_loss"} <= set(adapted.history().columns)


def test_without_weight_it_is_the_source_only_network(study: Study, split: Split) -> None:
    model = fitted(study, split, adaptation_weight=0.0)
    other = fitted(with_target_expression(study, study.target.cells.expression[::-1] ** 3), split, adaptation_weight=0.0)
    assert same(weights(model), weights(other))
    assert "train/domain_loss" not in model.history()


def test_target_expression_changes_its_weights_and_target_labels_do_not(study: Study, split: Split) -> None:
    ours = fitted(study, split, input_basis="genes")
    other = fitted(with_target_expression(study, study.target.cells.expression[::-1] ** 3), split, input_basis="genes")
    assert not same(weights(ours), weights(other))
    assert same(weights(ours), weights(fitted(poisoned(study), split, input_basis="genes")))


def test_it_reloads_bit_for_bit(study: Study, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dadsp.models.base.registered", lambda kind, name: DeepCoral)
    assert_reloads_bit_for_bit(fitted(study, split), study, split, tmp_path)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="adversarial_weight"):
        DeepCoral(adversarial_weight=1.0)


def test_loss_of_a_batch_is_squared_error_plus_weight_times_what_the_method_says_of_its_two_halves(
    study: Study, split: Split
) -> None:
    model = DeepCoral(**{**LIVELY, "pretraining": None})
    inputs = model._prepare(study, split, FitContext())
    halves: list[tuple[torch.Tensor, torch.Tensor]] = []

    def domain_loss(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        halves.append((source, target))
        return (source.mean() - target.mean()) ** 2

    make = partial(AdaptedStage, "x", model.network, inputs, model.labels, model.training, FitContext())
    stage = make(weight=0.5, domain_loss=domain_loss)
    for batch in model._batches(inputs.train, stage, inputs.target_lines):
        losses = stage.losses(batch)
        ((source, target),) = halves
        codes = model.network.encoder(stage.expression)
        torch.testing.assert_close(source, codes[batch.lines[: len(source)]])
        torch.testing.assert_close(target, codes[batch.lines[len(source) :]])
        assert (batch.lines[: len(source)] < len(study.source.cells)).all()
        assert (batch.lines[len(source) :] >= len(study.source.cells)).all()
        expected = losses["mse"] + 0.5 * (source.mean() - target.mean()) ** 2
        torch.testing.assert_close(losses["loss"], expected)
        halves.clear()

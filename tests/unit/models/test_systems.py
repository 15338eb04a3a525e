"""What every adapted system keeps: no target label, its capacity, its seed, its way to disk and back, its resumption."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.models.base import FitContext
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.systems.dadsp_b import DadspB
from dadsp.models.systems.sla import Sla
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import (
    LIVELY,
    OVERFITTING,
    Killed,
    assert_reloads_bit_for_bit,
    killed_at,
    noting,
    poisoned,
    same,
    weights,
    with_target_expression,
)

SYSTEMS: dict[str, Any] = {
    "deepdsc2": partial(DadspA, adversarial_weight=0.0, pretraining_lines="both"),
    "dadsp_b": DadspB,
    "sla": Sla,
}
every_system = pytest.mark.parametrize("system", SYSTEMS)


def fitted(
    system: str, study: Study, split: Split, context: FitContext | None = None, epochs: int = 2, **options: Any
) -> CrossScreenNetwork:
    training = {"max_epochs": epochs, "min_blocks": 1, **options.pop("training", {})}
    if system == "dadsp_b":
        options = {"stages": {"adaptation": {"layer_epochs": 2, "batch_size": 4}}, **options}
    model: CrossScreenNetwork = SYSTEMS[system](training=training, **{**LIVELY, **options})
    return model.fit(study, split, context)


@every_system
def test_no_target_label_can_change_a_weight(system: str, study: Study, split: Split) -> None:
    honest, other = (fitted(system, data, split) for data in (study, poisoned(study)))
    assert same(weights(honest), weights(other))
    assert honest.labels == other.labels
    assert not honest.sees_target_labels
    assert "oracle" not in honest.name


@every_system
def test_target_expression_does_change_the_weights(system: str, study: Study, split: Split) -> None:
    other = with_target_expression(study, study.target.cells.expression[::-1] ** 3)
    ours, theirs = (fitted(system, data, split, input_basis="genes") for data in (study, other))
    assert not same(weights(ours), weights(theirs))


def test_target_expression_reaches_deepdsc2_by_pretraining_alone(study: Study, split: Split) -> None:
    other = with_target_expression(study, study.target.cells.expression[::-1] ** 3)
    settings: dict[str, Any] = {"input_basis": "genes", "pretraining_lines": "source"}
    ours, theirs = (fitted("deepdsc2", data, split, **settings) for data in (study, other))
    assert same(weights(ours), weights(theirs))


@every_system
def test_overfits_32_pairs(system: str, study: Study, split: Split) -> None:
    few = Split(split.kind, split.train_idx[:32], split.val_idx, split.test_idx, split.adapt_cell_idx)
    model = fitted(
        system,
        study,
        few,
        **OVERFITTING,
    )
    mse = model.history().query("stage == @model.main_stage")["train/mse"].iloc[-1]
    train = study.source.responses.take(few.train_idx)
    assert mse < 0.05 * float(np.var(model.labels.transform(train.potency)))


@every_system
def test_same_seed_same_weights_and_other_seed_other_weights(system: str, study: Study, split: Split) -> None:
    first, again, other = (fitted(system, study, split, FitContext(seed=seed), dropout=0.3) for seed in (0, 0, 1))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


@every_system
def test_saved_model_predicts_bit_for_bit_the_same(system: str, study: Study, split: Split, tmp_path: Path) -> None:
    model = fitted(system, study, split)
    assert_reloads_bit_for_bit(model, study, split, tmp_path)


@pytest.mark.parametrize(
    ("system", "stage", "epoch"),
    [
        ("deepdsc2", "dadsp_a", 1),
        ("dadsp_b", "dadsp_b_source", 1),
        ("dadsp_b", "dadsp_b_layer_1", 1),  # its last: killed between stages
        ("dadsp_b", "dadsp_b_layer_2", 0),
        ("dadsp_b", "dadsp_b_fine_tuning", 2),
        ("sla", "sla_selection", 2),
        ("sla", "sla", 0),
    ],
)
def test_resumed_system_ends_like_an_uninterrupted_one(
    system: str, stage: str, epoch: int, study: Study, split: Split, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"epochs": 4, "dropout": 0.2, "training": {"patience": None, "checkpoint_every_s": 0}}
    trained: list[tuple[str, int]] = []
    whole = fitted(system, study, split, FitContext(seed=4, on_epoch=noting(trained)), **settings)
    with pytest.raises(Killed):
        fitted(system, study, split, killed_at(stage, epoch, seed=4, checkpoints=tmp_path), **settings)
    went_on: list[tuple[str, int]] = []
    context = FitContext(seed=4, checkpoints=tmp_path, on_epoch=noting(went_on))
    resumed = fitted(system, study, split, context, **settings)
    assert went_on == trained[trained.index((stage, epoch)) :]
    assert same(weights(whole), weights(resumed))
    assert whole.history().equals(resumed.history())


@every_system
def test_every_encoder_learned_in_coordinates_is_the_same_function_of_genes(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(n_genes=60)
    lines = torch.from_numpy(study.source.cells.expression)
    codes: list[torch.Tensor] = []
    system_type = type(SYSTEMS[system]())
    encoders = system_type._encoders

    def note(model: CrossScreenNetwork) -> Any:
        assert model.space is not None
        codes.extend(encoder(model.space.coordinates(lines)) for encoder in encoders(model))
        return encoders(model)

    monkeypatch.setattr(system_type, "_encoders", note)
    model = fitted(system, study, cross_screen(study, seed=0))
    over_genes = [encoder(lines) for encoder in encoders(model)]
    assert len(codes) == len(over_genes) == (2 if system == "dadsp_b" else 1)
    for ours, theirs in zip(over_genes, codes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)

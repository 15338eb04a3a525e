"""DADSP-B's three stages: who trains, who is frozen, and whose features reach the regressor."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dadsp.errors import ConfigError, FreezeError
from dadsp.models.base import FitContext, predict_split
from dadsp.models.stages.layer_adaptation import AdaptationStage
from dadsp.models.systems.dadsp_b import AdaptationOptions, DadspB
from dadsp.models.training.batches import TwoDomainBatches
from dadsp.models.training.freezing import frozen, weights_hash
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.stage import run_stage
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.mmd import mmd2
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import LIVELY, with_target_expression


def fitted(study: Study, split: Split, **options: Any) -> DadspB:
    training = {"max_epochs": 2, "min_blocks": 1, **options.pop("training", {})}
    stages = {"adaptation": {"layer_epochs": 2, "batch_size": 4}, **options.pop("stages", {})}
    return DadspB(training=training, stages=stages, **{**LIVELY, **options}).fit(study, split)


def test_each_stage_changes_the_parts_it_trains_and_no_other(
    study: Study, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, set[str]] = {}

    def watched(name: str) -> None:
        method = getattr(DadspB, name)

        def watch(model: DadspB, *arguments: Any) -> None:
            before = {key: value.clone() for key, value in model.network.state_dict().items()}
            method(model, *arguments)
            after = model.network.state_dict()
            stage = arguments[0] if name == "_regress" else "adaptation"
            changes[stage] = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}

        monkeypatch.setattr(DadspB, name, watch)

    watched("_regress")
    watched("_adapt")
    fitted(study, split)
    assert changes == {
        "dadsp_b_source": {"encoder", "drug_branch", "regressor"},
        "adaptation": {"target_encoder"},
        "dadsp_b_fine_tuning": {"regressor"},
    }


def test_parts_named_in_the_configuration_train(study: Study, split: Split) -> None:
    stages = {"fine_tuning": {"trains": ["drug_branch", "regressor"], "max_epochs": 3, "learning_rate": 0.01}}
    model = fitted(study, split, stages=stages)
    epochs = model.history().groupby("stage", sort=False).size()
    assert epochs["dadsp_b_source"] == 2
    assert epochs["dadsp_b_layer_1"] == epochs["dadsp_b_layer_2"] == 2
    assert epochs["dadsp_b_fine_tuning"] == 3


def test_hashes_of_frozen_parts_stand_in_the_log(study: Study, split: Split, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dadsp.models.training.freezing"):
        model = fitted(study, split)
    lines = [record.getMessage() for record in caplog.records if record.name == "dadsp.models.training.freezing"]
    own = weights_hash(model.network.target_encoder)
    assert f"dadsp_b_fine_tuning: target_encoder frozen, hash {own} before and {own} after" in lines
    assert any(line.startswith("dadsp_b_layer_2: regressor frozen") for line in lines)
    assert any(line.startswith("dadsp_b_layer_2: target layer 1 frozen") for line in lines)


def test_a_frozen_part_that_changes_is_an_error() -> None:
    part = nn.Linear(2, 2)

    def train() -> None:
        with frozen("fine_tuning", {"encoder": part}):
            assert not any(weight.requires_grad for weight in part.parameters())
            nn.init.zeros_(part.bias)

    with pytest.raises(FreezeError, match="Stage fine_tuning changed encoder"):
        train()
    assert all(weight.requires_grad for weight in part.parameters())


@pytest.mark.parametrize("layer", [0, 1])
def test_an_adaptation_stage_trains_its_layer_alone(layer: int) -> None:
    torch.manual_seed(0)
    sae = StackedAutoencoder(6, (5, 4), "tanh")
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    width, code = ((6, 5), (5, 4))[layer]
    options = AdaptationOptions(layer_epochs=2, batch_size=4)
    target, source = torch.randn(9, width), torch.randn(12, code)
    stage = AdaptationStage(sae, target, source, layer, 1.0, options, TrainingOptions(), FitContext())
    run_stage(stage, TwoDomainBatches(12, 9, size=4, seed=0, epoch=lambda: 0), 3, FitContext())
    changed = {name for name, value in sae.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.split(".")[1] == str(layer)}


@pytest.mark.parametrize(("squared", "shift"), [(True, 1.0), (False, 1.0), (False, 0.0)])
def test_an_adaptation_stage_weighs_mmd2_or_its_root_and_moves_by_it(squared: bool, shift: float) -> None:
    torch.manual_seed(0)
    sae = StackedAutoencoder(6, (5,), "tanh")
    target = torch.randn(9, 6)
    source = sae.encoders[0](target).detach() + shift
    options = AdaptationOptions(batch_size=9, mmd_weight=3.0, mmd_squared=squared)
    stage = AdaptationStage(sae, target, source, 0, 1.0, options, TrainingOptions(), FitContext())
    losses = stage.losses((torch.arange(9), torch.arange(9)))
    discrepancy = mmd2(source, sae.encoders[0](target))
    expected = losses["reconstruction"] + 3.0 * (discrepancy if squared else discrepancy**0.5)
    torch.testing.assert_close(losses["loss"], expected, atol=1e-5, rtol=1e-6)
    weights = list(sae.encoders.parameters())
    for slope in torch.autograd.grad(losses["loss"] - losses["reconstruction"], weights):
        assert slope.isfinite().all()
        assert bool(slope.abs().max() > 1e-3) == bool(shift)


def test_adaptation_brings_shifted_target_codes_to_the_source_s(study: Study, split: Split) -> None:
    # Under min-max over both screens the target's shift survives scaling.
    shifted = with_target_expression(study, study.target.cells.expression + 2)

    def last_discrepancy(weight: float) -> float:
        adaptation = {"layer_epochs": 25, "batch_size": 16, "learning_rate": 0.03, "mmd_weight": weight}
        model = fitted(shifted, split, stages={"adaptation": adaptation}, scaling_scope="joint")
        return float(model.history().query("stage == 'dadsp_b_layer_1'")["train/mmd2"].iloc[-1])

    assert last_discrepancy(10.0) < 0.5 * last_discrepancy(0.0)


def test_the_target_encoder_starts_from_the_trained_source_encoder(study: Study, split: Split) -> None:
    still = {"adaptation": {"layer_epochs": 1, "batch_size": 4, "learning_rate": 1e-12}}
    model = fitted(study, split, stages=still, training={"learning_rate": 0.03})
    source, target = (dict(part.named_parameters()) for part in (model.network.encoder, model.network.target_encoder))
    assert source.keys() == target.keys()
    for name, weight in source.items():
        torch.testing.assert_close(target[name], weight, atol=1e-6, rtol=0)


def predictions(model: DadspB, study: Study) -> tuple[np.ndarray, np.ndarray]:
    lines, drugs = np.arange(5), np.zeros(5, dtype=np.int64)
    return (
        model.predict(Pairs(study.source, "source", lines, drugs)),
        model.predict(Pairs(study.target, "target", lines, drugs)),
    )


@pytest.mark.parametrize("source_features", ["source_encoder", "target_encoder"])
def test_target_lines_go_through_the_target_encoder_and_source_lines_as_configured(
    study: Study, split: Split, source_features: str
) -> None:
    model = fitted(study, split, stages={"fine_tuning": {"source_features": source_features}})
    source, target = predictions(model, study)
    for weight in model.network.target_encoder.parameters():
        nn.init.zeros_(weight)
    other_source, other_target = predictions(model, study)
    assert not np.array_equal(target, other_target)
    assert np.array_equal(source, other_source) == (source_features == "source_encoder")


def test_fine_tuning_sees_the_features_that_prediction_gives(study: Study, split: Split) -> None:
    for source_features in ("source_encoder", "target_encoder"):
        model = fitted(study, split, stages={"fine_tuning": {"source_features": source_features}})
        val = predict_split(model, study, split).frame.query("split == 'val'")
        rmse = float(np.sqrt(((val["y_true"] - val["y_pred"]) ** 2).mean()))
        validated = model.history().query("stage == 'dadsp_b_fine_tuning'")["val/source/rmse"]
        assert rmse == pytest.approx(validated.min(), abs=1e-5)


def test_oracle_selection_validates_on_target_pairs_through_the_target_encoder(study: Study, split: Split) -> None:
    model = fitted(study, split, selection="target_oracle")
    test = predict_split(model, study, split).frame.query("split == 'test'")
    rmse = float(np.sqrt(((test["y_true"] - test["y_pred"]) ** 2).mean()))
    validated = model.history().query("stage == 'dadsp_b_fine_tuning'")["val/target_oracle/rmse"]
    assert rmse == pytest.approx(validated.min(), abs=1e-5)


def test_batches_show_each_target_line_once_beside_as_many_source_lines() -> None:
    batches = list(TwoDomainBatches(5, 9, size=4, seed=1, epoch=lambda: 0))
    source, target = (torch.cat(part) for part in zip(*batches, strict=True))
    assert sorted(target.tolist()) == list(range(9))
    assert sorted(source[:5].tolist()) == list(range(5))
    assert [len(rows) for rows, _ in batches] == [len(rows) for _, rows in batches] == [3, 3, 3]
    other = list(TwoDomainBatches(5, 9, size=4, seed=1, epoch=lambda: 1))
    assert not torch.equal(target, torch.cat([rows for _, rows in other]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretraining": None}, "model.pretraining"),
        ({"stages": {"adaptation": {"mmd_estimator": "unbiasd"}}}, "Did you mean 'unbiased'"),
        ({"stages": {"source": {"trains": []}}}, "model.stages.source.trains"),
        ({"stages": {"fine_tuning": {"trains": ["target_encoder"]}}}, "model.stages.fine_tuning.trains"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DadspB(**options)


def test_unbiased_estimate_needs_two_lines_of_each_screen(study: Study) -> None:
    alone = small_study(n_target=1, links=1)
    with pytest.raises(ConfigError, match="mmd_estimator=biased"):
        fitted(alone, cross_screen(alone, seed=0), stages={"adaptation": {"mmd_estimator": "unbiased"}})

"""DADSP-A learns, keeps to the source's labels, and comes back from disk unchanged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.errors import ConfigError, DivergenceError, LoadError, SchemaError
from dadsp.models.base import FitContext, StageLength, load_model, predict_split, save_model
from dadsp.models.networks.inputs import predict_pairs
from dadsp.models.stages.dadsp_a import DadspStage
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.schema import Pairs, Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import (
    SMALL,
    Killed,
    assert_reloads_bit_for_bit,
    killed_at,
    noting,
    poisoned,
    same,
    weights,
    with_target_expression,
)
from tests.support.systems import fitted_dadsp_a as fitted


@pytest.mark.parametrize("target_sampling", ["independent", "paired"])
def test_no_target_label_can_change_a_weight(study: Study, split: Split, target_sampling: str) -> None:
    honest = fitted(study, split, target_sampling=target_sampling)
    other = fitted(poisoned(study), split, target_sampling=target_sampling)
    assert same(weights(honest), weights(other))
    assert honest.expression_input.scaler.to_arrays().keys() == other.expression_input.scaler.to_arrays().keys()
    for name, array in honest.expression_input.scaler.to_arrays().items():
        assert np.array_equal(array, other.expression_input.scaler.to_arrays()[name])
    assert honest.labels == other.labels
    assert "oracle" not in honest.name


def test_oracle_selection_sees_target_labels_and_says_so(study: Study, split: Split) -> None:
    model = fitted(study, split, selection="target_oracle", epochs=4, training={"learning_rate": 0.03})
    assert "oracle" in model.name
    assert model.sees_target_labels
    assert "val/target_oracle/rmse" in model.history().columns
    history = model.history().dropna(subset=["val/target_oracle/rmse"])
    test = predict_split(model, study, split).frame.query("split == 'test'")
    rmse = float(np.sqrt(((test["y_true"] - test["y_pred"]) ** 2).mean()))
    assert rmse == pytest.approx(history["val/target_oracle/rmse"].min(), abs=1e-5)


def test_target_expression_does_change_the_weights(study: Study, split: Split) -> None:
    other = with_target_expression(study, study.target.cells.expression[::-1] ** 3)
    assert not same(weights(fitted(study, split)), weights(fitted(other, split)))


def test_validation_labels_choose_the_epoch_but_train_nothing(study: Study, split: Split) -> None:
    responses = study.source.responses
    changed = responses.potency.copy()
    changed[split.val_idx] += 2
    other = replace(study, source=replace(study.source, responses=replace(responses, potency=changed)))
    ours, theirs = (fitted(data, split, epochs=1) for data in (study, other))
    assert same(weights(ours), weights(theirs))
    assert ours.history()["val/source/rmse"].dropna().tolist() != theirs.history()["val/source/rmse"].dropna().tolist()


def test_scalers_ignore_held_out_lines(study: Study, split: Split) -> None:
    held_out = np.unique(study.source.responses.cell_idx[split.val_idx])
    expression = study.source.cells.expression.copy()
    expression[held_out] += 100
    other = replace(study, source=replace(study.source, cells=replace(study.source.cells, expression=expression)))
    assert same(weights(fitted(study, split, epochs=1)), weights(fitted(other, split, epochs=1)))


@pytest.mark.parametrize("options", [{}, {"pretraining": None}, {"adversarial_weight": 0.0}, {"drug_widths": ()}])
def test_overfits_32_pairs(study: Study, split: Split, options: dict[str, Any]) -> None:
    few = replace(split, train_idx=split.train_idx[:32])
    training = {"learning_rate": 0.02, "patience": None}
    wide = {"encoder_widths": (32, 16), "regressor_widths": (32, 16), "activation": "tanh", "encoder_activation": "tanh"}
    model = fitted(study, few, epochs=120, training=training, **wide | {"adversarial_weight": 0.01} | options)
    train = study.source.responses.take(few.train_idx)
    # The last epoch, not the one that validated best, is what shows capacity.
    mse = model.history()["train/mse"].dropna().iloc[-1]
    scaled_variance = float(np.var(model.labels.transform(train.potency)))
    assert mse < 0.05 * scaled_variance


def test_best_epoch_on_source_validation_is_kept(study: Study, split: Split) -> None:
    model = fitted(study, split, epochs=6, training={"learning_rate": 0.02})
    val = predict_split(model, study, split).frame.query("split == 'val'")
    rmse = float(np.sqrt(((val["y_true"] - val["y_pred"]) ** 2).mean()))
    assert rmse == pytest.approx(model.history()["val/source/rmse"].min(), abs=1e-5)


def test_patience_stops_training(study: Study, split: Split) -> None:
    model = fitted(study, split, epochs=250, training={"learning_rate": 0.2, "patience": 1})
    scores = model.history()["val/source/rmse"].dropna().tolist()
    assert len(scores) < 40
    assert scores[-1] >= min(scores[:-1])


def test_a_stage_says_how_long_it_may_train_how_long_it_did_and_what_is_kept(
    study: Study, split: Split, tmp_path: Path
) -> None:
    told: list[tuple[str, StageLength]] = []
    context = FitContext(checkpoints=tmp_path, on_stage=lambda stage, length: told.append((stage, length)))
    model = fitted(study, split, context, epochs=250, training={"learning_rate": 0.2, "patience": 1})
    scores = model.history()["val/source/rmse"].dropna()
    assert told[-2:] == [
        ("dadsp_a", StageLength(250)),
        ("dadsp_a", StageLength(250, trained=len(scores), kept=int(scores.argmin()) + 1)),
    ]
    told.clear()
    fitted(study, split, context, epochs=250, training={"learning_rate": 0.2, "patience": 1})
    assert told == []  # read back


def test_same_seed_same_weights_and_other_seed_other_weights(study: Study, split: Split) -> None:
    first, again, other = (fitted(study, split, FitContext(seed=seed), dropout=0.3) for seed in (0, 0, 1))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_global_random_state_is_left_alone(study: Study, split: Split) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted(study, split, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_saved_model_predicts_bit_for_bit_the_same(study: Study, split: Split, tmp_path: Path) -> None:
    assert_reloads_bit_for_bit(fitted(study, split), study, split, tmp_path)


def test_predicting_takes_genes_by_name_and_refuses_too_few(study: Study, split: Split) -> None:
    model = fitted(study, split)
    pairs = Pairs(study.target, "target", np.arange(4), np.zeros(4, dtype=np.int64))
    shuffled = study.target.with_genes(study.genes[::-1])
    assert np.array_equal(model.predict(pairs), model.predict(replace(pairs, screen=shuffled)))
    with pytest.raises(SchemaError, match=r"lacks 2 of the model's 7 genes \(e\.g\. G0, G1\)"):
        model.predict(replace(pairs, screen=study.target.with_genes(study.genes[2:])))


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_damaged_model_is_a_load_error(study: Study, split: Split, tmp_path: Path, name: str) -> None:
    save_model(fitted(study, split, epochs=1), tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadError):
        load_model(tmp_path)


def test_saved_model_may_name_no_foreign_code(study: Study, split: Split, tmp_path: Path) -> None:
    save_model(fitted(study, split, epochs=1), tmp_path)
    text = (tmp_path / "model.json").read_text().replace("dadsp.models.systems.dadsp_a.DadspA", "os.system")
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(LoadError, match="no dadsp system"):
        load_model(tmp_path)


def test_resumed_stage_ends_like_an_uninterrupted_one(study: Study, split: Split, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "epochs": 5,
        "dropout": 0.2,
        "training": {"schedule": "dann", "patience": None, "checkpoint_every_s": 0},
    }
    whole = fitted(study, split, FitContext(seed=4), **settings)
    with pytest.raises(Killed):
        fitted(study, split, killed_at("dadsp_a", 2, seed=4, checkpoints=tmp_path), **settings)
    epochs: list[tuple[str, int]] = []
    noted = FitContext(seed=4, checkpoints=tmp_path, on_epoch=noting(epochs))
    resumed = fitted(study, split, noted, **settings)
    assert epochs == [("dadsp_a", 2), ("dadsp_a", 3), ("dadsp_a", 4)]  # pre-training and two epochs were kept
    assert same(weights(whole), weights(resumed))
    assert whole.history().equals(resumed.history())


def test_a_loss_that_is_no_number_stops_with_a_remedy(study: Study, split: Split) -> None:
    with pytest.raises(DivergenceError, match=r"trainer\.learning_rate"):
        fitted(study, split, epochs=3, training={"learning_rate": 1e30}, pretraining=None)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dropout'"):
        DadspA(dropuot=0.1)


def test_paired_sampling_without_shared_lines_is_refused() -> None:
    study = small_study(links=0)
    with pytest.raises(ConfigError, match="target_sampling=independent"):
        fitted(study, cross_screen(study, seed=0), target_sampling="paired")


def test_collapse_stops_training_and_keeps_the_best_weights(
    study: Study, split: Split, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    validate = DadspStage.validate

    def saturate(stage: DadspStage) -> dict[str, float]:
        if stage.current_epoch == 2:
            torch.nn.init.constant_(stage.network.regressor[-1].bias, -200.0)  # type: ignore[union-attr, index]
        return validate(stage)

    def flatter(stage: DadspStage) -> dict[str, float]:
        metrics = saturate(stage)
        return {stage.metric: 0.0} if stage.collapsed else metrics  # a constant may well score best

    monkeypatch.setattr(DadspStage, "validate", flatter)
    model = fitted(study, split, epochs=10, training={"patience": None, "learning_rate": 1e-3})
    assert len(model.history()["val/source/rmse"].dropna()) == 3
    assert "all predictions are alike since epoch 3: the output stands at 0 (of 0 to 1)" in caplog.text
    assert "a saturated sigmoid gives no gradient" in caplog.text
    assert "Lower trainer.learning_rate or model.adversarial_weight" in caplog.text
    assert predict_split(model, study, split).frame["y_pred"].std() > 0


def test_collapse_in_the_first_epoch_is_an_error_with_a_remedy(
    study: Study, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadsp.models.stages.regression.CONSTANT", 10.0)
    with pytest.raises(DivergenceError, match="gradient_clip=1"):
        fitted(study, split)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"adversarial_weight": 0.0}, "Lower trainer.learning_rate, or set trainer.gradient_clip=1."),
        ({}, "Lower trainer.learning_rate or model.adversarial_weight, or set trainer.gradient_clip=1."),
        ({"training": {"gradient_clip": 2.0}}, "Lower trainer.learning_rate or model.adversarial_weight."),
    ],
)
def test_dead_units_are_counted_and_advice_names_only_what_the_system_has(
    study: Study, split: Split, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], advice: str
) -> None:
    start_at = DadspNetwork.start_at

    def dead(network: DadspNetwork, potency: float) -> None:
        start_at(network, 0.14)
        torch.nn.init.constant_(network.regressor[-2][0].bias, -100.0)  # type: ignore[index]

    monkeypatch.setattr(DadspNetwork, "start_at", dead)
    with pytest.raises(DivergenceError) as raised:
        fitted(study, split, epochs=3, **options)
    assert "alike from the start: the output stands at 0.1" in str(raised.value)
    assert "0 of 4 units of the last hidden layer tell pairs apart; units that are off" in str(raised.value)
    assert str(raised.value).endswith(advice)


def test_damaged_training_state_is_a_load_error(study: Study, split: Split, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fitted(study, split, killed_at("dadsp_a", 1, checkpoints=tmp_path), epochs=3, training={"checkpoint_every_s": 0})
    state = tmp_path / "dadsp_a" / "last.ckpt"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(LoadError, match=r"last\.ckpt is damaged .* Delete its folder"):
        fitted(study, split, FitContext(checkpoints=tmp_path), epochs=3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradient_norm_is_clipped_under_either_precision(study: Study, split: Split, precision: str) -> None:
    norms: list[float] = []

    def note(stage: DadspStage, *rest: Any) -> None:
        norms.append(
            float(torch.nn.utils.get_total_norm([w.grad for w in stage.network.parameters() if w.grad is not None]))
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DadspStage, "on_before_zero_grad", note)
        training = {"gradient_clip": 1e-3, "precision": precision}
        model = fitted(study, split, epochs=1, training=training)
    assert max(norms) <= 1.01e-3
    assert np.isfinite(model.history()["val/source/rmse"].dropna()).all()


@pytest.mark.parametrize(
    "options",
    [{"regressor_widths": ()}, {"encoder_widths": (0,)}, {"encoder_widths": ()}, {"discriminator_widths": (3, -1)}],
)
def test_impossible_widths_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="widths"):
        DadspA(**options)


def test_gpu_asked_for_where_there_is_none_is_a_config_error(study: Study, split: Split) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match=r"trainer\.device=auto"):
        fitted(study, split, training={"device": "gpu"})


def test_fresh_network_predicts_about_the_mean_training_label(study: Study, split: Split) -> None:
    stage, _ = DadspA(**SMALL | {"pretraining": None}).prepare_stage(study, split, FitContext())
    train = study.source.responses.take(split.train_idx).potency
    lines, drugs = np.indices((12, 5)).reshape(2, -1)
    with torch.no_grad():
        predicted = predict_pairs(stage.parts, stage.parts.encoder, stage.expression, stage.drug_features, lines, drugs)
    assert float(stage.labels.inverse(predicted).mean()) == pytest.approx(
        float(train.mean()), abs=0.1 * float(np.ptp(train))
    )
    assert predicted.std() < 0.05


def test_stage_shorter_than_the_time_between_states_leaves_its_result(study: Study, split: Split, tmp_path: Path) -> None:
    fitted(study, split, FitContext(checkpoints=tmp_path))
    assert (tmp_path / "dadsp_a.safetensors").exists()
    assert not (tmp_path / "dadsp_a").exists()

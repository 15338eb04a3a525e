"""DADSP-A learns, keeps to the source's labels, and comes back from disk unchanged."""

import json
import math
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
from dadsp.models.training.batches import PairBatches
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


def fitted(study: Study, split: Split, context: FitContext | None = None, epochs: int = 2, **options: Any) -> DadspA:
    training = {"max_epochs": epochs, "min_blocks": 1, **options.pop("training", {})}
    return DadspA(training=training, **{**SMALL, "discriminator_widths": (6, 4), **options}).fit(study, split, context)


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


@pytest.mark.parametrize("gamma", [10.0, 2.0])
def test_reversal_ramps_over_steps_as_steeply_as_gamma_says(study: Study, split: Split, gamma: float) -> None:
    training = {"batching": "pairs", "batch_size": 20, "patience": None}
    model = fitted(study, split, epochs=3, gamma=gamma, training=training)
    n = math.ceil(len(split.train_idx) / 20)
    assert n > 1
    ramp = [math.tanh(gamma * step / (3 * n) / 2) for step in range(3 * n)]  # 2 / (1 + exp(−γp)) − 1
    expected = [sum(ramp[epoch * n : (epoch + 1) * n]) / n for epoch in range(3)]
    assert model.history()["train/lambda"].dropna().tolist() == pytest.approx(expected, rel=1e-5)


def test_domain_loss_is_the_cross_entropy_of_telling_source_from_target(study: Study, split: Split) -> None:
    options = {**SMALL, "encoder_widths": (16, 2), "discriminator_widths": ()}
    stage, _ = DadspA(**options).prepare_stage(study, split, FitContext())
    stage.total_steps = 1
    logits = stage.parts.discriminator[0]  # type: ignore[index]
    with torch.no_grad():
        logits.weight.copy_(torch.eye(2))  # type: ignore[operator]
        logits.bias.zero_()  # type: ignore[operator]
    # Rows are (source, target) logits; the second source line and the last target line are taken for the other screen.
    terms = stage.domain_terms(torch.tensor([[3.0, 0], [0, 1]]), torch.tensor([[0.0, 2], [0, 4], [5, 0]]))
    wrong_by = [-3, 1, -2, -4, 5]  # the wrong logit over the right one
    assert terms["domain_loss"].item() == pytest.approx(sum(math.log1p(math.exp(by)) for by in wrong_by) / 5)
    assert terms["domain_accuracy"].item() == pytest.approx(3 / 5)


def test_encoder_begins_as_the_trained_autoencoder(study: Study, split: Split) -> None:
    pretraining = {"layer_epochs": 5, "stack_epochs": 5, "batch_size": 4, "learning_rate": 0.01}
    model = DadspA(**{**SMALL, "pretraining": pretraining})
    inputs = model._prepare(study, split, FitContext())
    assert inputs.autoencoder is not None
    with torch.no_grad():
        codes = model.network.encoder(inputs.expression)
        assert torch.equal(codes, inputs.autoencoder.encode(inputs.expression))
        fresh = DadspA(**{**SMALL, "pretraining": None})
        fresh._prepare(study, split, FitContext())
        assert float((codes - fresh.network.encoder(inputs.expression)).abs().max()) > 0.05


def test_paired_sampling_sets_every_source_line_beside_itself() -> None:
    study = small_study(links=6)
    cells = study.target.cells
    order = np.random.default_rng(3).permutation(len(cells))  # a line has another row in the other screen
    target = replace(cells, link_ids=tuple(cells.link_ids[row] for row in order))
    study = replace(study, target=replace(study.target, cells=target))
    split = cross_screen(study, seed=0)
    split = replace(split, adapt_cell_idx=split.adapt_cell_idx[::-1][:-1])  # not every line, and in another order
    model = DadspA(**SMALL, target_sampling="paired", training={"batching": "pairs", "batch_size": 8})
    _, batches = model.prepare_stage(study, split, FitContext())
    assert isinstance(batches, PairBatches)
    links = np.array([*study.source.cells.link_ids, *target.link_ids], dtype=object)
    seen = []
    for batch in batches:
        source, beside = (links[rows] for rows in batch.lines[batch.line_of_row].numpy().reshape(2, -1))
        assert source.tolist() == beside.tolist()
        assert (batch.lines[batch.line_of_row][len(batch.label) :] >= len(study.source.cells)).all()
        seen += source.tolist()
    adapted = {target.link_ids[row] for row in split.adapt_cell_idx} - {None}
    of_pair = [study.source.cells.link_ids[row] for row in study.source.responses.cell_idx[split.train_idx]]
    assert sorted(seen) == sorted(link for link in of_pair if link in adapted)


MINMAX_GENES: dict[str, Any] = {"input_basis": "genes", "expression_scaling": "minmax"}
PAIRS: dict[str, Any] = {"batching": "pairs", "batch_size": 16}


@pytest.mark.parametrize(
    ("switch", "beside"),
    [
        ({"pretraining": SMALL["pretraining"] | {"decoder_activation": "relu"}}, {}),
        ({"pretraining": SMALL["pretraining"] | {"output_activation": "sigmoid"}}, MINMAX_GENES),
        ({"output_start": "fresh"}, {}),
        ({"training": PAIRS | {"regression_loss": "sum"}}, {"training": PAIRS}),
    ],
)
def test_a_switch_to_the_paper_s_letter_acts_and_the_model_comes_back(
    study: Study, split: Split, tmp_path: Path, switch: dict[str, Any], beside: dict[str, Any]
) -> None:
    usual, literal = fitted(study, split, **beside), fitted(study, split, **beside | switch)
    assert not same(weights(usual), weights(literal))
    assert_reloads_bit_for_bit(literal, study, split, tmp_path)


def test_a_model_saved_before_the_switches_comes_back(study: Study, split: Split, tmp_path: Path) -> None:
    model = fitted(study, split)
    save_model(model, tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    del facts["options"]["output_start"], facts["training"]["regression_loss"]
    del facts["options"]["pretraining"]["decoder_activation"], facts["options"]["pretraining"]["output_activation"]
    (tmp_path / "model.json").write_text(json.dumps(facts))
    again = load_model(tmp_path)
    expected, found = (predict_split(each, study, split).frame["y_pred"] for each in (model, again))
    assert expected.equals(found)


def test_summed_loss_adds_up_the_squares_beside_the_domain_loss(study: Study, split: Split) -> None:
    found = {}
    for loss in ("mean", "sum"):
        model = DadspA(**SMALL | {"pretraining": None}, training=PAIRS | {"regression_loss": loss})
        stage, batches = model.prepare_stage(study, split, FitContext())
        stage.total_steps = 1
        batch: Any = next(iter(batches))
        found[loss] = {name: value.item() for name, value in stage.losses(batch).items()}
    mean, total = found["mean"], found["sum"]
    assert total["mse"] == mean["mse"]
    assert mean["loss"] == pytest.approx(mean["mse"] + mean["domain_loss"])
    assert total["loss"] == pytest.approx(16 * mean["mse"] + mean["domain_loss"])


def test_summed_loss_needs_batches_of_pairs() -> None:
    with pytest.raises(ConfigError, match="batching=pairs, or regression_loss=mean"):
        DadspA(training={"regression_loss": "sum"})


def test_rebuilt_coordinates_take_no_nonlinearity() -> None:
    with pytest.raises(ConfigError, match="Set input_basis=genes"):
        DadspA(pretraining={"output_activation": "relu"})


def test_output_left_fresh_starts_from_the_middle(study: Study, split: Split) -> None:
    biases, potency = {}, study.source.responses.take(split.train_idx).potency
    for start in ("mean", "fresh"):
        stage, _ = DadspA(**SMALL | {"pretraining": None}, output_start=start).prepare_stage(study, split, FitContext())
        biases[start] = stage.parts.regressor[-1].bias.item()  # type: ignore[union-attr, index]
    mean = float(((potency - potency.min()) / np.ptp(potency)).mean())
    assert biases["mean"] == pytest.approx(math.log(mean / (1 - mean)), rel=1e-5)
    assert biases["fresh"] != pytest.approx(biases["mean"])
    assert abs(biases["fresh"]) <= 0.5  # drawn within ±1/√4 for four inputs

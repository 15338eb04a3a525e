"""DADSP-A to the letter: its adversary's ramp and loss, its encoder's start, and switches to the paper's text."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dadsp.errors import ConfigError
from dadsp.models.base import FitContext, load_model, predict_split, save_model
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.training.batches import PairBatches
from dadsp.schema import Split, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import SMALL, assert_reloads_bit_for_bit, same, weights
from tests.support.systems import fitted_dadsp_a as fitted


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

"""Greedy layers first, then the whole stack; what is not trained stays."""

from typing import Any

import pytest
import torch

from dadsp.models.base import FitContext
from dadsp.models.training.batches import RowBatches
from dadsp.models.training.options import PretrainingOptions, TrainingOptions
from dadsp.models.training.pretraining import ReconstructionStage, pretrain_encoder
from dadsp.models.training.stage import run_stage
from dadsp.nets.autoencoder import StackedAutoencoder


def expression() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(24, 3, generator=random) @ torch.randn(3, 12, generator=random)


def pretrained(layer_epochs: int = 30, stack_epochs: int = 30) -> tuple[StackedAutoencoder, dict[str, list[Any]]]:
    torch.manual_seed(0)
    options = PretrainingOptions(layer_epochs=layer_epochs, stack_epochs=stack_epochs, batch_size=8, learning_rate=0.01)
    return pretrain_encoder(expression(), None, (8, 4), "tanh", options, TrainingOptions(), FitContext())


def test_every_stage_runs_in_order_and_reconstructs_better() -> None:
    _, histories = pretrained()
    assert list(histories) == ["sae_layer_1", "sae_layer_2", "sae_stack"]
    for epochs in histories.values():
        assert epochs[-1]["train/loss"] < 0.9 * epochs[0]["train/loss"]


def test_stack_error_is_that_of_encoding_and_decoding_everything() -> None:
    sae, histories = pretrained(layer_epochs=5, stack_epochs=80)
    with torch.no_grad():
        error = float(torch.nn.functional.mse_loss(sae(expression()), expression()))
    assert error == pytest.approx(histories["sae_stack"][-1]["train/loss"], rel=0.2)
    assert error < 0.5 * float(expression().var())


@pytest.mark.parametrize("layer", [0, 1])
def test_a_greedy_stage_trains_its_layer_alone(layer: int) -> None:
    torch.manual_seed(0)
    sae = StackedAutoencoder(12, (8, 4), "tanh")
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    inputs = expression() if layer == 0 else sae.encode(expression(), 1).detach()
    options = TrainingOptions(max_epochs=2, patience=None)
    stage = ReconstructionStage(sae, inputs, layer, 1.0, options, FitContext())
    run_stage(stage, RowBatches(24, size=24, seed=0, epoch=lambda: 0), 1, FitContext())
    changed = {name for name, value in sae.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.split(".")[1] == str(layer)}


@pytest.mark.parametrize("activations", [{"decoder_activation": "relu"}, {"output_activation": "sigmoid"}])
def test_each_nonlinearity_of_the_decoders_is_trained_with(activations: dict[str, Any]) -> None:
    found = []
    for chosen in ({}, activations):
        torch.manual_seed(0)
        options = PretrainingOptions(layer_epochs=2, stack_epochs=2, batch_size=8, learning_rate=0.01, **chosen)
        found.append(pretrain_encoder(expression(), None, (8, 4), "tanh", options, TrainingOptions(), FitContext())[0])
    linear, other = (sae(expression()) for sae in found)
    assert not torch.allclose(linear, other, atol=1e-3)
    assert ((other >= 0).all() and (other <= 1).all()) == ("output_activation" in activations)

"""The fast path computes what the plain path computes: blocks against pairs, coordinates against genes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dadsp.models.base import FitContext, predict_split
from dadsp.models.networks.rowspace import RowSpace
from dadsp.models.stages.dadsp_a import DadspStage
from dadsp.models.systems.dadsp_a import DadspA
from dadsp.models.training.batches import BlockBatch, PairBatch
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study

N_GENES, N_LINES = 40, 9


def expression(seed: int = 0) -> Tensor:
    return torch.randn(N_LINES, N_GENES, generator=torch.Generator().manual_seed(seed))


def stage(n_genes: int = 7, **options: Any) -> DadspStage:
    study = small_study(n_genes=n_genes)
    settings: dict[str, Any] = {
        "encoder_widths": (6, 5),
        "drug_widths": (4,),
        "regressor_widths": (4, 3),
        "discriminator_widths": (3,),
    }
    model = DadspA(**settings, pretraining=None, **options)
    made, _ = model.prepare_stage(study, cross_screen(study, seed=0), FitContext())
    made.total_steps = 1
    return made


@pytest.mark.parametrize("adversarial_weight", [0.0, 0.7])
def test_block_gives_the_loss_and_gradients_of_its_pairs(adversarial_weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(adversarial_weight=adversarial_weight)
    monkeypatch.setattr(DadspStage, "progress", 0.3)
    source, target, drugs = torch.tensor([3, 0, 7]), torch.tensor([14, 12, 19]), torch.tensor([4, 1])
    label = torch.rand(3, 2)
    lines = torch.cat([source, target]) if adversarial_weight else source
    weight = torch.rand(3, 2) + 0.5
    block = BlockBatch(lines, 3, drugs, label, weight / 6)
    # Row by row: every source line with both drugs, and every target line as often, so that domains weigh the same.
    rows = torch.arange(len(lines)).repeat_interleave(2)
    pairs = PairBatch(lines, rows, drugs, torch.tensor([0, 1] * 3), label.flatten(), weight.flatten())
    found = []
    for batch in (block, pairs):
        made.zero_grad()
        losses = made.losses(batch)
        losses["loss"].backward()
        found.append(
            (losses["loss"].item(), [weight.grad.clone() for weight in made.parameters() if weight.grad is not None])
        )
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert len(found[0][1]) == len(found[1][1]) == len(list(made.parameters()))
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_step_never_asks_the_device_for_a_value() -> None:
    made = stage()  # tensors on the meta device have no values: whatever would make the host wait for one fails
    made.to("meta")
    lines, drugs, label = (part.to("meta") for part in (torch.tensor([3, 0, 14]), torch.tensor([4, 1]), torch.rand(2, 2)))
    made.losses(BlockBatch(lines, 2, drugs, label, label))["loss"].backward()
    assert all(weight.grad is not None for weight in made.parameters())


def test_unmeasured_pairs_of_a_block_have_no_part_in_the_loss() -> None:
    made = stage(adversarial_weight=0.0)
    weight = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    lines, drugs = torch.tensor([1, 2]), torch.tensor([0, 3])
    label = torch.rand(2, 2)
    poisoned = torch.where(weight > 0, label, torch.tensor(99.0))
    losses = [made.losses(BlockBatch(lines, 2, drugs, given, weight))["mse"] for given in (label, poisoned)]
    assert losses[0] == losses[1]


def test_split_first_layer_equals_the_layer_on_joined_features() -> None:
    torch.manual_seed(0)
    network = DadspNetwork(
        7,
        5,
        encoder_widths=(6,),
        drug_widths=(4,),
        regressor_widths=(3, 2),
        discriminator_widths=None,
        activation="tanh",
        encoder_activation="relu",
    )
    cells, drugs = torch.randn(3, 6), torch.randn(2, 4)
    joined = torch.cat([cells.repeat_interleave(2, 0), drugs.repeat(3, 1)], dim=1)
    expected = torch.sigmoid(network.regressor(joined)).squeeze(1)
    torch.testing.assert_close(network.regress_block(cells, drugs).flatten(), expected)
    line, drug = torch.arange(3).repeat_interleave(2), torch.arange(2).repeat(3)
    torch.testing.assert_close(network.regress(cells, line, drugs, drug), expected)


def test_coordinates_keep_geometry_up_to_their_scale() -> None:
    x = expression()
    coordinates = RowSpace.of(x, seed=0).coordinates(x)
    assert coordinates.shape == (N_LINES, N_LINES)
    torch.testing.assert_close(coordinates @ coordinates.t(), x @ x.t() * N_GENES / N_LINES, atol=1e-3, rtol=1e-4)


def test_layer_over_genes_is_the_same_function_of_expression() -> None:
    x, new = expression(), expression(1)
    space = RowSpace.of(x, seed=0)
    layer = nn.Linear(N_LINES, 5)
    over_genes = space.layer_over_genes(layer)
    for rows in (x, new):
        torch.testing.assert_close(over_genes(rows), layer(space.coordinates(rows)), atol=1e-4, rtol=1e-4)


def test_gradient_descent_in_coordinates_is_gradient_descent_over_genes() -> None:
    x, wanted = expression(), torch.randn(N_LINES, 5)
    space = RowSpace.of(x, seed=0)
    in_coordinates = nn.Linear(N_LINES, 5)
    over_genes = space.layer_over_genes(in_coordinates)
    step = 0.01
    for layer, inputs, rate in ((in_coordinates, space.coordinates(x), step * N_LINES / N_GENES), (over_genes, x, step)):
        for _ in range(20):
            layer.zero_grad()
            (torch.tanh(layer(inputs)) - wanted).pow(2).mean().backward()
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            with torch.no_grad():
                layer.weight.sub_(rate * layer.weight.grad)
                layer.bias.sub_(step * layer.bias.grad)
    torch.testing.assert_close(space.layer_over_genes(in_coordinates).weight, over_genes.weight, atol=1e-5, rtol=1e-4)


def test_reconstruction_error_is_that_over_genes() -> None:
    x = expression()
    space = RowSpace.of(x, seed=0)
    target = space.coordinates(x) * space.target_scale
    guess = target + 0.1 * torch.randn_like(target)
    back = guess / space.target_scale @ torch.linalg.pinv(space.to_coordinates)
    assert nn.functional.mse_loss(guess, target) == pytest.approx(float(nn.functional.mse_loss(back, x)), rel=1e-3)


def test_fresh_layer_gives_outputs_as_large_as_over_genes() -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 4000)
    space = RowSpace.of(x, seed=0)
    layer, plain = nn.Linear(60, 2000), nn.Linear(4000, 2000)
    space.shrink(layer)
    with torch.no_grad():
        assert float(layer(space.coordinates(x)).std()) == pytest.approx(float(plain(x).std()), rel=0.05)


def test_model_trained_in_coordinates_is_saved_over_genes_and_predicts_as_it_validated() -> None:
    study = small_study(n_genes=N_GENES)
    split = cross_screen(study, seed=0, val_fraction=0.2)
    training = {"max_epochs": 4, "learning_rate": 0.01, "block_lines": 4, "block_drugs": 3, "min_blocks": 1}
    model = DadspA(training=training, encoder_widths=(16, 8), drug_widths=(4,), regressor_widths=(4,))
    made, _ = model.prepare_stage(study, split, FitContext())
    assert made.expression.shape[1] < N_GENES
    model.fit(study, split)
    facts, arrays = model.state()
    assert arrays["network.encoder.0.0.weight"].shape == (16, len(facts["genes"]))
    val = predict_split(model, study, split, parts=("val",)).frame
    rmse = float(np.sqrt(((val["y_true"] - val["y_pred"]) ** 2).mean()))
    assert rmse == pytest.approx(model.history()["val/source/rmse"].min(), abs=1e-4)


def test_coordinates_are_taken_only_where_lines_are_fewer_than_genes() -> None:
    assert stage(n_genes=7).expression.shape[1] == 7
    assert stage(n_genes=40).expression.shape[1] < 40
    assert stage(n_genes=40, input_basis="genes").expression.shape[1] == 40

"""The single-drug network: its shape, its dropout, its penalties, and its arrays."""

import numpy as np
import pytest
import torch

from dadsp.errors import LoadError, SchemaError
from dadsp.singledrug.growth import Trial
from dadsp.singledrug.network import NetworkOptions, SingleDrugNetwork, TrainedNetwork, activations_of


def network(dropout: float = 0.0, widths: tuple[int, ...] = (7, 5, 6, 4, 3), seed: int = 0) -> SingleDrugNetwork:
    return SingleDrugNetwork(9, widths, activations_of(NetworkOptions("fixed"), len(widths)), dropout, seed)


def trained() -> TrainedNetwork:
    return TrainedNetwork(network(), y_mean=2.5, y_sd=0.5, options=NetworkOptions("fixed"), log=(Trial((7,), 0.1, 3, 1.0),))


def test_the_fixed_architecture_has_twelve_dense_layers_of_alternating_activation() -> None:
    widths = NetworkOptions("fixed").fixed_widths
    activations = activations_of(NetworkOptions("fixed"), len(widths))
    assert len(SingleDrugNetwork(4, widths, activations).dense) == 12
    assert activations[:4] == ("tanh", "relu", "tanh", "relu")


def test_grown_networks_use_relu_throughout() -> None:
    assert activations_of(NetworkOptions("growth"), 3) == ("relu", "relu", "relu")


def test_prediction_equals_the_layers_worked_by_hand() -> None:
    model = trained()
    x = np.random.default_rng(0).random((5, 9)).astype(np.float32)
    hidden = x.astype(np.float64)
    arrays = {name: value.astype(np.float64) for name, value in model.to_arrays().items()}
    for layer in range(6):
        hidden = hidden @ arrays[f"layers.{layer}.weight"].T + arrays[f"layers.{layer}.bias"]
        if layer < 5:
            hidden = np.maximum(hidden, 0) if layer % 2 else np.tanh(hidden)
    np.testing.assert_allclose(model.predict(x), 2.5 + 0.5 * hidden[:, 0], rtol=1e-5)


def test_dropout_acts_after_the_first_three_hidden_layers_only() -> None:
    # All tanh, so that a zero can come from dropout alone.
    model = SingleDrugNetwork(9, (50,) * 5, ("tanh",) * 5, dropout=0.4)
    seen: dict[int, float] = {}
    for number, layer in enumerate(model.dense):
        layer.register_forward_pre_hook(
            lambda _, inputs, number=number: seen.update({number: float((inputs[0] == 0).float().mean())})
        )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()(torch.rand(200, 9) + 1)
    assert [seen[number] for number in (1, 2, 3)] == pytest.approx([0.4] * 3, abs=0.02)
    assert [seen[number] for number in (0, 4, 5)] == [0, 0, 0]


def test_gradient_of_the_penalties_is_their_closed_form_and_leaves_biases_out() -> None:
    model = network()
    model.penalty(l1=0.3, l2=0.7).backward()
    for layer in model.dense:
        weight = layer.weight.detach()
        assert layer.weight.grad is not None
        torch.testing.assert_close(layer.weight.grad, 0.3 * weight.sign() + 1.4 * weight)
        assert layer.bias.grad is None


def test_initial_weights_depend_on_the_seed_alone_and_leave_the_global_stream_untouched() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (network(seed=seed).dense[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_signal_keeps_its_size_through_twelve_layers() -> None:
    options = NetworkOptions("fixed")
    model = SingleDrugNetwork(200, (200,) * 11, activations_of(options, 11)).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        response = model(torch.randn(500, 200))
    assert 0.1 < float(response.std()) < 3


def test_arrays_give_the_same_network_back() -> None:
    model = trained()
    x = np.random.default_rng(0).random((5, 9)).astype(np.float32)
    again = TrainedNetwork.from_arrays(model.to_arrays(), model.options, model.log)
    assert np.array_equal(again.predict(x), model.predict(x))
    assert again.network.activations == model.network.activations
    assert again.log == model.log


@pytest.mark.parametrize("name", ["layers.2.weight", "layers.5.bias", "activations", "y_mean_sd"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_incomplete_arrays_are_refused(name: str, damage: str) -> None:
    arrays = trained().to_arrays()
    if damage == "missing":
        del arrays[name]
    else:
        arrays[name] = arrays[name][:-1]
    with pytest.raises(LoadError, match="no complete single-drug network"):
        TrainedNetwork.from_arrays(arrays, NetworkOptions())


def test_a_table_of_other_width_is_refused() -> None:
    with pytest.raises(SchemaError, match="reads 9 genes"):
        trained().predict(np.zeros((2, 8), dtype=np.float32))

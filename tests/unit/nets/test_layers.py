"""Building blocks against torch's own layers and hand arithmetic."""

import pytest
import torch
from torch import nn

from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.wide_linear import WideLinear


def same_layers() -> tuple[WideLinear, nn.Linear]:
    torch.manual_seed(1)
    wide, plain = WideLinear(7, 5), nn.Linear(7, 5)
    plain.load_state_dict(wide.state_dict())
    return wide, plain


def test_wide_linear_equals_linear_in_values_and_gradients() -> None:
    wide, plain = same_layers()
    x = torch.randn(6, 7, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    for step in range(2):  # the second step meets the buffer of the first
        wide.zero_grad()
        plain.zero_grad()
        (wide(x * (step + 1)) ** 2).sum().backward()
        (plain(other * (step + 1)) ** 2).sum().backward()
        torch.testing.assert_close(wide.weight.grad, plain.weight.grad)
        torch.testing.assert_close(wide.bias.grad, plain.bias.grad)
        torch.testing.assert_close(x.grad, other.grad)


def test_wide_linear_adds_gradients_of_two_uses() -> None:
    wide, plain = same_layers()
    x, y = torch.randn(4, 7), torch.randn(3, 7)
    (wide(x).sum() + (wide(y) ** 2).sum()).backward()
    (plain(x).sum() + (plain(y) ** 2).sum()).backward()
    torch.testing.assert_close(wide.weight.grad, plain.weight.grad)


def test_wide_linear_reuses_its_gradient_memory() -> None:
    wide, _ = same_layers()
    places = []
    for _ in range(3):
        wide.zero_grad(set_to_none=True)
        wide(torch.randn(2, 7)).sum().backward()
        assert wide.weight.grad is not None
        places.append(wide.weight.grad.data_ptr())
    assert len(set(places)) == 1


def test_stack_reconstructs_through_mirrored_layers() -> None:
    sae = StackedAutoencoder(6, (4, 2), "sigmoid")
    x = torch.randn(3, 6)
    first, second = (next(layer.children()) for layer in sae.encoders)
    code = torch.sigmoid(second(torch.sigmoid(first(x))))
    torch.testing.assert_close(sae.encode(x), code)
    torch.testing.assert_close(sae(x), sae.decoders[0](sae.decoders[1](code)))
    torch.testing.assert_close(sae.reconstruct_layer(sae.encode(x, 1), 1), sae.decoders[1](code))


@pytest.mark.parametrize("depth", [0, 1])
def test_encode_stops_at_the_depth_asked_for(depth: int) -> None:
    sae = StackedAutoencoder(6, (4, 2), "relu")
    assert sae.encode(torch.randn(3, 6), depth).shape == (3, (6, 4)[depth])


def test_decoders_of_codes_and_of_expression_have_their_own_nonlinearity() -> None:
    torch.manual_seed(0)
    sae = StackedAutoencoder(6, (4, 2), "tanh", decoder_activation="relu", output_activation="sigmoid")
    x = torch.randn(3, 6)
    below, above = (decoder[0] for decoder in sae.decoders)  # type: ignore[index]
    rebuilt = torch.relu(above(sae.encode(x)))
    torch.testing.assert_close(sae.reconstruct_layer(sae.encode(x, 1), 1), rebuilt)
    torch.testing.assert_close(sae(x), torch.sigmoid(below(rebuilt)))

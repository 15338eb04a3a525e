"""Feed-forward stacks, from which encoder, drug branch, regressor and discriminator are made."""

from collections.abc import Iterable, Sequence
from typing import Literal

from torch import nn

from dadsp.nets.wide_linear import WideLinear

Activation = Literal["relu", "sigmoid", "tanh"]

WIDE = 2**23  # weights whose gradient (32 MiB) the C allocator returns to the system after every step

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def feed_forward(
    n_inputs: int,
    widths: Sequence[int],
    activation: Activation,
    *,
    n_outputs: int | None = None,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> nn.Sequential:
    """Linear layers, each followed by the activation; optionally a last linear layer without one.

    Args:
        n_inputs: Width of the input.
        widths: Hidden widths, in order.
        activation: Nonlinearity after each hidden layer.
        n_outputs: Width of a final linear layer; None for none.
        dropout: Probability after each hidden activation.
        batch_norm: Batch normalisation after the last hidden layer, as in the authors' discriminator.
    """
    layers: list[nn.Module] = []
    width = n_inputs
    for hidden in widths:
        layers += [dense_layer(width, hidden, activation)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = hidden
    if batch_norm:
        layers.append(nn.BatchNorm1d(width))
    if n_outputs is not None:
        layers.append(nn.Linear(width, n_outputs))
    return nn.Sequential(*layers)


def dense_layer(n_inputs: int, n_outputs: int, activation: Activation) -> nn.Sequential:
    """One linear layer followed by its activation."""
    linear: type[nn.Linear] = WideLinear if n_inputs * n_outputs >= WIDE else nn.Linear
    return nn.Sequential(linear(n_inputs, n_outputs), _ACTIVATIONS[activation]())


def activated(layer: nn.Module, activation: Activation | Literal["linear"]) -> nn.Module:
    """The layer followed by the activation; itself under ``"linear"``."""
    return layer if activation == "linear" else nn.Sequential(layer, _ACTIVATIONS[activation]())


def dense_layers(stack: nn.Sequential) -> list[nn.Sequential]:
    """The linear layers of a stack with their activations, in order, without dropout between them."""
    return [layer for layer in stack if isinstance(layer, nn.Sequential)]


def copy_layers(trained: Iterable[nn.Module], fresh: Iterable[nn.Module]) -> None:
    """Gives each of ``fresh`` the weights of its counterpart in ``trained``."""
    for before, after in zip(trained, fresh, strict=True):
        after.load_state_dict(before.state_dict())


def first_linear(layers: nn.Module) -> nn.Linear:
    """The linear layer that meets the input of a stack."""
    return next(module for module in layers.modules() if isinstance(module, nn.Linear))

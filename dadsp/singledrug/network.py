"""The single-drug network and its trained form: scaled expression in, response out."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal, Self, cast

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from safetensors.numpy import save
from torch import Tensor, nn

from dadsp.errors import LoadError, SchemaError
from dadsp.models.base import Arrays
from dadsp.options import STRICT
from dadsp.schema import FloatArray
from dadsp.singledrug.growth import GrowthOptions, Trial

Activation = Literal["relu", "tanh"]

ACTIVATIONS: tuple[Activation, ...] = ("relu", "tanh")  # a saved network names each by its place here
DROPOUT_LAYERS = 3
MAX_WIDTH = 10_000  # nodes of a layer
FIXED_WIDTHS = (200, 200, 200, 100, 100, 100, 50, 50, 50, 20, 20)


@dataclass(frozen=True, config=STRICT)
class NetworkOptions:
    """Shape and training of a single-drug network.

    Attributes:
        architecture: ``"growth"`` searches widths and depth, all ReLU; ``"fixed"`` takes ``fixed_widths``, tanh and ReLU
            alternating.
        fixed_widths: Hidden widths of the fixed network; with the output layer, 12 dense layers.
        growth: Steps and limits of the search.
        l1: Weight of Σ|w| in the loss, over weights without biases.
        l2: Weight of Σw² in the loss, over weights without biases.
        dropout: Share of nodes dropped after each of the first three hidden layers.
        learning_rate: Adam's step size.
        max_epochs: Most epochs of one network.
        patience: Epochs without a better validation error before training stops; None trains all epochs.
        batch_size: Lines in a step.
    """

    architecture: Literal["growth", "fixed"] = "growth"
    fixed_widths: tuple[Annotated[int, Field(ge=1, le=MAX_WIDTH)], ...] = Field(default=FIXED_WIDTHS, min_length=1)
    growth: GrowthOptions = Field(default_factory=GrowthOptions)
    l1: float = Field(default=1e-5, ge=0)
    l2: float = Field(default=1e-4, ge=0)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    max_epochs: int = Field(default=200, ge=1)
    patience: int | None = Field(default=20, ge=1)
    batch_size: int = Field(default=32, ge=2)


def activations_of(options: NetworkOptions, n_layers: int) -> tuple[Activation, ...]:
    """Of ``n_layers`` hidden layers: tanh, ReLU, tanh, … for the fixed architecture, ReLU for all that grow."""
    alternate = options.architecture == "fixed"
    return tuple("tanh" if alternate and layer % 2 == 0 else "relu" for layer in range(n_layers))


class SingleDrugNetwork(nn.Module):
    """Dense layers with an activation each and a linear output; dropout after the first three hidden layers.

    The paper names no initialisation: weights are drawn uniformly after He et al. before ReLU and after Glorot et al.
    elsewhere, so that the signal keeps its size through twelve layers; biases begin at 0.

    Args:
        n_inputs: Genes.
        widths: Of the hidden layers.
        activations: Of the hidden layers, one each.
        dropout: Probability.
        seed: Of the initial weights.
    """

    def __init__(
        self, n_inputs: int, widths: Sequence[int], activations: Sequence[Activation], dropout: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__()
        if len(widths) != len(activations):
            raise ValueError(f"{len(widths)} hidden layers need as many activations, not {len(activations)}.")
        self.n_inputs, self.widths, self.activations = n_inputs, tuple(widths), tuple(activations)
        self.dropout = dropout
        sizes = [n_inputs, *widths, 1]
        self.layers = nn.ModuleList()
        random = torch.Generator().manual_seed(seed)
        for before, after, activation in zip(sizes, sizes[1:], (*activations, None), strict=False):
            # The default initialisation would draw from the global stream.
            layer = nn.utils.skip_init(nn.Linear, before, after)
            if activation == "relu":
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=random)
            else:
                nn.init.xavier_uniform_(layer.weight, generator=random)
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)

    @property
    def dense(self) -> list[nn.Linear]:
        """The layers, by their type; the output layer is the last."""
        return [cast(nn.Linear, layer) for layer in self.layers]

    def forward(self, x: Tensor) -> Tensor:
        """Standardised response, shape (n,), for expression of shape (n, n_inputs)."""
        *hidden, output = self.dense
        for number, (layer, activation) in enumerate(zip(hidden, self.activations, strict=True)):
            x = torch.relu(layer(x)) if activation == "relu" else torch.tanh(layer(x))
            if number < DROPOUT_LAYERS:
                x = nn.functional.dropout(x, self.dropout, self.training)
        response: Tensor = output(x)
        return response.squeeze(1)

    def penalty(self, l1: float, l2: float) -> Tensor:
        """l1 · Σ|w| + l2 · Σw² over the weights of all dense layers, biases left out; a scalar."""
        weights = [layer.weight for layer in self.dense]
        return torch.stack([l1 * weight.abs().sum() + l2 * weight.square().sum() for weight in weights]).sum()


@plain_dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A network that predicts a response.

    Attributes:
        network: Gives standardised responses.
        y_mean: Mean response of the training lines.
        y_sd: Their standard deviation.
    """

    network: SingleDrugNetwork
    y_mean: float
    y_sd: float

    def predict(self, x: FloatArray) -> FloatArray:
        """Response of each line, float32, shape (n,), for scaled expression of shape (n, n_inputs).

        Raises:
            SchemaError: ``x`` is no table of that width.
        """
        if x.ndim != 2 or x.shape[1] != self.network.n_inputs:
            raise SchemaError(f"The network reads {self.network.n_inputs} genes; the table given has shape {x.shape}.")
        self.network.eval()
        with torch.no_grad():
            standardised = self.network(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)))
        response: FloatArray = (standardised.double() * self.y_sd + self.y_mean).numpy().astype(np.float32)
        return response


@plain_dataclass(frozen=True, eq=False)
class TrainedNetwork(FittedNetwork):
    """A fitted network with how it came about.

    Attributes:
        options: Its shape and training.
        log: Every network tried, in order; one for the fixed architecture.
    """

    options: NetworkOptions
    log: tuple[Trial, ...]

    def to_arrays(self) -> Arrays:
        """All that ``predict`` needs, by name."""
        arrays: Arrays = {name: value.numpy() for name, value in self.network.state_dict().items()}
        codes = [ACTIVATIONS.index(activation) for activation in self.network.activations]
        return arrays | {"activations": np.array(codes, np.uint8), "y_mean_sd": np.array([self.y_mean, self.y_sd])}

    @property
    def size_bytes(self) -> int:
        """Size of the safetensors file that holds ``to_arrays``."""
        return len(save(self.to_arrays()))

    @classmethod
    def from_arrays(cls, arrays: Arrays, options: NetworkOptions, log: Sequence[Trial] = ()) -> Self:
        """The network that ``to_arrays`` described.

        Raises:
            LoadError: Arrays are missing or do not fit together.
        """
        try:
            activations = [ACTIVATIONS[code] for code in arrays["activations"]]
            y_mean, y_sd = map(float, arrays["y_mean_sd"])
            widths = [len(arrays[f"layers.{layer}.bias"]) for layer in range(len(activations))]
            n_inputs = arrays["layers.0.weight"].shape[1]
            network = SingleDrugNetwork(n_inputs, widths, activations, options.dropout)
            network.load_state_dict({name: torch.from_numpy(arrays[name].copy()) for name in network.state_dict()})
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise LoadError(f"The arrays are no complete single-drug network ({error}). Train it again.") from error
        return cls(network, y_mean, y_sd, options, tuple(log))

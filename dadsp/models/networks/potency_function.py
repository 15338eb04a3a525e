"""A trained network as functions that can be differentiated: potency over a line's expression or over a drug's features."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.drugs.features import DrugFeatures
from dadsp.nets.feed_forward import first_linear
from dadsp.nets.pair_network import PairNetwork
from dadsp.schema import FloatArray
from dadsp.seeding import derive_seed


class GeneFunction(Protocol):
    """What attributions to genes need of a system: its potency of one drug in some lines, as a function of expression."""

    @property
    def scale(self) -> Callable[[FloatArray], FloatArray]:
        """From raw expression, shape (n, n_genes), to what the function reads."""

    @property
    def first_layer(self) -> nn.Linear | None:
        """The linear layer that meets scaled expression; None where expression enters as it is."""

    @property
    def share(self) -> FloatArray:
        """Weight of this function in the system's prediction of each line, float32, shape (n_lines,)."""

    @property
    def beside(self) -> FloatArray:
        """What the system adds for each line whatever its expression, float32, shape (n_lines,): no gene's doing."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of attributions must know of them."""

    def of_first_outputs(self, first_outputs: Tensor) -> Tensor:
        """Potency of the drug, shape (n,), from what ``first_layer`` gives of lines, shape (n, width)."""

    def with_shuffled_weights(self, seed: int) -> Self:
        """The same function with its weights permuted: it has learned nothing."""


@dataclass(frozen=True, eq=False)
class PotencyFunction:
    """What one network says of some lines of one screen and one drug, in −log10 IC50(µM).

    Attributes:
        network: Trained; from here on it evaluates, and its weights take no gradients.
        encoder: The part of it that reads expression of this screen.
        scale: From raw expression, shape (n_lines, n_genes), to what the encoder reads.
        labels: From scaled potency to potency.
        representation: Of the drug.
        drug_row: The drug's features, shape (1, d).
        beside_features: What else the drug branch reads of the drug, shape (1, k): no structure's doing.
        share: Weight of this network in the system's prediction of each line, float32, shape (n_lines,).
        notes: What a reader of attributions must know.
    """

    network: PairNetwork
    encoder: nn.Sequential
    scale: Callable[[FloatArray], FloatArray]
    labels: LabelScaler
    representation: DrugFeatures
    drug_row: Tensor
    beside_features: Tensor
    share: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)

    @cached_property
    def drug_code(self) -> Tensor:
        """Output of the drug branch, shape (1, drug width)."""
        return self._drug_codes(self.drug_row)

    def _drug_codes(self, features: Tensor) -> Tensor:
        beside = self.beside_features.to(features).expand(len(features), -1)
        code: Tensor = self.network.drug_branch(torch.cat([features, beside], dim=1))
        return code

    @property
    def first_layer(self) -> nn.Linear:
        """The linear layer that meets scaled expression."""
        return first_linear(self.encoder)

    @property
    def beside(self) -> FloatArray:
        """Nothing: a network reads expression alone."""
        return np.zeros_like(self.share)

    def codes(self, first_outputs: Tensor) -> Tensor:
        """Codes of lines, shape (n, code width), from what ``first_layer`` gives of them."""
        codes: Tensor = self.encoder[1:](cast(nn.Sequential, self.encoder[0])[1:](first_outputs))
        return codes

    def of_first_outputs(self, first_outputs: Tensor) -> Tensor:
        """Potency of the drug in lines, shape (n,), from what ``first_layer`` gives of them, shape (n, width)."""
        return self._potency(self.network.regress_block(self.codes(first_outputs), self.drug_code)[:, 0])

    def of_drug_features(self, features: Tensor, codes: Tensor) -> Tensor:
        """Potency, shape (n,), of n drugs by their features, shape (n, d), in n lines by their codes."""
        rows = torch.arange(len(features), device=features.device)
        return self._potency(self.network.regress(codes, rows, self._drug_codes(features), rows))

    def with_shuffled_weights(self, seed: int) -> "PotencyFunction":
        """The same architecture whose weights are permuted within each weight matrix and bias: it has learned nothing."""
        network, encoder = copy.deepcopy((self.network, self.encoder))  # together, so that one stays a part of the other
        random = torch.Generator().manual_seed(derive_seed(seed, "shuffled weights"))
        for weights in network.parameters():
            weights.copy_(weights.flatten()[torch.randperm(weights.numel(), generator=random)].view_as(weights))
        return replace(self, network=network, encoder=encoder)

    def _potency(self, scaled: Tensor) -> Tensor:
        return scaled * (self.labels.high - self.labels.low) + self.labels.low

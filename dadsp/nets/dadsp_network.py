"""The network of DADSP-A: shared gene encoder, drug branch, regressor and domain discriminator."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from dadsp.nets.feed_forward import Activation, feed_forward, first_linear
from dadsp.nets.pair_network import PairNetwork


class DadspNetwork(PairNetwork):
    """Encodes lines of both screens, predicts scaled potency from source codes, tells the domains apart.

    Args:
        n_inputs: Width of the expression (genes, or coordinates of the row space).
        n_drug_features: Width of the drug features.
        encoder_widths: Gene encoder.
        drug_widths: Drug branch; empty feeds the features to the regressor as they are (the authors' code).
        regressor_widths: Hidden layers before the single sigmoid output, at least one.
        discriminator_widths: Hidden layers before the two logits; None builds no discriminator.
        activation: Nonlinearity of every hidden layer outside the gene encoder.
        encoder_activation: Nonlinearity of the gene encoder.
        dropout: Probability after each encoder activation, drawn once per distinct line of a batch.
        discriminator_batch_norm: Batch normalisation before the logits (the authors' code).

    Reference: DADSP section 4.4.1, figure 7.
    """

    def __init__(
        self,
        n_inputs: int,
        n_drug_features: int,
        *,
        encoder_widths: Sequence[int],
        drug_widths: Sequence[int],
        regressor_widths: Sequence[int],
        discriminator_widths: Sequence[int] | None,
        activation: Activation,
        encoder_activation: Activation,
        dropout: float = 0.0,
        discriminator_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = feed_forward(n_inputs, encoder_widths, encoder_activation, dropout=dropout)
        self.drug_branch = feed_forward(n_drug_features, drug_widths, activation)
        code_width = encoder_widths[-1]
        drug_width = drug_widths[-1] if drug_widths else n_drug_features
        self.regressor = feed_forward(code_width + drug_width, regressor_widths, activation, n_outputs=1)
        self.discriminator = (
            None
            if discriminator_widths is None
            else feed_forward(code_width, discriminator_widths, activation, n_outputs=2, batch_norm=discriminator_batch_norm)
        )

    def start_at(self, potency: float) -> None:
        """Sets the output's bias so that fresh weights predict about ``potency`` (scaled, in (0, 1)).

        From 0.5 the first hundreds of steps would push every layer one way, towards the labels' mean, until units die.
        """
        last = cast(nn.Linear, self.regressor[-1])
        with torch.no_grad():
            last.bias.fill_(math.log(potency / (1 - potency)))

    def regress(self, cell_codes: Tensor, line_of_pair: Tensor, drug_codes: Tensor, drug_of_pair: Tensor) -> Tensor:
        """Of pairs, in (0, 1); see ``PairNetwork``."""
        lines, drugs = self._first_layer_halves(cell_codes, drug_codes)
        return self._after_first_layer(lines.index_select(0, line_of_pair) + drugs.index_select(0, drug_of_pair))

    def regress_block(self, cell_codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Of every line with every drug, in (0, 1); see ``PairNetwork``."""
        lines, drugs = self._first_layer_halves(cell_codes, drug_codes)
        hidden = (lines.unsqueeze(1) + drugs.unsqueeze(0)).flatten(0, 1)
        return self._after_first_layer(hidden).view(len(cell_codes), len(drug_codes))

    def _first_layer_halves(self, cell_codes: Tensor, drug_codes: Tensor) -> tuple[Tensor, Tensor]:
        # W·[line ⊕ drug] + b = W_line·line + (W_drug·drug + b): each half once per distinct line or drug.
        first = first_linear(self.regressor[0])
        split = cell_codes.shape[1]
        drugs = nn.functional.linear(drug_codes, first.weight[:, split:], first.bias)
        return nn.functional.linear(cell_codes, first.weight[:, :split]), drugs

    def _after_first_layer(self, hidden: Tensor) -> Tensor:
        _, activation = self.regressor[0].children()
        return torch.sigmoid(self.regressor[1:](activation(hidden))).squeeze(1)

    def last_hidden(self) -> nn.Module:
        """The regressor's last hidden layer."""
        return self.regressor[-2]

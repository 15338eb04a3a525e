"""The network of DADSP-A: shared gene encoder, drug branch, regressor and domain discriminator."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dadsp.nets.feed_forward import Activation, feed_forward
from dadsp.nets.gradient_reversal import reverse_gradient


class DadspNetwork(nn.Module):
    """Encodes lines of both screens, predicts scaled potency from source codes, tells the domains apart.

    Args:
        n_genes: Width of the expression.
        n_drug_features: Width of the drug features.
        encoder_widths: Gene encoder.
        drug_widths: Drug branch; empty feeds the features to the regressor as they are (the authors' code).
        regressor_widths: Hidden layers before the single sigmoid output.
        discriminator_widths: Hidden layers before the two logits; None builds no discriminator.
        activation: Nonlinearity of every hidden layer outside the gene encoder.
        encoder_activation: Nonlinearity of the gene encoder.
        dropout: Probability after each encoder activation, drawn once per distinct line of a batch.
        discriminator_batch_norm: Batch normalisation before the logits (the authors' code).

    Reference: DADSP section 4.4.1, figure 7.
    """

    def __init__(
        self,
        n_genes: int,
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
        self.encoder = feed_forward(n_genes, encoder_widths, encoder_activation, dropout=dropout)
        self.drug_branch = feed_forward(n_drug_features, drug_widths, activation)
        code_width = encoder_widths[-1]
        drug_width = drug_widths[-1] if drug_widths else n_drug_features
        self.regressor = feed_forward(code_width + drug_width, regressor_widths, activation, n_outputs=1)
        self.discriminator = (
            None
            if discriminator_widths is None
            else feed_forward(code_width, discriminator_widths, activation, n_outputs=2, batch_norm=discriminator_batch_norm)
        )

    def regress(self, cell_codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Scaled potency in (0, 1), shape (n,), of n (line, drug) pairs given row by row."""
        return torch.sigmoid(self.regressor(torch.cat([cell_codes, drug_codes], dim=1))).squeeze(1)

    def tell_domain(self, cell_codes: Tensor, strength: float) -> Tensor:
        """Logits (source, target), shape (n, 2); their gradient reaches the encoder reversed and times ``strength``."""
        if self.discriminator is None:
            raise ValueError("This network was built without a discriminator.")
        logits: Tensor = self.discriminator(reverse_gradient(cell_codes, strength))
        return logits

"""What every network over (line, drug) pairs offers: codes of lines, codes of drugs, and a head that joins them."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dadsp.nets.gradient_reversal import reverse_gradient


class PairNetwork(nn.Module, ABC):
    """Encodes lines of both screens and drugs, and gives the scaled potency of pairs of these codes.

    Attributes:
        encoder: From scaled expression (or its coordinates) to codes of lines.
        drug_branch: From rows of drug features to codes of drugs.
        discriminator: From codes of lines to two logits, source and target; None where nothing is to tell them apart.
    """

    encoder: nn.Sequential
    drug_branch: nn.Sequential
    discriminator: nn.Sequential | None

    @abstractmethod
    def start_at(self, potency: float) -> None:
        """Makes fresh weights predict about ``potency`` (scaled, in (0, 1)), the labels' mean."""

    @abstractmethod
    def regress(self, cell_codes: Tensor, line_of_pair: Tensor, drug_codes: Tensor, drug_of_pair: Tensor) -> Tensor:
        """Scaled potency of n pairs, shape (n,).

        Args:
            cell_codes: Codes of distinct lines, shape (u, code width).
            line_of_pair: Rows of ``cell_codes``, shape (n,).
            drug_codes: Codes of distinct drugs, shape (v, drug width).
            drug_of_pair: Rows of ``drug_codes``, shape (n,).
        """

    @abstractmethod
    def regress_block(self, cell_codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Scaled potency of every line with every drug, shape (u, v)."""

    @abstractmethod
    def last_hidden(self) -> nn.Module:
        """The module whose outputs the head's last layer reads."""

    def tell_domain(self, cell_codes: Tensor, strength: float) -> Tensor:
        """Logits (source, target), shape (n, 2); their gradient reaches the encoder reversed and times ``strength``."""
        if self.discriminator is None:
            raise ValueError("This network was built without a discriminator.")
        logits: Tensor = self.discriminator(reverse_gradient(cell_codes, strength))
        return logits

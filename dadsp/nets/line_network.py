"""A network that learns which line: a drug's level is given, and what it does to one line rather than another learned."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dadsp.nets.feed_forward import Activation, feed_forward, first_linear
from dadsp.nets.pair_network import PairNetwork

Head = Literal["bilinear", "film", "mlp"]


class DrugCode(nn.Module):
    """Code of a drug from its structure and, where it trained, a free code of its own; the drug's level goes with it.

    Rows are [features ⊕ level ⊕ number], shape (n, d + 2): level is the drug's scaled mean potency, number that of its free
    code from 1, or 0 for a drug without. Codes are [code ⊕ level], shape (n, width + 1).

    Args:
        n_features: d.
        widths: Hidden layers over the features.
        width: Of the code.
        n_free: How many drugs have a free code; 0 for none.
        activation: Nonlinearity of the hidden layers.
        free_dropout: Probability that a drug of a batch goes without its free code in training, so that structure alone must
            do, as for a drug that never trained.
        reads: Network that turns rows of features into ``n_features`` codes first; None where they are features already.
    """

    def __init__(
        self,
        n_features: int,
        widths: Sequence[int],
        width: int,
        n_free: int,
        activation: Activation,
        free_dropout: float = 0.0,
        reads: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.reads = reads
        self.of_structure = feed_forward(n_features, widths, activation, n_outputs=width)
        self.free = nn.Embedding(n_free + 1, width, padding_idx=0) if n_free else None
        if self.free is not None:  # a drug begins as its structure says
            nn.init.zeros_(self.free.weight)
        self.free_dropout = free_dropout

    def forward(self, rows: Tensor) -> Tensor:
        """Codes of drugs."""
        features, level, number = rows[:, :-2], rows[:, -2:-1], rows[:, -1]
        code = self.of_structure(features if self.reads is None else self.reads(features))
        if self.free is not None:
            number = number.round().long()
            if self.training and self.free_dropout:
                number = torch.where(torch.rand(len(number), device=number.device) < self.free_dropout, 0, number)
            code = code + self.free(number)
        return torch.cat([code, level], dim=1)


class LineNetwork(PairNetwork):
    """Scaled potency = level of the drug + spread · h(code of the line, code of the drug).

    h is ``"bilinear"``: (P x)·z / √k + a·x + b·z, "film" (feature-wise linear modulation; Perez et al., AAAI 2018):
    c·relu((1 + G z) ⊙ P x + B z) + a·x + b·z, or ``"mlp"``: layers over [x ⊕ z], the published networks' head without its
    sigmoid. x is the code of a line, z of a drug, k the width of z.

    Args:
        n_inputs: Width of the expression (genes, or coordinates of the row space).
        drug_code: Gives codes of drugs.
        code_width: k.
        encoder_widths: Gene encoder.
        activation: Nonlinearity of the discriminator and of the mlp head.
        encoder_activation: Nonlinearity of the gene encoder.
        dropout: Probability after each encoder activation.
        head: h.
        head_widths: Hidden layers of the mlp head.
        spread: Of scaled labels about their drugs' levels, so that h is of order 1.
        discriminator_widths: Hidden layers before the two logits; None builds no discriminator.
    """

    def __init__(
        self,
        n_inputs: int,
        drug_code: DrugCode,
        code_width: int,
        *,
        encoder_widths: Sequence[int],
        activation: Activation,
        encoder_activation: Activation,
        dropout: float,
        head: Head,
        head_widths: Sequence[int],
        spread: float,
        discriminator_widths: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.head, self.scale = head, 1 / math.sqrt(code_width)
        self.encoder = feed_forward(n_inputs, encoder_widths, encoder_activation, dropout=dropout)
        self.drug_branch = nn.Sequential(drug_code)
        n = encoder_widths[-1]
        if head == "mlp":
            self.joined = feed_forward(n + code_width, head_widths, activation, n_outputs=1)
        else:
            self.project = nn.Linear(n, code_width)
            self.of_line, self.of_drug = nn.Linear(n, 1), nn.Linear(code_width, 1, bias=False)
        if head == "film":
            self.modulate, self.read_out = nn.Linear(code_width, 2 * code_width), nn.Linear(code_width, 1, bias=False)
        self.discriminator = (
            None if discriminator_widths is None else feed_forward(n, discriminator_widths, activation, n_outputs=2)
        )
        self.register_buffer("spread", torch.tensor(spread))
        self.spread: Tensor

    def start_at(self, potency: float) -> None:
        """Levels are given: there is nothing to set."""

    def last_hidden(self) -> nn.Module:
        """The encoder; or the mlp head's last hidden layer."""
        return self.joined[-2] if self.head == "mlp" else self.encoder

    def regress(self, cell_codes: Tensor, line_of_pair: Tensor, drug_codes: Tensor, drug_of_pair: Tensor) -> Tensor:
        """Of pairs; see ``PairNetwork``."""
        lines = [part.index_select(0, line_of_pair) for part in self._of_lines(cell_codes)]
        drugs = [part.index_select(0, drug_of_pair) for part in self._of_drugs(drug_codes[:, :-1])]
        return drug_codes[:, -1].index_select(0, drug_of_pair) + self.spread * self._join(lines, drugs)

    def regress_block(self, cell_codes: Tensor, drug_codes: Tensor) -> Tensor:
        """Of every line with every drug; see ``PairNetwork``."""
        lines = [part.unsqueeze(1) for part in self._of_lines(cell_codes)]
        drugs = [part.unsqueeze(0) for part in self._of_drugs(drug_codes[:, :-1])]
        return drug_codes[:, -1] + self.spread * self._join(lines, drugs)

    def _of_lines(self, x: Tensor) -> tuple[Tensor, ...]:
        """What h needs of each line, once however many pairs it has; each of shape (u, …)."""
        if self.head == "mlp":
            first = first_linear(self.joined[0])
            return (nn.functional.linear(x, first.weight[:, : x.shape[1]]),)
        return self.project(x), self.of_line(x)

    def _of_drugs(self, z: Tensor) -> tuple[Tensor, ...]:
        """What h needs of each drug, each of shape (v, …)."""
        if self.head == "mlp":
            first = first_linear(self.joined[0])
            return (nn.functional.linear(z, first.weight[:, -z.shape[1] :], first.bias),)
        own = self.of_drug(z)
        return (z * self.scale, own) if self.head == "bilinear" else (*self.modulate(z).chunk(2, dim=1), own)

    def _join(self, lines: list[Tensor], drugs: list[Tensor]) -> Tensor:
        """h, from parts of lines and drugs that broadcast against each other; without their last dimension."""
        if self.head == "mlp":
            _, activation = self.joined[0].children()
            hidden: Tensor = self.joined[1:](activation(lines[0] + drugs[0]))
            return hidden.squeeze(-1)
        own = (lines[1] + drugs[-1]).squeeze(-1)
        if self.head == "bilinear":
            return (lines[0] * drugs[0]).sum(-1) + own
        factor, shift = drugs[:2]
        film: Tensor = self.read_out(torch.relu((1 + factor) * lines[0] + shift))
        return film.squeeze(-1) + own

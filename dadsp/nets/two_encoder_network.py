"""The network of DADSP-B: an encoder for source lines and one for target lines before the same regressor."""

import copy
from typing import Any

from dadsp.nets.dadsp_network import DadspNetwork


class TwoEncoderNetwork(DadspNetwork):
    """A network without discriminator whose target lines have an encoder of their own, at first equal to the source's.

    Args:
        n_inputs: As in ``DadspNetwork``.
        n_drug_features: As in ``DadspNetwork``.
        sizes: The other arguments of ``DadspNetwork``.

    Reference: DADSP section 4.4.2, figure 8.
    """

    def __init__(self, n_inputs: int, n_drug_features: int, **sizes: Any) -> None:
        super().__init__(n_inputs, n_drug_features, **sizes, discriminator_widths=None)
        self.target_encoder = copy.deepcopy(self.encoder)

"""The stacked autoencoder whose encoder initialises the gene encoder."""

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from dadsp.nets.feed_forward import Activation, activated, dense_layer

DecoderActivation = Activation | Literal["linear"]


class StackedAutoencoder(nn.Module):
    """Encoder layers h = f(Wx + b) with mirrored decoders x' = g(W'h + b').

    The paper does not name g; a linear one can return any code or expression value.

    Args:
        n_genes: Width of the input.
        widths: Code widths of the layers, e.g. (2048, 1024, 512).
        activation: f.
        decoder_activation: g of the decoders that rebuild codes.
        output_activation: g of the decoder that rebuilds the input; a relu or sigmoid returns nothing below 0.

    Reference: DADSP eq. 1–2.
    """

    def __init__(
        self,
        n_genes: int,
        widths: Sequence[int],
        activation: Activation,
        decoder_activation: DecoderActivation = "linear",
        output_activation: DecoderActivation = "linear",
    ) -> None:
        super().__init__()
        sizes = [n_genes, *widths]
        self.encoders = nn.ModuleList(dense_layer(before, after, activation) for before, after in itertools.pairwise(sizes))
        self.decoders = nn.ModuleList(
            activated(nn.Linear(after, before), decoder_activation if layer else output_activation)
            for layer, (before, after) in enumerate(itertools.pairwise(sizes))
        )

    def encode(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Code after the first ``depth`` layers (all by default), shape (n, widths[depth − 1])."""
        for layer in list(self.encoders)[:depth]:
            x = layer(x)
        return x

    def reconstruct_layer(self, hidden: Tensor, layer: int) -> Tensor:
        """What layer ``layer`` alone gives back of its own input (greedy training)."""
        decoded: Tensor = self.decoders[layer](self.encoders[layer](hidden))
        return decoded

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction through the whole stack, shape of ``x``."""
        return decode(self.decoders, self.encode(x))


def decode(decoders: nn.ModuleList, code: Tensor) -> Tensor:
    """Input rebuilt from the code of the whole stack, shape (n, n_genes)."""
    for decoder in reversed(list(decoders)):
        code = decoder(code)
    return code

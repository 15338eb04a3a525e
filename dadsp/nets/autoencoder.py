"""The stacked autoencoder whose encoder initialises the gene encoder."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from dadsp.nets.feed_forward import Activation, dense_layer


class StackedAutoencoder(nn.Module):
    """Encoder layers h = f(Wx + b) with mirrored linear decoders x' = W'h + b'.

    The paper leaves the decoder's nonlinearity open (its g); a linear one can return any expression value.

    Args:
        n_genes: Width of the input.
        widths: Code widths of the layers, e.g. (2048, 1024, 512).
        activation: f.

    Reference: DADSP eq. 1–2.
    """

    def __init__(self, n_genes: int, widths: Sequence[int], activation: Activation) -> None:
        super().__init__()
        sizes = [n_genes, *widths]
        self.encoders = nn.ModuleList(dense_layer(before, after, activation) for before, after in itertools.pairwise(sizes))
        self.decoders = nn.ModuleList(nn.Linear(after, before) for before, after in itertools.pairwise(sizes))

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

"""Training in the coordinates of the row space: as many inputs as there are lines, not genes.

n lines span at most n directions of gene space. The gradient of a first linear layer is a sum of outer products with these
lines, so training never moves its weights out of that span; learning them in coordinates of the span is the same learning
with far fewer weights. (Fresh weights over genes also have a random part outside the span, which never trains and only adds
noise to new lines; in coordinates there is none.) **Exact** for the linear layer itself, for squared reconstruction error
with a linear decoder, and for an optimizer whose steps a rotation of the inputs leaves alone (gradient descent, momentum).
**Not exact** for Adam, which scales each coordinate by itself: it equalises coordinates instead of genes. Coordinates are
therefore rotated at random, so that no few of them hold most of the variance, and scaled by √(genes/coordinates), so that a
step of given size moves a layer's output as far as it would in gene space.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from dadsp.nets.feed_forward import first_linear
from dadsp.seeding import derive_seed

InputBasis = Literal["rowspace", "genes"]


@dataclass(frozen=True, eq=False)
class RowSpace:
    """A scaled orthonormal basis of the training expression.

    Attributes:
        to_coordinates: float32, shape (n_genes, r), r ≤ number of lines; columns orthogonal, each of length √(n_genes/r).
    """

    to_coordinates: Tensor

    @classmethod
    def of(cls, expression: Tensor, seed: int) -> "RowSpace":
        """The row space of scaled expression, shape (n_lines, n_genes) with n_lines < n_genes, randomly rotated."""
        n_lines, n_genes = expression.shape
        basis, _ = torch.linalg.qr(expression.t())
        random = torch.Generator().manual_seed(derive_seed(seed, "rowspace"))
        rotation, _ = torch.linalg.qr(torch.randn(n_lines, n_lines, generator=random))
        return cls(basis @ (rotation * (n_genes / n_lines) ** 0.5))

    @property
    def target_scale(self) -> float:
        """Factor that gives coordinates the mean square of expression: ‖factor·c‖²/r = ‖x‖²/n_genes."""
        n_genes, r = self.to_coordinates.shape
        return r / n_genes

    def coordinates(self, expression: Tensor) -> Tensor:
        """Inputs of a layer learned in coordinates, shape (n_lines, r)."""
        return expression @ self.to_coordinates

    def shrink(self, layer: nn.Linear) -> None:
        """Rescales the fresh weights of a layer over coordinates to the output they would give over genes."""
        n_genes, r = self.to_coordinates.shape
        with torch.no_grad():
            layer.weight.mul_(r / n_genes)  # √(r/genes) for the bound of the draw, √(r/genes) for the scaled coordinates
            layer.bias.mul_((r / n_genes) ** 0.5)

    def layer_over_genes(self, layer: nn.Linear) -> nn.Linear:
        """The same function of expression as a layer over coordinates: W_genes = W·Aᵀ."""
        over_genes = nn.Linear(self.to_coordinates.shape[0], layer.out_features)
        with torch.no_grad():
            over_genes.weight.copy_(layer.weight @ self.to_coordinates.t())
            over_genes.bias.copy_(layer.bias)
        return over_genes

    def lift(self, encoder: nn.Sequential) -> None:
        """Replaces the first layer of an encoder over coordinates, so that it encodes expression."""
        dense = cast(nn.Sequential, encoder[0])
        dense[0] = self.layer_over_genes(first_linear(dense))

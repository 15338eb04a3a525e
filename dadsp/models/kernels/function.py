"""What a system of kernels says of one drug, as a function of a line's expression that can be differentiated."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dadsp.models.kernels.similarity import LineKernel, Values
from dadsp.schema import FloatArray
from dadsp.seeding import derive_seed


@dataclass(frozen=True, eq=False)
class KernelFunction:
    """F(z) = level + Σ_l S(z, z_l) c_l with c = A k_D(d): potency of one drug before any cap, −log10 IC50(µM).

    ∂F/∂z is Zᵀc/p for the linear S, and Σ_l −2/width · (z − z_l) exp(−‖z − z_l‖²/width) c_l for the radial one.

    Attributes:
        kind: Of S (``dadsp.models.kernels.similarity.line_similarity``).
        width: Of its radial part.
        lines: Scaled expression of the training lines, z_l, shape (n_training, n_genes).
        weights: A, of the training pairs, shape (n_training, n_drugs).
        of_drug: Similarity of the drug to the training drugs, k_D(d), shape (n_drugs,).
        level: Of the drug.
        scale: From raw expression, shape (n, n_genes), to what the system reads.
        beside: What the system adds to F for each explained line whatever its expression, float32, shape (n_lines,).
        notes: What a reader of attributions must know.
    """

    kind: LineKernel
    width: float
    lines: FloatArray
    weights: Values
    of_drug: Values
    level: float
    scale: Callable[[FloatArray], FloatArray]
    beside: FloatArray
    notes: tuple[str, ...] = ()

    first_layer = None  # expression enters as it is

    @property
    def share(self) -> FloatArray:
        """One function makes the whole prediction."""
        return np.ones_like(self.beside)

    @cached_property
    def _lines(self) -> Tensor:
        return torch.from_numpy(self.lines).double()

    @cached_property
    def _coefficients(self) -> Tensor:
        return torch.from_numpy(self.weights @ self.of_drug)

    def of_first_outputs(self, expression: Tensor) -> Tensor:
        """F, float64, shape (n,), of scaled expression, shape (n, n_genes)."""
        rows = expression.double()
        inner = rows @ self._lines.T
        linear = inner / rows.shape[1]
        if self.kind == "linear":
            return self.level + linear @ self._coefficients
        squares = (rows * rows).sum(1, keepdim=True) + (self._lines * self._lines).sum(1) - 2 * inner
        radial = torch.exp(-squares.clamp(min=0) / self.width)
        return self.level + (radial if self.kind == "rbf" else (linear + radial) / 2) @ self._coefficients

    def with_shuffled_weights(self, seed: int) -> "KernelFunction":
        """The same kernels whose weights are permuted over all pairs: it has learned nothing."""
        random = np.random.default_rng(derive_seed(seed, "shuffled weights"))
        return replace(self, weights=random.permutation(self.weights.ravel()).reshape(self.weights.shape))

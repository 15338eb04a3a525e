"""Principal axes of lines without a matrix of genes × genes where genes are many."""

import numpy as np
from numpy.typing import NDArray

from dadsp.schema import FloatArray

Values = NDArray[np.float64]
NEGLIGIBLE = 1e-10  # a squared singular value below this share of the largest is rounding


def principal_axes(z: FloatArray | Values) -> tuple[Values, Values]:
    """Right singular vectors and squared singular values of lines.

    Args:
        z: Shape (n_lines, n_genes).

    Returns:
        V, shape (n_genes, r), and s², shape (r,), positive: zᵀz = V diag(s²) Vᵀ, r ≤ min(n_lines, n_genes). They come from
        the smaller of zzᵀ and zᵀz.
    """
    z = z.astype(np.float64, copy=False)
    by_lines = len(z) < z.shape[1]
    squared, vectors = np.linalg.eigh(z @ z.T if by_lines else z.T @ z)
    kept = squared > NEGLIGIBLE * squared[-1]
    squared, vectors = squared[kept], vectors[:, kept]
    return (z.T @ (vectors / np.sqrt(squared)) if by_lines else vectors), squared

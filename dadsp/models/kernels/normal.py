"""The normal distribution: its mean above a cap, and quantiles of its errors."""

import numpy as np
from scipy.special import ndtr, ndtri

from dadsp.models.kernels.similarity import Values

QUANTILES = 201  # kept of the held-out errors, from the smallest to the largest


def expected_above(cap: float, mean: Values, sd: Values) -> Values:
    """E[max(cap, y)] of y ~ N(mean, sd²): cap + (mean − cap)·Φ(u) + sd·φ(u) with u = (mean − cap)/sd."""
    u = (mean - cap) / sd
    result: Values = cap + (mean - cap) * ndtr(u) + sd * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
    return result


def normal_errors() -> Values:
    """Quantiles of |N(0, 1)|, shape (``QUANTILES``,), the last one taken at 1 − 1e-6."""
    shares = np.minimum(np.linspace(0, 1, QUANTILES), 1 - 1e-6)
    return np.asarray(ndtri((1 + shares) / 2), dtype=np.float64)

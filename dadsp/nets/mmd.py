"""Maximum mean discrepancy: how far apart two sets of features lie, seen through Gaussian kernels."""

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["biased", "unbiased"]

N_KERNELS = 5
FACTOR = 2.0  # from one kernel's bandwidth to the next


def mmd2(source: Tensor, target: Tensor, estimator: Estimator = "biased") -> Tensor:
    """Squared maximum mean discrepancy between two feature batches under a sum of five Gaussian kernels.

    k(a, b) = Σᵢ exp(−‖a − b‖² / hᵢ) with hᵢ = h / 2² · 2ⁱ, i = 0 … 4. h is the mean squared distance over the n² − n ordered
    pairs of different rows of both batches joined; no gradient flows through it.

    Args:
        source: Features, shape (n, d).
        target: Features, shape (m, d).
        estimator: ``"biased"`` takes the means of the whole blocks k(s, s'), k(t, t') and k(s, t), as the authors' code
            does; it is never negative, and 0 for identical batches. ``"unbiased"`` leaves each row's kernel with itself out
            of the first two; its mean over batches of one distribution is 0, so that it may be negative.

    Returns:
        Scalar, in [0, 10] when biased.

    Raises:
        ValueError: Feature widths differ, or a batch has no row (one row, when unbiased).

    Reference: DADSP eq. 9; Gretton et al., JMLR 2012, eq. 3 and 5; bandwidths of the authors' code.
    """
    n, m = len(source), len(target)
    fewest = 1 if estimator == "biased" else 2
    if source.shape[1:] != target.shape[1:] or min(n, m) < fewest:
        raise ValueError(
            f"The {estimator} estimate compares batches of one width, each of at least {fewest} rows; "
            f"got {tuple(source.shape)} and {tuple(target.shape)}."
        )
    joined = torch.cat([source, target])
    # Not by way of products of rows, whose rounding would give a row a distance from itself.
    squared = torch.cdist(joined, joined, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    mean = squared.detach().sum() / (len(joined) * (len(joined) - 1))
    narrowest = (mean / FACTOR ** (N_KERNELS // 2)).clamp_min(torch.finfo(squared.dtype).tiny)  # all rows alike: kernel 1
    kernel = sum((torch.exp(-squared / (narrowest * FACTOR**i)) for i in range(N_KERNELS)), torch.zeros_like(squared))
    within = _within(kernel[:n, :n], estimator) + _within(kernel[n:, n:], estimator)
    return within - 2 * kernel[:n, n:].mean()


def _within(kernel: Tensor, estimator: Estimator) -> Tensor:
    if estimator == "biased":
        return kernel.mean()
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))

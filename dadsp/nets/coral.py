"""Deep CORAL: how far apart the covariances of two sets of features lie."""

from torch import Tensor


def coral(source: Tensor, target: Tensor) -> Tensor:
    """‖C_s − C_t‖²_F / 4d², a scalar; the covariance of a single row is 0.

    Args:
        source: Features, shape (n, d).
        target: Features, shape (m, d).

    Reference: Sun and Saenko, Deep CORAL, ECCV 2016 workshops, eq. 1–3.
    """
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred.T @ centred / max(len(features) - 1, 1)

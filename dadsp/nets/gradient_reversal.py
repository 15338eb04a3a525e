"""The gradient reversal layer of adversarial domain adaptation and its ramp."""

import math
from typing import Any

import torch
from torch import Tensor


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor, None]:
        return upstream[0] * -ctx.strength, None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The features unchanged; on the way back their gradient is multiplied by −strength.

    Args:
        features: Any shape.
        strength: λ ≥ 0.

    Reference: DADSP eq. 4–5; Ganin et al., JMLR 2016.
    """
    result: Tensor = _ReverseGradient.apply(features, strength)
    return result


def reversal_strength(progress: float, gamma: float = 10.0) -> float:
    """λ(p) = 2 / (1 + exp(−γp)) − 1, rising from 0 towards 1.

    Args:
        progress: p, the share of all planned optimizer steps already taken, in [0, 1].
        gamma: γ > 0; the paper uses 10.

    Raises:
        ValueError: Progress outside [0, 1]. (The authors' code starts at a negative p, which turns the reversal around.)

    Reference: DADSP eq. 6.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"Training progress must lie in [0, 1], got {progress}.")
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0

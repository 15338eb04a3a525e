"""MMD² by hand, by loops, and what its gradient sees."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dadsp.nets.mmd import Estimator, mmd2


def batches(n: int = 5, m: int = 4, shift: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=random), torch.randn(m, 3, generator=random) + shift


def by_loops(source: Tensor, target: Tensor, estimator: Estimator, bandwidth: float | None = None) -> float:
    rows = [*source.double().numpy(), *target.double().numpy()]
    distances = [float(((a - b) ** 2).sum()) for a, b in itertools.permutations(rows, 2)]
    narrowest = (sum(distances) / len(distances) if bandwidth is None else bandwidth) / 4

    def mean(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        kernels = [sum(math.exp(-((a - b) ** 2).sum() / (narrowest * 2**i)) for i in range(5)) for a, b in pairs]
        return float(np.mean(kernels))

    own = itertools.permutations if estimator == "unbiased" else lambda part, _: itertools.product(part, part)
    first, second = rows[: len(source)], rows[len(source) :]
    return mean([*own(first, 2)]) + mean([*own(second, 2)]) - 2 * mean([*itertools.product(first, second)])


def test_two_points_have_the_closed_form() -> None:
    # One distance d², which is also the mean; bandwidths are d² times 1/4, 1/2, 1, 2, 4.
    value = mmd2(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -2.0]]))
    assert float(value) == pytest.approx(10 - 2 * sum(math.exp(-x) for x in (4, 2, 1, 0.5, 0.25)), rel=1e-6)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_both_estimators_equal_the_loops(estimator: Estimator, shift: float) -> None:
    source, target = batches(shift=shift)
    assert float(mmd2(source, target, estimator)) == pytest.approx(by_loops(source, target, estimator), abs=1e-6)


def test_identical_batches_are_at_distance_zero() -> None:
    source, _ = batches()
    assert float(mmd2(source, source.flip(0))) == pytest.approx(0, abs=1e-6)
    assert float(mmd2(torch.ones(3, 2), torch.ones(4, 2))) == 0  # no spread at all


def test_biased_estimate_is_never_negative_while_the_unbiased_one_is_centred_at_zero() -> None:
    draws = [batches(6, 6, seed=seed) for seed in range(200)]
    biased, unbiased = ([float(mmd2(*draw, estimator)) for draw in draws] for estimator in ("biased", "unbiased"))
    assert min(biased) >= 0
    assert min(unbiased) < 0 < max(unbiased)
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / math.sqrt(len(draws))


def test_gradient_leaves_the_bandwidth_alone() -> None:
    source, target = batches(3, 2)
    target = target.double().requires_grad_()
    mmd2(source.double(), target).backward()
    joined = torch.cat([source.double(), target.detach()])
    bandwidth = float((torch.cdist(joined, joined) ** 2).sum()) / 20
    step = torch.zeros_like(target.detach())
    step[1, 2] = 1e-5
    above, below = (by_loops(source, target.detach() + sign * step, "biased", bandwidth) for sign in (1, -1))
    assert target.grad is not None
    assert float(target.grad[1, 2]) == pytest.approx((above - below) / 2e-5, rel=1e-5)


@pytest.mark.parametrize(("n", "width", "estimator"), [(2, 4, "biased"), (0, 3, "biased"), (1, 3, "unbiased")])
def test_batches_that_cannot_be_compared_are_refused(n: int, width: int, estimator: Estimator) -> None:
    with pytest.raises(ValueError, match="compares batches of one width"):
        mmd2(torch.zeros(4, 3), torch.zeros(n, width), estimator)

"""What rounding does to training: fresh weights moved by as little as another machine's arithmetic would move them."""

import torch
from torch import nn

from dadsp.seeding import derive_seed

RELATIVE = 1e-7  # about the spacing of float32 numbers relative to their size


def perturb(network: nn.Module, draw: int) -> None:
    """Multiplies each weight by 1 + 1e-7·N(0, 1), with the random numbers of this draw; 0 leaves them as they are."""
    if not draw:
        return
    random = torch.Generator().manual_seed(derive_seed(draw, "perturbation"))
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1 + RELATIVE * torch.randn(weights.shape, generator=random))

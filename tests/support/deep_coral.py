"""Deep CORAL (Sun and Saenko, ECCV 2016 workshops) as somebody else would add it: the loss, and what tables call it."""

from pydantic.dataclasses import dataclass
from torch import Tensor

from dadsp.models.networks.adapted_network import AdaptedNetwork, AdaptedOptions
from dadsp.options import STRICT


@dataclass(frozen=True, config=STRICT)
class DeepCoralOptions(AdaptedOptions):
    """Those of every adapted network."""

    name: str = "Deep CORAL"


class DeepCoral(AdaptedNetwork):
    """Beside the mean squared error, the distance of the covariances of source and target codes: ‖C_s − C_t‖²_F / 4d²."""

    options_type = DeepCoralOptions
    main_stage = "deep_coral"

    def domain_loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Equation 1 of the paper."""
        difference = covariance(source) - covariance(target)
        return difference.square().sum() / (4 * source.shape[1] ** 2)


def covariance(codes: Tensor) -> Tensor:
    """Sample covariance of rows, shape (d, d); 0 of a single row."""
    centred = codes - codes.mean(dim=0)
    return centred.T @ centred / max(len(codes) - 1, 1)

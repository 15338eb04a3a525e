"""The stage of DADSP-A: supervised training with the domain adversary beside it."""

import torch
from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import FitContext
from dadsp.models.networks.inputs import Inputs
from dadsp.models.stages.adapted import AdaptedStage
from dadsp.models.training.batches import Batch
from dadsp.models.training.options import TrainingOptions
from dadsp.nets.gradient_reversal import reversal_strength
from dadsp.nets.pair_network import PairNetwork

SOURCE, TARGET = 0, 1  # domain labels of the discriminator's two logits


class DadspStage(AdaptedStage):
    """Supervised training on source pairs with the domain adversary beside it.

    Args:
        network: With a discriminator where the weight is not 0.
        inputs: As in ``AdaptedStage``; so are labels, training, context.
        labels: See there.
        training: See there.
        context: See there.
        name: Of its checkpoint and its progress bar.
        weight: Factor of the domain loss.
        weight_key: What the configuration calls the weight.
        gamma: Steepness of the λ ramp.
    """

    def __init__(
        self,
        network: PairNetwork,
        inputs: Inputs,
        labels: LabelScaler,
        training: TrainingOptions,
        context: FitContext,
        *,
        name: str,
        weight: float,
        weight_key: str,
        gamma: float,
    ) -> None:
        super().__init__(name, network, inputs, labels, training, context, weight=weight, weight_key=weight_key)
        self.gamma = gamma

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """MSE on the labelled pairs plus the weighted domain cross-entropy, and λ."""
        losses = super().losses(batch)
        return losses | {"lambda": torch.tensor(self._reversal())} if self.weight else losses

    def domain_terms(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy and accuracy of telling source codes from target codes, the former's gradient reversed."""
        codes = torch.cat([source, target])  # together, since the discriminator may normalise over the batch
        logits = self.parts.tell_domain(codes, self._reversal())
        domain = torch.full((len(codes),), TARGET, device=codes.device)
        domain[: len(source)] = SOURCE
        return {
            "domain_loss": nn.functional.cross_entropy(logits, domain),
            "domain_accuracy": (logits.argmax(dim=1) == domain).float().mean(),
        }

    def _reversal(self) -> float:
        return reversal_strength(self.progress, self.gamma)

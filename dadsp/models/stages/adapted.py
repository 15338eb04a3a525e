"""Supervised training with a loss beside it that draws the codes of both screens together."""

from collections.abc import Callable

from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import FitContext
from dadsp.models.networks.inputs import Inputs
from dadsp.models.stages.regression import RegressionStage
from dadsp.models.training.batches import Batch
from dadsp.models.training.options import TrainingOptions

DomainLoss = Callable[[Tensor, Tensor], Tensor]


class AdaptedStage(RegressionStage):
    """Supervised training on source pairs, and beside it a loss that draws the codes of both screens together.

    Args:
        name: Of its checkpoint and its progress bar.
        network: Encoder, drug branch, regressor.
        inputs: Expression, drug features, pairs.
        labels: Scales labels to the sigmoid's range.
        training: Length and speed.
        context: Seed, folders, callback.
        weight: Factor of the domain loss; at 0 it is not computed.
        weight_key: What the configuration calls the weight, for advice.
        domain_loss: Scalar from source codes, shape (n, width), and target codes, shape (m, width).
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        inputs: Inputs,
        labels: LabelScaler,
        training: TrainingOptions,
        context: FitContext,
        *,
        weight: float,
        weight_key: str = "model.adaptation_weight",
        domain_loss: DomainLoss | None = None,
    ) -> None:
        super().__init__(name, network, inputs, labels, training, context)
        self.weight, self.domain_loss = weight, domain_loss
        if weight:
            self.keys_to_lower = (*self.keys_to_lower, weight_key)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Loss of the labelled pairs plus the weighted domain loss; each of ``domain_terms`` as it counts in the step."""
        mse, codes = self.regression(batch)
        loss = self.regression_loss(mse, batch)
        if not self.weight:
            return {"loss": loss, "mse": mse}
        terms = self.domain_terms(*batch.domain_halves(codes))
        terms = {name: batch.domain_weight * value for name, value in terms.items()}
        return {"loss": loss + self.weight * terms["domain_loss"], "mse": mse, **terms}

    def domain_terms(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Scalars of both screens' codes: ``domain_loss``, and what else belongs into the history."""
        if self.domain_loss is None:
            raise NotImplementedError("Give a domain_loss, or override domain_terms.")
        return {"domain_loss": self.domain_loss(source, target)}

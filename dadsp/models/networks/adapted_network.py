"""Networks whose codes of both screens are drawn together while they learn: a method is its loss on these codes.

A system of one's own is a subclass of ``AdaptedNetwork`` with a ``domain_loss`` (``tests/support/deep_coral.py`` is Deep
CORAL). A method with weights of its own, or one that changes while it trains, has a stage of its own beside it, as DADSP-A.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import FitContext
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.regression_stage import Inputs, RegressionStage
from dadsp.models.training.batches import Batch
from dadsp.models.training.options import TrainingOptions
from dadsp.options import STRICT
from dadsp.schema import Study

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
        """MSE on the labelled pairs plus the weighted domain loss; each of ``domain_terms`` as it counts in the step."""
        mse, codes = self.regression(batch)
        if not self.weight:
            return {"loss": mse, "mse": mse}
        terms = self.domain_terms(*batch.domain_halves(codes))
        terms = {name: batch.domain_weight * value for name, value in terms.items()}
        return {"loss": mse + self.weight * terms["domain_loss"], "mse": mse, **terms}

    def domain_terms(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Scalars of both screens' codes: ``domain_loss``, and what else belongs into the history."""
        if self.domain_loss is None:
            raise NotImplementedError("Give a domain_loss, or override domain_terms.")
        return {"domain_loss": self.domain_loss(source, target)}


@dataclass(frozen=True, config=STRICT)
class AdaptedOptions(NetworkOptions):
    """Choices of an adapted network beside those of every network.

    Attributes:
        adaptation_weight: Factor of the domain loss beside the mean squared error; 0 trains without adaptation.
    """

    adaptation_weight: float = Field(default=1.0, ge=0)


class AdaptedNetwork(CrossScreenNetwork):
    """The shared network, trained on source labels with ``domain_loss`` beside them: a system says what that is.

    With ``trainer.devices`` > 1 each process compares the lines of its own blocks (``Batch.domain_weight``).
    """

    options_type: ClassVar[type[AdaptedOptions]]
    options: AdaptedOptions
    main_stage = "adapted"

    @abstractmethod
    def domain_loss(self, source: Tensor, target: Tensor) -> Tensor:
        """How far apart the codes of some lines of both screens are: a scalar, differentiable.

        Args:
            source: Codes of the gene encoder, shape (n, code width).
            target: Likewise of target lines, shape (m, code width).
        """

    def _train(self, inputs: Inputs, study: Study, context: FitContext) -> None:
        weight = self.options.adaptation_weight
        arguments = (self.network, inputs, self.labels, self.training, context)
        stage = AdaptedStage(self.main_stage, *arguments, weight=weight, domain_loss=self.domain_loss)
        self._run(stage, self._batches(inputs.train, stage, inputs.target_lines if weight else None), context)

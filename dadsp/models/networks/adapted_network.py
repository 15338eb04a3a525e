"""Networks whose codes of both screens are drawn together while they learn: a method is its loss on these codes.

A system of one's own is a subclass of ``AdaptedNetwork`` with a ``domain_loss`` (``tests/support/deep_coral.py`` is Deep
CORAL). A method with weights of its own, or one that changes while it trains, has a stage of its own beside it, as DADSP-A.
"""

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from dadsp.models.base import FitContext
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.inputs import Inputs
from dadsp.options import STRICT
from dadsp.schema import Study


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
        from dadsp.models.stages.adapted import AdaptedStage  # Lightning

        weight = self.options.adaptation_weight
        arguments = (self.network, inputs, self.labels, self.training, context)
        stage = AdaptedStage(self.main_stage, *arguments, weight=weight, domain_loss=self.domain_loss)
        self._run(stage, self._batches(inputs.train, stage, inputs.target_lines if weight else None), context)

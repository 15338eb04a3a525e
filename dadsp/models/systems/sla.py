"""SLA: selective learning over an intermediate domain, after Tan et al., adapted to regression between two screens."""

import logging
import math
from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from dadsp.models.base import FitContext
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.inputs import Inputs
from dadsp.models.training.options import PretrainingOptions
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.pair_network import PairNetwork
from dadsp.options import STRICT
from dadsp.schema import IntArray, Study

log = logging.getLogger(__name__)


@dataclass(frozen=True, config=STRICT)
class SlaOptions(NetworkOptions):
    """SLA's choices beside those of every network; symbols as in ``Sla``.

    Attributes:
        pretraining: The stacked autoencoder that the joint stage starts from, so there must be one.
        pretraining_lines: Both screens, as the paper says of SLA.
        intermediate_share: Share of the source's training lines, those nearest to the target, that form the intermediate
            domain; at least one line. With 1 every source line must be selected to count.
        prediction_weight: β, factor of the prediction error.
        threshold: λ in units of the mean error of the source's lines before the first round.
    """

    name: str = "SLA"
    pretraining: PretrainingOptions = Field(default_factory=lambda: PretrainingOptions())
    pretraining_lines: Literal["source", "both"] = "both"
    intermediate_share: float = Field(default=0.3, gt=0, le=1)
    prediction_weight: float = Field(default=1.0, ge=0)
    threshold: float = Field(default=1.0, gt=0)


class SelectiveNetwork(nn.Module):
    """A predictor whose encoder is also the first half of an autoencoder.

    Args:
        predictor: Encoder, drug branch, regressor.
        decoders: The second half, as ``StackedAutoencoder`` keeps them.
    """

    def __init__(self, predictor: PairNetwork, decoders: nn.ModuleList) -> None:
        super().__init__()
        self.predictor, self.decoders = predictor, decoders


class Sla(CrossScreenNetwork):
    """SLA: an autoencoder and a predictor learn together from source, target and those intermediate lines that fit.

    Tan et al. let unlabelled images of other classes bridge two distant domains. A pair of screens has no third data set:
    here the intermediate domain I is the ``intermediate_share`` of the source's training lines whose expression lies nearest
    to a target line (least Euclidean distance, scaled expression). S is all training lines of the source, I among them; T
    the target's lines, without labels. Over the weights and the selection v ∈ {0, 1}

        J = 1/|S| Σ_S vᵢ (rᵢ + β eᵢ) + 1/|T| Σ_T rⱼ + R(v),    R(v) = −λ/|S| Σ_S vᵢ,    vᵢ = 1 outside I

    is minimised in turn, where r is a line's mean squared reconstruction error over genes and e the mean squared error of
    its scaled labels; the latter stands for the class loss and the entropy of Tan et al., which regression does not have.
    Without R, selecting nothing would be best; with it the best v under fixed weights is vᵢ = 1 exactly where rᵢ + β eᵢ < λ.
    Each epoch is a round: v, then the weights. The first round selects nothing of I, as in Tan et al., and λ is fixed before
    it, so that more lines are selected as they come to be understood.

    Then encoder, drug branch and regressor go on to train on the labels of all source lines, without decoders.

    Reference: Tan et al., Distant Domain Transfer Learning, AAAI 2017; DADSP section 2.1.
    """

    options_type = SlaOptions
    options: SlaOptions
    main_stage = "sla"

    def _train(self, inputs: Inputs, study: Study, context: FitContext) -> None:
        from dadsp.models.stages.regression import RegressionStage  # Lightning
        from dadsp.models.stages.selection import SelectionStage

        network = SelectiveNetwork(self.network, cast(StackedAutoencoder, inputs.autoencoder).decoders)
        target_scale = 1.0 if self.space is None else self.space.target_scale
        near = nearest_to_target(inputs, self.options.intermediate_share)
        arguments = (self.labels, self.options, self.training, context)
        selection = SelectionStage(network, inputs, near, target_scale, *arguments)
        regression = RegressionStage(self.main_stage, self.network, inputs, self.labels, self.training, context)
        for stage, target_lines in ((selection, inputs.target_lines), (regression, None)):
            batches = self._batches(inputs.train, stage, target_lines)
            self._run(stage, batches, context)


def nearest_to_target(inputs: Inputs, share: float) -> IntArray:
    """Rows of the share of training lines, at least one, that lie nearest to any target line; shape (n,)."""
    source, target = inputs.expression[inputs.source_lines], inputs.expression[inputs.target_lines]
    distance = torch.cdist(source, target).min(dim=1).values.numpy()
    return inputs.source_lines[np.argsort(distance, kind="stable")[: math.ceil(share * len(distance))]]

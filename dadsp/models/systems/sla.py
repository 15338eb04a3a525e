"""SLA: selective learning over an intermediate domain, after Tan et al., adapted to regression between two screens."""

import logging
import math
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import FitContext
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.regression_stage import Inputs, RegressionStage, predict_pairs
from dadsp.models.training.batches import Batch
from dadsp.models.training.options import PretrainingOptions, TrainingOptions
from dadsp.nets.autoencoder import StackedAutoencoder, decode
from dadsp.nets.dadsp_network import DadspNetwork
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

    def __init__(self, predictor: DadspNetwork, decoders: nn.ModuleList) -> None:
        super().__init__()
        self.predictor, self.decoders = predictor, decoders


class SelectionStage(RegressionStage):
    """Minimises J of ``Sla`` over weights and selection in turn; a round is an epoch.

    Args:
        network: Predictor and decoders.
        inputs: Expression, drug features, pairs.
        intermediate: Rows of the source lines that form the intermediate domain.
        target_scale: Factor from the inputs to what is to be reconstructed, as in ``ReconstructionStage``.
        labels: Scales labels to the sigmoid's range.
        options: β and λ.
        training: Length and speed.
        context: Seed, folders, callback.
    """

    is_source: Tensor
    selected: Tensor
    weight_of_pair: Tensor

    def __init__(
        self,
        network: SelectiveNetwork,
        inputs: Inputs,
        intermediate: IntArray,
        target_scale: float,
        labels: LabelScaler,
        options: SlaOptions,
        training: TrainingOptions,
        context: FitContext,
    ) -> None:
        super().__init__("sla_selection", network, inputs, labels, training, context)
        self.pairs, self.target_scale, self.beta = inputs.train, target_scale, options.prediction_weight
        self.lines, self.line_of_pair, self.n_pairs = np.unique(inputs.train.line, return_inverse=True, return_counts=True)
        self.is_intermediate = np.isin(self.lines, intermediate)
        # Per row of the joint table. Batches weigh pairs alike but J weighs lines alike: a line's pairs share its weight.
        is_source, weight_of_pair = torch.zeros(len(inputs.expression), dtype=torch.bool), torch.ones(len(inputs.expression))
        is_source[self.lines] = True
        weight_of_pair[self.lines] = torch.from_numpy(len(self.pairs) / (len(self.lines) * self.n_pairs)).float()
        self.register_buffer("is_source", is_source, persistent=False)
        self.register_buffer("weight_of_pair", weight_of_pair, persistent=False)
        self.register_buffer("selected", torch.ones(len(inputs.expression)), persistent=False)
        self.threshold = options.threshold * float(self.line_errors().mean())

    @property
    def parts(self) -> DadspNetwork:
        """The predictor inside the network."""
        return cast(SelectiveNetwork, self.network).predictor

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """J on the batch, its terms, and how many intermediate lines this round selects."""
        predicted, codes = self.predictions(batch)
        rebuilt = self._reconstruction_errors(self.expression.index_select(0, batch.lines), codes)
        is_source, selected = self.is_source[batch.lines], self.selected[batch.lines]
        weight = selected * self.weight_of_pair[batch.lines]
        prediction = batch.mean_squared_error(predicted, weight)
        source, target = (selected * rebuilt)[is_source].mean(), rebuilt[~is_source].mean()
        bonus = self.threshold * self.selected[self.is_source].mean()
        return {
            "loss": source + target + self.beta * prediction - bonus,
            "reconstruction_source": source,
            "reconstruction_target": target,
            "prediction": prediction,
            "selected": self.selected[self.is_source].sum() - float((~self.is_intermediate).sum()),
        }

    def on_train_epoch_start(self) -> None:
        """Begins a round: v takes its closed form under the present weights, so a resumed round makes the same choice."""
        super().on_train_epoch_start()
        chosen = self.line_errors() < self.threshold if self.current_epoch > 0 else np.zeros(len(self.lines), dtype=bool)
        value = torch.from_numpy(chosen | ~self.is_intermediate).to(self.selected)
        self.selected[self.is_source] = value
        n_selected, n_lines = int(chosen[self.is_intermediate].sum()), int(self.is_intermediate.sum())
        log.info("SLA round %d selects %d of %d intermediate lines", self.current_epoch, n_selected, n_lines)

    def line_errors(self) -> NDArray[np.float64]:
        """rᵢ + β·eᵢ of each source line that trains, in the order of their rows; shape (n_lines,)."""
        self.network.eval()
        with torch.no_grad():
            x = self.expression[self.is_source]
            rebuilt = self._reconstruction_errors(x, self.parts.encoder(x)).cpu().numpy()
            predicted = predict_pairs(
                self.parts, self.parts.encoder, self.expression, self.drug_features, self.pairs.line, self.pairs.drug
            )
        self.network.train()
        squared = np.bincount(self.line_of_pair, (predicted - self.pairs.label) ** 2)
        errors: NDArray[np.float64] = rebuilt + self.beta * squared / self.n_pairs
        return errors

    def _reconstruction_errors(self, x: Tensor, codes: Tensor) -> Tensor:
        decoders = cast(SelectiveNetwork, self.network).decoders
        return ((decode(decoders, codes) - x * self.target_scale) ** 2).mean(dim=1)


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

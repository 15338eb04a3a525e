"""The first stage of SLA: weights and the selection of intermediate lines in turn."""

import logging
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import FitContext
from dadsp.models.networks.inputs import Inputs, predict_pairs
from dadsp.models.stages.regression import RegressionStage
from dadsp.models.training.batches import Batch
from dadsp.models.training.options import TrainingOptions
from dadsp.nets.autoencoder import decode
from dadsp.nets.pair_network import PairNetwork
from dadsp.schema import IntArray

if TYPE_CHECKING:
    from dadsp.models.systems.sla import SelectiveNetwork, SlaOptions

log = logging.getLogger(__name__)


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
        network: "SelectiveNetwork",
        inputs: Inputs,
        intermediate: IntArray,
        target_scale: float,
        labels: LabelScaler,
        options: "SlaOptions",
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
    def parts(self) -> PairNetwork:
        """The predictor inside the network."""
        return cast("SelectiveNetwork", self.network).predictor

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
        decoders = cast("SelectiveNetwork", self.network).decoders
        return ((decode(decoders, codes) - x * self.target_scale) ** 2).mean(dim=1)

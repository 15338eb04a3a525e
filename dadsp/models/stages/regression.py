"""The stage that every network across two screens has: regression of potency, validated on held-out source lines."""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import FitContext
from dadsp.models.networks.inputs import Inputs, predict_pairs
from dadsp.models.networks.which_line import unexplained
from dadsp.models.training.batches import Batch, PairBatch
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.stage import Stage
from dadsp.nets.pair_network import PairNetwork
from dadsp.schema import Domain, FloatArray

CONSTANT = 1e-5  # spread of scaled predictions below which they are all alike


class RegressionStage(Stage):
    """Training on labelled source pairs: mean (or, if the trainer says so, summed) squared error of the scaled potency.

    Args:
        name: Of its checkpoint and its progress bar.
        network: Encoder, drug branch, regressor.
        inputs: Expression, drug features, validation pairs.
        labels: Scales labels to the sigmoid's range.
        training: Length and speed.
        context: Seed, folders, callback.
        encoder_of: Encoder of each domain's lines, for a network with more than one; batches are the source's.
    """

    expression: Tensor
    drug_features: Tensor

    def __init__(
        self,
        name: str,
        network: nn.Module,
        inputs: Inputs,
        labels: LabelScaler,
        training: TrainingOptions,
        context: FitContext,
        encoder_of: Callable[[Domain], nn.Module] | None = None,
    ) -> None:
        self.metric, self.validation_pairs = inputs.validation
        super().__init__(name, network, training, context, monitor=self.metric)
        self.labels = labels
        self.encoder_of = encoder_of
        self.register_buffer("expression", inputs.expression, persistent=False)
        self.register_buffer("drug_features", inputs.drug_features, persistent=False)

    @property
    def parts(self) -> PairNetwork:
        """The network, by its type."""
        return cast(PairNetwork, self.network)

    def _encoder(self, domain: Domain) -> nn.Module:
        return self.parts.encoder if self.encoder_of is None else self.encoder_of(domain)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """MSE on the labelled pairs."""
        mse, _ = self.regression(batch)
        return {"loss": self.regression_loss(mse, batch), "mse": mse}

    def regression_loss(self, mse: Tensor, batch: Batch) -> Tensor:
        """What the labelled pairs add to the step's loss: their mean squared error, or the sum of squares (DADSP eq. 7)."""
        return mse * len(cast(PairBatch, batch).label) if self.options.regression_loss == "sum" else mse

    def regression(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """MSE on the labelled pairs, and the codes of the batch's distinct lines, shape (u, code width)."""
        predicted, codes = self.predictions(batch)
        return batch.mean_squared_error(predicted), codes

    def predictions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scaled potency of the labelled pairs, and the codes of the batch's distinct lines, shape (u, code width)."""
        codes = self._encoder("source")(self.expression.index_select(0, batch.lines))
        drug_codes = self.parts.drug_branch(self.drug_features.index_select(0, batch.drugs))
        return batch.potency(self.parts, codes, drug_codes), codes

    def validate(self) -> dict[str, float]:
        """RMSE in −log10 µM on the pairs that choose the epoch, and what chooses where that is another metric."""
        pairs = self.validation_pairs
        encoder = self._encoder("target" if self.metric.startswith("val/target") else "source")
        predicted = predict_pairs(self.parts, encoder, self.expression, self.drug_features, pairs.line, pairs.drug)
        self.collapsed = float(predicted.std()) < CONSTANT
        self.collapse = self._collapse(encoder, predicted) if self.collapsed else ""
        potency = self.labels.inverse(predicted)
        rmse = float(np.sqrt(np.mean((potency - pairs.label).astype(np.float64) ** 2)))
        if self.metric.endswith("rmse"):
            return {self.metric: rmse}
        return {"val/source/rmse": rmse, self.metric: unexplained(pairs.label, potency, pairs.drug)}

    def _collapse(self, encoder: nn.Module, predicted: FloatArray) -> str:
        """What stands still where all predictions are alike: the output's value, and units of the last hidden layer."""
        seen: list[Tensor] = []
        pairs, last = self.validation_pairs, self.parts.last_hidden()
        hook = last.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs))
        predict_pairs(self.parts, encoder, self.expression, self.drug_features, pairs.line, pairs.drug)
        hook.remove()
        units = torch.cat(seen)
        n_alive, value = int((units.amax(0) - units.amin(0) > CONSTANT).sum()), float(predicted.mean())
        alive = f"{n_alive} of {units.shape[1]} units of the last hidden layer tell pairs apart"
        what = f": the output stands at {value:.2g} (of 0 to 1), {alive}"
        if not 0.01 < value < 0.99:
            return what + "; a saturated sigmoid gives no gradient and does not recover"
        return what if n_alive else what + "; units that are off for every pair get no gradient and do not recover"

"""The second stage of DADSP-B: one layer of the target's autoencoder at a time."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from dadsp.models.base import FitContext
from dadsp.models.training.options import TrainingOptions
from dadsp.models.training.pretraining import ReconstructionStage, without_labels
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.mmd import mmd2

if TYPE_CHECKING:
    from dadsp.models.systems.dadsp_b import AdaptationOptions

SMALLEST = 1e-12  # MMD² that still has a root to follow


class AdaptationStage(ReconstructionStage):
    """Trains one layer of the target's autoencoder to rebuild its input and to resemble the source's layer.

    Args:
        network: The target's autoencoder.
        target: Target codes of the layer below, shape (n_target, n_inputs).
        source: Source codes of this layer, shape (n_source, width).
        layer: Which layer.
        target_scale: As in ``ReconstructionStage``.
        options: Length, speed, weight and estimator of the discrepancy.
        training: Gives device and precision.
        context: Seed, folders, callback.
    """

    source: Tensor

    def __init__(
        self,
        network: StackedAutoencoder,
        target: Tensor,
        source: Tensor,
        layer: int,
        target_scale: float,
        options: "AdaptationOptions",
        training: TrainingOptions,
        context: FitContext,
    ) -> None:
        training = without_labels(training, options.layer_epochs, options.batch_size, options.learning_rate)
        super().__init__(network, target, layer, target_scale, training, context, prefix="dadsp_b")
        self.adaptation, self.depth = options, layer
        self.register_buffer("source", source, persistent=False)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Reconstruction error of the target lines plus the weighted discrepancy between both screens' codes."""
        source_rows, target_rows = batch  # of TwoDomainBatches
        x = self.inputs.index_select(0, target_rows)
        codes = self.sae.encoders[self.depth](x)
        reconstruction = nn.functional.mse_loss(self.sae.decoders[self.depth](codes), x * self.target_scale)
        squared = mmd2(self.source.index_select(0, source_rows), codes, self.adaptation.mmd_estimator)
        # At 0 the root has no finite slope: none is taken there, nor below, where an unbiased estimate may lie.
        discrepancy = squared if self.adaptation.mmd_squared else squared.clamp_min(SMALLEST).sqrt()
        loss = reconstruction + self.adaptation.mmd_weight * discrepancy
        return {"loss": loss, "reconstruction": reconstruction, "mmd2": squared}

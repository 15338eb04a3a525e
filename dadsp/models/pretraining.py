"""Pre-training the gene encoder as a stacked autoencoder: layer by layer, then the whole stack."""

from functools import partial
from typing import cast

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.models.base import FitContext
from dadsp.models.batches import RowBatches
from dadsp.models.training import Stage, TrainingOptions, run_stage
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.feed_forward import Activation
from dadsp.schema import IntArray


@dataclass(frozen=True, config={"extra": "forbid"})
class PretrainingOptions:
    """Length of the autoencoder's stages; the paper gives none.

    Attributes:
        layer_epochs: Epochs for each layer alone.
        stack_epochs: Epochs for the whole stack afterwards.
        batch_size: Lines in a step.
        learning_rate: Adam's step size.
    """

    layer_epochs: int = Field(default=20, ge=1)
    stack_epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)


class ReconstructionStage(Stage):
    """Trains one layer of a stacked autoencoder on the code below it, or (``layer=None``) the whole stack on expression.

    Args:
        expression: Scaled expression, shape (n_lines, n_genes).
        layer: Which layer; lower layers are only read.
    """

    expression: Tensor

    def __init__(
        self,
        network: StackedAutoencoder,
        expression: Tensor,
        layer: int | None,
        options: TrainingOptions,
        context: FitContext,
    ) -> None:
        super().__init__("sae_stack" if layer is None else f"sae_layer_{layer + 1}", network, options, context)
        self.layer = layer
        self.register_buffer("expression", expression, persistent=False)

    @property
    def sae(self) -> StackedAutoencoder:
        """The network, by its type."""
        return cast(StackedAutoencoder, self.network)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over this stage's layer only, or over all."""
        modules = [self.sae] if self.layer is None else [self.sae.encoders[self.layer], self.sae.decoders[self.layer]]
        weights = [weight for module in modules for weight in module.parameters()]
        return torch.optim.Adam(weights, lr=self.options.learning_rate, fused=True)

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        """Mean squared reconstruction error of the batch's rows."""
        x = self.expression.index_select(0, batch)
        if self.layer is None:
            return {"loss": nn.functional.mse_loss(self.sae(x), x)}
        with torch.no_grad():
            hidden = self.sae.encode(x, self.layer)
        return {"loss": nn.functional.mse_loss(self.sae.reconstruct_layer(hidden, self.layer), hidden)}


def pretrain_encoder(
    expression: Tensor,
    rows: IntArray,
    widths: tuple[int, ...],
    activation: Activation,
    options: PretrainingOptions,
    training: TrainingOptions,
    context: FitContext,
) -> tuple[StackedAutoencoder, dict[str, list[dict[str, float]]]]:
    """A stacked autoencoder trained greedily, then as a whole.

    Args:
        expression: Scaled expression, shape (n_lines, n_genes).
        rows: Lines to learn from.
        widths: Code widths.
        activation: Nonlinearity of the codes.
        options: Epochs, batch, learning rate.
        training: Gives device and threads.
        context: Seed, folders, listener.

    Returns:
        The autoencoder, and the per-epoch reconstruction loss of each stage by stage name.

    Reference: DADSP section 4.3.
    """
    network = StackedAutoencoder(expression.shape[1], widths, activation)
    histories = {}
    for layer in [*range(len(widths)), None]:
        stage_options = TrainingOptions(
            max_epochs=options.stack_epochs if layer is None else options.layer_epochs,
            batch_size=max(2, options.batch_size),
            learning_rate=options.learning_rate,
            patience=None,
            device=training.device,
            threads=training.threads,
        )
        stage = ReconstructionStage(network, expression, layer, stage_options, context)
        batches = RowBatches(
            rows, size=stage_options.batch_size, seed=stage.seed, epoch=partial(getattr, stage, "current_epoch")
        )
        run_stage(stage, batches, len(batches), context)
        histories[stage.name] = stage.epochs
    return network, histories

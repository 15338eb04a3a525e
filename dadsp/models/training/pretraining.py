"""Pre-training the gene encoder as a stacked autoencoder: layer by layer, then the whole stack."""

from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from dadsp.models.base import FitContext
from dadsp.models.networks.rowspace import RowSpace
from dadsp.models.training.batches import RowBatches
from dadsp.models.training.options import PretrainingOptions, TrainingOptions
from dadsp.models.training.rounding import perturb
from dadsp.models.training.stage import Stage, run_stage
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.feed_forward import Activation, first_linear


class ReconstructionStage(Stage):
    """Trains one layer of a stacked autoencoder on the code below it, or (``layer=None``) the whole stack on expression.

    Args:
        inputs: What the layer or the stack encodes, shape (n_lines, n_inputs).
        layer: Which layer; None for all.
        target_scale: Factor from the inputs to what is to be reconstructed (row space coordinates differ from both).
        options: Length and speed.
        context: Seed, folders, callback.
        prefix: Begins the stage's name.
    """

    inputs: Tensor

    def __init__(
        self,
        network: StackedAutoencoder,
        inputs: Tensor,
        layer: int | None,
        target_scale: float,
        options: TrainingOptions,
        context: FitContext,
        prefix: str = "sae",
    ) -> None:
        super().__init__(f"{prefix}_stack" if layer is None else f"{prefix}_layer_{layer + 1}", network, options, context)
        self.layer, self.target_scale = layer, target_scale
        self.register_buffer("inputs", inputs, persistent=False)

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
        x = self.inputs.index_select(0, batch)
        rebuilt = self.sae(x) if self.layer is None else self.sae.reconstruct_layer(x, self.layer)
        return {"loss": nn.functional.mse_loss(rebuilt, x * self.target_scale)}


def without_labels(training: TrainingOptions, epochs: int, batch_size: int, learning_rate: float) -> TrainingOptions:
    """The trainer's device and precision for a stage without validation: it runs all its epochs, in one process."""
    return replace(
        training,
        max_epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        weight_decay=0.0,
        patience=None,
        devices=1,  # a small part of the work, and no blocks to share
    )


def pretrain_encoder(
    expression: Tensor,
    space: RowSpace | None,
    widths: tuple[int, ...],
    activation: Activation,
    options: PretrainingOptions,
    training: TrainingOptions,
    context: FitContext,
) -> tuple[StackedAutoencoder, dict[str, list[dict[str, float]]]]:
    """A stacked autoencoder trained greedily, then as a whole.

    Args:
        expression: Scaled expression of the lines to learn from, or its coordinates, shape (n_lines, n_inputs).
        space: Where the coordinates come from; None when ``expression`` is over genes.
        widths: Code widths.
        activation: Nonlinearity of the codes.
        options: Epochs, batch, learning rate, nonlinearities of the decoders.
        training: Gives device, precision and threads; pre-training runs in one process whatever ``devices`` says.
        context: Seed, folders, callback.

    Returns:
        The autoencoder, and the per-epoch reconstruction loss of each stage by stage name.

    Reference: DADSP section 4.3.
    """
    network = StackedAutoencoder(
        expression.shape[1], widths, activation, options.decoder_activation, options.output_activation
    )
    perturb(network, training.perturbation)
    if space is not None:
        space.shrink(first_linear(network.encoders[0]))
    expression_scale = 1.0 if space is None else space.target_scale
    hidden = expression  # input of the layer in turn; the layers below are finished, so it is computed once
    histories = {}
    for layer in [*range(len(widths)), None]:
        epochs = options.stack_epochs if layer is None else options.layer_epochs
        stage_options = without_labels(training, epochs, options.batch_size, options.learning_rate)
        inputs = expression if layer is None else hidden
        target_scale = 1.0 if layer else expression_scale
        stage = ReconstructionStage(network, inputs, layer, target_scale, stage_options, context)
        epoch = partial(getattr, stage, "current_epoch")
        batches = RowBatches(len(inputs), size=options.batch_size, seed=stage.seed, epoch=epoch)
        run_stage(stage, batches, len(batches), context)
        histories[stage.name] = stage.epochs
        if layer is not None:
            with torch.no_grad():
                hidden = network.encoders[layer](hidden)
    return network, histories

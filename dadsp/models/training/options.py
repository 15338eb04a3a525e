"""How long and how fast networks train: options alone, so that reading them imports neither torch nor Lightning."""

import os
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError
from dadsp.options import STRICT

MAX_THREADS = 512  # a model may come from a larger machine, yet thread pools of any size would end the process
PROCESSES_PER_CORE = 8


@dataclass(frozen=True, config=STRICT)
class TrainingOptions:
    """How long and how fast a network trains (config group ``trainer``).

    Attributes:
        max_epochs: Planned epochs; λ ramps over them.
        batching: ``"blocks"`` of lines × drugs, whose encoder pass serves all their pairs; or ``"pairs"`` drawn one by one.
        block_lines: Source lines in a block.
        block_drugs: Drugs in a block; None takes all, so that every step weighs every drug.
        min_blocks: Blocks are made smaller where an epoch would have fewer steps than this.
        batch_size: Pairs in a step under ``batching="pairs"``.
        learning_rate: Adam's step size. The paper's 1e-4 belongs to its batches of 128 pairs; blocks hold some twenty times
            as many and bear ten times the step.
        regression_loss: What a step minimises on its labelled pairs: their ``"mean"`` squared error, or the ``"sum"`` of
            squares, as the paper's eq. 7 has it beside a domain loss (eq. 8); of batches of pairs alone. SLA's selection
            takes means anyway.
        schedule: ``"constant"`` (the paper), ``"dann"``: lr(p) = lr₀ / (1 + 10p)^0.75 (the authors' code), or ``"cosine"``:
            lr(p) = lr₀ (1 + cos πp) / 2, which ends at 0. p is the share of the planned steps that are taken.
        weight_decay: Of AdamW (Loshchilov and Hutter, ICLR 2019): a step shrinks weights by this times its learning rate. 0
            is Adam.
        average_epochs: Validated and kept are not the weights of an epoch but their moving average over about so many; the
            plain mean where fewer are past. 1 averages nothing.
        ensemble: So many networks are trained, each with draws of its own, and their predictions averaged.
        perturbation: For measuring what rounding does: fresh weights are multiplied by 1 + 1e-7·N(0, 1), the draw of this
            number; 0 leaves them.
        patience: Epochs without a better validation score before training stops; None trains all epochs.
        gradient_clip: Largest gradient norm; None for no clipping. The paper gives none.
        device: ``"auto"`` takes a GPU where there is one.
        devices: GPUs, or processes on the CPU, that share each step: one block for each, gradients averaged.
        precision: ``"bf16"`` computes products in bfloat16 where that is safe; weights and Adam stay float32.
        threads: CPU threads of all processes together, 512 at most; None leaves torch's choice. Part of what must be equal
            for bit-equal results.
        checkpoint_every_s: Seconds between states written at the ends of epochs; 0 writes after every epoch.
    """

    max_epochs: int = Field(default=15, ge=1)
    batching: Literal["blocks", "pairs"] = "blocks"
    block_lines: int = Field(default=16, ge=2)
    block_drugs: int | None = Field(default=None, ge=1)
    min_blocks: int = Field(default=40, ge=1)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    regression_loss: Literal["mean", "sum"] = "mean"
    schedule: Literal["constant", "dann", "cosine"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    average_epochs: int = Field(default=1, ge=1)
    ensemble: int = Field(default=1, ge=1, le=100)
    perturbation: int = Field(default=0, ge=0)
    patience: int | None = Field(default=3, ge=1)
    gradient_clip: float | None = Field(default=None, gt=0)
    device: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int | None = Field(default=None, ge=1, le=MAX_THREADS)
    checkpoint_every_s: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _fits_the_batches(self) -> Self:
        if self.devices > 1 and self.batching != "blocks":
            raise ValueError(f"devices={self.devices} shares blocks among processes. Use batching=blocks, or devices=1.")
        if self.regression_loss == "sum" and self.batching != "pairs":
            raise ValueError("regression_loss=sum adds up a batch of pairs. Use batching=pairs, or regression_loss=mean.")
        return self

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU trains."""
        import torch  # reading options needs none

        return self.device != "cpu" and torch.cuda.is_available()


def claim_device(options: TrainingOptions) -> None:
    """Makes sure that the devices asked for are there, and sets the CPU threads.

    Raises:
        ConfigError: There are fewer GPUs than asked for.
    """
    import torch  # reading options needs none

    if options.device == "gpu" and not options.on_gpu:
        raise ConfigError("trainer.device=gpu, but torch finds no GPU here. Use trainer.device=auto or cpu.")
    if options.on_gpu and options.devices > torch.cuda.device_count():
        raise ConfigError(
            f"trainer.devices={options.devices}, but torch finds {torch.cuda.device_count()} GPUs here. "
            "Use as many, or trainer.device=cpu."
        )
    most = PROCESSES_PER_CORE * (os.cpu_count() or 1)
    if options.devices > most and not options.on_gpu:
        raise ConfigError(
            f"trainer.devices={options.devices} are more processes than {most}, the most on this machine's CPU."
        )
    if options.threads is not None:
        torch.set_num_threads(options.threads)


@dataclass(frozen=True, config=STRICT)
class PretrainingOptions:
    """Length of the autoencoder's stages; the paper gives none.

    Attributes:
        layer_epochs: Epochs for each layer alone.
        stack_epochs: Epochs for the whole stack afterwards.
        batch_size: Lines in a step.
        learning_rate: Adam's step size.
        decoder_activation: Nonlinearity g (eq. 2) of the decoders that rebuild codes; the paper names none.
        output_activation: Of the decoder that rebuilds expression. ``"relu"`` and ``"sigmoid"`` return nothing below 0 and
            belong to ``expression_scaling="minmax"``; only ``"linear"`` can be learned in the row space.
    """

    layer_epochs: int = Field(default=20, ge=1)
    stack_epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    decoder_activation: Literal["linear", "relu", "sigmoid", "tanh"] = "linear"
    output_activation: Literal["linear", "relu", "sigmoid", "tanh"] = "linear"

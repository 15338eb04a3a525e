"""DADSP-A: one expression encoder for both screens, kept blind to the screen by an adversary behind a gradient reversal."""

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError
from dadsp.models.base import FitContext
from dadsp.models.cross_screen_predictor import Width
from dadsp.models.idle_keys import Idle
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.inputs import Inputs
from dadsp.models.training.batches import BlockBatches, LabelledPairs, PairBatches
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.options import STRICT
from dadsp.schema import IntArray, Split, Study

if TYPE_CHECKING:
    from dadsp.models.stages.dadsp_a import DadspStage

log = logging.getLogger(__name__)


@dataclass(frozen=True, config=STRICT)
class DadspAOptions(NetworkOptions):
    """DADSP-A's choices beside those of every network.

    Attributes:
        discriminator_widths: Hidden layers of the three-layer discriminator; the third gives the logits.
        discriminator_batch_norm: Batch normalisation before the logits (code).
        adversarial_weight: Factor of the domain loss; 1 in the paper, 0 trains without adaptation.
        gamma: Steepness of the λ ramp.
        target_sampling: ``"independent"`` draws target lines at random; ``"paired"`` takes the same lines as the source half
            of the batch (code; needs lines present in both screens, a design no user has; always by ``batching="pairs"``).
    """

    name: str = "DADSP-A"
    discriminator_widths: tuple[Width, ...] = (256, 128)
    discriminator_batch_norm: bool = False
    adversarial_weight: float = Field(default=1.0, ge=0)
    gamma: float = Field(default=10.0, gt=0)
    target_sampling: Literal["independent", "paired"] = "independent"


class DadspA(CrossScreenNetwork):
    """DADSP-A, its ablations (no pre-training, no adversary) and the variants of the authors' code."""

    options_type = DadspAOptions
    options: DadspAOptions
    main_stage = "dadsp_a"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        needs_whole_steps = self.options.target_sampling == "paired" or self.options.discriminator_batch_norm
        if self.training.devices > 1 and needs_whole_steps:
            raise ConfigError(
                f"trainer.devices={self.training.devices} shares the blocks of a step among processes. "
                "model.target_sampling=paired has no blocks, and model.discriminator_batch_norm=true needs the whole step. "
                "Use trainer.devices=1."
            )

    def _idle(self) -> list[Idle]:
        of_adversary = ("gamma", "target_sampling", "discriminator_widths", "discriminator_batch_norm")
        without = self.options.adversarial_weight == 0
        return [*super()._idle(), Idle(without, of_adversary, "model.adversarial_weight=0 trains without adversary")]

    def _draws_pairs(self) -> bool:
        paired = self.options.target_sampling == "paired" and self.options.adversarial_weight > 0
        return paired or super()._draws_pairs()

    def _train(self, inputs: Inputs, study: Study, context: FitContext) -> None:
        stage, batches = self._stage(inputs, study, context)
        self._run(stage, batches, context)

    def prepare_stage(
        self, study: Study, split: Split, context: FitContext
    ) -> "tuple[DadspStage, PairBatches | BlockBatches]":
        """Everything up to supervised training, for timing and testing single steps."""
        return self._stage(self._prepare(study, split, context), study, context)

    def _stage(self, inputs: Inputs, study: Study, context: FitContext) -> "tuple[DadspStage, PairBatches | BlockBatches]":
        from dadsp.models.stages.dadsp_a import DadspStage  # Lightning

        stage = DadspStage(
            *(self.network, inputs, self.labels, self.training, context),
            name=self.main_stage,
            weight=self.options.adversarial_weight,
            weight_key="model.adversarial_weight",
            gamma=self.options.gamma,
        )
        if self.options.adversarial_weight == 0:
            return stage, self._batches(inputs.train, stage)
        if self.options.target_sampling == "paired":
            pairs, partner = _paired(inputs, study)
            return stage, self._batches(pairs, stage, inputs.target_lines, partner)
        return stage, self._batches(inputs.train, stage, inputs.target_lines)

    def _build(self, n_inputs: int, n_drug_features: int) -> DadspNetwork:
        options = self.options
        return DadspNetwork(
            n_inputs,
            n_drug_features,
            **self._sizes(),
            discriminator_widths=options.discriminator_widths if options.adversarial_weight > 0 else None,
            discriminator_batch_norm=options.discriminator_batch_norm,
        )


def _paired(inputs: Inputs, study: Study) -> tuple[LabelledPairs, IntArray]:
    """Training pairs of lines in both screens, and the target row of each source line (−1 where none)."""
    n_source = len(study.source.cells)
    adapted = inputs.target_lines - n_source
    in_source = study.target_cell_in_source[adapted]
    partner = np.full(n_source, -1)
    partner[in_source[in_source >= 0]] = inputs.target_lines[in_source >= 0]
    kept = partner[inputs.train.line] >= 0
    if not kept.any():
        raise ConfigError(
            "model.target_sampling=paired needs lines measured in both screens, and no training line is. "
            "Use model.target_sampling=independent."
        )
    log.info("Paired target sampling keeps %d training pairs of lines in both screens", kept.sum())
    pairs = inputs.train
    return LabelledPairs(pairs.line[kept], pairs.drug[kept], pairs.label[kept]), partner

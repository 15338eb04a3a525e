"""DADSP-B: a target encoder brought close to the source's, layer by layer, while everything else is frozen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, cast

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from dadsp.errors import ConfigError
from dadsp.models.base import FitContext
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.inputs import Inputs
from dadsp.models.training.batches import TwoDomainBatches
from dadsp.models.training.freezing import frozen
from dadsp.models.training.options import PretrainingOptions
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.feed_forward import copy_layers, dense_layers
from dadsp.nets.mmd import Estimator
from dadsp.nets.pair_network import PairNetwork
from dadsp.nets.two_encoder_network import TwoEncoderNetwork
from dadsp.options import STRICT
from dadsp.schema import Domain, Study

Part = Literal["encoder", "drug_branch", "regressor"]


@dataclass(frozen=True, config=STRICT)
class SourceStageOptions:
    """Stage 1: encoder and regressor on source labels.

    Attributes:
        trains: Parts that train; the others are frozen.
        max_epochs: Planned epochs; None takes the trainer's.
        learning_rate: Adam's step size; None takes the trainer's.
    """

    trains: tuple[Part, ...] = Field(default=("encoder", "drug_branch", "regressor"), min_length=1)
    max_epochs: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)


@dataclass(frozen=True, config=STRICT)
class AdaptationOptions:
    """Stage 2: the target encoder alone trains, one layer after the other.

    Attributes:
        layer_epochs: Epochs for each layer.
        batch_size: Target lines in a step, beside as many source lines.
        learning_rate: Adam's step size.
        mmd_weight: Factor of the discrepancy beside the reconstruction error.
        mmd_estimator: See ``dadsp.nets.mmd``; the authors' code is biased.
        mmd_squared: The discrepancy is MMD², as in the authors' code; if not, MMD, the norm of eq. 9.
    """

    layer_epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=4)
    learning_rate: float = Field(default=1e-4, gt=0)
    mmd_weight: float = Field(default=1.0, ge=0)
    mmd_estimator: Estimator = "biased"
    mmd_squared: bool = True


@dataclass(frozen=True, config=STRICT)
class FineTuningOptions(SourceStageOptions):
    """Stage 3: the regressor on source labels, feature layers frozen.

    Attributes:
        source_features: Which encoder gives the source lines' features here and in prediction: their own (the target's
            was trained to give such features for target lines), or the target's (one adapted encoder for both screens).
    """

    trains: tuple[Part, ...] = Field(default=("regressor",), min_length=1)
    source_features: Literal["source_encoder", "target_encoder"] = "source_encoder"


@dataclass(frozen=True, config=STRICT)
class Stages:
    """The three stages in their order."""

    source: SourceStageOptions = Field(default_factory=lambda: SourceStageOptions())
    adaptation: AdaptationOptions = Field(default_factory=lambda: AdaptationOptions())
    fine_tuning: FineTuningOptions = Field(default_factory=lambda: FineTuningOptions())


@dataclass(frozen=True, config=STRICT)
class DadspBOptions(NetworkOptions):
    """DADSP-B's choices beside those of every network.

    Attributes:
        pretraining: The source's stacked autoencoder; the target's starts from its decoders, so there must be one.
        stages: What trains, how long and how fast.
    """

    name: str = "DADSP-B"
    pretraining: PretrainingOptions = Field(default_factory=lambda: PretrainingOptions())
    stages: Stages = Field(default_factory=lambda: Stages())


class DadspB(CrossScreenNetwork):
    """DADSP-B: source lines keep the encoder they trained, target lines get their own, the regressor serves both.

    1. ``stages.source``: encoder, drug branch and regressor on source labels (MSE).
    2. ``stages.adaptation``: the target encoder starts from the source's. Its layer l minimises the reconstruction error of
       its own input plus ``mmd_weight`` · MMD²(source codes, target codes) of layer l, or MMD; then it is fixed and the
       next layer learns on its codes. No label is used.
    3. ``stages.fine_tuning``: the regressor on source labels (MSE).

    Parts a stage does not train are frozen and their hashes compared before and after it.

    Reference: DADSP section 4.4.2.
    """

    options_type = DadspBOptions
    options: DadspBOptions
    network: TwoEncoderNetwork
    main_stage = "dadsp_b_fine_tuning"

    def _build(self, n_inputs: int, n_drug_features: int) -> TwoEncoderNetwork:
        return TwoEncoderNetwork(n_inputs, n_drug_features, **self._sizes())

    def _encoders(self) -> list[nn.Sequential]:
        return [self.network.encoder, self.network.target_encoder]

    def _encoder(self, domain: Domain, network: PairNetwork) -> nn.Sequential:
        own = domain == "source" and self.options.stages.fine_tuning.source_features == "source_encoder"
        return network.encoder if own else cast(TwoEncoderNetwork, network).target_encoder

    def _train(self, inputs: Inputs, study: Study, context: FitContext) -> None:
        stages = self.options.stages
        self._regress("dadsp_b_source", stages.source, inputs, context)
        self._adapt(inputs, context)
        self._regress(self.main_stage, stages.fine_tuning, inputs, context, partial(self._encoder, network=self.network))

    def _regress(
        self,
        name: str,
        options: SourceStageOptions,
        inputs: Inputs,
        context: FitContext,
        encoder_of: Callable[[Domain], nn.Module] | None = None,
    ) -> None:
        from dadsp.models.stages.regression import RegressionStage  # Lightning

        training = replace(
            self.training,
            max_epochs=options.max_epochs or self.training.max_epochs,
            learning_rate=options.learning_rate or self.training.learning_rate,
        )
        stage = RegressionStage(name, self.network, inputs, self.labels, training, context, encoder_of)
        batches = self._batches(inputs.train, stage)
        with frozen(name, self._parts_beside(options.trains)):
            self._run(stage, batches, context)

    def _adapt(self, inputs: Inputs, context: FitContext) -> None:
        from dadsp.models.stages.layer_adaptation import AdaptationStage  # Lightning

        options = self.options.stages.adaptation
        source, target = inputs.expression[inputs.source_lines], inputs.expression[inputs.target_lines]
        if options.mmd_estimator == "unbiased" and min(len(source), len(target)) < 2:
            raise ConfigError("mmd_estimator=unbiased needs two lines of each screen. Use mmd_estimator=biased.")
        sae = cast(StackedAutoencoder, inputs.autoencoder)
        source_layers = dense_layers(self.network.encoder)
        copy_layers(source_layers, sae.encoders)
        for layer, source_layer in enumerate(source_layers):
            with torch.no_grad():
                source = source_layer(source)
            target_scale = self.space.target_scale if self.space is not None and layer == 0 else 1.0
            stage = AdaptationStage(sae, target, source, layer, target_scale, options, self.training, context)
            epoch = partial(getattr, stage, "current_epoch")
            batches = TwoDomainBatches(len(source), len(target), size=options.batch_size, seed=stage.seed, epoch=epoch)
            others = {f"target layer {row + 1}": part for row, part in enumerate(sae.encoders) if row != layer}
            with frozen(stage.name, self._parts_beside(("target_encoder",)) | others):
                self._run(stage, batches, context)
            with torch.no_grad():
                target = sae.encoders[layer](target)
        copy_layers(sae.encoders, dense_layers(self.network.target_encoder))

    def _parts_beside(self, trained: Sequence[str]) -> dict[str, nn.Module]:
        return {name: part for name, part in self.network.named_children() if name not in trained}

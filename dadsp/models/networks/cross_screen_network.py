"""What networks across two screens share: options, the encoder and its pre-training, batches, predicting, saving.

A system is a subclass that says which network it builds and which stages train it.
"""

import logging
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.models.base import Arrays, FitContext, under
from dadsp.models.cross_screen_predictor import CrossScreenPredictor, SystemOptions, Width
from dadsp.models.idle_keys import Idle
from dadsp.models.networks.inputs import Inputs, predict_pairs
from dadsp.models.networks.potency_function import PotencyFunction
from dadsp.models.networks.rowspace import RowSpace
from dadsp.models.training.batches import BlockBatches, LabelledPairs, PairBatches, TwoDomainBatches
from dadsp.models.training.options import PretrainingOptions
from dadsp.models.training.rounding import perturb
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.feed_forward import Activation, copy_layers, dense_layers, first_linear
from dadsp.nets.pair_network import PairNetwork
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray, IntArray, Pairs, Responses, Screen, Split, Study
from dadsp.seeding import derive_seed

if TYPE_CHECKING:
    from dadsp.models.training.stage import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, config=STRICT)
class NetworkOptions(SystemOptions):
    """Choices of every network across screens; defaults follow the paper's text, the authors' code by the other values.

    Attributes:
        activation: Nonlinearity of the other parts.
        drug_widths: Two-layer drug branch (text); empty feeds the fingerprint as it is (code).
        regressor_widths: Hidden layers of the four-layer regressor; the fourth is the sigmoid output.
        dropout: After each encoder layer; the paper has none.
        output_start: What fresh weights predict: about the ``"mean"`` training label; or, left ``"fresh"`` as they are drawn
            (text and code set nothing), about the middle of the labels' range. Heads that are given levels need neither.
        pretraining_lines: Whose expression the autoencoder learns: ``"source"`` training lines (DADSP) or those and the
            target's lines (DeepDSC-2).
        selection: ``"source_val"`` keeps the epoch with the best RMSE on held-out source lines; ``"which_line"`` that which
            tells the held-out lines of each drug apart best (``which_line.unexplained``); ``"target_oracle"`` the one best
            on the test labels (the authors' leak, for showing what it is worth).
    """

    activation: Activation = "relu"
    drug_widths: tuple[Width, ...] = (256, 256)
    regressor_widths: tuple[Width, ...] = Field(default=(256, 128, 64), min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    output_start: Literal["mean", "fresh"] = "mean"
    pretraining_lines: Literal["source", "both"] = "source"
    selection: Literal["source_val", "which_line", "target_oracle"] = "source_val"


class CrossScreenNetwork(CrossScreenPredictor):
    """A network trained on source labels that predicts both screens; or the mean of several (``trainer.ensemble``).

    Attributes:
        network: The one that is being trained.
        members: All that were trained, in their order.
    """

    options_type: ClassVar[type[NetworkOptions]]
    options: NetworkOptions
    network: PairNetwork
    members: list[PairNetwork]
    space: RowSpace | None = None  # while training: where the first layer's inputs are coordinates

    def _display_name(self) -> str:
        oracle = " (oracle selection)" if self.options.selection == "target_oracle" else ""
        return self.options.name + oracle

    @property
    def sees_target_labels(self) -> bool:  # type: ignore[override]
        """Only under the oracle selection."""
        return self.options.selection == "target_oracle"

    def _build(self, n_inputs: int, n_drug_features: int) -> PairNetwork:
        """The network with fresh weights; without discriminator unless a system builds another."""
        return DadspNetwork(n_inputs, n_drug_features, **self._sizes(), discriminator_widths=None)

    def _sizes(self) -> dict[str, Any]:
        """Arguments of ``DadspNetwork`` that every system has."""
        options = self.options
        return {
            "encoder_widths": options.encoder_widths,
            "drug_widths": options.drug_widths,
            "regressor_widths": options.regressor_widths,
            "activation": options.activation,
            "encoder_activation": options.encoder_activation,
            "dropout": options.dropout,
        }

    @abstractmethod
    def _train(self, inputs: Inputs, study: Study, context: FitContext) -> None:
        """Runs the system's stages and leaves the trained weights in ``self.network``."""

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Pre-trains the encoder if asked to, then trains on source pairs.

        Target labels are read only under ``selection="target_oracle"``.
        """
        self.members = []
        histories: dict[str, list[dict[str, float]]] = {}
        for number in range(1, self.training.ensemble + 1):
            self.histories = {}
            of_member = context if number == 1 else _of_member(context, number)
            self._train(self._prepare(study, split, of_member), study, of_member)
            self.network.cpu().eval()
            if self.space is not None:  # from here on the model knows genes only
                for encoder in self._encoders():
                    self.space.lift(encoder)
                self.space = None
            self.members.append(self.network)
            histories |= {_name_in(number, stage): epochs for stage, epochs in self.histories.items()}
        self.histories = histories

    def _idle(self) -> list[Idle]:
        without = self.options.pretraining is None
        reason = "model.pretraining=null learns no autoencoder"
        return [*super()._idle(), Idle(without, ("pretraining_lines",), reason)]

    def _draws_pairs(self) -> bool:
        """Whether batches hold pairs drawn one by one."""
        return self.training.batching == "pairs"

    def _idle_in_trainer(self) -> list[Idle]:
        return idle_batches(pairs=self._draws_pairs())

    def _encoders(self) -> list[nn.Sequential]:
        """Every gene encoder of the network that is being trained."""
        return [self.network.encoder]

    def _encoder(self, domain: Domain, network: PairNetwork) -> nn.Sequential:
        """The gene encoder of a network for lines measured in ``domain``."""
        return network.encoder

    def _prepare(self, study: Study, split: Split, context: FitContext) -> Inputs:
        """Everything up to the system's own stages: scalers, features, the (pre-trained) network."""
        train = self._start(study, split)
        expression, source_lines, target_lines = self._lines(study, split)
        learned = torch.from_numpy(np.concatenate([source_lines, target_lines]))
        self.space = self._row_space(expression[learned], context.seed)
        if self.space is not None:
            expression = self.space.coordinates(expression)
        features = torch.from_numpy(self._drug_rows(study.source))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(context.seed, "weights"))
            self.network = self._network(expression.shape[1])
            perturb(self.network, self.training.perturbation)
            if self.options.output_start == "mean":
                self.network.start_at(float(self.labels.transform(train.potency).mean()))
            if self.space is not None:
                self.space.shrink(first_linear(self.network.encoder))
            autoencoder = None
            if self.options.pretraining is not None:
                lines = torch.from_numpy(source_lines) if self.options.pretraining_lines == "source" else learned
                autoencoder = self._pretrain(expression[lines], self.options.pretraining, context)
        validation, features = self._validation(study, split, features)
        pairs = self._labelled(train)
        return Inputs(expression, features, pairs, validation, source_lines, target_lines, autoencoder)

    def _labelled(self, train: Responses) -> LabelledPairs:
        """The pairs that train; each counts alike unless a system weighs them."""
        return LabelledPairs(train.cell_idx, train.drug_idx, self.labels.transform(train.potency))

    def _network(self, n_inputs: int) -> PairNetwork:
        """The system's network; where drug features are codes, its drug branch begins with the network that reads them."""
        reads = self.fitted_features.encoder()
        network = self._build(n_inputs, self.fitted_features.width if reads is None else reads[1])
        if reads is not None:
            network.drug_branch.insert(0, reads[0])
        return network

    def _pretrain(self, lines: Tensor, options: PretrainingOptions, context: FitContext) -> StackedAutoencoder:
        sae = self._pretrained(lines, self.space, options, context)
        copy_layers(sae.encoders, dense_layers(self.network.encoder))
        return sae

    def _validation(self, study: Study, split: Split, features: Tensor) -> tuple[tuple[str, LabelledPairs], Tensor]:
        """The pairs that choose the epoch, and drug features extended where these need more drugs."""
        if self.options.selection != "target_oracle":
            metric = "val/source/unexplained" if self.options.selection == "which_line" else "val/source/rmse"
            val = study.source.responses.take(split.val_idx)
            return (metric, LabelledPairs(val.cell_idx, val.drug_idx, val.potency)), features
        test = study.target.responses.take(split.test_idx)
        extended = torch.cat([features, torch.from_numpy(self._drug_rows(study.target))])
        pairs = LabelledPairs(len(study.source.cells) + test.cell_idx, len(features) + test.drug_idx, test.potency)
        return ("val/target_oracle/rmse", pairs), extended

    def _batches(
        self, pairs: LabelledPairs, stage: "Stage", target_lines: IntArray | None = None, partner: IntArray | None = None
    ) -> PairBatches | BlockBatches:
        """The batches ``trainer`` asks for, target lines beside them where given (see ``PairBatches``)."""
        epoch = partial(getattr, stage, "current_epoch")
        training = self.training
        if training.batching == "blocks" and partner is None:
            blocks = BlockBatches(
                pairs,
                shape=(training.block_lines, training.block_drugs),
                seed=stage.seed,
                epoch=epoch,
                target_lines=target_lines,
                min_blocks=training.min_blocks * training.devices,
            )
            asked = min(training.block_drugs or 0, len(blocks.drugs))
            if blocks.shape[1] < asked:
                log.warning(
                    "trainer.block_drugs=%d is overruled by trainer.min_blocks=%d: blocks are %d lines × %d drugs",
                    *(training.block_drugs, training.min_blocks, *blocks.shape),
                )
            return blocks
        return PairBatches(
            pairs, size=training.batch_size, seed=stage.seed, epoch=epoch, target_lines=target_lines, partner=partner
        )

    def _run(self, stage: "Stage", batches: PairBatches | BlockBatches | TwoDomainBatches, context: FitContext) -> None:
        """Trains the stage on the batches and keeps its history."""
        from dadsp.models.training.stage import run_stage  # Lightning: seconds, and only training needs it

        run_stage(stage, batches, len(batches), context)
        self.histories[stage.name] = stage.epochs

    def _scaled_potency(
        self, expression: FloatArray, features: FloatArray, line: IntArray, drug: IntArray, domain: Domain
    ) -> FloatArray:
        cells, drugs = torch.from_numpy(expression), torch.from_numpy(features)
        with torch.no_grad():
            parts = [
                predict_pairs(member.eval(), self._encoder(domain, member), cells, drugs, line, drug)
                for member in self.members
            ]
        return parts[0] if len(parts) == 1 else np.mean(parts, axis=0, dtype=np.float32)

    def codes(self, screen: Screen, domain: Domain) -> FloatArray:
        """What the gene encoder makes of each line of the screen, float32, shape (n_lines, code width).

        Codes of an ensemble are its members' side by side.

        Raises:
            SchemaError: The screen lacks genes of the model.
        """
        lines = torch.from_numpy(self.scaled_expression(screen, domain)).split(1024)
        encoders = [self._encoder(domain, member.eval()) for member in self.members]
        with torch.no_grad():
            codes: FloatArray = torch.cat([torch.cat([encoder(part) for part in lines]) for encoder in encoders], 1).numpy()
        return codes

    def potency_functions(self, pairs: Pairs) -> list[PotencyFunction]:
        """What ``predict`` computes for pairs of one drug, as functions that can be differentiated, one for each member.

        Raises:
            MissingIdsError: The drug has no structure.
        """
        row, n_features = torch.from_numpy(self._drug_rows(pairs.screen, pairs.drug_idx[:1])), self.fitted_features.width
        return [
            PotencyFunction(
                network=member,
                encoder=self._encoder(pairs.domain, member),
                scale=partial(self.expression_input.scale, domain=pairs.domain),
                labels=self.labels,
                representation=self.fitted_features,
                drug_row=row[:, :n_features],
                beside_features=row[:, n_features:],
                share=np.full(len(pairs), 1 / len(self.members), dtype=np.float32),
            )
            for member in self.members
        ]

    def _learned(self) -> Arrays:
        return {
            _name_in(number, f"network.{name}"): value.numpy()
            for number, member in enumerate(self.members, start=1)
            for name, value in member.state_dict().items()
        }

    def _restore(self, learned: Arrays) -> None:
        self.members = []
        for number in range(1, self.training.ensemble + 1):
            network = self._network(len(self.genes))
            weights = under(_name_in(number, "network."), learned)
            network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
            self.members.append(network.eval())


def idle_batches(*, pairs: bool) -> list[Idle]:
    """Keys of the batches that are not drawn."""
    return [
        Idle(not pairs, ("batch_size",), "batches are blocks of lines × drugs (trainer.batching)"),
        Idle(pairs, ("block_lines", "block_drugs", "min_blocks"), "batches are pairs drawn one by one"),
    ]


def _name_in(number: int, name: str) -> str:
    """What a stage or an array of a member is called: as if it were alone, for the first."""
    return name if number == 1 else f"member_{number}_{name}"


def _of_member(context: FitContext, number: int) -> FitContext:
    """Draws, folder and reports of a further member."""
    return replace(
        context,
        seed=derive_seed(context.seed, "member", number),
        checkpoints=context.checkpoints and context.checkpoints / f"member_{number}",
        on_epoch=lambda stage, epoch, metrics: context.on_epoch(_name_in(number, stage), epoch, metrics),
        on_stage=lambda stage, length: context.on_stage(_name_in(number, stage), length),
    )

"""What networks across two screens share: the encoder and its pre-training, judging, predicting, saving.

A system is a subclass that says which network it builds and which stages train it.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from functools import partial
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.data.scaling import LabelScaler
from dadsp.models.base import Arrays, FitContext
from dadsp.models.cross_screen_predictor import CrossScreenPredictor, SystemOptions, Width, under
from dadsp.models.networks.potency_function import PotencyFunction
from dadsp.models.networks.rowspace import RowSpace
from dadsp.models.training.batches import Batch, BlockBatches, LabelledPairs, PairBatches, TwoDomainBatches
from dadsp.models.training.pretraining import PretrainingOptions
from dadsp.models.training.stage import Stage, TrainingOptions, run_stage
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.feed_forward import Activation, copy_layers, dense_layers, first_linear
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray, IntArray, Pairs, Screen, Split, Study
from dadsp.seeding import derive_seed

CONSTANT = 1e-5  # spread of scaled predictions below which they are all alike


@dataclass(frozen=True, config=STRICT)
class NetworkOptions(SystemOptions):
    """Choices of every network across screens; defaults follow the paper's text, the authors' code by the other values.

    Attributes:
        activation: Nonlinearity of the other parts.
        drug_widths: Two-layer drug branch (text); empty feeds the fingerprint as it is (code).
        regressor_widths: Hidden layers of the four-layer regressor; the fourth is the sigmoid output.
        dropout: After each encoder layer; the paper has none.
        pretraining_lines: Whose expression the autoencoder learns: ``"source"`` training lines (DADSP) or those and the
            target's lines (DeepDSC-2).
        selection: ``"source_val"`` keeps the epoch with the best RMSE on held-out source lines; ``"target_oracle"`` the one
            best on the test labels (the authors' leak, for showing what it is worth).
    """

    activation: Activation = "relu"
    drug_widths: tuple[Width, ...] = (256, 256)
    regressor_widths: tuple[Width, ...] = Field(default=(256, 128, 64), min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pretraining_lines: Literal["source", "both"] = "source"
    selection: Literal["source_val", "target_oracle"] = "source_val"


@plain_dataclass(frozen=True, eq=False)
class Inputs:
    """What the stages of a network train on, as tensors and row numbers.

    Attributes:
        expression: Scaled source lines, then scaled target lines (or their coordinates), shape (n_lines, n_inputs).
        drug_features: Shape (n_drugs, d).
        train: Labelled training pairs, rows of the two tables above; scaled labels.
        judged: Metric name, and the pairs whose RMSE chooses the epoch; labels in −log10 µM.
        source_lines: Rows of the source lines that train, distinct.
        target_lines: Rows of the target lines that lend their expression.
        autoencoder: What pre-training left, for systems that go on with it; None without pre-training.
    """

    expression: Tensor
    drug_features: Tensor
    train: LabelledPairs
    judged: tuple[str, LabelledPairs]
    source_lines: IntArray
    target_lines: IntArray
    autoencoder: StackedAutoencoder | None


class RegressionStage(Stage):
    """Training on labelled source pairs: mean squared error of the scaled potency.

    Args:
        name: Of its checkpoint and its progress bar.
        network: Encoder, drug branch, regressor.
        inputs: Expression, drug features, pairs to be judged on.
        labels: Scales labels to the sigmoid's range.
        training: Length and speed.
        context: Seed, folders, listener.
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
        self.metric, self.judged = inputs.judged
        super().__init__(name, network, training, context, monitor=self.metric)
        self.labels = labels
        self.encoder_of = encoder_of
        self.register_buffer("expression", inputs.expression, persistent=False)
        self.register_buffer("drug_features", inputs.drug_features, persistent=False)

    @property
    def parts(self) -> DadspNetwork:
        """The network, by its type."""
        return cast(DadspNetwork, self.network)

    def _encoder(self, domain: Domain) -> nn.Module:
        return self.parts.encoder if self.encoder_of is None else self.encoder_of(domain)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """MSE on the labelled pairs."""
        mse, _ = self.regression(batch)
        return {"loss": mse, "mse": mse}

    def regression(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """MSE on the labelled pairs, and the codes of the batch's distinct lines, shape (u, code width)."""
        predicted, codes = self.predictions(batch)
        return batch.mean_squared_error(predicted), codes

    def predictions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scaled potency of the labelled pairs, and the codes of the batch's distinct lines, shape (u, code width)."""
        codes = self._encoder("source")(self.expression.index_select(0, batch.lines))
        drug_codes = self.parts.drug_branch(self.drug_features.index_select(0, batch.drugs))
        return batch.potency(self.parts, codes, drug_codes), codes

    def judge(self) -> dict[str, float]:
        """RMSE in −log10 µM on the pairs that choose the epoch, each line and drug encoded once."""
        pairs = self.judged
        encoder = self._encoder("target" if self.metric.startswith("val/target") else "source")
        predicted = predict_pairs(self.parts, encoder, self.expression, self.drug_features, pairs.line, pairs.drug)
        self.collapsed = float(predicted.std()) < CONSTANT
        self.collapse = self._collapse(encoder, predicted) if self.collapsed else ""
        error = self.labels.inverse(predicted) - pairs.label
        return {self.metric: float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))}

    def _collapse(self, encoder: nn.Module, predicted: FloatArray) -> str:
        """What stands still where all predictions are alike: the output's value, and units of the last hidden layer."""
        seen: list[Tensor] = []
        pairs, last = self.judged, self.parts.regressor[-2]
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


class CrossScreenNetwork(CrossScreenPredictor):
    """A network trained on source labels that predicts both screens."""

    options_type: ClassVar[type[NetworkOptions]]
    options: NetworkOptions
    network: DadspNetwork
    space: RowSpace | None = None  # while training: where the first layer's inputs are coordinates

    def _display_name(self) -> str:
        oracle = " (oracle selection)" if self.options.selection == "target_oracle" else ""
        return self.options.name + oracle

    @property
    def sees_target_labels(self) -> bool:  # type: ignore[override]
        """Only under the oracle selection."""
        return self.options.selection == "target_oracle"

    def _build(self, n_inputs: int, n_drug_features: int) -> DadspNetwork:
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
        self._train(self._prepare(study, split, context), study, context)
        self.network.cpu().eval()
        if self.space is not None:  # from here on the model knows genes only
            for encoder in self._encoders():
                self.space.lift(encoder)
            self.space = None

    def _encoders(self) -> list[nn.Sequential]:
        """Every gene encoder of the network."""
        return [self.network.encoder]

    def _encoder(self, domain: Domain) -> nn.Sequential:
        """The gene encoder of lines measured in ``domain``."""
        return self.network.encoder

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
            self.network.start_at(float(self.labels.transform(train.potency).mean()))
            if self.space is not None:
                self.space.shrink(first_linear(self.network.encoder))
            autoencoder = None
            if self.options.pretraining is not None:
                lines = torch.from_numpy(source_lines) if self.options.pretraining_lines == "source" else learned
                autoencoder = self._pretrain(expression[lines], self.options.pretraining, context)
        judged, features = self._judged(study, split, features)
        pairs = LabelledPairs(train.cell_idx, train.drug_idx, self.labels.transform(train.potency))
        return Inputs(expression, features, pairs, judged, source_lines, target_lines, autoencoder)

    def _network(self, n_inputs: int) -> DadspNetwork:
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

    def _judged(self, study: Study, split: Split, features: Tensor) -> tuple[tuple[str, LabelledPairs], Tensor]:
        """The pairs that choose the epoch, and drug features extended where these need more drugs."""
        if self.options.selection == "source_val":
            val = study.source.responses.take(split.val_idx)
            return ("val/source/rmse", LabelledPairs(val.cell_idx, val.drug_idx, val.potency)), features
        test = study.target.responses.take(split.test_idx)
        extended = torch.cat([features, torch.from_numpy(self._drug_rows(study.target))])
        pairs = LabelledPairs(len(study.source.cells) + test.cell_idx, len(features) + test.drug_idx, test.potency)
        return ("val/target_oracle/rmse", pairs), extended

    def _batches(
        self, pairs: LabelledPairs, stage: Stage, target_lines: IntArray | None = None, partner: IntArray | None = None
    ) -> PairBatches | BlockBatches:
        """The batches ``trainer`` asks for, target lines beside them where given (see ``PairBatches``)."""
        epoch = partial(getattr, stage, "current_epoch")
        training = self.training
        if training.batching == "blocks" and partner is None:
            return BlockBatches(
                pairs,
                shape=(training.block_lines, training.block_drugs),
                seed=stage.seed,
                epoch=epoch,
                target_lines=target_lines,
                min_blocks=training.min_blocks * training.devices,
            )
        return PairBatches(
            pairs, size=training.batch_size, seed=stage.seed, epoch=epoch, target_lines=target_lines, partner=partner
        )

    def _run(self, stage: Stage, batches: PairBatches | BlockBatches | TwoDomainBatches, context: FitContext) -> None:
        """Trains the stage on the batches and keeps its history."""
        run_stage(stage, batches, len(batches), context)
        self.histories[stage.name] = stage.epochs

    def _scaled_potency(
        self, expression: FloatArray, features: FloatArray, line: IntArray, drug: IntArray, domain: Domain
    ) -> FloatArray:
        self.network.eval()
        cells, drugs = torch.from_numpy(expression), torch.from_numpy(features)
        with torch.no_grad():
            return predict_pairs(self.network, self._encoder(domain), cells, drugs, line, drug)

    def codes(self, screen: Screen, domain: Domain) -> FloatArray:
        """What the gene encoder makes of each line of the screen, float32, shape (n_lines, code width).

        Raises:
            SchemaError: The screen lacks genes of the model.
        """
        self.network.eval()
        lines = torch.from_numpy(self.scaled_expression(screen, domain)).split(1024)
        with torch.no_grad():
            codes: FloatArray = torch.cat([self._encoder(domain)(part) for part in lines]).numpy()
        return codes

    def potency_functions(self, pairs: Pairs) -> list[PotencyFunction]:
        """What ``predict`` computes for pairs of one drug, as functions that can be differentiated; here there is one.

        Raises:
            MissingIdsError: The drug has no structure.
        """
        return [
            PotencyFunction(
                network=self.network,
                encoder=self._encoder(pairs.domain),
                scale=partial(self.expression_input.scale, domain=pairs.domain),
                labels=self.labels,
                representation=self.fitted_features,
                drug_row=torch.from_numpy(self._drug_rows(pairs.screen, pairs.drug_idx[:1])),
                share=np.ones(len(pairs), dtype=np.float32),
            )
        ]

    def _learned(self) -> Arrays:
        return {f"network.{name}": value.numpy() for name, value in self.network.state_dict().items()}

    def _restore(self, learned: Arrays) -> None:
        self.network = self._network(len(self.genes))
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in under("network.", learned).items()})
        self.network.eval()


def predict_pairs(
    network: DadspNetwork, encoder: nn.Module, expression: Tensor, drug_features: Tensor, line: IntArray, drug: IntArray
) -> FloatArray:
    """Scaled potency of many pairs, float32, shape (n_pairs,); each distinct line and drug is encoded once.

    Args:
        network: Drug branch and regressor, in evaluation mode, gradients off.
        encoder: Gene encoder of these lines.
        expression: Scaled, shape (n_lines, n_genes).
        drug_features: Shape (n_drugs, d).
        line: Rows of ``expression``, shape (n_pairs,).
        drug: Rows of ``drug_features``, shape (n_pairs,).
    """
    lines, line_of_pair = (torch.from_numpy(part).to(expression.device) for part in np.unique(line, return_inverse=True))
    drugs, drug_of_pair = (torch.from_numpy(part).to(expression.device) for part in np.unique(drug, return_inverse=True))
    cell_codes = torch.cat([encoder(expression.index_select(0, rows)) for rows in lines.split(1024)])
    drug_codes = torch.cat([network.drug_branch(drug_features.index_select(0, rows)) for rows in drugs.split(256)])
    parts = [
        network.regress(cell_codes, cells, drug_codes, compounds)
        for cells, compounds in zip(line_of_pair.split(16384), drug_of_pair.split(16384), strict=True)
    ]
    scaled: FloatArray = torch.cat(parts).float().cpu().numpy()
    return scaled

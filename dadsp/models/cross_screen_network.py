"""What networks across two screens share: scaled inputs, the encoder and its pre-training, judging, predicting, saving.

A system is a subclass that says which network it builds and which stages train it.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.data.scaling import ExpressionScaler, LabelScaler, ScalerKind, ScalerScope, fit_scaler
from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.representations import from_facts
from dadsp.errors import MissingIdsError, SchemaError, examples
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.models.batches import BlockBatch, BlockBatches, LabelledPairs, PairBatch, PairBatches
from dadsp.models.drug_encoders import drug_encoder
from dadsp.models.pretraining import PretrainingOptions, pretrain_encoder
from dadsp.models.rowspace import RowSpace
from dadsp.models.training import Stage, TrainingOptions, claim_device
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.feed_forward import Activation, copy_layers, dense_layers, first_linear
from dadsp.options import validated
from dadsp.schema import Domain, FloatArray, IntArray, Pairs, Screen, Split, Study
from dadsp.seeding import derive_seed

log = logging.getLogger(__name__)

Width = Annotated[int, Field(ge=1)]
CONSTANT = 1e-5  # spread of scaled predictions below which they are all alike


@dataclass(frozen=True, config={"extra": "forbid"})
class NetworkOptions:
    """Choices of every network across screens; defaults follow the paper's text, the authors' code by the other values.

    Attributes:
        name: How tables call the system.
        encoder_widths: Gene encoder, and the codes of its autoencoder.
        encoder_activation: ``"sigmoid"`` (code): bounded codes, without which the adversary saturates the regressor
            sooner or later; or ``"relu"`` (text).
        activation: Nonlinearity of the other parts.
        drug_widths: Two-layer drug branch (text); empty feeds the fingerprint as it is (code).
        regressor_widths: Hidden layers of the four-layer regressor; the fourth is the sigmoid output.
        dropout: After each encoder layer; the paper has none.
        pretraining: Stacked autoencoder; None starts from random weights.
        pretraining_lines: Whose expression the autoencoder learns: ``"source"`` training lines (DADSP) or those and the
            target's lines (DeepDSC-2).
        selection: ``"source_val"`` keeps the epoch with the best RMSE on held-out source lines; ``"target_oracle"`` the one
            best on the test labels (the authors' leak, for showing what it is worth).
        input_basis: ``"rowspace"`` learns the first layer in coordinates of the training lines' span where lines are fewer
            than genes (see ``dadsp.models.rowspace``); ``"genes"`` never does.
        expression_scaling: ``"zscore"`` or ``"minmax"`` (code).
        scaling_scope: Each screen by itself, or both together (code).
    """

    name: str = ""
    encoder_widths: tuple[Width, ...] = Field(default=(2048, 1024, 512), min_length=1)
    encoder_activation: Activation = "sigmoid"
    activation: Activation = "relu"
    drug_widths: tuple[Width, ...] = (256, 256)
    regressor_widths: tuple[Width, ...] = Field(default=(256, 128, 64), min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pretraining: PretrainingOptions | None = Field(default_factory=lambda: PretrainingOptions())
    pretraining_lines: Literal["source", "both"] = "source"
    selection: Literal["source_val", "target_oracle"] = "source_val"
    input_basis: Literal["rowspace", "genes"] = "rowspace"
    expression_scaling: ScalerKind = "zscore"
    scaling_scope: ScalerScope = "per_domain"


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

    def losses(self, batch: PairBatch | BlockBatch) -> dict[str, Tensor]:
        """MSE on the labelled pairs."""
        mse, _ = self.regression(batch)
        return {"loss": mse, "mse": mse}

    def regression(self, batch: PairBatch | BlockBatch) -> tuple[Tensor, Tensor]:
        """MSE on the labelled pairs, and the codes of the batch's distinct lines, shape (u, code width)."""
        predicted, codes = self.predictions(batch)
        if isinstance(batch, BlockBatch):
            return (batch.weight * (predicted - batch.label) ** 2).sum(), codes
        return nn.functional.mse_loss(predicted, batch.label), codes

    def predictions(self, batch: PairBatch | BlockBatch) -> tuple[Tensor, Tensor]:
        """Scaled potency, shape of the batch's labels, and the codes of its distinct lines, shape (u, code width)."""
        network = self.parts
        codes = self._encoder("source")(self.expression.index_select(0, batch.lines))
        drugs = network.drug_branch(self.drug_features.index_select(0, batch.drugs))
        if isinstance(batch, BlockBatch):
            return network.regress_block(codes[: batch.n_source], drugs), codes
        line_of_pair = batch.line_of_row[: len(batch.label)]
        return network.regress(codes, line_of_pair, drugs, batch.drug_of_pair), codes

    def judge(self) -> dict[str, float]:
        """RMSE in −log10 µM on the pairs that choose the epoch, each line and drug encoded once."""
        pairs = self.judged
        encoder = self._encoder("target" if self.metric.startswith("val/target") else "source")
        predicted = predict_pairs(self.parts, encoder, self.expression, self.drug_features, pairs.line, pairs.drug)
        self.collapsed = float(predicted.std()) < CONSTANT
        error = self.labels.inverse(predicted) - pairs.label
        return {self.metric: float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))}


class CrossScreenNetwork(Predictor):
    """A network trained on source labels that predicts both screens.

    Args:
        drug_features: Turns structures into features; fitted on the training drugs by ``fit``.
        training: Length and speed of the supervised stages.
        options: Fields of the system's options.

    Raises:
        ConfigError: An option is unknown or impossible.
    """

    options_type: ClassVar[type[NetworkOptions]]
    network: DadspNetwork
    fitted_features: DrugFeatures

    def __init__(
        self,
        drug_features: DrugFeatures | None = None,
        training: TrainingOptions | dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.options = validated(self.options_type, options, "model")
        self.training = validated(TrainingOptions, training or {}, "trainer")
        self.drug_features = drug_features or Morgan()
        oracle = " (oracle selection)" if self.options.selection == "target_oracle" else ""
        self.name = self.options.name + oracle
        self.space: RowSpace | None = None
        self.histories: dict[str, list[dict[str, float]]] = {}
        self.drug_notes: list[dict[str, Any]] = []

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

    def fit(self, study: Study, split: Split, context: FitContext | None = None) -> Self:
        """Pre-trains the encoder if asked to, then trains on source pairs.

        Target labels are read only under ``selection="target_oracle"``.
        """
        context = context or FitContext()
        self._train(self._prepare(study, split, context), study, context)
        self.network.cpu().eval()
        if self.space is not None:  # from here on the model knows genes only
            for encoder in self._encoders():
                dense = cast(nn.Sequential, encoder[0])
                dense[0] = self.space.layer_over_genes(first_linear(dense))
            self.space = None
        return self

    def _encoders(self) -> list[nn.Sequential]:
        """Every gene encoder of the network."""
        return [self.network.encoder]

    def _encoder(self, domain: Domain) -> nn.Sequential:
        """The gene encoder of lines measured in ``domain``."""
        return self.network.encoder

    def _prepare(self, study: Study, split: Split, context: FitContext) -> Inputs:
        """Everything up to the system's own stages: scalers, features, the (pre-trained) network."""
        claim_device(self.training)
        train = study.source.responses.take(split.train_idx)
        self.genes = study.genes
        self.labels = LabelScaler.fit(train.potency)
        self.scaler = fit_scaler(
            self.options.expression_scaling, self.options.scaling_scope, study, train.cell_idx, split.adapt_cell_idx
        )
        source_lines, target_lines = np.unique(train.cell_idx), len(study.source.cells) + split.adapt_cell_idx
        expression = torch.from_numpy(self._scaled_expression(study))
        learned = torch.from_numpy(np.concatenate([source_lines, target_lines]))
        if self.options.input_basis == "rowspace" and len(learned) < expression.shape[1]:
            self.space = RowSpace.of(expression[learned], context.seed)
            expression = self.space.coordinates(expression)
        self.fitted_features = self.drug_features.fit(*_structures(study.source, np.unique(train.drug_idx)))
        self.drug_notes = self._drug_notes(study)
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
        encoder, width = drug_encoder(self.fitted_features)
        network = self._build(n_inputs, width)
        if self.fitted_features.learned:
            network.drug_branch.insert(0, encoder)
        return network

    def _drug_rows(self, screen: Screen, rows: IntArray | None = None) -> FloatArray:
        """Features of the screen's drugs in ``rows`` (all by default), float32, shape (n_drugs, width)."""
        structures = _structures(screen, rows)
        for note in self.fitted_features.notes(*structures):
            log.warning("%s: %s: %d (%s)", screen.name, note.what, note.count, note.examples)
        return self.fitted_features(*structures)

    def _drug_notes(self, study: Study) -> list[dict[str, Any]]:
        """What the fitted features cannot express of the drugs of both screens."""
        notes: list[dict[str, Any]] = []
        for screen in (study.source, study.target):
            known = np.flatnonzero([text is not None for text in screen.drugs.smiles])
            found = self.fitted_features.notes(*_structures(screen, known))
            notes += [{"screen": screen.name, **asdict(note)} for note in found]
        return notes

    def _scaled_expression(self, study: Study) -> FloatArray:
        source = self.scaler.transform(study.source.cells.expression, "source")
        return np.concatenate([source, self.scaler.transform(study.target.cells.expression, "target")])

    def _pretrain(self, lines: Tensor, options: PretrainingOptions, context: FitContext) -> StackedAutoencoder:
        widths, activation = self.options.encoder_widths, self.options.encoder_activation
        sae, histories = pretrain_encoder(lines, self.space, widths, activation, options, self.training, context)
        copy_layers(sae.encoders, dense_layers(self.network.encoder))
        self.histories |= histories
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
            shape = (training.block_lines, training.block_drugs)
            return BlockBatches(
                pairs,
                shape=shape,
                seed=stage.seed,
                epoch=epoch,
                target_lines=target_lines,
                min_blocks=training.min_blocks * training.devices,
            )
        return PairBatches(
            pairs, size=training.batch_size, seed=stage.seed, epoch=epoch, target_lines=target_lines, partner=partner
        )

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,).

        Raises:
            SchemaError: The screen lacks genes of the model.
            MissingIdsError: A drug to predict has no structure.
        """
        screen = pairs.screen
        lacking = sorted(set(self.genes) - set(screen.genes))
        if lacking:
            raise SchemaError(
                f"{screen.name} lacks {len(lacking)} of the model's {len(self.genes)} genes (e.g. {examples(lacking)}). "
                "Add them, or train a model on the genes you have."
            )
        columns = screen if screen.genes == self.genes else screen.with_genes(self.genes)
        lines, line_idx = np.unique(pairs.cell_idx, return_inverse=True)
        drugs, drug_idx = np.unique(pairs.drug_idx, return_inverse=True)
        expression = self.scaler.transform(columns.cells.expression[lines], pairs.domain)
        features = self._drug_rows(screen, drugs)
        self.network.eval()
        with torch.no_grad():
            scaled = predict_pairs(
                self.network,
                self._encoder(pairs.domain),
                torch.from_numpy(expression),
                torch.from_numpy(features),
                line_idx,
                drug_idx,
            )
        return self.labels.inverse(scaled)

    def history(self) -> pd.DataFrame:
        """One row per epoch of each stage, in the order trained."""
        return pd.DataFrame([{"stage": stage, **epoch} for stage, epochs in self.histories.items() for epoch in epochs])

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Options, genes, label range; weights and scaler."""
        facts = {
            "name": self.name,
            "options": asdict(self.options),
            "training": asdict(self.training),
            "drug_features": self.fitted_features.facts(),
            "drug_notes": self.drug_notes,
            "labels": {"unit": "-log10 IC50(uM)", "low": self.labels.low, "high": self.labels.high},
            "genes": list(self.genes),
        }
        weights = {f"network.{name}": value.numpy() for name, value in self.network.state_dict().items()}
        return facts, weights | {f"scaler.{name}": value for name, value in self.scaler.to_arrays().items()}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved predictor, ready to predict."""
        features = from_facts(facts["drug_features"])
        predictor = cls(features, facts["training"], **facts["options"])
        predictor.fitted_features, predictor.drug_notes = features, facts["drug_notes"]
        predictor.genes = tuple(facts["genes"])
        predictor.labels = LabelScaler(facts["labels"]["low"], facts["labels"]["high"])
        predictor.scaler = ExpressionScaler.from_arrays(under("scaler.", arrays))
        predictor.network = predictor._network(len(predictor.genes))
        weights = {name: torch.from_numpy(value) for name, value in under("network.", arrays).items()}
        predictor.network.load_state_dict(weights)
        predictor.network.eval()
        return predictor


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


def _structures(screen: Screen, rows: IntArray | None = None) -> tuple[list[str], list[str]]:
    """SMILES and names of the drugs in ``rows`` (all by default)."""
    wanted = range(len(screen.drugs)) if rows is None else rows
    lacking = [screen.drugs.names[row] for row in wanted if screen.drugs.smiles[row] is None]
    if lacking:
        raise MissingIdsError(
            f"{len(lacking)} drugs of {screen.name} have no SMILES (e.g. {examples(lacking)}). "
            "Add their structures, or leave these drugs out."
        )
    return [screen.drugs.smiles[row] or "" for row in wanted], [screen.drugs.names[row] for row in wanted]


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

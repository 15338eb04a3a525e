"""DADSP-A: one expression encoder for both screens, kept blind to the screen by an adversary behind a gradient reversal."""

import logging
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal, Self, cast

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.data.scaling import ExpressionScaler, LabelScaler, ScalerKind, ScalerScope, fit_scaler
from dadsp.drugs.morgan import Morgan
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, examples
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.models.batches import BlockBatch, BlockBatches, LabelledPairs, PairBatch, PairBatches
from dadsp.models.pretraining import PretrainingOptions, pretrain_encoder
from dadsp.models.rowspace import RowSpace
from dadsp.models.training import Stage, TrainingOptions, claim_device, run_stage
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.feed_forward import Activation, first_linear
from dadsp.nets.gradient_reversal import reversal_strength
from dadsp.options import validated
from dadsp.schema import FloatArray, IntArray, Pairs, Responses, Screen, Split, Study
from dadsp.seeding import derive_seed

log = logging.getLogger(__name__)

Width = Annotated[int, Field(ge=1)]
CONSTANT = 1e-5  # spread of scaled predictions below which they are all alike
SOURCE, TARGET = 0, 1  # domain labels of the discriminator's two logits


@dataclass(frozen=True, config={"extra": "forbid"})
class DadspAOptions:
    """DADSP-A's choices; defaults follow the paper's text, the authors' code is reachable by the other values.

    Attributes:
        name: How tables call the system.
        encoder_widths: Gene encoder, and the codes of its autoencoder.
        encoder_activation: ``"relu"`` (text) or ``"sigmoid"`` (code).
        activation: Nonlinearity of the other parts.
        drug_widths: Two-layer drug branch (text); empty feeds the fingerprint as it is (code).
        regressor_widths: Hidden layers of the four-layer regressor; the fourth is the sigmoid output.
        discriminator_widths: Hidden layers of the three-layer discriminator; the third gives the logits.
        discriminator_batch_norm: Batch normalisation before the logits (code).
        dropout: After each encoder layer; the paper has none.
        pretraining: Stacked autoencoder on source expression; None for DADSP-A⁻.
        adversarial_weight: Factor of the domain loss; 1 in the paper, 0 trains without adaptation.
        gamma: Steepness of the λ ramp.
        target_sampling: ``"independent"`` draws target lines at random; ``"paired"`` takes the same lines as the source half
            of the batch (code; needs lines present in both screens, a design no user has; always by ``batching="pairs"``).
        selection: ``"source_val"`` keeps the epoch with the best RMSE on held-out source lines; ``"target_oracle"`` the one
            best on the test labels (the authors' leak, for showing what it is worth).
        input_basis: ``"rowspace"`` learns the first layer in coordinates of the training lines' span where lines are fewer
            than genes (see ``dadsp.models.rowspace``); ``"genes"`` never does.
        expression_scaling: ``"zscore"`` or ``"minmax"`` (code).
        scaling_scope: Each screen by itself, or both together (code).
    """

    name: str = "DADSP-A"
    encoder_widths: tuple[Width, ...] = Field(default=(2048, 1024, 512), min_length=1)
    encoder_activation: Activation = "relu"
    activation: Activation = "relu"
    drug_widths: tuple[Width, ...] = (256, 256)
    regressor_widths: tuple[Width, ...] = Field(default=(256, 128, 64), min_length=1)
    discriminator_widths: tuple[Width, ...] = (256, 128)
    discriminator_batch_norm: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pretraining: PretrainingOptions | None = Field(default_factory=lambda: PretrainingOptions())
    adversarial_weight: float = Field(default=1.0, ge=0)
    gamma: float = Field(default=10.0, gt=0)
    target_sampling: Literal["independent", "paired"] = "independent"
    selection: Literal["source_val", "target_oracle"] = "source_val"
    input_basis: Literal["rowspace", "genes"] = "rowspace"
    expression_scaling: ScalerKind = "zscore"
    scaling_scope: ScalerScope = "per_domain"


class DadspStage(Stage):
    """Supervised training on source pairs with the domain adversary beside it.

    Args:
        expression: Scaled source lines, then scaled target lines, shape (n_lines, n_genes).
        drug_features: Shape (n_drugs, d).
        judged: Pairs whose RMSE chooses the epoch, by metric name; labels in −log10 µM.
        labels: Scales labels to the sigmoid's range.
    """

    expression: Tensor
    drug_features: Tensor

    def __init__(
        self,
        network: DadspNetwork,
        expression: Tensor,
        drug_features: Tensor,
        judged: tuple[str, LabelledPairs],
        labels: LabelScaler,
        options: DadspAOptions,
        training: TrainingOptions,
        context: FitContext,
    ) -> None:
        self.metric, self.judged = judged
        super().__init__("dadsp_a", network, training, context, monitor=self.metric)
        self.dadsp, self.labels = options, labels
        self.register_buffer("expression", expression, persistent=False)
        self.register_buffer("drug_features", drug_features, persistent=False)

    def losses(self, batch: PairBatch | BlockBatch) -> dict[str, Tensor]:
        """MSE on the labelled pairs plus the weighted domain cross-entropy on source and target codes.

        Codes tell the domains apart once per row of a pair batch, once per line of a block.
        """
        network: DadspNetwork = self.network  # type: ignore[assignment]
        codes = network.encoder(self.expression.index_select(0, batch.lines))
        drugs = network.drug_branch(self.drug_features.index_select(0, batch.drugs))
        if isinstance(batch, BlockBatch):
            n_source, domain_weight = batch.n_source, batch.domain_weight
            mse = (batch.weight * (network.regress_block(codes[:n_source], drugs) - batch.label) ** 2).sum()
        else:
            n_source, domain_weight = len(batch.label), 1.0
            predicted = network.regress(codes, batch.line_of_row[:n_source], drugs, batch.drug_of_pair)
            mse = nn.functional.mse_loss(predicted, batch.label)
            codes = codes.index_select(0, batch.line_of_row)
        if network.discriminator is None:
            return {"loss": mse, "mse": mse}
        strength = reversal_strength(self.progress, self.dadsp.gamma)
        logits = network.tell_domain(codes, strength)
        domain = torch.full((len(codes),), TARGET, device=codes.device)
        domain[:n_source] = SOURCE
        domain_loss = domain_weight * nn.functional.cross_entropy(logits, domain)
        return {
            "loss": mse + self.dadsp.adversarial_weight * domain_loss,
            "mse": mse,
            "domain_loss": domain_loss,
            "domain_accuracy": domain_weight * (logits.argmax(dim=1) == domain).float().mean(),
            "lambda": torch.tensor(strength),
        }

    def judge(self) -> dict[str, float]:
        """RMSE in −log10 µM on the pairs that choose the epoch, each line and drug encoded once."""
        network: DadspNetwork = self.network  # type: ignore[assignment]
        pairs = self.judged
        predicted = predict_pairs(network, self.expression, self.drug_features, pairs.line, pairs.drug)
        self.collapsed = float(predicted.std()) < CONSTANT
        error = self.labels.inverse(predicted) - pairs.label
        return {self.metric: float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))}


class DadspA(Predictor):
    """DADSP-A, its ablations (no pre-training, no adversary) and the variants of the authors' code.

    Args:
        drug_features: Turns structures into features.
        training: Length and speed of the supervised stage.
        options: Fields of ``DadspAOptions``.

    Raises:
        ConfigError: An option is unknown or impossible.
    """

    def __init__(
        self,
        drug_features: Morgan | None = None,
        training: TrainingOptions | dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.options = validated(DadspAOptions, options, "model")
        self.training = validated(TrainingOptions, training or {}, "trainer")
        needs_whole_steps = self.options.target_sampling == "paired" or self.options.discriminator_batch_norm
        if self.training.devices > 1 and needs_whole_steps:
            raise ConfigError(
                f"trainer.devices={self.training.devices} shares the blocks of a step among processes. "
                "model.target_sampling=paired has no blocks, and model.discriminator_batch_norm=true needs the whole step. "
                "Use trainer.devices=1."
            )
        self.drug_features = drug_features or Morgan()
        oracle = " (oracle selection)" if self.options.selection == "target_oracle" else ""
        self.name = self.options.name + oracle
        self.space: RowSpace | None = None
        self.histories: dict[str, list[dict[str, float]]] = {}

    @property
    def sees_target_labels(self) -> bool:  # type: ignore[override]
        """Only under the oracle selection."""
        return self.options.selection == "target_oracle"

    def fit(self, study: Study, split: Split, context: FitContext | None = None) -> Self:
        """Pre-trains the encoder on source expression, then trains on source pairs against the domain adversary.

        Target labels are read only under ``selection="target_oracle"``.
        """
        context = context or FitContext()
        stage, batches = self.prepare_stage(study, split, context)
        run_stage(stage, batches, len(batches), context)
        self.network.cpu().eval()
        if self.space is not None:  # from here on the model knows genes only
            dense = cast(nn.Sequential, self.network.encoder[0])
            dense[0] = self.space.layer_over_genes(first_linear(dense))
            self.space = None
        self.histories[stage.name] = stage.epochs
        return self

    def prepare_stage(
        self, study: Study, split: Split, context: FitContext
    ) -> tuple["DadspStage", "PairBatches | BlockBatches"]:
        """Everything up to supervised training: scalers, features, the (pre-trained) network, its stage and batches."""
        claim_device(self.training)
        self._fit_scalers(study, split)
        inputs = torch.from_numpy(self._scaled_expression(study))
        self.space = self._row_space(inputs, study, split, context)
        if self.space is not None:
            inputs = self.space.coordinates(inputs)
        features = torch.from_numpy(self.drug_features(*_structures(study.source)))
        train = study.source.responses.take(split.train_idx)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(context.seed, "weights"))
            self.network = self._build(inputs.shape[1], features.shape[1])
            if self.space is not None:
                self.space.shrink(first_linear(self.network.encoder))
            if self.options.pretraining is not None:
                self._pretrain(inputs, np.unique(train.cell_idx), self.options.pretraining, context)
        judged, features = self._judged(study, split, features)
        stage = DadspStage(self.network, inputs, features, judged, self.labels, self.options, self.training, context)
        return stage, self._batches(study, split, train, stage)

    def _fit_scalers(self, study: Study, split: Split) -> None:
        train = study.source.responses.take(split.train_idx)
        self.genes = study.genes
        self.labels = LabelScaler.fit(train.potency)
        self.scaler = fit_scaler(
            self.options.expression_scaling, self.options.scaling_scope, study, train.cell_idx, split.adapt_cell_idx
        )

    def _row_space(self, expression: Tensor, study: Study, split: Split, context: FitContext) -> RowSpace | None:
        """Basis of the lines that train and adapt, where they are fewer than genes."""
        target = len(study.source.cells) + split.adapt_cell_idx
        lines = np.concatenate([np.unique(study.source.responses.cell_idx[split.train_idx]), target])
        if self.options.input_basis == "genes" or len(lines) >= expression.shape[1]:
            return None
        return RowSpace.of(expression[torch.from_numpy(lines)], context.seed)

    def _scaled_expression(self, study: Study) -> FloatArray:
        source = self.scaler.transform(study.source.cells.expression, "source")
        return np.concatenate([source, self.scaler.transform(study.target.cells.expression, "target")])

    def _build(self, n_genes: int, n_drug_features: int) -> DadspNetwork:
        options = self.options
        return DadspNetwork(
            n_genes,
            n_drug_features,
            encoder_widths=options.encoder_widths,
            drug_widths=options.drug_widths,
            regressor_widths=options.regressor_widths,
            discriminator_widths=options.discriminator_widths if options.adversarial_weight > 0 else None,
            activation=options.activation,
            encoder_activation=options.encoder_activation,
            dropout=options.dropout,
            discriminator_batch_norm=options.discriminator_batch_norm,
        )

    def _pretrain(self, expression: Tensor, rows: IntArray, options: PretrainingOptions, context: FitContext) -> None:
        widths, activation = self.options.encoder_widths, self.options.encoder_activation
        lines = expression[torch.from_numpy(rows)]
        sae, histories = pretrain_encoder(lines, self.space, widths, activation, options, self.training, context)
        dense = [layer for layer in self.network.encoder if isinstance(layer, nn.Sequential)]
        for layer, trained in zip(dense, sae.encoders, strict=True):
            layer.load_state_dict(trained.state_dict())
        self.histories |= histories

    def _judged(self, study: Study, split: Split, features: Tensor) -> tuple[tuple[str, LabelledPairs], Tensor]:
        """The pairs that choose the epoch, and drug features extended where these need more drugs."""
        if self.options.selection == "source_val":
            val = study.source.responses.take(split.val_idx)
            return ("val/source/rmse", LabelledPairs(val.cell_idx, val.drug_idx, val.potency)), features
        test = study.target.responses.take(split.test_idx)
        extended = torch.cat([features, torch.from_numpy(self.drug_features(*_structures(study.target)))])
        pairs = LabelledPairs(len(study.source.cells) + test.cell_idx, len(features) + test.drug_idx, test.potency)
        return ("val/target_oracle/rmse", pairs), extended

    def _batches(self, study: Study, split: Split, train: Responses, stage: DadspStage) -> PairBatches | BlockBatches:
        n_source = len(study.source.cells)
        partner = None
        if self.options.target_sampling == "paired":
            partner = np.full(n_source, -1)
            in_source = study.target_cell_in_source[split.adapt_cell_idx]
            both = in_source >= 0
            partner[in_source[both]] = n_source + split.adapt_cell_idx[both]
            train = train.take(partner[train.cell_idx] >= 0)
            if not len(train):
                raise ConfigError(
                    "model.target_sampling=paired needs lines measured in both screens, and no training line is. "
                    "Use model.target_sampling=independent."
                )
            log.info("Paired target sampling keeps %d training pairs of lines in both screens", len(train))
        pairs = LabelledPairs(train.cell_idx, train.drug_idx, self.labels.transform(train.potency))
        epoch = partial(getattr, stage, "current_epoch")
        target_lines = n_source + split.adapt_cell_idx if self.options.adversarial_weight > 0 else None
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
            pairs,
            size=self.training.batch_size,
            seed=stage.seed,
            epoch=epoch,
            target_lines=target_lines,
            partner=partner if self.options.adversarial_weight > 0 else None,
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
        features = self.drug_features(*_structures(screen, drugs))
        self.network.eval()
        with torch.no_grad():
            scaled = predict_pairs(
                self.network, torch.from_numpy(expression), torch.from_numpy(features), line_idx, drug_idx
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
            "drug_features": asdict(self.drug_features),
            "labels": {"unit": "-log10 IC50(uM)", "low": self.labels.low, "high": self.labels.high},
            "genes": list(self.genes),
        }
        weights = {f"network.{name}": value.numpy() for name, value in self.network.state_dict().items()}
        return facts, weights | {f"scaler.{name}": value for name, value in self.scaler.to_arrays().items()}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved predictor, ready to predict."""
        predictor = cls(Morgan(**facts["drug_features"]), facts["training"], **facts["options"])
        predictor.genes = tuple(facts["genes"])
        predictor.labels = LabelScaler(facts["labels"]["low"], facts["labels"]["high"])
        predictor.scaler = ExpressionScaler.from_arrays(_under("scaler.", arrays))
        predictor.network = predictor._build(len(predictor.genes), predictor.drug_features.width)
        weights = {name: torch.from_numpy(value) for name, value in _under("network.", arrays).items()}
        predictor.network.load_state_dict(weights)
        predictor.network.eval()
        return predictor


def predict_pairs(
    network: DadspNetwork, expression: Tensor, drug_features: Tensor, line: IntArray, drug: IntArray
) -> FloatArray:
    """Scaled potency of many pairs, float32, shape (n_pairs,); each distinct line and drug is encoded once.

    Args:
        network: In evaluation mode, gradients off.
        expression: Scaled, shape (n_lines, n_genes).
        drug_features: Shape (n_drugs, d).
        line: Rows of ``expression``, shape (n_pairs,).
        drug: Rows of ``drug_features``, shape (n_pairs,).
    """
    lines, line_of_pair = (torch.from_numpy(part).to(expression.device) for part in np.unique(line, return_inverse=True))
    drugs, drug_of_pair = (torch.from_numpy(part).to(expression.device) for part in np.unique(drug, return_inverse=True))
    cell_codes = torch.cat([network.encoder(expression.index_select(0, rows)) for rows in lines.split(1024)])
    drug_codes = network.drug_branch(drug_features.index_select(0, drugs))
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


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

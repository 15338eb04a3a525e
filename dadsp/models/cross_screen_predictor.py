"""What every system across two screens shares: scaled expression and labels, drug features, predicting by line and drug."""

import logging
from abc import abstractmethod
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from dadsp.data.alignment.base import Alignment
from dadsp.data.expression_input import ExpressionInput
from dadsp.data.new_platform.reference import Reference
from dadsp.data.scaling import LabelScaler, ScalerKind, ScalerScope
from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.representations import from_facts
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.models.idle_keys import Idle, idle_scope, told
from dadsp.models.networks.rowspace import InputBasis, RowSpace
from dadsp.models.structures import structures
from dadsp.models.training.options import PretrainingOptions, TrainingOptions, claim_device
from dadsp.nets.autoencoder import StackedAutoencoder
from dadsp.nets.feed_forward import Activation
from dadsp.options import STRICT, validated
from dadsp.schema import Domain, FloatArray, IntArray, Pairs, Responses, Screen, Split, Study

log = logging.getLogger(__name__)

Width = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class SystemOptions:
    """Choices of every system across screens.

    Attributes:
        name: How tables call the system.
        encoder_widths: Gene encoder, and the codes of its autoencoder.
        encoder_activation: ``"sigmoid"`` (code): bounded codes, without which the adversary saturates the regressor
            sooner or later; or ``"relu"`` (text).
        pretraining: Stacked autoencoder; None starts from random weights.
        input_basis: ``"rowspace"`` learns the first layer in coordinates of the training lines' span where lines are fewer
            than genes (see ``dadsp.models.networks.rowspace``); ``"genes"`` never does.
        expression_scaling: ``"zscore"`` or ``"minmax"`` (text and code).
        scaling_scope: Each screen by itself, or both together (code); an alignment puts both on one scale anyway.
    """

    name: str = ""
    encoder_widths: tuple[Width, ...] = Field(default=(2048, 1024, 512), min_length=1)
    encoder_activation: Activation = "sigmoid"
    pretraining: PretrainingOptions | None = Field(default_factory=lambda: PretrainingOptions())
    input_basis: InputBasis = "rowspace"
    expression_scaling: ScalerKind = "zscore"
    scaling_scope: ScalerScope = "per_domain"

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if not self.name.strip():
            raise ValueError("name is empty, and tables need one. Give one, or leave it out")
        return self

    @model_validator(mode="after")
    def _rebuilds_what_it_can(self) -> Self:
        nonlinear = self.pretraining is not None and self.pretraining.output_activation != "linear"
        if nonlinear and self.input_basis != "genes":
            raise ValueError(
                "pretraining.output_activation other than linear rebuilds genes, not coordinates. Set input_basis=genes."
            )
        return self


class CrossScreenPredictor(Predictor):
    """A system that learns scaled potency from scaled expression and drug features and predicts both screens.

    Args:
        drug_features: Turns structures into features; fitted on the training drugs by ``fit``.
        training: Length and speed of whatever is trained in epochs; device and threads.
        alignment: Brings the expression of both platforms onto one scale; None aligns nothing.
        options: Fields of the system's options.

    Raises:
        ConfigError: An option is unknown or impossible.
    """

    options_type: ClassVar[type[SystemOptions]]
    options: SystemOptions
    labels: LabelScaler
    expression_input: ExpressionInput
    fitted_features: DrugFeatures

    def __init__(
        self,
        drug_features: DrugFeatures | None = None,
        training: TrainingOptions | dict[str, Any] | None = None,
        alignment: Alignment | None = None,
        **options: Any,
    ) -> None:
        self.options = validated(self.options_type, options, "model")
        self.training = validated(TrainingOptions, training or {}, "trainer")
        self.drug_features = drug_features or Morgan()
        self.alignment = alignment
        self.name = self._display_name()
        self.histories: dict[str, list[dict[str, float]]] = {}
        self.drug_notes: list[dict[str, Any]] = []

    def _display_name(self) -> str:
        """How tables call the system, with what they must say about it."""
        return self.options.name

    def _idle(self) -> list[Idle]:
        """Keys of the model that others make idle."""
        return [idle_scope(self.alignment)]

    def _idle_in_trainer(self) -> list[Idle]:
        """Keys of the trainer that are idle here."""
        return []

    def without_effect(self) -> list[str]:
        """Keys of the model, the trainer and the drug features."""
        lines = told(self.options, "model", self._idle()) + told(self.training, "trainer", self._idle_in_trainer())
        return lines + self.drug_features.without_effect()

    def _start(self, study: Study, split: Split) -> Responses:
        """Claims device and threads, fits alignment, scaler and drug features on what trains; returns the training pairs."""
        claim_device(self.training)
        train = study.source.responses.take(split.train_idx)
        self.genes = study.genes
        self.labels = LabelScaler.fit(train.potency)
        kind, scope = self.options.expression_scaling, self.options.scaling_scope
        self.expression_input = ExpressionInput.fit(study, split, alignment=self.alignment, kind=kind, scope=scope)
        self.fitted_features = self.drug_features.fit(*structures(study.source, np.unique(train.drug_idx)))
        self.drug_notes = self._drug_notes(study)
        return train

    def _drug_rows(self, screen: Screen, rows: IntArray | None = None) -> FloatArray:
        """Features of the screen's drugs in ``rows`` (all by default), float32, shape (n_drugs, width)."""
        wanted = structures(screen, rows)
        for note in self.fitted_features.notes(*wanted):
            log.warning("%s: %s", screen.name, note)
        return self.fitted_features(*wanted)

    def _drug_notes(self, study: Study) -> list[dict[str, Any]]:
        """What the fitted features cannot express of the drugs of both screens."""
        notes: list[dict[str, Any]] = []
        for screen in (study.source, study.target):
            known = np.flatnonzero([text is not None for text in screen.drugs.smiles])
            found = self.fitted_features.notes(*structures(screen, known))
            notes += [{"screen": screen.name, **asdict(note)} for note in found]
        return notes

    def _lines(self, study: Study, split: Split) -> tuple[Tensor, IntArray, IntArray]:
        """Scaled expression of source lines, then target lines; rows that train, and rows that lend their expression."""
        source = self.scaled_expression(study.source, "source")
        target = self.scaled_expression(study.target, "target")
        source_lines = np.unique(study.source.responses.cell_idx[split.train_idx])
        return torch.from_numpy(np.concatenate([source, target])), source_lines, len(source) + split.adapt_cell_idx

    def _row_space(self, lines: Tensor, seed: int) -> RowSpace | None:
        """The span of the lines to learn from, where the options ask for it and it is smaller than gene space."""
        if self.options.input_basis == "genes" or len(lines) >= lines.shape[1]:
            return None
        return RowSpace.of(lines, seed)

    def _pretrained(
        self, lines: Tensor, space: RowSpace | None, options: PretrainingOptions, context: FitContext
    ) -> StackedAutoencoder:
        """An autoencoder of the options' widths trained on scaled lines (or their coordinates in ``space``)."""
        from dadsp.models.training.pretraining import pretrain_encoder  # Lightning: seconds, and only training needs it

        widths, activation = self.options.encoder_widths, self.options.encoder_activation
        sae, histories = pretrain_encoder(lines, space, widths, activation, options, self.training, context)
        self.histories |= histories
        return sae

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,).

        Raises:
            SchemaError: The screen lacks genes of the model.
            MissingIdsError: A drug to predict has no structure.
        """
        lines, line_idx = np.unique(pairs.cell_idx, return_inverse=True)
        drugs, drug_idx = np.unique(pairs.drug_idx, return_inverse=True)
        expression = self.scaled_expression(pairs.screen, pairs.domain, lines)
        features = self._drug_rows(pairs.screen, drugs)
        return self.labels.inverse(self._scaled_potency(expression, features, line_idx, drug_idx, pairs.domain))

    def scaled_expression(self, screen: Screen, domain: Domain, rows: IntArray | None = None) -> FloatArray:
        """Expression as the system takes it, float32, shape (n_lines, n_genes), of the lines in ``rows`` (all by default).

        Raises:
            SchemaError: The screen lacks genes of the model.
        """
        return self.expression_input.transform(screen, domain, rows)

    @abstractmethod
    def _scaled_potency(
        self, expression: FloatArray, features: FloatArray, line: IntArray, drug: IntArray, domain: Domain
    ) -> FloatArray:
        """Scaled potency of each pair, shape (n_pairs,).

        Args:
            expression: Scaled expression of distinct lines of one screen, shape (n_lines, n_genes).
            features: Of distinct drugs, shape (n_drugs, d).
            line: Rows of ``expression``, shape (n_pairs,).
            drug: Rows of ``features``, shape (n_pairs,).
            domain: Which screen measured the expression.
        """

    @abstractmethod
    def _learned(self) -> Arrays:
        """The arrays that training left behind."""

    def _take(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Takes back what a system added to ``state``, before ``_restore``."""

    @abstractmethod
    def _restore(self, learned: Arrays) -> None:
        """Takes back what ``_learned`` gave."""

    def seen_range(self, domain: Domain) -> tuple[float, float] | None:
        """Of the raw expression that alignment and scaler were fitted on."""
        return self.expression_input.seen_range(domain)

    def reference(self, domain: Domain) -> Reference | None:
        """Of the raw expression that alignment and scaler were fitted on."""
        return self.expression_input.reference(domain)

    def input_facts(self) -> dict[str, Any]:
        """How the platforms were aligned."""
        return {"alignment": self.expression_input.facts()}

    def history(self) -> pd.DataFrame:
        """One row per epoch of each stage, in the order trained."""
        return pd.DataFrame([{"stage": stage, **epoch} for stage, epochs in self.histories.items() for epoch in epochs])

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Options, genes, label range; what was learned, alignment and scaler."""
        facts = {
            "name": self.name,
            "options": asdict(self.options),
            "training": asdict(self.training),
            "drug_features": self.fitted_features.facts(),
            "drug_notes": self.drug_notes,
            "labels": {"unit": "-log10 IC50(uM)", "low": self.labels.low, "high": self.labels.high},
            "genes": list(self.genes),
            "alignment": self.expression_input.facts(),
        }
        return facts, self._learned() | self.expression_input.arrays()

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved predictor, ready to predict."""
        features = from_facts(facts["drug_features"])
        predictor = cls(features, facts["training"], **facts["options"])
        predictor.fitted_features, predictor.drug_notes = features, facts["drug_notes"]
        predictor.genes = tuple(facts["genes"])
        predictor.labels = LabelScaler(facts["labels"]["low"], facts["labels"]["high"])
        predictor.expression_input = ExpressionInput.from_state(predictor.genes, facts.get("alignment"), arrays)
        predictor._take(facts, arrays)
        predictor._restore(arrays)
        return predictor

"""What systems of kernels share.

Potency = level of the drug + Σ over training pairs of line similarity × weight × drug similarity. They learn in closed form
from labels that are clipped as the study gives them; epochs, widths and seeds have no meaning here. Such a system first
learns without the validation pairs, which choose what is to be chosen and calibrate intervals, and then once more with them.
"""

import copy
import logging
from abc import abstractmethod
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from threadpoolctl import threadpool_limits

from dadsp.data.alignment.base import Alignment
from dadsp.data.expression_input import ExpressionInput
from dadsp.data.new_platform.reference import Reference
from dadsp.data.scaling import ScalerKind, ScalerScope
from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.representations import from_facts
from dadsp.errors import ConfigError
from dadsp.models.base import Arrays, FitContext, Predictor, under
from dadsp.models.idle_keys import Idle, idle_scope, idle_trainer, told
from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.grid import Query, TrainingGrid
from dadsp.models.kernels.learned import Learned
from dadsp.models.kernels.similarity import LineKernel, Values, equal, line_similarity, tanimoto, target_names
from dadsp.models.structures import structures
from dadsp.models.training.options import TrainingOptions
from dadsp.options import STRICT, validated
from dadsp.schema import BoolArray, Domain, FloatArray, IntArray, Pairs, Screen, Split, Study
from dadsp.seeding import derive_seed

if TYPE_CHECKING:
    from dadsp.models.kernels.function import KernelFunction

log = logging.getLogger(__name__)

NEGLIGIBLE = 1e-6  # −log10 µM; what rounding leaves


@dataclass(frozen=True, config=STRICT)
class KernelOptions:
    """Choices of every system of kernels.

    Attributes:
        name: How tables call the system.
        level_power: e of the drug level (see ``DrugLevel``).
        level_penalty: λ of the drug level.
        refit: Whether the system learns from the validation pairs too, once they have chosen and calibrated.
        expression_scaling: ``"zscore"`` or ``"minmax"``.
        scaling_scope: Each screen by itself, or both together; an alignment puts both on one scale anyway.
    """

    name: str = ""
    level_power: float = Field(default=2.0, gt=0)
    level_penalty: float = Field(default=0.3, gt=0)
    refit: bool = True
    expression_scaling: ScalerKind = "zscore"
    scaling_scope: ScalerScope = "per_domain"

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if not self.name.strip():
            raise ValueError("name is empty, and tables need one. Give one, or leave it out")
        return self


class KernelSystem(Predictor):
    """A system whose prediction is the drug's level plus line similarities × weights × drug similarities.

    Args:
        drug_features: Turns structures into the rows that drugs are compared by; computed ones only.
        training: Its ``threads`` limit the linear algebra; the rest concerns networks.
        alignment: Brings the expression of both platforms onto one scale; None aligns nothing.
        options: Fields of the system's options.

    Raises:
        ConfigError: An option is unknown or impossible.
    """

    options_type: ClassVar[type[KernelOptions]]
    options: KernelOptions
    input: ExpressionInput
    grid: TrainingGrid
    cap: float | None
    learned: Learned
    before_validation: Learned

    def __init__(
        self,
        drug_features: DrugFeatures | None = None,
        training: TrainingOptions | dict[str, Any] | None = None,
        alignment: Alignment | None = None,
        **options: Any,
    ) -> None:
        self.options = validated(self.options_type, options, "model")
        self.training = validated(TrainingOptions, training or {}, "trainer")
        self.drug_features = drug_features or Morgan(bits=2048)
        self.alignment = alignment
        self.name = self.options.name
        self.learns_from_validation = self.options.refit
        if self.drug_features.learned:
            kind = self.drug_features.kind
            raise ConfigError(f"drug_features={kind} are codes that a network learns to read. Use morgan or ssp.")

    def _idle(self) -> list[Idle]:
        """Keys of the model that others make idle."""
        return [idle_scope(self.alignment)]

    def without_effect(self) -> list[str]:
        """Keys of the model, and all of the trainer but ``threads``."""
        return told(self.options, "model", self._idle()) + told(
            self.training, "trainer", [idle_trainer("the system is solved in closed form")]
        )

    @abstractmethod
    def _weights(self, residuals: Values, measured: BoolArray, start: Values | None) -> Values:
        """Weights of the pairs from their labels minus their drugs' levels, all of shape (n_lines, n_drugs).

        ``start`` are weights of fewer labels, which an iterative solver may begin from.
        """

    @abstractmethod
    def _similarities(self, query: Query) -> tuple[Values, Values]:
        """Of lines to the training lines, shape (n, n_lines), and of drugs to the training drugs, shape (n, n_drugs)."""

    def _choose(self, labels: Values, measured: BoolArray, validation: Pairs, truth: FloatArray) -> None:
        """Chooses what the options leave open; ``measured`` are the training pairs, ``validation`` the held-out ones."""

    def _calibrate(self, validation: Pairs, truth: FloatArray) -> None:
        """Learns from the held-out pairs how far predictions err, before the system learns from them."""

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Learns from the split's training pairs, then (``refit``) from training and validation pairs together."""
        with threadpool_limits(self.training.threads):
            self._learn_from(study, split)

    def _learn_from(self, study: Study, split: Split) -> None:
        options = self.options
        self.genes = study.genes
        self.cap = study.target.cap if study.label_cap == "target" else None
        kind, scope = options.expression_scaling, options.scaling_scope
        self.input = ExpressionInput.fit(study, split, alignment=self.alignment, kind=kind, scope=scope)
        rows = np.concatenate([split.train_idx, split.val_idx])
        used = study.source.responses.take(rows)
        lines, line = np.unique(used.cell_idx, return_inverse=True)
        drugs, drug = np.unique(used.drug_idx, return_inverse=True)
        fingerprints = self.drug_features.fit(*structures(study.source, np.unique(used.drug_idx[: len(split.train_idx)])))
        self.fitted_features = fingerprints
        keys, drug_keys = study.source.line_keys, study.source.drug_keys
        self.grid = TrainingGrid(
            expression=self.input.transform(study.source, "source", lines),
            features=fingerprints(*structures(study.source, drugs)),
            line_keys=tuple(keys[row] for row in lines),
            drug_keys=tuple(drug_keys[row] for row in drugs),
            targets=tuple(target_names(study.source.drugs.targets[row]) for row in drugs),
        )
        labels = np.zeros((len(lines), len(drugs)))
        labels[line, drug] = used.potency
        measured = np.zeros(labels.shape, dtype=bool)
        measured[line, drug] = True
        trains = np.zeros(labels.shape, dtype=bool)
        trains[line[: len(split.train_idx)], drug[: len(split.train_idx)]] = True
        held_out = study.source.responses.take(split.val_idx)
        validation = Pairs(study.source, "source", held_out.cell_idx, held_out.drug_idx)
        self._prepare(lines=np.any(trains, axis=1))
        if len(validation):
            self._choose(labels, trains, validation, held_out.potency)
        self.learned = self.before_validation = self._learn(labels, trains)
        if len(validation):
            self._calibrate(validation, held_out.potency)
        if options.refit:
            self.learned = self._learn(labels, measured, self.before_validation.weights)

    def _prepare(self, lines: BoolArray) -> None:
        """Computes what does not depend on labels; ``lines`` of the grid train."""

    def _learn(self, labels: Values, measured: BoolArray, start: Values | None = None) -> Learned:
        options, similarity = self.options, self._training_similarity
        level = DrugLevel.fit(labels, measured, similarity, options.level_power, options.level_penalty)
        residuals = np.where(measured, labels - np.nan_to_num(level.means), 0.0)
        spread = np.sqrt((residuals**2).sum(axis=0) / np.maximum(measured.sum(axis=0), 1))
        return Learned(level, self._weights(residuals, measured, start), spread, measured)

    def _rough_weights(self, residuals: Values, measured: BoolArray, drugs: BoolArray) -> Values:
        """The weights, of some drugs (shape (n_drugs,)) at least, as closely as a comparison of many needs them."""
        return self._weights(residuals, measured, None)

    @abstractmethod
    def _residuals(self) -> Values:
        """The labels minus their drugs' levels that gave the weights, shape (n_lines, n_drugs)."""

    def with_dealt_labels(self, pairs: Pairs, seed: int) -> Self:
        """The same system after it learned from labels that were dealt to other lines: expression says nothing of them.

        A line's labels, and its gaps, stay together. Nothing is chosen anew. Only for predictions of the drugs of ``pairs``.
        """
        drugs: BoolArray = np.asarray(self._similarities(self._query(pairs)[0])[1].any(axis=0))
        order = np.random.default_rng(derive_seed(seed, "dealt labels")).permutation(len(self.learned.measured))
        measured = self.learned.measured[order]
        with threadpool_limits(self.training.threads):
            weights = self._rough_weights(self._residuals()[order], measured, drugs)
        other = copy.copy(self)
        other.learned = replace(self.learned, weights=weights, measured=measured)
        return other

    @property
    def _training_similarity(self) -> Values:
        """Tanimoto similarity of the training drugs, shape (n_drugs, n_drugs)."""
        if not hasattr(self, "_similarity_of_drugs"):
            self._similarity_of_drugs = tanimoto(self.grid.features, self.grid.features)
        return self._similarity_of_drugs

    def _query(self, pairs: Pairs) -> tuple[Query, IntArray, IntArray]:
        """Distinct lines and drugs of the pairs, and the row of each pair in both."""
        lines, line = np.unique(pairs.cell_idx, return_inverse=True)
        drugs, drug = np.unique(pairs.drug_idx, return_inverse=True)
        screen, grid = pairs.screen, self.grid
        line_keys, drug_keys = screen.line_keys, screen.drug_keys
        features = self.fitted_features(*structures(screen, drugs))
        query = Query(
            expression=self.input.transform(screen, pairs.domain, lines),
            features=features,
            line_keys=tuple(line_keys[row] for row in lines),
            drug_keys=tuple(drug_keys[row] for row in drugs),
            targets=tuple(target_names(screen.drugs.targets[row]) for row in drugs),
            same_drug=equal([drug_keys[row] for row in drugs], grid.drug_keys),
            similarity=tanimoto(features, grid.features),
        )
        return query, line.astype(np.int64), drug.astype(np.int64)

    def latent(self, query: Query, similarities: tuple[Values, Values] | None = None) -> Values:
        """Level plus deviation, before any cap, for every query line and drug, shape (n_lines, n_drugs).

        Args:
            query: Lines and drugs.
            similarities: Theirs to what trained, where known already.
        """
        of_lines, of_drugs = similarities or self._similarities(query)
        level = self.learned.level(query.same_drug, query.similarity, self.options.level_power)
        return np.asarray(level + (of_lines @ self.learned.weights) @ of_drugs.T)

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,), no lower than the target's cap where labels were clipped at it.

        Raises:
            SchemaError: The screen lacks genes of the model.
            MissingIdsError: A drug to predict has no structure.
        """
        if not len(pairs):
            return np.zeros(0, dtype=np.float32)
        with threadpool_limits(self.training.threads):
            query, line, drug = self._query(pairs)
            potency = self.latent(query)[line, drug]
        return self._capped(potency).astype(np.float32)

    def _capped(self, potency: Values) -> Values:
        return potency if self.cap is None else np.maximum(potency, self.cap)

    @property
    def line_kernel(self) -> tuple[LineKernel, float] | None:
        """Kind and width of the similarity of expression; None: the system reads no expression."""
        return None

    def potency_functions(self, pairs: Pairs) -> "list[KernelFunction]":
        """The function of expression that predicts pairs of one drug, before any cap.

        Raises:
            ConfigError: The system reads no expression.
        """
        from dadsp.models.kernels.function import KernelFunction  # torch: seconds, and only explaining needs it

        if self.line_kernel is None:
            raise ConfigError(
                f"{self.name} reads no gene, so there is nothing to attribute. Explain a run of another system."
            )
        (kind, width), grid = self.line_kernel, self.grid
        query, line, _ = self._query(pairs)
        of_lines, of_drugs = self._similarities(query)
        level = self.learned.level(query.same_drug, query.similarity, self.options.level_power)
        # What tells lines apart beyond expression, such as being the same line, does not change along a path.
        others = of_lines - line_similarity(kind, query.expression, grid.expression, width)
        beside = (others @ (self.learned.weights @ of_drugs[0]))[line].astype(np.float32)
        notes = []
        if self.cap is not None:
            notes.append(f"potency before the cap of {self.cap:.3g}: wherever it lies lower, the run predicts the cap")
        if np.abs(beside).max() > NEGLIGIBLE:
            notes.append(
                "what a line's own labels in training add to its prediction is no gene's and stands at both ends of each "
                f"path: {beside.min():+.2f} to {beside.max():+.2f} in these lines"
            )
        return [
            KernelFunction(
                kind=kind,
                width=width,
                lines=grid.expression,
                weights=self.learned.weights,
                of_drug=of_drugs[0],
                level=float(level[0]),
                scale=lambda raw: self.input.scale(raw, pairs.domain),
                beside=beside,
                notes=tuple(notes),
            )
        ]

    def scaled_expression(self, screen: Screen, domain: Domain, rows: IntArray | None = None) -> FloatArray:
        """Expression as the system takes it, float32, shape (n_lines, n_genes)."""
        return self.input.transform(screen, domain, rows)

    def _chosen(self) -> dict[str, Any]:
        """Options that say what was chosen."""
        return {}

    def settled(self) -> Self:
        """The same system, not fitted, choosing nothing."""
        options = {**asdict(self.options), **self._chosen()}
        return type(self)(self.drug_features, asdict(self.training), self.alignment, **options)

    def without_validation_labels(self) -> Self:
        """The system as it was before it learned from validation pairs."""
        if not self.options.refit:
            return self
        earlier = copy.copy(self)
        earlier.learned, earlier.learns_from_validation = self.before_validation, False
        return earlier

    def seen_range(self, domain: Domain) -> tuple[float, float] | None:
        """Of the raw expression that alignment and scaler were fitted on."""
        return self.input.seen_range(domain)

    def reference(self, domain: Domain) -> Reference | None:
        """Of the raw expression that alignment and scaler were fitted on."""
        return self.input.reference(domain)

    def input_facts(self) -> dict[str, Any]:
        """What the alignment states of itself."""
        return {"alignment": self.input.facts()}

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Options, identities and the two fits."""
        grid = self.grid
        facts = {
            "name": self.name,
            "options": asdict(self.options),
            "training": asdict(self.training),
            "drug_features": self.fitted_features.facts(),
            "alignment": self.input.facts(),
            "genes": list(self.genes),
            "cap": self.cap,
            "line_keys": list(grid.line_keys),
            "drug_keys": list(grid.drug_keys),
            "targets": [sorted(names) for names in grid.targets],
        }
        arrays: Arrays = {"expression": grid.expression, "features": grid.features, **self.input.arrays()}
        for part, fit in (("learned", self.learned), ("before_validation", self.before_validation)):
            arrays |= {f"{part}.{name}": value for name, value in fit.arrays().items()}
        return facts, arrays

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved system, ready to predict."""
        features = from_facts(facts["drug_features"])
        system = cls(features, facts["training"], **facts["options"])
        system.fitted_features, system.genes, system.cap = features, tuple(facts["genes"]), facts["cap"]
        system.input = ExpressionInput.from_state(system.genes, facts["alignment"], arrays)
        system.grid = TrainingGrid(
            expression=arrays["expression"],
            features=arrays["features"],
            line_keys=tuple(facts["line_keys"]),
            drug_keys=tuple(facts["drug_keys"]),
            targets=tuple(frozenset(names) for names in facts["targets"]),
        )
        system.learned = Learned.from_arrays(under("learned.", arrays))
        system.before_validation = Learned.from_arrays(under("before_validation.", arrays))
        return system

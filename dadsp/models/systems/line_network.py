"""Networks that learn which line: a drug's level in closed form, and a network for what is left, adapted or not."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from dadsp.drugs.morgan import Morgan
from dadsp.models.base import Arrays, FitContext, under
from dadsp.models.cross_screen_predictor import Width
from dadsp.models.idle_keys import Idle
from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.similarity import Values, equal, tanimoto
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork, NetworkOptions
from dadsp.models.networks.inputs import Inputs
from dadsp.models.structures import structures
from dadsp.models.training.batches import LabelledPairs
from dadsp.models.training.options import PretrainingOptions
from dadsp.nets.coral import coral
from dadsp.nets.dadsp_network import DadspNetwork
from dadsp.nets.feed_forward import Activation
from dadsp.nets.line_network import DrugCode, Head, LineNetwork
from dadsp.nets.mmd import Estimator, mmd2
from dadsp.nets.pair_network import PairNetwork
from dadsp.options import STRICT
from dadsp.schema import FloatArray, IntArray, Responses, Screen, Split, Study

if TYPE_CHECKING:
    from dadsp.models.stages.adapted import AdaptedStage, DomainLoss

LEVEL_FEATURES = Morgan(bits=2048)  # by these a drug that never trained gets its level, whatever the network reads


@dataclass(frozen=True, config=STRICT)
class LineNetworkOptions(NetworkOptions):
    """Choices of a network that learns which line, beside those of every network.

    Attributes:
        head: How codes of line and drug are joined (``LineNetwork``); ``"published"`` is the network of the paper, whole.
        code_width: Of the drug's code. Not of the published network.
        centred: Whether the drug's level is given (``DrugLevel``) and the network learns what is left; else it learns all.
        free_codes: Whether each training drug has a code of its own beside that of its structure.
        free_code_dropout: Probability that a drug of a batch goes without its free code.
        drug_weighting: ``"pairs"``: each pair counts alike; ``"drugs"``: each drug does; ``"spread"``: a drug's errors count
            in units of its labels' standard deviation.
        level_power: e of ``DrugLevel``.
        level_penalty: λ of ``DrugLevel``.
        adaptation: What draws the codes of both screens together: nothing, the adversary of DADSP-A, MMD or deep CORAL.
        adaptation_weight: Factor of that loss.
        mmd_estimator: Of ``mmd2``. Unbiased, it is 0 on average where both screens are alike; biased, it never is, and with
            the few lines of a batch the cheapest way to less of it is that all lines become alike.
        gamma: Steepness of the adversary's λ ramp.
        discriminator_widths: Of the adversary.
    """

    name: str = "line network"
    encoder_widths: tuple[Width, ...] = Field(default=(512, 256), min_length=1)
    encoder_activation: Activation = "relu"
    drug_widths: tuple[Width, ...] = (256,)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    pretraining: PretrainingOptions | None = None
    selection: Literal["source_val", "which_line", "target_oracle"] = "which_line"
    head: Head | Literal["published"] = "bilinear"
    code_width: int = Field(default=128, ge=1)
    centred: bool = True
    free_codes: bool = True
    free_code_dropout: float = Field(default=0.25, ge=0, lt=1)
    drug_weighting: Literal["pairs", "drugs", "spread"] = "pairs"
    level_power: float = Field(default=2.0, gt=0)
    level_penalty: float = Field(default=0.3, gt=0)
    adaptation: Literal["none", "adversary", "mmd", "coral"] = "none"
    adaptation_weight: float = Field(default=1.0, ge=0)
    mmd_estimator: Estimator = "unbiased"
    gamma: float = Field(default=10.0, gt=0)
    discriminator_widths: tuple[Width, ...] = (256, 128)

    @model_validator(mode="after")
    def _published_as_it_is(self) -> Self:
        if self.head == "published" and (self.centred or self.free_codes):
            raise ValueError(
                "head=published is the paper's network, to which nothing is given. Set centred and free_codes false."
            )
        return self

    @property
    def weight(self) -> float:
        """Factor of the adaptation's loss; 0 without one."""
        return 0.0 if self.adaptation == "none" else self.adaptation_weight


class Levels(NamedTuple):
    """How potent each training drug is over all lines, and by what others get theirs.

    Attributes:
        level: Of the drugs, −log10 IC50(µM).
        keys: Identity of each drug across screens.
        features: Its fingerprint, shape (n_drugs, bits).
        spread: Standard deviation of labels about their drugs' levels, −log10 IC50(µM).
    """

    level: DrugLevel
    keys: tuple[str, ...]
    features: FloatArray
    spread: float


class LineNetworkSystem(CrossScreenNetwork):
    """Potency = level of the drug + what the network says of this line rather than another.

    The level is the mean of a drug's training labels, or that of similar structures (``DrugLevel``), in closed form: what
    the published networks spend themselves on is given, and the squared error that is left concerns lines. ``adaptation``
    draws the codes of source and target lines together while the network learns. Every choice has a switch;
    ``head="published"`` is the paper's network.
    """

    options_type = LineNetworkOptions
    options: LineNetworkOptions
    main_stage = "line_network"
    levels: Levels

    def _idle(self) -> list[Idle]:
        options, head, adaptation = self.options, self.options.head, self.options.adaptation
        published, level, adversary = (
            head == "published",
            ("level_power", "level_penalty"),
            ("gamma", "discriminator_widths"),
        )
        given, flat = not published, head in ("bilinear", "film")
        unheard = adaptation != "none" and options.adaptation_weight == 0
        no_codes, no_level = not (options.free_codes or published), not (options.centred or published)
        return [
            *super()._idle(),
            Idle(published, ("code_width", "free_code_dropout", *level), "model.head=published has none"),
            Idle(flat, ("regressor_widths",), f"model.head={head} has no hidden layers"),
            Idle(
                flat and not options.drug_widths and self._discriminator() is None,
                ("activation",),
                f"model.head={head} and model.drug_widths=[] have no hidden layers",
            ),
            Idle(given, ("output_start",), f"model.head={head} is given levels to start from"),
            Idle(no_codes, ("free_code_dropout",), "model.free_codes=false has no codes to leave out"),
            Idle(no_level, level, "model.centred=false gives no level"),
            Idle(adaptation == "none", ("adaptation_weight", *adversary), "model.adaptation=none adapts nothing"),
            Idle(adaptation != "mmd", ("mmd_estimator",), f"model.adaptation={adaptation} has no MMD"),
            Idle(adaptation in ("mmd", "coral"), adversary, f"model.adaptation={adaptation} has no adversary"),
            Idle(unheard, ("adaptation",), "model.adaptation_weight=0 adapts nothing"),
            Idle(unheard and adaptation == "adversary", adversary, "model.adaptation_weight=0 trains no adversary"),
        ]

    def _start(self, study: Study, split: Split) -> Responses:
        train = super()._start(study, split)
        rows = np.unique(train.drug_idx)
        column = np.searchsorted(rows, train.drug_idx)
        labels, measured = np.zeros((2, len(study.source.cells), len(rows)))
        np.add.at(labels, (train.cell_idx, column), train.potency)
        np.add.at(measured, (train.cell_idx, column), 1)
        labels, known = labels / np.maximum(measured, 1), measured > 0
        features = LEVEL_FEATURES(*structures(study.source, rows))
        options = self.options
        level = DrugLevel.fit(labels, known, tanimoto(features, features), options.level_power, options.level_penalty)
        left = train.potency - (level.means[column] if options.centred else train.potency.mean())
        self.levels = Levels(level, tuple(study.source.drug_keys[row] for row in rows), features, float(np.std(left)))
        return train

    def _labelled(self, train: Responses) -> LabelledPairs:
        pairs = super()._labelled(train)
        if self.options.drug_weighting == "pairs":
            return pairs
        _, drug, count = np.unique(pairs.drug, return_inverse=True, return_counts=True)
        weight = 1 / count[drug]
        if self.options.drug_weighting == "spread":
            mean = np.bincount(drug, pairs.label) / count
            variance = np.bincount(drug, (pairs.label - mean[drug]) ** 2) / count
            weight = 1 / np.maximum(variance, 0.1 * np.median(variance))[drug]  # a drug at its cap must not count for all
        return LabelledPairs(pairs.line, pairs.drug, pairs.label, (weight / weight.mean()).astype(np.float32))

    def _drug_rows(self, screen: Screen, rows: IntArray | None = None) -> FloatArray:
        """Features ⊕ scaled level ⊕ number of the free code, as ``DrugCode`` reads them."""
        features = super()._drug_rows(screen, rows)
        if self.options.head == "published":
            return features
        wanted = np.arange(len(screen.drugs)) if rows is None else rows
        known = self.levels
        same = equal([screen.drug_keys[row] for row in wanted], known.keys)
        beside = np.stack([self._scaled_levels(screen, wanted, same), (same.argmax(1) + 1) * same.any(1)], axis=1)
        return np.concatenate([features, beside.astype(np.float32)], axis=1)

    def _scaled_levels(self, screen: Screen, rows: IntArray, same: Values) -> Values:
        level, _, features, _ = self.levels
        if not self.options.centred:
            potency = np.full(len(rows), level.centre)
        else:
            similarity = tanimoto(LEVEL_FEATURES(*structures(screen, rows)), features)
            potency = level(same, similarity, self.options.level_power)
        return np.asarray((potency - self.labels.low) / (self.labels.high - self.labels.low), dtype=np.float64)

    def _network(self, n_inputs: int) -> PairNetwork:
        options, reads = self.options, self.fitted_features.encoder()
        if options.head == "published":
            return super()._network(n_inputs)
        code = DrugCode(
            self.fitted_features.width if reads is None else reads[1],
            options.drug_widths,
            options.code_width,
            len(self.levels.keys) if options.free_codes else 0,
            options.activation,
            options.free_code_dropout,
            None if reads is None else reads[0],
        )
        return LineNetwork(
            n_inputs,
            code,
            options.code_width,
            encoder_widths=options.encoder_widths,
            activation=options.activation,
            encoder_activation=options.encoder_activation,
            dropout=options.dropout,
            head=options.head,
            head_widths=options.regressor_widths,
            spread=self.levels.spread / (self.labels.high - self.labels.low),
            discriminator_widths=self._discriminator(),
        )

    def _build(self, n_inputs: int, n_drug_features: int) -> DadspNetwork:
        return DadspNetwork(n_inputs, n_drug_features, **self._sizes(), discriminator_widths=self._discriminator())

    def _discriminator(self) -> tuple[int, ...] | None:
        return self.options.discriminator_widths if self.options.adaptation == "adversary" and self.options.weight else None

    def _train(self, inputs: Inputs, study: Study, context: FitContext) -> None:
        stage = self._stage(inputs, context)
        self._run(stage, self._batches(inputs.train, stage, inputs.target_lines if self.options.weight else None), context)

    def _stage(self, inputs: Inputs, context: FitContext) -> "AdaptedStage":
        from dadsp.models.stages.adapted import AdaptedStage  # Lightning
        from dadsp.models.stages.dadsp_a import DadspStage

        options = self.options
        arguments = (self.network, inputs, self.labels, self.training, context)
        if options.adaptation == "adversary":
            return DadspStage(
                *arguments,
                name=self.main_stage,
                weight=options.weight,
                weight_key="model.adaptation_weight",
                gamma=options.gamma,
            )
        losses: dict[str, DomainLoss] = {"mmd": self._mmd2, "coral": coral}
        loss = losses.get(options.adaptation)
        return AdaptedStage(self.main_stage, *arguments, weight=options.weight, domain_loss=loss)

    def _mmd2(self, source: Tensor, target: Tensor) -> Tensor:
        """As ``mmd2``; 0 in a batch where a screen has one line, which the unbiased estimate cannot compare with another."""
        if self.options.mmd_estimator == "unbiased" and min(len(source), len(target)) < 2:
            return source.new_zeros(())
        return mmd2(source, target, self.options.mmd_estimator)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """As every network's, with the levels."""
        facts, arrays = super().state()
        known = self.levels
        facts["levels"] = {"keys": list(known.keys), "spread": known.spread}
        return facts, arrays | {f"level.{name}": value for name, value in known.level.arrays().items()} | {
            "level_features": np.packbits(known.features > 0, axis=1)
        }

    def _take(self, facts: dict[str, Any], arrays: Arrays) -> None:
        features = np.unpackbits(arrays["level_features"], axis=1)[:, : LEVEL_FEATURES.width].astype(np.float32)
        level = DrugLevel.from_arrays(under("level.", arrays))
        self.levels = Levels(level, tuple(facts["levels"]["keys"]), features, float(facts["levels"]["spread"]))

"""The paper's classical systems on [line ⊕ drug]: random forest, SVR, linear and logistic regression.

Scalers, label cap, label scaling and gene encoder are those of the networks. A line enters as codes of the encoder that a
stacked autoencoder pre-trained, as principal components, or as scaled expression; a drug by its features. Each of the two
blocks is centred and divided by one number, so that its mean variance over the training lines or drugs is 1 (feature by
feature, a fingerprint's rarest bits would weigh most). Predictions keep to the range of the training labels, as those of a
network's sigmoid do. Where a system has candidates to choose from, the held-out source lines choose.

A pair only repeats its line's row and its drug's row, so sums over pairs are taken over distinct lines and drugs wherever
that is exact (``PairDesign``).
"""

import logging
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from dadsp.errors import ConfigError
from dadsp.models.base import Arrays, FitContext, under
from dadsp.models.cross_screen_predictor import CrossScreenPredictor, SystemOptions
from dadsp.models.idle_keys import Idle, idle_trainer
from dadsp.models.systems.logistic import logistic_weights
from dadsp.models.systems.pair_design import Labelled, PairDesign, check_size, features_of, scale_of
from dadsp.models.systems.trees import forest_arrays, mean_of_trees
from dadsp.models.training.options import PretrainingOptions
from dadsp.nets.feed_forward import feed_forward
from dadsp.options import STRICT
from dadsp.schema import Domain, FloatArray, IntArray, Split, Study
from dadsp.seeding import derive_seed

log = logging.getLogger(__name__)

LineFeatures = Literal["encoder", "pca", "raw"]
Positive = Annotated[float, Field(gt=0)]
NAME_OF_FEATURES = {"encoder": "", "pca": " on PCA", "raw": " on raw expression"}


@dataclass(frozen=True, config=STRICT)
class ClassicalOptions(SystemOptions):
    """What a classical system learns from.

    Attributes:
        features: How a line enters: ``"encoder"`` (codes of the pre-trained gene encoder), ``"pca"`` or ``"raw"``.
        pca_components: Under ``"pca"``; at most as many as there are training lines or genes.
        pretraining: Of the encoder, under ``"encoder"``.
    """

    features: LineFeatures = "encoder"
    pca_components: int = Field(default=256, ge=1)
    pretraining: PretrainingOptions = Field(default_factory=lambda: PretrainingOptions())


class Classical(CrossScreenPredictor):
    """A regressor on [line ⊕ drug]; what it learned is a set of arrays."""

    options_type: ClassVar[type[ClassicalOptions]]
    options: ClassicalOptions
    line_features: nn.Sequential  # of scaled expression; empty for raw expression
    blocks: Arrays  # centre and scale of the two blocks
    regressor: Arrays

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.search: list[dict[str, float]] = []

    def _display_name(self) -> str:
        return self.options.name + NAME_OF_FEATURES[self.options.features]

    def _idle(self) -> list[Idle]:
        features = self.options.features
        of_encoder = ("encoder_widths", "encoder_activation", "pretraining", "input_basis")
        without = Idle(features != "encoder", of_encoder, f"model.features={features} learns no encoder")
        plain = Idle(features != "pca", ("pca_components",), f"model.features={features} takes no principal components")
        return [*super()._idle(), without, plain]

    def _idle_in_trainer(self) -> list[Idle]:
        if self.options.features != "encoder":
            return [idle_trainer("the system trains no network")]
        but = ("perturbation", "gradient_clip", "precision")
        return [idle_trainer("the system's encoder trains by model.pretraining alone", but=but)]

    @abstractmethod
    def _candidates(self, train: Labelled, val: Labelled, seed: int) -> Iterator[tuple[dict[str, float], Arrays]]:
        """What was chosen and what was then learned, for each choice the options offer.

        Args:
            train: Pairs to learn from.
            val: Pairs of the held-out source lines, for a system that has to choose while it learns.
            seed: Root of every random draw.
        """

    @abstractmethod
    def _regress(self, regressor: Arrays, design: PairDesign) -> NDArray[Any]:
        """Scaled potency of each pair before it is clipped, shape (n_pairs,)."""

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Learns from the split's training pairs; validation pairs choose between candidates."""
        if self.drug_features.learned:
            kind = self.drug_features.kind
            raise ConfigError(f"drug_features={kind} are codes that a network learns to read. Use morgan or ssp.")
        train, val = self._start(study, split), study.source.responses.take(split.val_idx)
        expression, source_lines, target_lines = self._lines(study, split)
        self.line_features = self._fit_line_features(expression, source_lines, target_lines, context)
        lines = features_of(self.line_features, expression[: len(study.source.cells)])
        drugs = self._drug_rows(study.source)
        self.blocks = scale_of("line", lines[source_lines]) | scale_of("drug", drugs[np.unique(train.drug_idx)])
        train_pairs, val_pairs = (
            Labelled(
                self._design(lines, drugs, part.cell_idx, part.drug_idx),
                self.labels.transform(part.potency).astype(np.float64),
            )
            for part in (train, val)
        )
        best = math.inf
        for choice, regressor in self._candidates(train_pairs, val_pairs, context.seed):
            error = self.labels.inverse(np.clip(self._regress(regressor, val_pairs.pairs), 0, 1)) - val.potency
            rmse = float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))
            self.search.append({**choice, "val/source/rmse": rmse})
            log.info("%s: %s", self.name, self.search[-1])
            if rmse < best:
                best, self.regressor = rmse, regressor

    def _fit_line_features(
        self, expression: Tensor, source_lines: IntArray, target_lines: IntArray, context: FitContext
    ) -> nn.Sequential:
        """The map from scaled expression to a line's features, learned from training lines without labels."""
        options, lines = self.options, expression[source_lines]
        if options.features == "raw":
            return nn.Sequential()
        if options.features == "pca":
            from sklearn.decomposition import PCA  # scikit-learn: seconds that predicting does without

            pca = PCA(min(options.pca_components, *lines.shape), svd_solver="full").fit(lines.numpy())
            layer = nn.Linear(lines.shape[1], pca.n_components_)
            weight = torch.from_numpy(pca.components_)
            layer.load_state_dict({"weight": weight, "bias": -weight @ torch.from_numpy(pca.mean_)})
            return nn.Sequential(layer)
        # As in the networks, the target's lines take part in the row space and in nothing else.
        space = self._row_space(expression[np.concatenate([source_lines, target_lines])], context.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(context.seed, "weights"))
            inputs = lines if space is None else space.coordinates(lines)
            encoder = nn.Sequential(*self._pretrained(inputs, space, options.pretraining, context).cpu().encoders)
        if space is not None:
            space.lift(encoder)
        return encoder

    def _design(self, lines: FloatArray, drugs: FloatArray, line: IntArray, drug: IntArray) -> PairDesign:
        blocks = self.blocks
        return PairDesign(
            (lines - blocks["line_shift"]) / blocks["line_scale"],
            (drugs - blocks["drug_shift"]) / blocks["drug_scale"],
            line,
            drug,
        )

    def _scaled_potency(
        self, expression: FloatArray, features: FloatArray, line: IntArray, drug: IntArray, domain: Domain
    ) -> FloatArray:
        lines = features_of(self.line_features, torch.from_numpy(expression))
        scaled = self._regress(self.regressor, self._design(lines, features, line, drug))
        clipped: FloatArray = np.clip(scaled, 0, 1).astype(np.float32)
        return clipped

    def _again(self, **options: Any) -> Self:
        """The same system, not fitted, with these options changed."""
        given = {**asdict(self.options), **options}
        return type(self)(self.drug_features, asdict(self.training), self.alignment, **given)

    def _learned(self) -> Arrays:
        weights = {name: value.numpy() for name, value in self.line_features.state_dict().items()}
        parts = {"features": weights, "blocks": self.blocks, "regressor": self.regressor}
        return {f"{part}.{name}": value for part, arrays in parts.items() for name, value in arrays.items()}

    def _restore(self, learned: Arrays) -> None:
        self.blocks, self.regressor = under("blocks.", learned), under("regressor.", learned)
        options, n_genes = self.options, len(self.genes)
        self.line_features = nn.Sequential()
        if options.features == "encoder":
            self.line_features = feed_forward(n_genes, options.encoder_widths, options.encoder_activation)
        elif options.features == "pca":
            self.line_features = nn.Sequential(nn.Linear(n_genes, len(self.blocks["line_shift"])))
        weights = {name: torch.from_numpy(value) for name, value in under("features.", learned).items()}
        self.line_features.load_state_dict(weights)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """As every system's, with what each candidate scored on the held-out source lines."""
        facts, arrays = super().state()
        return {**facts, "search": self.search}, arrays


@dataclass(frozen=True, config=STRICT)
class LinearOptions(ClassicalOptions):
    """Linear and logistic regression.

    Attributes:
        link: ``"identity"`` minimises squared error (ridge); ``"logistic"`` the cross-entropy of a sigmoid with the scaled
            label, which is the weighted logistic regression with each pair as a 1 of weight y and a 0 of weight 1 − y.
        penalties: Candidates for λ: the loss, summed over pairs, has λ‖w‖² (ridge) or λ‖w‖²/2 (logistic) added, as
            scikit-learn's ``alpha`` and ``1/C``. The intercept is free.
    """

    name: str = "ridge"
    link: Literal["identity", "logistic"] = "identity"
    penalties: tuple[Positive, ...] = Field(default=(1.0, 10.0, 100.0, 1000.0, 10000.0), min_length=1)


class Linear(Classical):
    """z = w·[line ⊕ drug] + c, as it is or through a sigmoid.

    z is an effect of the line plus an effect of the drug: such a system ranks all lines alike for every drug.
    """

    options_type = LinearOptions
    options: LinearOptions

    def _candidates(self, train: Labelled, val: Labelled, seed: int) -> Iterator[tuple[dict[str, float], Arrays]]:
        from scipy.linalg import solve  # as above

        pairs, label = train
        lines, basis = pairs.lines.astype(np.float64), None
        if lines.shape[1] > len(lines):  # the best weights lie in the span of the lines
            basis, _ = np.linalg.qr(lines.T)
            lines = lines @ basis
        constant = np.ones((len(pairs.drugs), 1))  # the intercept is one more feature of every drug
        design = replace(pairs, lines=lines, drugs=np.hstack([pairs.drugs, constant], dtype=np.float64))
        penalised = np.append(np.ones(lines.shape[1] + pairs.drugs.shape[1]), 0.0)
        k, weights = lines.shape[1], np.zeros(len(penalised))
        for penalty in sorted(self.options.penalties, reverse=True):  # the strongest is the easiest to start from
            if self.options.link == "identity":
                gram = design.gram(np.ones(len(label))) + np.diag(penalty * penalised)
                weights = solve(gram, design.transposed_times(label), assume_a="pos")
            else:
                weights = logistic_weights(design, label, penalty * penalised, weights)
            of_lines = weights[:k] if basis is None else basis @ weights[:k]
            yield {"penalty": penalty}, {"line_weights": of_lines, "drug_weights": weights[k:-1], "intercept": weights[-1:]}

    def settled(self) -> "Linear | None":
        """The same with the penalty that was chosen; None with an encoder, which trains for minutes."""
        if self.options.features == "encoder":
            return None
        best = min(self.search, key=lambda tried: tried["val/source/rmse"])["penalty"]
        return self._again(penalties=(best,))

    def _regress(self, regressor: Arrays, design: PairDesign) -> NDArray[Any]:
        z = design.times(np.concatenate([regressor["line_weights"], regressor["drug_weights"]])) + regressor["intercept"]
        if self.options.link == "logistic":
            from scipy.special import expit  # as above

            z = expit(z)
        return z


@dataclass(frozen=True, config=STRICT)
class SvrOptions(ClassicalOptions):
    """Support vector regression.

    Attributes:
        components: Training pairs that span the Nyström approximation of the kernel; where there are fewer, all of them.
        gammas: Candidates for the kernel's width exp(−γ‖x − x'‖²), as multiples of 1/(number of features), which is
            scikit-learn's ``"scale"`` for blocks of unit variance.
        epsilon: Half the width of the tube without loss, in scaled labels.
        penalty: Of the squared weights per pair, scikit-learn's ``alpha``; 1/(C·n).
        max_epochs: Of stochastic gradient descent.
    """

    name: str = "SVR"
    components: int = Field(default=500, ge=1)
    gammas: tuple[Positive, ...] = Field(default=(1.0, 0.1, 0.01), min_length=1)
    epsilon: float = Field(default=0.01, ge=0)
    penalty: float = Field(default=1e-6, gt=0)
    max_epochs: int = Field(default=100, ge=1)


class Svr(Classical):
    """Support vector regression with a radial kernel, approximated: exact SVR is out of reach for 100,000 pairs.

    Nyström features of the kernel, then the linear ε-insensitive regression by scikit-learn's SGD. The kernel of
    [line ⊕ drug] is the product of one of lines and one of drugs, so it is computed per distinct line and drug.
    """

    options_type = SvrOptions
    options: SvrOptions

    def _display_name(self) -> str:
        return f"{super()._display_name()} (Nyström, {self.options.components} components)"

    def _candidates(self, train: Labelled, val: Labelled, seed: int) -> Iterator[tuple[dict[str, float], Arrays]]:
        from sklearn.exceptions import ConvergenceWarning  # as above
        from sklearn.linear_model import SGDRegressor

        pairs, label = train
        n_components = min(self.options.components, len(pairs))
        check_size(len(pairs), n_components, "Lower model.components.")
        random = np.random.default_rng(derive_seed(seed, "nystroem"))
        chosen = np.sort(random.choice(len(pairs), n_components, replace=False))
        line, drug = pairs.line[chosen], pairs.drug[chosen]
        n_features = pairs.lines.shape[1] + pairs.drugs.shape[1]
        for gamma in self.options.gammas:
            regressor: Arrays = {
                "lines": pairs.lines[line],
                "drugs": pairs.drugs[drug],
                "gamma": np.array([gamma / n_features]),
            }
            of_lines, of_drugs = _kernels(regressor, pairs)
            values, vectors = np.linalg.eigh((of_lines[line] * of_drugs[drug]).astype(np.float64))
            sound = values > 1e-6 * values[-1]  # what lies below is rounding of a float32 kernel
            to_features = (vectors[:, sound] / np.sqrt(values[sound])).astype(np.float32)
            features = (of_lines[pairs.line] * of_drugs[pairs.drug]) @ to_features
            sgd = SGDRegressor(
                loss="epsilon_insensitive",
                epsilon=self.options.epsilon,
                alpha=self.options.penalty,
                learning_rate="adaptive",
                eta0=1.0,
                tol=1e-5,
                n_iter_no_change=2,
                max_iter=self.options.max_epochs,
                random_state=derive_seed(seed, "sgd") % 2**32,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are noted with the score
                sgd.fit(features, label)
            yield (
                {"gamma": gamma, "epochs": sgd.n_iter_},
                regressor | {"weights": to_features @ sgd.coef_, "intercept": sgd.intercept_},
            )

    def _regress(self, regressor: Arrays, design: PairDesign) -> NDArray[Any]:
        of_lines, of_drugs = _kernels(regressor, design)
        grid = (of_lines * regressor["weights"]) @ of_drugs.T
        return grid[design.line, design.drug] + regressor["intercept"]


def _kernels(regressor: Arrays, design: PairDesign) -> tuple[FloatArray, FloatArray]:
    """Kernels of lines and of drugs with the chosen pairs, shapes (n_lines, components) and (n_drugs, components)."""
    gamma = float(regressor["gamma"][0])
    from sklearn.metrics.pairwise import rbf_kernel  # as above

    of_lines = rbf_kernel(design.lines, regressor["lines"], gamma).astype(np.float32)
    return of_lines, rbf_kernel(design.drugs, regressor["drugs"], gamma).astype(np.float32)


@dataclass(frozen=True, config=STRICT)
class RandomForestOptions(ClassicalOptions):
    """Random forest; the names are scikit-learn's. The defaults keep some 150,000 pairs at about two minutes of two cores.

    Attributes:
        n_estimators: Trees.
        max_samples: Share of the pairs drawn, with replacement, for each tree.
        max_features: Share of the features tried at each node.
        min_samples_leaf: Fewest pairs in a leaf.
    """

    name: str = "random forest"
    n_estimators: int = Field(default=100, ge=1)
    max_samples: float = Field(default=0.3, gt=0, le=1)
    max_features: float = Field(default=0.05, gt=0, le=1)
    min_samples_leaf: int = Field(default=3, ge=1)


class RandomForest(Classical):
    """scikit-learn's random forest, kept and evaluated as arrays."""

    options_type = RandomForestOptions
    options: RandomForestOptions

    def _candidates(self, train: Labelled, val: Labelled, seed: int) -> Iterator[tuple[dict[str, float], Arrays]]:
        pairs, label = train
        n_features = pairs.lines.shape[1] + pairs.drugs.shape[1]
        check_size(len(pairs), n_features, "Use model.features=encoder or pca.")
        from sklearn.ensemble import RandomForestRegressor  # as above

        forest = RandomForestRegressor(
            n_estimators=self.options.n_estimators,
            max_samples=self.options.max_samples,
            max_features=self.options.max_features,
            min_samples_leaf=self.options.min_samples_leaf,
            n_jobs=torch.get_num_threads(),
            random_state=derive_seed(seed, "forest") % 2**32,
        )
        yield {}, forest_arrays(forest.fit(pairs.rows(), label))

    def settled(self) -> "RandomForest | None":
        """The same; None with an encoder, which trains for minutes."""
        return None if self.options.features == "encoder" else self._again()

    def _regress(self, regressor: Arrays, design: PairDesign) -> NDArray[Any]:
        return mean_of_trees(regressor, design)

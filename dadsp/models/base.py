"""What every predictor offers, how its predictions become a table, and how it is saved."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, cast, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dadsp import plugins
from dadsp.building import registered
from dadsp.data.new_platform.reference import Reference
from dadsp.errors import ConfigError, LoadError, examples
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.source_labels import Codes, profiled_in_source, source_labels
from dadsp.schema import BoolArray, Domain, FloatArray, Identity, IntArray, Pairs, PredictionTable, Screen, Split, Study

Arrays = dict[str, NDArray[Any]]
Part = Literal["val", "test"]
MAY_LACK_VALUES = ("level.means",)  # endings of arrays in which NaN stands for no value (models.kernels.drug_level)
FORMAT = {"format": "dadsp-model", "version": 1}


@dataclass(frozen=True)
class StageLength:
    """For how long a stage trains, and once it has ended, for how long it did.

    Attributes:
        planned: Most epochs.
        trained: Epochs that it took; None while it trains.
        kept: The epoch, from 1, whose weights are kept; None while it trains, and where nothing chooses: then the last.
    """

    planned: int
    trained: int | None = None
    kept: int | None = None


@dataclass(frozen=True)
class FitContext:
    """Where and how a predictor is trained.

    Attributes:
        seed: Root of every random draw.
        checkpoints: Folder for training states, so that a killed run can go on; None keeps none.
        on_epoch: Receives (stage, epoch, metrics) after each epoch; epochs count from 0, as in all that is written.
        on_stage: Receives (stage, its length) before a stage trains and when it has ended; nothing of stages read back.
        progress: Whether to draw a progress bar.
    """

    seed: int = 0
    checkpoints: Path | None = None
    on_epoch: Callable[[str, int, dict[str, float]], None] = field(default=lambda stage, epoch, metrics: None)
    on_stage: Callable[[str, StageLength], None] = field(default=lambda stage, length: None)
    progress: bool = False


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What a system does not know of pairs, in squares of −log10 IC50(µM).

    Attributes:
        covariance: Of the potency of each pair with that of each given pair, shape (n_pairs, n_given).
        variance: Of each pair's potency, without noise, shape (n_pairs,).
    """

    covariance: NDArray[np.float64]
    variance: NDArray[np.float64]


class GridUncertainty(ABC):
    """What a system does not know of all pairs of some lines and drugs, in squares of −log10 IC50(µM)."""

    noise: float  # variance of a label about a pair's potency, on average

    @abstractmethod
    def with_pair(self, line: int, drug: int) -> NDArray[np.float64]:
        """Covariance of every pair with one of them, shape (n_lines, n_drugs)."""

    @abstractmethod
    def times(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The covariance matrix times a vector over pairs; both as grids of shape (n_lines, n_drugs)."""

    @abstractmethod
    def variance(self) -> NDArray[np.float64]:
        """Variance of every pair's potency, without noise, shape (n_lines, n_drugs)."""


class Predictor(ABC):
    """One system: learns from a study's split, predicts potency for pairs.

    A subclass says in ``_fit`` how it learns. What reaches ``_fit`` holds no label but those of training and validation
    pairs: no system can learn from, select by or scale with the labels it will be tested on, unless it declares so.

    Attributes:
        name: How tables call it.
        genes: Genes it needs, in its order; empty where it needs none.
        sees_target_labels: True when labels of test pairs reach it: ``_fit`` is then given the whole study. Its name must
            carry the word ``oracle``.
        learns_from_validation: True when validation labels reach the fitted parameters; lines and drugs of validation pairs
            then count as seen.
        drug_identity: By what the drugs of the study that it was fitted on are told; a user's drugs are told by it too.
        main_stage: The stage of training whose metrics stand for the system; tracking prefixes those of the others.
    """

    name: str
    genes: tuple[str, ...] = ()
    sees_target_labels: bool = False
    learns_from_validation: bool = False
    drug_identity: Identity = "exact"
    main_stage: str = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "fit" in vars(cls):
            raise TypeError(f"{cls.__name__} overrides fit, which withholds the labels of test pairs. Override _fit.")

    def __repr__(self) -> str:
        return f"<{self.name}{f', {len(self.genes):,} genes' if self.genes else ''}>"

    @final
    def fit(self, study: Study, split: Split, context: FitContext | None = None) -> Self:
        """Learns from the split's training pairs and returns itself.

        Raises:
            LeakageError: The system reads labels that it may not see.
            ConfigError: It declares that it sees them, and its name does not say so.
        """
        if not self.sees_target_labels:
            study, split = study.for_fitting(split)
        elif "oracle" not in self.name.casefold():
            raise ConfigError(f"{self.name} sees target labels, so tables must tell. Put 'oracle' into its name.")
        self.drug_identity = study.source.drugs.identity
        self._fit(study, split, context or FitContext())
        return self

    @abstractmethod
    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Learns from the split's training pairs; validation pairs may choose among what was learned.

        Args:
            study: Without the target's responses (``Study.without_target_labels``), and in the source those of training and
                validation pairs alone; the whole study where the system declares ``sees_target_labels``.
            split: Rows of these; ``test_idx`` is empty.
            context: Seed, folders, callback.
        """

    @abstractmethod
    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency −log10 IC50(µM) of each pair, float32, shape (n_pairs,)."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], Arrays]:
        """What must be saved to predict again: JSON-able facts and arrays."""

    @classmethod
    @abstractmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The fitted predictor that ``state`` described."""

    def input_facts(self) -> dict[str, Any]:
        """What the fitted system did to the expression of the study before it learned, for the facts of a run; JSON-able."""
        return {}

    def history(self) -> pd.DataFrame:
        """Per-epoch metrics of training, column ``epoch`` first; empty for systems without epochs."""
        return pd.DataFrame()

    def interval(self, pairs: Pairs, level: float = 0.9) -> tuple[FloatArray, FloatArray] | None:
        """Lower and upper end of the system's own interval for each pair's label, shape (n_pairs,) each; None: it has none.

        Args:
            pairs: To predict.
            level: Share of labels that the intervals should hold.
        """
        return None

    def grid_uncertainty(self, screen: Screen, domain: Domain) -> GridUncertainty | None:
        """Covariances of the errors of all lines × drugs of a screen; None: the system cannot tell."""
        return None

    def uncertainty(self, pairs: Pairs, given: Pairs) -> Uncertainty | None:
        """How the errors of pairs vary with those of given pairs; None: the system cannot tell."""
        return None

    def predict_with_sd(self, pairs: Pairs) -> tuple[FloatArray, FloatArray | None]:
        """Potency of each pair, exactly as ``predict`` gives it, and how unsure the system is of it.

        Returns:
            −log10 IC50(µM), float32, shape (n_pairs,); and a standard deviation > 0 of the same unit and shape, None where
            the system has none. ``dadsp.models.trust`` sets its scale on held-out pairs, so that only ratios matter.
        """
        return self.predict(pairs), None

    def settled(self) -> "Predictor | None":
        """The same system, not fitted, with all that it chose on validation pairs as given; for fitting it again on folds.

        None: fitting takes more than seconds, so that it is done only where a user asks for it.
        """
        return None

    def seen_range(self, domain: Domain) -> tuple[float, float] | None:
        """Least and largest raw expression among the lines of that screen that it was fitted on; None where not known."""
        return None

    def reference(self, domain: Domain) -> Reference | None:
        """Raw expression, gene by gene, of the lines of that screen that it was fitted on; None where not known."""
        return None

    def without_effect(self) -> list[str]:
        """A line for each reason that keys which were set cannot act in this system (``dadsp.models.idle_keys``)."""
        return []

    def without_validation_labels(self) -> "Predictor":
        """The same system as it was before it learned from validation pairs: itself, unless it did so.

        Predictions of validation pairs, and all that is calibrated on them, are made with this one.
        """
        return self


def save_model(predictor: Predictor, folder: Path) -> None:
    """Writes ``model.json`` and ``weights.safetensors``; both files are complete or absent."""
    facts, arrays = predictor.state()
    system = f"{type(predictor).__module__}.{type(predictor).__qualname__}"
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(folder / "weights.safetensors", lambda path: save_file(contiguous, path))
    made_with: dict[str, Any] = {"plugins": list(plugins.used())} if plugins.used() else {}
    if predictor.drug_identity != "exact":  # what every version did
        made_with["drug_identity"] = predictor.drug_identity
    write_json(folder / "model.json", {**FORMAT, "system": system, **made_with, **facts})


def load_model(folder: Path) -> Predictor:
    """The predictor saved in ``folder``; runs no code from the files.

    Raises:
        LoadError: The folder holds no model, a damaged one, one of another version, or one of a plug-in not in use.
    """
    facts = read_json(folder / "model.json")
    if not isinstance(facts, dict) or {key: facts.get(key) for key in FORMAT} != FORMAT:
        raise LoadError(f"{folder / 'model.json'} is not a dadsp model of version {FORMAT['version']}. Train it again.")
    plugins.require(facts.get("plugins"), folder / "model.json")
    try:
        arrays = load_file(folder / "weights.safetensors")
        refuse_not_finite(arrays, folder / "weights.safetensors")
        predictor = registered_system(str(facts.get("system"))).from_state(facts, arrays)
        predictor.name = facts.get("name", predictor.name)  # says where target labels trained it
        predictor.drug_identity = facts.get("drug_identity", "exact")
        return predictor
    except (OSError, SafetensorError) as error:
        raise LoadError(f"{folder / 'weights.safetensors'} is absent or damaged ({error}). Train again.") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise LoadError(f"{folder} does not hold a complete model ({error}). Train again.") from error


def refuse_not_finite(arrays: Arrays, path: Path) -> None:
    """Passes if all numbers that were learned are numbers.

    Raises:
        LoadError: Some are NaN or infinite.
    """
    bad = {
        name: int((np.isinf if name.endswith(MAY_LACK_VALUES) else lambda values: ~np.isfinite(values))(array).sum())
        for name, array in arrays.items()
        if array.dtype.kind == "f"
    }
    bad = {name: count for name, count in bad.items() if count}
    if bad:
        total = sum(array.size for array in arrays.values())
        raise LoadError(
            f"{path}: {sum(bad.values())} of {total} numbers of the model are NaN or infinite "
            f"(e.g. {examples(f'{count} in {name}' for name, count in bad.items())}), so its predictions would be too. "
            "Restore the file from a copy, or train again."
        )


def registered_system(path: str) -> type[Predictor]:
    """The system that a saved model names.

    Raises:
        LoadError: There is none of that name.
    """
    found = registered("model", path)  # by name, from a table: the file may have come from elsewhere
    if found is None:
        raise LoadError(f"The saved model names '{path}', which is no dadsp system. Install the version that saved it.")
    return cast(type[Predictor], found)


def predict_split(
    predictor: Predictor, study: Study, split: Split, parts: tuple[Part, ...] = ("val", "test")
) -> PredictionTable:
    """Predictions for the validation pairs and the test pairs of a split."""
    return PredictionTable(pd.concat([_table(predictor, study, split, part) for part in parts], ignore_index=True))


def learned_split(predictor: Predictor, split: Split) -> Split:
    """The split with all rows that the predictor's parameters were learned from as training rows."""
    if not predictor.learns_from_validation:
        return split
    return replace(split, train_idx=np.sort(np.concatenate([split.train_idx, split.val_idx])))


def _table(predictor: Predictor, study: Study, split: Split, part: Part) -> pd.DataFrame:
    domain: Domain = "source" if part == "val" else "target"
    screen, rows = (study.source, split.val_idx) if part == "val" else (study.target, split.test_idx)
    responses = screen.responses.take(rows)
    cell_idx, drug_idx = responses.cell_idx, responses.drug_idx
    learned = learned_split(predictor, split)
    if part == "val" and (earlier := predictor.without_validation_labels()) is not predictor:
        predictor, learned = earlier, split
    seen = seen_in_training(study, learned, screen, cell_idx, drug_idx)
    pairs = Pairs(screen, domain, cell_idx, drug_idx)
    unknown = np.full(len(pairs), np.nan)
    low, high = predictor.interval(pairs) or (unknown, unknown)
    return pd.DataFrame(
        {
            "cell_id": np.array(screen.cells.ids, dtype=object)[cell_idx],
            "drug_id": np.array(screen.drugs.ids, dtype=object)[drug_idx],
            "domain": study.trained_on if part == "val" else study.tested_on,
            "split": part,
            "y_true": responses.potency.astype(np.float64),
            "y_pred": predictor.predict(pairs),
            "censored": responses.censored,
            **dict(zip(("cell_seen", "drug_seen", "pair_seen"), seen, strict=True)),
            "cell_profiled": profiled_in_source(study, screen)[cell_idx],
            "y_source": unknown if part == "val" else source_labels(study, cell_idx, drug_idx),
            "y_low": low,
            "y_high": high,
        }
    )


def seen_in_training(
    study: Study, split: Split, screen: Screen, cell_idx: IntArray, drug_idx: IntArray
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Whether each pair's line, structure, and (line, structure) have a training label.

    Identity is that of ``Screen.line_keys`` and ``Screen.drug_keys``.

    Returns:
        Three boolean arrays of shape (n_pairs,).
    """
    train = study.source.responses.take(split.train_idx)
    lines, structures = Codes(), Codes()
    train_lines = lines(study.source.line_keys)[train.cell_idx]
    train_structures = structures(study.source.drug_keys)[train.drug_idx]
    these_lines = lines(screen.line_keys)[cell_idx]
    these_structures = structures(screen.drug_keys)[drug_idx]
    width = len(structures.known) + 1
    return (
        np.isin(these_lines, train_lines),
        np.isin(these_structures, train_structures),
        np.isin(these_lines * width + these_structures, train_lines * width + train_structures),
    )


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}

"""Naive predictors: means of labels. A system that does not beat them has learned nothing about cell lines."""

from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import ConfigError, nearest
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.schema import FloatArray, IntArray, Pairs, Responses, Screen, Split, Study

Effects = Literal["mean", "drug_mean", "cell_mean", "drug_cell"]
EFFECT_NAMES: dict[Effects, str] = {
    "mean": "mean",
    "drug_mean": "drug mean",
    "cell_mean": "cell mean",
    "drug_cell": "drug + cell",
}


class Naive(Predictor):
    """Means of source labels, carried over to whatever screen is predicted.

    A drug's mean pools every source pair of its structure; a line's mean every source pair of the line, found by its link
    id. ``drug_cell`` adds both deviations from the global mean. What the source never measured gets no deviation. There is
    nothing to tune, so validation pairs count as training pairs.

    Args:
        effects: Which means are used.
        labels: ``"study"`` uses labels as the study gives them (clipped at the target cap or not), ``"raw"`` as measured.
    """

    def __init__(self, effects: Effects = "drug_mean", labels: Literal["study", "raw"] = "study") -> None:
        for key, value, valid in (("effects", effects, get_args(Effects)), ("labels", labels, ("study", "raw"))):
            if value not in valid:
                raise ConfigError(f"model.{key} cannot be {value!r}. {nearest(str(value), valid)}")
        self.effects = effects
        self.labels = labels
        self.name = f"source {EFFECT_NAMES[effects]}"
        self._means: _Means | None = None

    def fit(self, study: Study, split: Split, context: FitContext | None = None) -> Self:
        """Learns from all source pairs of the split."""
        rows = np.sort(np.concatenate([split.train_idx, split.val_idx]))
        raw = study.raw_source_potency[rows] if self.labels == "raw" else None
        if study.label_cap == "target":
            self.name = f"source {EFFECT_NAMES[self.effects]} ({'raw' if raw is not None else 'capped'} labels)"
        self._means = _Means.of(study.source, study.source.responses.take(rows), raw)
        return self

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,)."""
        if self._means is None:
            raise ValueError("Fit the predictor before it predicts.")
        return self._means.predict(pairs, self.effects)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The means, by structure key and link id."""
        if self._means is None:
            raise ValueError("Fit the predictor before it is saved.")
        return {
            "name": self.name,
            "options": {"effects": self.effects, "labels": self.labels},
            "means": {"overall": self._means.overall, "drugs": self._means.drugs, "lines": self._means.lines},
        }, {}

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved predictor."""
        predictor = cls(**facts["options"])
        predictor.name = facts["name"]
        predictor._means = _Means(**facts["means"])
        return predictor


class OracleNaive(Naive):
    """Means of the target's own test labels, in-sample: what no honest unsupervised system may see."""

    sees_target_labels = True

    def __init__(self, effects: Effects = "drug_mean") -> None:
        super().__init__(effects)
        self.name = f"oracle target {EFFECT_NAMES[effects]}"

    def fit(self, study: Study, split: Split, context: FitContext | None = None) -> Self:
        """Learns from the labels it will be scored on."""
        self._means = _Means.of(study.target, study.target.responses.take(split.test_idx), None)
        return self

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The means, by structure key and link id."""
        facts, arrays = super().state()
        return {**facts, "options": {"effects": self.effects}}, arrays


def naive_rows(study: Study) -> list[Naive]:
    """The naive predictors that stand in every table: source-only ones first, then those that saw target labels."""
    effects = get_args(Effects)
    # Raw labels make a row of their own only where the study clipped them.
    treatments: list[Literal["study", "raw"]] = ["study", "raw"] if study.label_cap == "target" else ["study"]
    source = [Naive(cast(Effects, effect), labels) for labels in treatments for effect in effects]
    return [*source, *(OracleNaive(cast(Effects, effect)) for effect in effects)]


@dataclass
class _Means:
    overall: float
    drugs: dict[str, float] = field(default_factory=dict)
    lines: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, screen: Screen, responses: Responses, potency: FloatArray | None) -> "_Means":
        labels = (responses.potency if potency is None else potency).astype(np.float64)
        return cls(
            overall=float(labels.mean()),
            drugs=_group_means(screen.drug_keys, responses.drug_idx, labels),
            lines=_group_means(screen.line_keys, responses.cell_idx, labels),
        )

    def predict(self, pairs: Pairs, effects: Effects) -> FloatArray:
        def deviation(keys: tuple[str, ...], means: dict[str, float]) -> NDArray[np.float64]:
            return np.array([means.get(key, self.overall) - self.overall for key in keys])

        predicted = np.full(len(pairs), self.overall)
        if effects in ("drug_mean", "drug_cell"):
            predicted += deviation(pairs.screen.drug_keys, self.drugs)[pairs.drug_idx]
        if effects in ("cell_mean", "drug_cell"):
            predicted += deviation(pairs.screen.line_keys, self.lines)[pairs.cell_idx]
        return predicted.astype(np.float32)


def _group_means(keys: tuple[str, ...], rows: IntArray, labels: NDArray[np.float64]) -> dict[str, float]:
    means = pd.Series(labels).groupby(np.array(keys, dtype=object)[rows]).mean()
    return {str(key): float(mean) for key, mean in means.items()}

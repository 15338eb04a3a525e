"""Naive predictors: means and copies of labels. A system that does not beat them has learned nothing about cell lines."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import ConfigError, nearest
from dadsp.models.base import Arrays, FitContext, Predictor
from dadsp.models.calibrated import given_pairs, label_words
from dadsp.schema import FloatArray, IntArray, Pairs, Responses, Screen, Split, Study

Names = NDArray[Any]
Effects = Literal["mean", "drug_mean", "cell_mean", "drug_cell"]
EFFECT_NAMES: dict[Effects, str] = {
    "mean": "mean",
    "drug_mean": "drug mean",
    "cell_mean": "cell mean",
    "drug_cell": "drug + cell",
}
Lookup = Literal["tissue_drug", "copied_label", "copied_label_shrunken"]
LOOKUP_NAMES: dict[Lookup, str] = {
    "tissue_drug": "tissue × drug mean",
    "copied_label": "copied label",
    "copied_label_shrunken": "copied label, shrunken",
}
SHRINKAGE = 0.5  # from a copied label towards drug + cell; stated beforehand, tuned on nothing


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
        self.words = EFFECT_NAMES[effects]
        self.name = f"source {self.words}"
        self._means: _Means | None = None

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Learns from all source pairs of the split."""
        rows = np.sort(np.concatenate([split.train_idx, split.val_idx]))
        raw = study.raw_source_potency[rows] if self.labels == "raw" else None
        if study.label_cap == "target":
            self.name = f"source {self.words} ({'raw' if raw is not None else 'capped'} labels)"
        self._means = _Means.of(study.source, study.source.responses.take(rows), raw)

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,)."""
        if self._means is None:
            raise ValueError("Fit the predictor before it predicts.")
        return self._means.predict(pairs, self.effects).astype(np.float32)

    def note(self, pairs: Pairs) -> str:
        """What a reader should know of its predictions of these pairs; empty where nothing."""
        return ""

    def settled(self) -> Predictor | None:
        """The same, not fitted."""
        return Naive(self.effects, self.labels)

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


class LabelLookup(Naive):
    """Source labels looked up for each pair, and means of source labels where there is none to find.

    ``tissue_drug`` is the mean label of the line's tissue for the structure, else the drug's mean. ``copied_label`` is the
    label of the same line for the same structure, else drug + cell. ``copied_label_shrunken`` lies halfway between such a
    label and drug + cell, since one measurement is noisy. Only rows of the split are looked up: labels that the split keeps
    from training are not copied. Tissues are matched by name, whatever its case and punctuation. Validation pairs count as
    training pairs, except where validation pairs are predicted.

    Args:
        lookup: What is looked up.
        labels: As in ``Naive``.
    """

    def __init__(self, lookup: Lookup = "copied_label", labels: Literal["study", "raw"] = "study") -> None:
        if lookup not in get_args(Lookup):
            raise ConfigError(f"model.lookup cannot be {lookup!r}. {nearest(str(lookup), get_args(Lookup))}")
        super().__init__("drug_mean" if lookup == "tissue_drug" else "drug_cell", labels)
        self.lookup = lookup
        self.words = LOOKUP_NAMES[lookup]
        self.name = f"source {self.words}"
        self._labels: _PairMeans | None = None
        self._earlier: LabelLookup | None = None

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Learns from all source pairs of the split."""
        super()._fit(study, split, context)
        rows = np.sort(np.concatenate([split.train_idx, split.val_idx]))
        responses = study.source.responses.take(rows)
        potency = study.raw_source_potency[rows] if self.labels == "raw" else responses.potency
        pairs = Pairs(study.source, "source", responses.cell_idx, responses.drug_idx)
        self._labels = _PairMeans.of(*self._keys(pairs), potency.astype(np.float64))
        if len(split.val_idx):
            untaught = replace(split, val_idx=split.val_idx[:0])
            self._earlier = LabelLookup(self.lookup, self.labels).fit(study, untaught)

    def settled(self) -> Predictor | None:
        """The same, not fitted."""
        return LabelLookup(self.lookup, self.labels)

    def without_validation_labels(self) -> Predictor:
        """The same, fitted on training pairs alone: a validation pair would find its own label otherwise."""
        return self._earlier or self

    def predict(self, pairs: Pairs) -> FloatArray:
        """Potency of each pair, float32, shape (n_pairs,)."""
        found = self._find(pairs)
        otherwise = super().predict(pairs).astype(np.float64)
        kept = 1 - SHRINKAGE if self.lookup == "copied_label_shrunken" else 1.0
        return np.where(np.isnan(found), otherwise, kept * found + (1 - kept) * otherwise).astype(np.float32)

    def note(self, pairs: Pairs) -> str:
        """How many of the pairs found no label."""
        absent = int(np.isnan(self._find(pairs)).sum())
        if not absent:
            return ""
        reason = "no label of their tissue and drug" if self.lookup == "tissue_drug" else "no label of their line and drug"
        return f"{absent:,} of {len(pairs):,} pairs have {reason} in training and take the {EFFECT_NAMES[self.effects]}"

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The means, and the labels by tissue or line and structure."""
        facts, _ = super().state()
        labels = self._labels
        if labels is None:
            raise ValueError("Fit the predictor before it is saved.")
        names = {"groups": labels.groups, "structures": labels.structures}
        arrays = {"group": labels.group, "structure": labels.structure, "label": labels.label}
        facts |= {"options": {"lookup": self.lookup, "labels": self.labels}, "looked_up": names}
        if self._earlier is not None:
            facts["earlier"], earlier = self._earlier.state()
            arrays |= {f"earlier.{name}": array for name, array in earlier.items()}
        return facts, arrays

    @classmethod
    def from_state(cls, facts: dict[str, Any], arrays: Arrays) -> Self:
        """The saved predictor."""
        predictor = super().from_state(facts, arrays)
        own = {name: array for name, array in arrays.items() if not name.startswith("earlier.")}
        names = facts["looked_up"]
        predictor._labels = _PairMeans(names["groups"], names["structures"], own["group"], own["structure"], own["label"])
        if "earlier" in facts:
            earlier = {name.removeprefix("earlier."): array for name, array in arrays.items() if name not in own}
            predictor._earlier = cls.from_state(facts["earlier"], earlier)
        return predictor

    def _find(self, pairs: Pairs) -> NDArray[np.float64]:
        if self._labels is None:
            raise ValueError("Fit the predictor before it predicts.")
        return self._labels.find(*self._keys(pairs))

    def _keys(self, pairs: Pairs) -> tuple[Names, Names]:
        """Tissue or line, and structure, of each pair."""
        screen = pairs.screen
        groups = _plain(screen.cells.tissues) if self.lookup == "tissue_drug" else screen.line_keys
        return np.array(groups, dtype=object)[pairs.cell_idx], np.array(screen.drug_keys, dtype=object)[pairs.drug_idx]


class OracleNaive(Naive):
    """Means of the target's own test labels, in-sample: what no honest unsupervised system may see."""

    sees_target_labels = True

    def __init__(self, effects: Effects = "drug_mean") -> None:
        super().__init__(effects)
        self.name = f"oracle target {EFFECT_NAMES[effects]}"

    def settled(self) -> Predictor | None:
        """None: errors on labels that it saw say nothing."""
        return None

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        """Learns from the labels it will be scored on."""
        self._means = _Means.of(study.target, study.target.responses.take(split.test_idx), None)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The means, by structure key and link id."""
        facts, arrays = super().state()
        return {**facts, "options": {"effects": self.effects}}, arrays


class GivenLabels(Naive):
    """Means of the few target labels that calibrate a system: what these say without any system.

    A structure that was given none takes the mean of all. It is made of the labels, not fitted.
    """

    @classmethod
    def of(cls, study: Study, split: Split) -> Self:
        """From those target labels that the split gives."""
        self = cls("drug_mean")
        given = study.target.responses.take(split.calibrate_idx)
        self._means = _Means.of(study.target, given, None)
        self.name = f"mean of {label_words(given_pairs(study, split))}"
        return self

    def _fit(self, study: Study, split: Split, context: FitContext) -> None:
        raise ConfigError("Means of given labels are made of them (GivenLabels.of).")


def naive_rows(study: Study) -> list[Naive]:
    """The naive predictors that stand in every table: source-only ones first, then those that saw target labels."""
    effects = get_args(Effects)
    # Raw labels make a row of their own only where the study clipped them.
    treatments: list[Literal["study", "raw"]] = ["study", "raw"] if study.label_cap == "target" else ["study"]
    source = [Naive(cast(Effects, effect), labels) for labels in treatments for effect in effects]
    source += [LabelLookup(lookup) for lookup in get_args(Lookup)]
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

    def predict(self, pairs: Pairs, effects: Effects) -> NDArray[np.float64]:
        def deviation(keys: tuple[str, ...], means: dict[str, float]) -> NDArray[np.float64]:
            return np.array([means.get(key, self.overall) - self.overall for key in keys])

        predicted = np.full(len(pairs), self.overall)
        if effects in ("drug_mean", "drug_cell"):
            predicted += deviation(pairs.screen.drug_keys, self.drugs)[pairs.drug_idx]
        if effects in ("cell_mean", "drug_cell"):
            predicted += deviation(pairs.screen.line_keys, self.lines)[pairs.cell_idx]
        return predicted


@dataclass
class _PairMeans:
    """Mean label of each (group, structure): a group is a tissue or a line.

    Attributes:
        groups: Their names.
        structures: Keys.
        group: Rows of ``groups``, int64, shape (n,).
        structure: Rows of ``structures``, the same shape.
        label: float64, the same shape.
    """

    groups: list[str]
    structures: list[str]
    group: IntArray
    structure: IntArray
    label: NDArray[np.float64]

    @classmethod
    def of(cls, groups: Names, structures: Names, labels: NDArray[np.float64]) -> "_PairMeans":
        """From one group (None where unknown), structure and label per measured pair."""
        frame = pd.DataFrame({"group": groups, "structure": structures, "label": labels}).dropna()
        means = frame.groupby(["group", "structure"], sort=True)["label"].mean()
        group, structure = (means.index.get_level_values(level) for level in (0, 1))
        (group_code, known), (structure_code, keys) = pd.factorize(group), pd.factorize(structure)
        label = means.to_numpy(dtype=np.float64)
        return cls(known.tolist(), keys.tolist(), group_code.astype(np.int64), structure_code.astype(np.int64), label)

    def find(self, groups: Names, structures: Names) -> NDArray[np.float64]:
        """The mean of each pair's group and structure, NaN where there is none."""
        width = len(self.structures)
        group = pd.Index(self.groups).get_indexer(pd.Index(groups))
        structure = pd.Index(self.structures).get_indexer(pd.Index(structures))
        wanted = np.where((group < 0) | (structure < 0), -1, group * width + structure)
        known = pd.Series(self.label, self.group * width + self.structure)
        return np.asarray(known.reindex(wanted), dtype=np.float64)


def _plain(names: tuple[str | None, ...]) -> list[str | None]:
    """Names without case and punctuation; None where nothing is left."""
    return [None if name is None else re.sub(r"[\W_]+", " ", name.casefold()).strip() or None for name in names]


def _group_means(keys: tuple[str, ...], rows: IntArray, labels: NDArray[np.float64]) -> dict[str, float]:
    means = pd.Series(labels).groupby(np.array(keys, dtype=object)[rows]).mean()
    return {str(key): float(mean) for key, mean in means.items()}

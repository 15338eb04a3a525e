"""Errors on source pairs that were held out, by what training had seen of each: the line, the drug, both, or neither.

``cross_fit`` fits the system again on folds. Each fold holds out a fifth of the lines, a fifth of the drugs, and a few of
the remaining pairs, all at once, so that one fit shows all four cases; every line and every drug is held out once. No target
label is read: what is fitted sees its training and validation pairs alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dadsp.models.base import FitContext, Predictor, learned_split, seen_in_training
from dadsp.models.trust.nearness import Nearness
from dadsp.schema import BoolArray, FloatArray, IntArray, Pairs, Screen, Split, Study
from dadsp.seeding import derive_seed

Values = NDArray[np.float64]
FOLDS = 5
PAIRS_HELD_OUT = 0.05  # share of the pairs of a fold's training lines and drugs
FEWEST = 2 * FOLDS  # of lines and of drugs, for cross-fitting to say anything
STRATA = ("both seen", "line new", "drug new", "both new")  # 1 for a new line + 2 for a new drug


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out pairs; each array of shape (n,).

    Attributes:
        line: Number of the pair's line, equal for two ids of one line.
        drug: Number of the pair's structure.
        stratum: Place in ``STRATA``.
        error: |y − ŷ|, in the unit of the labels.
        sd: The system's own predictive standard deviation; 1 where it has none.
        distance: Of the line to the lines that trained (``Nearness.line_distance``).
        similarity: Of the drug to the drugs that trained.
        fold: In which it was held out.
    """

    line: IntArray
    drug: IntArray
    stratum: IntArray
    error: Values
    sd: Values
    distance: FloatArray
    similarity: FloatArray
    fold: IntArray

    def __len__(self) -> int:
        return len(self.error)

    def where(self, mask: BoolArray) -> Self:
        """The chosen pairs."""
        return replace(self, **{name: values[mask] for name, values in vars(self).items()})

    @classmethod
    def joined(cls, parts: "list[HeldOut]") -> Self:
        """All pairs of several."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    @classmethod
    def of(cls, model: Predictor, study: Study, learned: Split, rows: IntArray, fold: int = 0) -> Self:
        """What a fitted system says of source pairs.

        Args:
            model: Learned from ``learned`` and from none of ``rows``.
            study: Its study.
            learned: Says which lines and drugs were seen.
            rows: Of the source's responses.
            fold: Their fold.
        """
        source, responses = study.source, study.source.responses.take(rows)
        cell_idx, drug_idx = responses.cell_idx, responses.drug_idx
        potency, sd = model.predict_with_sd(Pairs(source, "source", cell_idx, drug_idx))
        line_seen, drug_seen, _ = seen_in_training(study, learned_split(model, learned), source, cell_idx, drug_idx)
        near = Nearness.of(model, study, learned)
        lines, line = np.unique(cell_idx, return_inverse=True)
        drugs, drug = np.unique(drug_idx, return_inverse=True)
        return cls(
            line=_codes(source.line_keys)[cell_idx],
            drug=_codes(source.drug_keys)[drug_idx],
            stratum=((~line_seen) + 2 * (~drug_seen)).astype(np.int64),
            error=np.abs(responses.potency.astype(np.float64) - potency),
            sd=np.ones(len(rows)) if sd is None else sd.astype(np.float64),
            distance=near.line_distance(model, source, "source", lines)[line],
            similarity=near.drug_similarity(source, drugs)[drug],
            fold=np.full(len(rows), fold, dtype=np.int64),
        )


def held_out_lines(model: Predictor, study: Study, split: Split) -> HeldOut:
    """Of the split's validation pairs, by the system as it was before it learned from them; their lines in folds."""
    found = HeldOut.of(model.without_validation_labels(), study, split, split.val_idx)
    lines = np.unique(found.line)
    return replace(found, fold=np.searchsorted(lines, found.line) % FOLDS) if len(lines) >= FEWEST else found


def can_cross_fit(study: Study, split: Split) -> bool:
    """Whether there are lines and drugs enough."""
    used = study.source.responses.take(np.concatenate([split.train_idx, split.val_idx]))
    counts = (len(set(_codes(keys)[rows])) for keys, rows in _keyed(study.source, used.cell_idx, used.drug_idx))
    return min(counts) >= FEWEST


def cross_fit(fresh: Callable[[], Predictor], study: Study, split: Split, context: FitContext) -> HeldOut:
    """Of all source pairs of the split that a fold holds out.

    Args:
        fresh: Gives the system, not fitted.
        study: To learn from.
        split: Its training and validation pairs are divided.
        context: Its seed draws the folds.
    """
    parts = []
    for fold, (learned, rows) in enumerate(folds(study, split, context.seed)):
        model = fresh().fit(study, learned, FitContext(seed=context.seed))
        parts.append(HeldOut.of(model, study, learned, rows, fold))
    return HeldOut.joined(parts)


def folds(study: Study, split: Split, seed: int) -> Iterator[tuple[Split, IntArray]]:
    """What each fold learns from, and the rows of the source's responses that it holds out."""
    random = np.random.default_rng(derive_seed(seed, "trust"))
    rows = np.concatenate([split.train_idx, split.val_idx])
    validates = np.repeat([False, True], [len(split.train_idx), len(split.val_idx)])
    responses = study.source.responses.take(rows)
    (line_keys, cells), (drug_keys, drugs) = _keyed(study.source, responses.cell_idx, responses.drug_idx)
    line, drug = _codes(line_keys)[cells], _codes(drug_keys)[drugs]
    fold_of_line, fold_of_drug = (_folds_of(codes, random) for codes in (line, drug))
    for fold in range(FOLDS):
        new = (fold_of_line[line] == fold) | (fold_of_drug[drug] == fold)
        held = new | (random.random(len(rows)) < PAIRS_HELD_OUT)
        val = validates & ~held
        if not val.any():  # all that validates is held out here: other lines do
            kept = np.unique(line[~held])
            val = ~held & np.isin(line, random.choice(kept, max(1, len(kept) // 10), replace=False))
        yield _fold_split(study, split, rows[~held & ~val], rows[val]), rows[held]


def _fold_split(study: Study, split: Split, train: IntArray, val: IntArray) -> Split:
    adapt = split.adapt_cell_idx
    if study.scope != "across" and not split.kind.endswith("transductive"):  # there only lines that train lend expression
        keys = study.source.line_keys
        learned = {keys[row] for row in study.source.responses.cell_idx[train]}
        own = np.array([row for row in adapt if study.target.line_keys[row] in learned], dtype=np.int64)
        adapt = own if len(own) else adapt
    return replace(split, train_idx=train, val_idx=val, test_idx=split.test_idx[:0], adapt_cell_idx=adapt)


def _folds_of(codes: IntArray, random: np.random.Generator) -> IntArray:
    """The fold of each code, by its number."""
    known = random.permutation(np.unique(codes))
    fold = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    for number, part in enumerate(np.array_split(known, FOLDS)):
        fold[part] = number
    return fold


def _keyed(screen: Screen, cells: IntArray, drugs: IntArray) -> tuple[tuple[tuple[str, ...], IntArray], ...]:
    return (screen.line_keys, cells), (screen.drug_keys, drugs)


def _codes(keys: tuple[str, ...]) -> IntArray:
    """A number for each row's key."""
    return np.unique(np.array(keys, dtype=str), return_inverse=True)[1].astype(np.int64)

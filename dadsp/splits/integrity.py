"""What each kind of split promises to keep apart, and making sure of it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from dadsp.building import names_of, registered
from dadsp.errors import ConfigError, LeakageError, SchemaError, examples, nearest
from dadsp.schema import Split, Study
from dadsp.splits.groups import PLURAL, Grouping, group_of_pairs

log = logging.getLogger(__name__)
Rule = TypeVar("Rule", bound=Callable[..., Any])

# Inside one screen: what test, training and validation never share.
WITHIN: dict[str, tuple[Grouping, ...]] = {
    "pair": ("pair",),
    "cell_blind": ("line",),
    "drug_blind": ("drug",),
    "both_blind": ("line", "drug"),
    "tissue_blind": ("tissue",),
}
# Across screens: what the target's test and the source's training and validation never share.
OVERLAPS: dict[str, tuple[Grouping, ...]] = {
    "keep": (),
    "drop_lines": ("line",),
    "drop_drugs": ("drug",),
    "drop_both": ("line", "drug"),
}


@dataclass(frozen=True)
class Promise:
    """What a kind of split keeps apart.

    Attributes:
        within: Whether it stands inside one screen.
        outer: Groups that no tested pair shares with one that trains or validates.
        inner: Groups that no validating pair shares with one that trains.
        adapts_to_test: Whether lines that do not train may lend their expression to adaptation.
    """

    within: bool
    outer: tuple[Grouping, ...]
    inner: tuple[Grouping, ...]
    adapts_to_test: bool


def cross_kind(overlap: str) -> str:
    """``Split.kind`` of a split across screens."""
    return "cross_screen" if overlap == "keep" else f"cross_screen_{overlap}"


def within_kind(kind: str, transductive: bool) -> str:
    """``Split.kind`` of a split inside one screen."""
    return f"{kind}_transductive" if transductive else kind


PROMISES = {cross_kind(overlap): Promise(False, groups, ("line",), True) for overlap, groups in OVERLAPS.items()} | {
    within_kind(kind, transductive): Promise(True, groups, groups, transductive)
    for kind, groups in WITHIN.items()
    for transductive in (False, True)
}


def promises(**kinds: Promise) -> Callable[[Rule], Rule]:
    """Marks a function that makes splits, for those of plug-ins, with what each ``Split.kind`` that it makes keeps apart."""

    def mark(rule: Rule) -> Rule:
        rule.promises = kinds  # type: ignore[attr-defined]
        return rule

    return mark


def known_promises() -> dict[str, Promise]:
    """Promises by kind of split; none of a plug-in takes the place of dadsp's own."""
    found: dict[str, Promise] = {}
    for name in names_of("split"):
        found |= getattr(registered("split", name), "promises", {})
    return found | PROMISES


def completed(study: Study, split: Split) -> Split:
    """The split just made, once it is fit for use; its notes go to the log.

    Raises:
        ConfigError: A part holds no pair, or fewer than two drugs train.
    """
    for rows, purpose in ((split.train_idx, "train on"), (split.val_idx, "validate on"), (split.test_idx, "test")):
        if not len(rows):
            raise ConfigError(
                f"The {split.kind} split leaves no measured pair to {purpose}. "
                "Hold out other shares, or choose another split."
            )
    n_drugs = len(set(group_of_pairs(study.source, "drug")[split.train_idx]))
    if n_drugs < 2:
        raise ConfigError(
            f"The {split.kind} split leaves {len(split.train_idx)} pairs of {n_drugs} drug to train on; two drugs or more "
            "are needed to learn what tells drugs apart. Hold out less, choose another split, or add drugs."
        )
    for note in split.notes:
        log.info("%s split: %s", split.kind, note)
    check_split(study, split)
    return split


def check_split(study: Study, split: Split) -> None:
    """Makes sure that the parts keep what the split's kind promises, and that every part has rows.

    Raises:
        LeakageError: Parts share lines, drugs, pairs or tissues that the kind keeps apart, or lines adapt that must not.
        SchemaError: The kind is unknown or not one for this study; a part is empty or points outside the study.
    """
    source, target = study.source, study.target
    promise = PROMISES.get(split.kind) or known_promises().get(split.kind)
    if promise is None:
        raise SchemaError(f"'{split.kind}' is no kind of split. {nearest(split.kind, known_promises())}")
    if promise.within != (study.scope != "across"):
        raise SchemaError(
            f"A {split.kind} split does not fit a study of scope '{study.scope}'. Make the split again for this study."
        )
    for part, rows, size in (
        ("train", split.train_idx, len(source.responses)),
        ("val", split.val_idx, len(source.responses)),
        ("test", split.test_idx, len(target.responses)),
        ("adapt_cell", split.adapt_cell_idx, len(target.cells)),
    ):
        if len(rows) == 0 or rows.min() < 0 or rows.max() >= size or len(np.unique(rows)) != len(rows):
            raise SchemaError(
                f"The split's {part} part has {len(rows)} rows that do not name distinct rows of a table of {size}. "
                "Make the split again for this study."
            )
    given, scored = split.calibrate_idx, split.test_idx
    if len(given) and (given.min() < 0 or given.max() >= len(target.responses) or len(np.unique(given)) != len(given)):
        raise SchemaError("The split's calibrate part does not name distinct rows of the target. Make the split again.")
    if both := len(np.intersect1d(given, scored)):
        raise LeakageError(f"{both} pairs of the target both calibrate and are tested. Make the split again.")
    for by in dict.fromkeys((*promise.inner, *promise.outer)):
        groups = group_of_pairs(source, by)
        train, val = set(groups[split.train_idx]), set(groups[split.val_idx])
        test = set(group_of_pairs(target, by)[split.test_idx])
        if by in promise.inner:
            _refuse(_shared(train, val), f"{PLURAL[by]} both train and validate")
        if by in promise.outer:
            _refuse(_shared(train | val, test), f"{PLURAL[by]} are tested and also train or validate")
    if not promise.adapts_to_test:
        keys = np.array(target.line_keys, dtype=object)
        lines = set(group_of_pairs(source, "line")[split.train_idx])
        _refuse(set(keys[split.adapt_cell_idx]) - lines, "cell lines adapt that do not train")


def _shared(known: set[str | None], held_out: set[str | None]) -> set[str | None]:
    # A group that nobody can name (None) may be any of the known ones, so no held-out part may hold it.
    return held_out & (known | {None})


def _refuse(leaking: Iterable[str | None], what: str) -> None:
    names = sorted("unknown" if name is None else name for name in leaking)
    if names:
        raise LeakageError(f"{len(names)} {what} (e.g. {examples(names)}). Make the split again.")

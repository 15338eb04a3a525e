"""Train, validate and test inside one screen, blind to pairs, lines, drugs, both, or tissues."""

from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError, examples
from dadsp.options import STRICT, validated
from dadsp.schema import IntArray, Note, Screen, Split, Study
from dadsp.seeding import derive_seed
from dadsp.splits.groups import fold_of, group_of_pairs, hold_out, share
from dadsp.splits.integrity import WITHIN, completed, within_kind

MIXED = "pairs left out, of a {0} line with another drug or a {0} drug with another line"


@dataclass(frozen=True, config=STRICT)
class WithinOptions:
    """Config group ``split``, choices ``pair``, ``cell_blind``, ``drug_blind``, ``both_blind``, ``tissue_blind``.

    Attributes:
        kind: What the test shares with nothing that trains or validates, and the validation part with nothing that trains.
        scope: The screen; ``"target_oracle"`` trains on labels of the target.
        folds: Into how many parts the groups fall.
        fold: Which of them tests, from 0.
        repeat: Another number is another partition.
        test_fraction: A single hold-out of this share of the groups in place of folds.
        val_fraction: Share of the groups left by the test that validates; at least one.
        transductive: Whether all lines of the screen, tested ones among them, lend their expression to adaptation, or only
            those that train.
    """

    kind: Literal["pair", "cell_blind", "drug_blind", "both_blind", "tissue_blind"]
    scope: Literal["source", "target_oracle"] = "source"
    folds: int = Field(default=5, ge=2)
    fold: int = Field(default=0, ge=0)
    repeat: int = Field(default=0, ge=0)
    test_fraction: float | None = Field(default=None, gt=0, lt=1)
    val_fraction: float = Field(default=0.1, gt=0, lt=1)
    transductive: bool = False

    @model_validator(mode="after")
    def _fold_exists(self) -> "WithinOptions":
        if self.test_fraction is not None and self.fold:
            raise ValueError(f"test_fraction makes one hold-out, so there is no fold {self.fold}. Leave out one of the two.")
        if self.fold >= self.folds:
            raise ValueError(f"fold={self.fold} does not exist: {self.folds} folds count from 0 to {self.folds - 1}.")
        return self


def within(study: Study, *, seed: int, **options: Any) -> Split:
    """A split inside one screen, by groups of pairs.

    The test parts of all folds hold every pair (line, drug, known tissue) once. Under ``both_blind`` lines and drugs fall
    into folds each by themselves, and fold i tests the i-th lines with the i-th drugs; pairs of a held-out line with another
    drug, or the reverse, are left out. Lines of unknown tissue only train under ``tissue_blind``.

    Args:
        study: Made by ``Study.within``.
        seed: Root of all draws.
        options: Fields of ``WithinOptions``.

    Raises:
        ConfigError: An option is impossible, or groups are too few for it.
    """
    rule = validated(WithinOptions, options, "split")
    if study.scope != rule.scope:
        raise ConfigError(
            f"split.scope={rule.scope}, but the study has scope '{study.scope}'. Take the split from Study.within."
        )
    screen, groupings = study.source, WITHIN[rule.kind]
    random = np.random.default_rng(derive_seed(seed, "split", "test", rule.repeat))
    if rule.test_fraction is None:
        outer = fold_of(rule.fold, rule.folds, random)
    else:
        outer = share("test_fraction", rule.test_fraction, random)
    inner = share(
        "val_fraction",
        rule.val_fraction,
        np.random.default_rng(derive_seed(seed, "split", "val", rule.repeat, rule.fold)),
    )
    everything = np.arange(len(screen.responses))
    rest, test = hold_out(screen, everything, groupings, outer)
    train, val = hold_out(screen, rest, groupings, inner)
    training_lines = np.unique(screen.responses.cell_idx[train])
    return completed(
        study,
        Split(
            kind=within_kind(rule.kind, rule.transductive),
            train_idx=train,
            val_idx=val,
            test_idx=test,
            adapt_cell_idx=np.arange(len(screen.cells)) if rule.transductive else training_lines,
            notes=(
                *_note(MIXED.format("tested"), len(everything) - len(rest) - len(test)),
                *_note(MIXED.format("validating"), len(rest) - len(train) - len(val)),
                *(_of_unknown_tissue(screen, train) if rule.kind == "tissue_blind" else ()),
            ),
        ),
    )


def _of_unknown_tissue(screen: Screen, train: IntArray) -> tuple[Note, ...]:
    unknown = group_of_pairs(screen, "tissue")[train] == None  # noqa: E711 - elementwise
    lines = sorted(set(group_of_pairs(screen, "line")[train][unknown]))
    return _note("cell lines of unknown tissue, which only train", len(lines), examples(lines))


def _note(what: str, count: int, shown: str = "") -> tuple[Note, ...]:
    return (Note(what, count, shown),) if count else ()

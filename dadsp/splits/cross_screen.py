"""Train on the source, choose the epoch on held-out source lines, test on the whole target."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError, examples
from dadsp.options import STRICT, validated
from dadsp.schema import Note, Split, Study
from dadsp.seeding import derive_seed
from dadsp.splits.groups import PLURAL, group_of_pairs, hold_out, share
from dadsp.splits.integrity import OVERLAPS, completed, cross_kind


@dataclass(frozen=True, config=STRICT)
class CrossScreenOptions:
    """Config group ``split``, choice ``cross_screen``.

    Attributes:
        val_fraction: Share of the labelled source lines held out; at least one line.
        overlap: What training and validation may share with the target's labelled pairs: ``"keep"`` leaves everything,
            ``"drop_lines"`` and ``"drop_drugs"`` leave out source pairs whose line or drug is tested, ``"drop_both"``
            those of which either is (Table 2 of the paper).
        portion: Share of the tested lines (drugs), drawn from the seed and at least one, that ``overlap`` drops. Below 1 the
            others go on training, and target pairs of which they are the line or drug are not tested.
        scope: Always both screens.
    """

    val_fraction: float = Field(default=0.1, gt=0, lt=1)
    overlap: Literal["keep", "drop_lines", "drop_drugs", "drop_both"] = "keep"
    portion: float = Field(default=1.0, gt=0, le=1)
    scope: Literal["across"] = "across"


def cross_screen(study: Study, *, seed: int, **options: Any) -> Split:
    """The split of the main job.

    All pairs of a random share of the source's lines validate; lines that stand in the source under several ids (equal
    link ids) stay together. All labelled target pairs test, but those that ``portion`` leaves unblinded; every target line
    lends its expression, without label, to adaptation.

    Args:
        study: Source and target.
        seed: Chooses the held-out lines.
        options: Fields of ``CrossScreenOptions``.

    Raises:
        ConfigError: An option is impossible, or leaves too little to train on.
    """
    rule = validated(CrossScreenOptions, options, "split")
    if study.scope != "across":
        raise ConfigError(
            f"A cross_screen split needs both screens, but the study has scope '{study.scope}'. Set split.scope=across."
        )
    if rule.portion < 1 and rule.overlap == "keep":
        raise ConfigError(
            f"split.portion={rule.portion} is the share of the tested lines or drugs to leave out, and split.overlap=keep "
            "leaves out none. Set split.overlap=drop_both, drop_lines or drop_drugs, or split.portion=1."
        )
    rows, tested, notes = np.arange(len(study.source.responses)), np.arange(len(study.target.responses)), []
    dropped, unblinded = np.zeros(len(rows), dtype=bool), np.zeros(len(tested), dtype=bool)
    for by in OVERLAPS[rule.overlap]:
        groups, of_target = (pd.Series(group_of_pairs(screen, by), dtype=object) for screen in (study.source, study.target))
        names = sorted(set(groups) & set(of_target))
        drawn = _portion(names, rule.portion, seed, by)
        leaving = groups.isin(drawn).to_numpy()
        dropped |= leaving
        beside = "" if len(drawn) == len(names) else f", of {len(names)} in both screens"
        what = f"source pairs left out, of {len(drawn)} {PLURAL[by]} that the target tests{beside}"
        notes.append(Note(what, int(leaving.sum()), examples(drawn)))
        if training := sorted(set(names) - set(drawn)):
            also_train = of_target.isin(training).to_numpy()
            unblinded |= also_train
            what = f"target pairs not tested, of {len(training)} {PLURAL[by]} that go on training"
            notes.append(Note(what, int(also_train.sum()), examples(training)))
    if dropped.all():
        raise ConfigError(
            f"split.overlap={rule.overlap} leaves none of {len(rows)} source pairs to train on: the target tests them all. "
            "Choose another overlap, or add source data."
        )
    random = np.random.default_rng(derive_seed(seed, "split"))
    train, val = hold_out(study.source, rows[~dropped], ("line",), share("val_fraction", rule.val_fraction, random))
    return completed(
        study,
        Split(
            kind=cross_kind(rule.overlap),
            train_idx=train,
            val_idx=val,
            test_idx=tested[~unblinded],
            adapt_cell_idx=np.arange(len(study.target.cells)),
            notes=tuple(notes),
        ),
    )


def _portion(names: list[str], portion: float, seed: int, by: str) -> list[str]:
    """A random share of the names, at least one, in their order; all of them without a draw where it is 1."""
    if portion == 1 or not names:
        return names
    random = np.random.default_rng(derive_seed(seed, "split", "portion", by))
    return sorted(random.choice(np.array(names, dtype=object), max(1, round(portion * len(names))), replace=False))

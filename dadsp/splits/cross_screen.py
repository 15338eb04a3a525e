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
        scope: Always both screens.
    """

    val_fraction: float = Field(default=0.1, gt=0, lt=1)
    overlap: Literal["keep", "drop_lines", "drop_drugs", "drop_both"] = "keep"
    scope: Literal["across"] = "across"


def cross_screen(study: Study, *, seed: int, **options: Any) -> Split:
    """The split of the main job.

    All pairs of a random share of the source's lines validate; lines that stand in the source under several ids (equal
    link ids) stay together. All labelled target pairs test; every target line lends its expression, without label, to
    adaptation.

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
    rows, notes = np.arange(len(study.source.responses)), []
    dropped = np.zeros(len(rows), dtype=bool)
    for by in OVERLAPS[rule.overlap]:
        groups, tested = group_of_pairs(study.source, by), set(group_of_pairs(study.target, by))
        also_tested = pd.Series(groups, dtype=object).isin(tested).to_numpy()
        dropped |= also_tested
        names = sorted(set(groups) & tested)
        what = f"source pairs left out, of {len(names)} {PLURAL[by]} that the target tests"
        notes.append(Note(what, int(also_tested.sum()), examples(names)))
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
            test_idx=np.arange(len(study.target.responses)),
            adapt_cell_idx=np.arange(len(study.target.cells)),
            notes=tuple(notes),
        ),
    )

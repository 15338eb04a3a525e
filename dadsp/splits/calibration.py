"""Which target labels a fitted system is given: few, chosen at random or named by the user, and never scored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError, MissingIdsError, examples
from dadsp.options import STRICT, validated
from dadsp.schema import IntArray, Note, Pairs, Responses, Screen, Split, Study
from dadsp.seeding import derive_seed


@dataclass(frozen=True, config=STRICT)
class CalibrationOptions:
    """Keys of ``calibration`` in ``conf/config.yaml``.

    Attributes:
        labels_per_drug: How many measured target pairs of every drug are given, at random; 0 gives none.
        draw: Which random draw; another one gives other pairs, whatever the seed of training.
        pairs: Table with columns cell_id, drug_id that names the pairs instead; None draws.
    """

    labels_per_drug: int = Field(default=0, ge=0)
    draw: int = Field(default=0, ge=0)
    pairs: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.labels_per_drug and self.pairs:
            raise ValueError("labels_per_drug and pairs both choose labels. Leave one of them out")
        return self

    @property
    def wanted(self) -> bool:
        """Whether any label is given."""
        return bool(self.labels_per_drug or self.pairs)


def with_calibration(
    study: Study, split: Split, options: dict[str, Any], read: Callable[[Path, Screen], Pairs] | None = None
) -> Split:
    """The split with some tested pairs given for calibration instead.

    Args:
        study: Of the split.
        split: Without such pairs.
        options: Fields of ``CalibrationOptions``.
        read: Gives the pairs of a table, of a screen's lines and drugs; needed where ``pairs`` names one.

    Raises:
        ConfigError: An option is impossible, or nothing is left to test.
        MissingIdsError: The table names pairs that were not measured.
        DadspError: It cannot be read.
    """
    chosen = validated(CalibrationOptions, options, "calibration")
    if not chosen.wanted:
        return split
    if len(split.calibrate_idx):
        raise ConfigError("The saved split gives target labels already. Leave calibration out.")
    if study.scope != "across":
        raise ConfigError("calibration gives labels of another screen, and this split stands inside one. Leave it out.")
    if chosen.pairs and read:
        rows = _named(study, split, read(Path(chosen.pairs), study.target), chosen.pairs)
    else:
        rows = _drawn(study, split, chosen)
    rest = np.setdiff1d(split.test_idx, rows)
    if not len(rest):
        raise ConfigError(f"calibration gives all {len(rows)} measured target pairs, and none is left to test. Give fewer.")
    some = _names(study.target, study.target.responses.take(rows[:4]))
    note = Note("target pairs calibrate and are not tested", len(rows), examples(some))
    return replace(split, test_idx=rest, calibrate_idx=rows, notes=(*split.notes, note))


def _names(screen: Screen, pairs: Pairs | Responses) -> list[str]:
    return [f"{screen.cells.ids[cell]}/{screen.drugs.ids[drug]}" for cell, drug in _both(pairs)]


def _drawn(study: Study, split: Split, options: CalibrationOptions) -> IntArray:
    """Random tested pairs of every structure, as many as asked for; more labels hold those of fewer."""
    drugs = np.array(study.target.drug_keys, dtype=object)[study.target.responses.drug_idx[split.test_idx]]
    random = np.random.default_rng(derive_seed(options.draw, "calibration"))
    order = random.permutation(len(drugs))
    place = pd.Series(drugs[order]).groupby(drugs[order], sort=False).cumcount().to_numpy()
    return np.sort(split.test_idx[order[place < options.labels_per_drug]])


def _named(study: Study, split: Split, pairs: Pairs, where: str) -> IntArray:
    screen, responses = study.target, study.target.responses.take(split.test_idx)
    measured = {pair: row for row, pair in zip(split.test_idx.tolist(), _both(responses), strict=True)}
    wanted = dict.fromkeys(_both(pairs))
    absent = [place for place, pair in enumerate(_both(pairs)) if pair not in measured]
    if absent:
        names = examples(
            _names(pairs.screen, replace(pairs, cell_idx=pairs.cell_idx[absent], drug_idx=pairs.drug_idx[absent]))
        )
        raise MissingIdsError(
            f"calibration.pairs={where}: {len(absent)} of {len(pairs)} pairs are not among the {len(measured):,} measured "
            f"in {screen.name} (e.g. {names}). Leave them out."
        )
    return np.sort(np.array([measured[pair] for pair in wanted], dtype=np.int64))


def _both(pairs: Pairs | Responses) -> list[tuple[int, int]]:
    return list(zip(pairs.cell_idx.tolist(), pairs.drug_idx.tolist(), strict=True))

"""Which target labels a fitted system is given: few, chosen at random or named by the user, and never scored."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError, MissingIdsError, examples
from dadsp.options import STRICT, validated
from dadsp.schema import IntArray, Note, Split, Study
from dadsp.seeding import derive_seed


@dataclass(frozen=True, config=STRICT)
class CalibrationOptions:
    """Keys of ``calibration`` in ``conf/config.yaml``.

    Attributes:
        labels_per_drug: How many measured target pairs of every drug are given, at random; 0 gives none.
        draw: Which random draw; another one gives other pairs, whatever the seed of training.
        pairs: CSV file with columns cell_id, drug_id that names the pairs instead; None draws.
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


def with_calibration(study: Study, split: Split, options: dict[str, Any]) -> Split:
    """The split with some tested pairs given for calibration instead.

    Args:
        study: Of the split.
        split: Without such pairs.
        options: Fields of ``CalibrationOptions``.

    Raises:
        ConfigError: An option is impossible, a file is of no use, or a drug has too few measured pairs to leave one to test.
        MissingIdsError: The file names pairs that were not measured.
    """
    chosen = validated(CalibrationOptions, options, "calibration")
    if not chosen.wanted:
        return split
    if len(split.calibrate_idx):
        raise ConfigError("The saved split gives target labels already. Leave calibration out.")
    if study.scope != "across":
        raise ConfigError("calibration gives labels of another screen, and this split stands inside one. Leave it out.")
    rows = _named(study, split, Path(chosen.pairs)) if chosen.pairs else _drawn(study, split, chosen)
    rest = np.setdiff1d(split.test_idx, rows)
    if not len(rest):
        raise ConfigError(f"calibration gives all {len(rows)} measured target pairs, and none is left to test. Give fewer.")
    names = [f"{study.target.cells.ids[cell]}/{study.target.drugs.ids[drug]}" for cell, drug in _pairs_of(study, rows[:4])]
    note = Note("target pairs calibrate and are not tested", len(rows), examples(names))
    return replace(split, test_idx=rest, calibrate_idx=rows, notes=(*split.notes, note))


def _pairs_of(study: Study, rows: IntArray) -> Iterable[tuple[int, int]]:
    responses = study.target.responses
    return zip(responses.cell_idx[rows].tolist(), responses.drug_idx[rows].tolist(), strict=True)


def _drawn(study: Study, split: Split, options: CalibrationOptions) -> IntArray:
    """Random tested pairs of every structure, as many as asked for; more labels hold those of fewer."""
    drugs = np.array(study.target.drug_keys, dtype=object)[study.target.responses.drug_idx[split.test_idx]]
    random = np.random.default_rng(derive_seed(options.draw, "calibration"))
    order = random.permutation(len(drugs))
    place = pd.Series(drugs[order]).groupby(drugs[order], sort=False).cumcount().to_numpy()
    return np.sort(split.test_idx[order[place < options.labels_per_drug]])


def _named(study: Study, split: Split, path: Path) -> IntArray:
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise ConfigError(f"calibration.pairs={path} cannot be read as a CSV file: {error}.") from error
    if not {"cell_id", "drug_id"} <= set(table):
        raise ConfigError(f"calibration.pairs={path} needs columns cell_id, drug_id; it has {examples(table.columns, 9)}.")
    if table.empty:
        raise ConfigError(f"calibration.pairs={path} names no pair. Add some, or leave it out.")
    screen, responses = study.target, study.target.responses.take(split.test_idx)
    cells, drugs = pd.Index(screen.cells.ids), pd.Index(screen.drugs.ids)
    measured = pd.MultiIndex.from_arrays([cells[responses.cell_idx], drugs[responses.drug_idx]])
    wanted = pd.MultiIndex.from_frame(table[["cell_id", "drug_id"]].drop_duplicates())
    absent = wanted.difference(measured)
    if len(absent):
        names = examples("/".join(map(str, pair)) for pair in absent)
        raise MissingIdsError(
            f"calibration.pairs={path}: {len(absent)} of {len(wanted)} pairs are not among the {len(measured):,} measured "
            f"in {screen.name} (e.g. {names}). Leave them out."
        )
    return np.asarray(split.test_idx[measured.isin(wanted)], dtype=np.int64)

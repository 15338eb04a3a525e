"""Predictions of the naive rows, kept with a run so that a later score can be computed of them as of the system."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dadsp.errors import SchemaError
from dadsp.evaluation.metric import METRICS
from dadsp.evaluation.metrics import evaluate
from dadsp.evaluation.report import scores_to_json
from dadsp.evaluation.scores import SCORES
from dadsp.schema import OPTIONAL_COLUMNS, PREDICTION_COLUMNS, PredictionTable

OWN = ("y_pred", "y_low", "y_high")  # what differs between systems that predict the same pairs
SHARED = tuple(name for name in (*PREDICTION_COLUMNS, *OPTIONAL_COLUMNS) if name not in OWN)


def naive_frame(tables: Mapping[str, PredictionTable]) -> pd.DataFrame:
    """The test pairs once, with a column of predictions for each naive row, −log10 IC50(µM).

    Args:
        tables: Predictions by the row's name, all of the same pairs in the same order; means and labels state no interval.

    Returns:
        The columns of a prediction table without those of ``OWN``, then one column per row, float32 where nothing is lost.

    Raises:
        SchemaError: The tables hold different pairs.
    """
    if not tables:
        return pd.DataFrame(columns=list(SHARED))
    first = next(iter(tables.values())).frame[list(SHARED)]
    for name, table in tables.items():
        if not table.frame[list(SHARED)].equals(first):
            raise SchemaError(f"The naive row '{name}' was not scored on the pairs of the others. Score all on one split.")
    return pd.concat([first, pd.DataFrame({name: _short(table) for name, table in tables.items()})], axis=1)


def _short(table: PredictionTable) -> Any:
    values = table.frame["y_pred"].to_numpy()
    shorter = values.astype(np.float32)
    return shorter if (shorter == values).all() else values


class NaiveTables(Mapping[str, PredictionTable]):
    """The tables that ``naive_frame`` was made of, by the row's name; each is made when it is asked for.

    Args:
        frame: As ``naive_frame`` gives it.

    Raises:
        SchemaError: On asking: the frame lacks a column of a prediction table, or a prediction is not finite.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._shared = frame[[name for name in SHARED if name in frame]]
        self._own = frame.drop(columns=self._shared.columns)

    def __getitem__(self, name: str) -> PredictionTable:
        return PredictionTable(self._shared.assign(y_pred=self._own[name]))

    def __iter__(self) -> Iterator[str]:
        return map(str, self._own.columns)

    def __len__(self) -> int:
        return self._own.shape[1]


def scored_again(comparison: pd.DataFrame, tables: Mapping[str, PredictionTable], names: Iterable[str]) -> pd.DataFrame:
    """A comparison whose scores ``names`` are computed from predictions, where there are some.

    Args:
        comparison: One row per system, as ``dadsp.evaluation.report.read_comparison`` gives it.
        tables: Predictions by system; rows without one stay as they are.
        names: Of ``SCORES``.
    """
    found = comparison.copy()
    wanted = list(names)
    rows = [evaluate(tables[name]) if wanted and name in tables else None for name in found["system"]]
    for name in wanted:
        found[name] = [old if of is None else SCORES[name].value(of) for of, old in zip(rows, found[name], strict=True)]
    return found


def lacking(path: Path) -> list[str]:
    """The scores that the comparison in a CSV file was written without."""
    with path.open(encoding="utf-8", newline="") as file:
        written = set(next(csv.reader(file), []))
    return [name for name in SCORES if name not in written]


def read_naive(path: Path) -> NaiveTables:
    """The naive rows of a file that holds a ``naive_frame``; none where there is no file, as in runs of format 0."""
    return NaiveTables(pd.read_parquet(path) if path.exists() else naive_frame({}))


def with_newer_metrics(system: Mapping[str, Any], table: PredictionTable | None) -> Mapping[str, Any]:
    """A system of ``metrics.json``, with the metrics that were registered after it was written.

    Args:
        system: As ``dadsp.evaluation.report.to_json`` gave it.
        table: Its test predictions; without them what is there stays as it is.
    """
    if table is None or set(METRICS) <= set(system["pooled"]):
        return system
    return {**system, **scores_to_json(evaluate(table))}

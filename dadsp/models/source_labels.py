"""What the source screen itself says of a target pair: whether it profiled the line, and its own label of the same pair."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dadsp.errors import SchemaError, examples
from dadsp.schema import BoolArray, IntArray, PredictionTable, Screen, Study


class Codes:
    """Gives equal names equal integers across calls."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, names: Iterable[str]) -> IntArray:
        """One integer per name, from 0."""
        return np.array([self.known.setdefault(name, len(self.known)) for name in names], dtype=np.int64)


def profiled_in_source(study: Study, screen: Screen) -> BoolArray:
    """Whether the source screen holds the expression of each of the screen's lines, with or without labels."""
    lines = Codes()
    known = lines(study.source.line_keys)
    return np.isin(lines(screen.line_keys), known)


def source_labels(study: Study, cell_idx: IntArray, drug_idx: IntArray) -> NDArray[np.float64]:
    """The source screen's own label of the same line and structure as each target pair.

    All source labels count, as the study gives them (clipped or not), even those that the split keeps from training; where
    the source holds a pair more than once, under several ids of a structure, this is the mean. No target label is read.

    Args:
        study: Across two screens; inside one screen the label would be the very one to predict, so there is none.
        cell_idx: Rows of the target's lines, shape (n_pairs,).
        drug_idx: Rows of the target's drugs, shape (n_pairs,).

    Returns:
        −log10 IC50(µM), shape (n_pairs,), NaN where the source has no such label.
    """
    if study.scope != "across":
        return np.full(len(cell_idx), np.nan)
    lines, structures, responses = Codes(), Codes(), study.source.responses
    source_lines = lines(study.source.line_keys)[responses.cell_idx]
    source_structures = structures(study.source.drug_keys)[responses.drug_idx]
    these_lines = lines(study.target.line_keys)[cell_idx]
    these_structures = structures(study.target.drug_keys)[drug_idx]
    width = len(structures.known)
    labels = pd.Series(responses.potency.astype(np.float64)).groupby(source_lines * width + source_structures).mean()
    return np.asarray(labels.reindex(these_lines * width + these_structures), dtype=np.float64)


def with_source_labels(table: PredictionTable, study: Study) -> PredictionTable:
    """The table with ``cell_profiled`` and ``y_source`` filled in, for runs recorded without them.

    Args:
        table: Predictions of validation pairs, test pairs or both.
        study: The one they were made from.

    Raises:
        SchemaError: Lines or drugs of the table are none of the study's.
    """
    frame = table.frame.copy()
    for part, screen in (("val", study.source), ("test", study.target)):
        here = (frame["split"] == part).to_numpy()
        cell_idx, drug_idx = (
            pd.Index(ids).get_indexer(pd.Index(frame.loc[here, column]))
            for column, ids in (("cell_id", screen.cells.ids), ("drug_id", screen.drugs.ids))
        )
        lost = (cell_idx < 0) | (drug_idx < 0)
        if lost.any():
            names = (frame.loc[here, "cell_id"] + " × " + frame.loc[here, "drug_id"])[lost]
            raise SchemaError(
                f"{lost.sum()} of {len(lost)} predicted pairs name lines or drugs that {screen.name} lacks (e.g. "
                f"{examples(names)}). Give the study of the run that made the table."
            )
        frame.loc[here, "cell_profiled"] = profiled_in_source(study, screen)[cell_idx]
        frame.loc[here, "y_source"] = source_labels(study, cell_idx, drug_idx) if part == "test" else np.nan
    return replace(table, frame=frame)

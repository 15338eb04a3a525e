"""A user's few labels of a new assay, as a fitted system is calibrated with them before it predicts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.data.table_files import Frame, header_of
from dadsp.data.tables import read_table
from dadsp.errors import ConfigError, SchemaError, examples
from dadsp.models.base import Predictor
from dadsp.models.calibrated import Calibrated
from dadsp.schema import FloatArray, Note, Pairs

Read = Callable[[Path | Frame], tuple[Pairs, pd.DataFrame, tuple[Note, ...]]]
COLUMNS = ("neg_log10_ic50_um", "ic50_um")  # of which a table of labels has one


def with_labels(model: Predictor, labels: Path | Frame, asked: Pairs, read: Read) -> Calibrated:
    """The system calibrated with labels, for predicting the pairs asked for.

    Args:
        model: Fitted, not calibrated.
        labels: Table with columns cell_id, drug_id and neg_log10_ic50_um (−log10 IC50(µM)) or ic50_um (µM).
        asked: Pairs whose lines a drug's mean prediction is taken over.
        read: Gives the pairs of a table, each row's in its place.

    Raises:
        ConfigError: The model is calibrated already, or a file is absent.
        SchemaError: The table lacks a column, holds what is no label, or names a pair twice.
        MissingIdsError: It names lines or drugs that are not known.
    """
    if isinstance(model, Calibrated):
        raise ConfigError("This run was calibrated in training. Leave calibrate out, or take a run without calibration.")
    given, frame, _ = read(labels)
    potency = _potency(labels)
    twice = frame[["cell_id", "drug_id"]].duplicated().to_numpy()
    if twice.any():
        names = examples(frame.loc[twice, "cell_id"] + "/" + frame.loc[twice, "drug_id"])
        raise SchemaError(
            f"{labels}: {twice.sum()} of {len(frame)} labels are of a pair named before (e.g. {names}). Merge them."
        )
    return Calibrated.of(model, given, potency, asked, getattr(model, "cap", None))


def _potency(labels: Path | Frame) -> FloatArray:
    """−log10 IC50(µM) of each row, float32."""
    there = [name for name in COLUMNS if name in header_of(labels)]
    if len(there) != 1:
        has = "both" if there else "neither"
        raise SchemaError(f"{labels} needs one of the columns {' and '.join(COLUMNS)}, and has {has}. Keep or add one.")
    values = read_table(labels, {there[0]: there[0]}, numbers=there)[there[0]].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        potency = -np.log10(values) if there == ["ic50_um"] else values
    bad = np.flatnonzero(~np.isfinite(potency))
    if len(bad):
        raise SchemaError(
            f"{labels}: {len(bad)} of {len(values)} values of {there[0]} are no label (e.g. {examples(values[bad])}). "
            "Correct them, or leave those rows out."
        )
    return potency.astype(np.float32)

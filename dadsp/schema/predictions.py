"""Predicted pairs beside their labels."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dadsp.errors import SchemaError, examples
from dadsp.schema.screens import BoolArray

PREDICTION_COLUMNS = {
    "cell_id": "string",
    "drug_id": "string",
    "domain": "string",  # source | target
    "split": "string",  # val | test
    "y_true": "float64",  # −log10 IC50(µM)
    "y_pred": "float64",  # −log10 IC50(µM)
    "censored": "bool",
    "cell_seen": "bool",  # the same line has training labels
    "drug_seen": "bool",  # the same structure has training labels
    "pair_seen": "bool",  # the same (line, structure) has a training label
}

OPTIONAL_COLUMNS = {
    "cell_profiled": "bool",  # the source screen holds the line's expression, with or without labels; else as cell_seen
    "y_source": "float64",  # the source's own label of the same (line, structure), whether it trained or not; test rows only
    "y_low": "float64",  # the system's own 90 % interval
    "y_high": "float64",
}


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """What every predictor emits and the only thing evaluation reads: one row per predicted pair.

    Attributes:
        frame: The columns of ``PREDICTION_COLUMNS``, without missing values, then those of ``OPTIONAL_COLUMNS``, in order.
            Of the latter, ``cell_profiled`` is as ``cell_seen`` and the others NaN where a table came without them.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in PREDICTION_COLUMNS if name not in self.frame.columns]
        if missing:
            raise SchemaError(f"A prediction table lacks {len(missing)} columns: {examples(missing)}.")
        columns = {**PREDICTION_COLUMNS, **OPTIONAL_COLUMNS}
        frame = self.frame.reindex(columns=list(columns))
        frame["cell_profiled"] = frame["cell_profiled"].where(frame["cell_profiled"].notna(), frame["cell_seen"])
        frame = frame.astype(columns).reset_index(drop=True)
        bad = int((~np.isfinite(frame["y_pred"].to_numpy())).sum())
        if bad:
            raise SchemaError(f"{bad} of {len(frame)} predictions are not finite numbers.")
        crossed = int(((frame["y_low"] > frame["y_high"]) | (frame["y_low"].isna() != frame["y_high"].isna())).sum())
        if crossed:
            raise SchemaError(f"{crossed} of {len(frame)} intervals lack an end, or end below where they begin.")
        object.__setattr__(self, "frame", frame)

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: "pd.Series[bool] | BoolArray") -> "PredictionTable":
        """The chosen rows, as a new table."""
        chosen = object.__new__(PredictionTable)  # its rows were checked
        object.__setattr__(chosen, "frame", self.frame[np.asarray(mask)].reset_index(drop=True))
        return chosen

"""The frozen tables that pass between rooms.

One road: raw files → Screen → Study → Split → Predictor → PredictionTable → evaluation. Expression is stored once per cell
line, structures once per drug; responses refer to both by row number.
"""

from dadsp.schema.predictions import OPTIONAL_COLUMNS, PREDICTION_COLUMNS, PredictionTable
from dadsp.schema.screens import (
    BoolArray,
    CellLines,
    Drugs,
    FloatArray,
    Identity,
    IntArray,
    Measure,
    Note,
    ResponsePanel,
    Responses,
    Screen,
    WithheldResponses,
    duplicates,
    is_whole_key,
)
from dadsp.schema.study import Domain, Pairs, Scope, Split, Study

__all__ = [
    "OPTIONAL_COLUMNS",
    "PREDICTION_COLUMNS",
    "BoolArray",
    "CellLines",
    "Domain",
    "Drugs",
    "FloatArray",
    "Identity",
    "IntArray",
    "Measure",
    "Note",
    "Pairs",
    "PredictionTable",
    "ResponsePanel",
    "Responses",
    "Scope",
    "Screen",
    "Split",
    "Study",
    "WithheldResponses",
    "duplicates",
    "is_whole_key",
]

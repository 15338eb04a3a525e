"""Scalers fitted on training lines or labels only, to travel inside a saved model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.errors import LoadError, SchemaError
from dadsp.schema import Domain, FloatArray, IntArray, Study

ScalerKind = Literal["minmax", "zscore"]
ScalerScope = Literal["per_domain", "joint"]

_ARRAYS = ("source_shift", "source_scale", "target_shift", "target_scale")


@dataclass(frozen=True, eq=False)
class ExpressionScaler:
    """Gene-wise ``(x − shift) / scale`` for each domain.

    Lines that did not fit it may leave [0, 1] under min-max: they are not clipped, since how far they leave is information.
    A gene that was constant over the fitted lines has scale 1, hence 0 wherever it keeps that value.

    Attributes:
        source_shift: float32, shape (n_genes,).
        source_scale: float32, shape (n_genes,), positive.
        target_shift: float32, shape (n_genes,); equals ``source_shift`` when fitted jointly.
        target_scale: float32, shape (n_genes,), positive.
    """

    source_shift: FloatArray
    source_scale: FloatArray
    target_shift: FloatArray
    target_scale: FloatArray

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """Scaled expression, float32, shape (n_cells, n_genes).

        Args:
            expression: Raw expression, shape (n_cells, n_genes), genes in the fitted order.
            domain: The screen whose platform measured it.

        Raises:
            SchemaError: It has another number of genes.
        """
        shift, scale = (
            (self.source_shift, self.source_scale) if domain == "source" else (self.target_shift, self.target_scale)
        )
        if expression.shape[-1] != len(shift):
            raise SchemaError(
                f"Expression has {expression.shape[-1]} genes, the scaler was fitted on {len(shift)}. "
                "Restrict the screen to the model's genes first."
            )
        return ((expression - shift) / scale).astype(np.float32, copy=False)

    def to_arrays(self) -> dict[str, FloatArray]:
        """The four arrays by name, ready for safetensors."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The scaler whose ``to_arrays`` gave ``arrays``.

        Raises:
            LoadError: An array is absent.
        """
        absent = [name for name in _ARRAYS if name not in arrays]
        if absent:
            raise LoadError(f"A saved scaler lacks {', '.join(absent)}. Train the model again.")
        return cls(*(np.asarray(arrays[name], dtype=np.float32) for name in _ARRAYS))


def fit_scaler(
    kind: ScalerKind, scope: ScalerScope, study: Study, source_rows: IntArray, target_rows: IntArray
) -> ExpressionScaler:
    """A scaler fitted on the given lines and on nothing else.

    Args:
        kind: ``"minmax"`` to [0, 1], or ``"zscore"`` (population standard deviation, as sklearn's StandardScaler).
        scope: ``"per_domain"`` fits each screen on its own lines, ``"joint"`` one scaler on both together.
        study: Gives the expression.
        source_rows: Rows of the source lines that train; repeated rows count once.
        target_rows: Rows of the target lines that adapt; may be empty under ``"joint"``.

    Raises:
        SchemaError: There is no line to fit on.
    """
    chosen = {
        "source": study.source.cells.expression[np.unique(np.asarray(source_rows, dtype=np.int64))],
        "target": study.target.cells.expression[np.unique(np.asarray(target_rows, dtype=np.int64))],
    }
    parts = [list(chosen.values())] * 2 if scope == "joint" else [[rows] for rows in chosen.values()]
    for domain, rows in zip(chosen, parts, strict=True):
        if not sum(map(len, rows)):
            raise SchemaError(
                f"There is no {domain} line to fit the expression scaler on. Let the split offer some, or scale jointly."
            )
    source = shift_and_scale(kind, parts[0])
    return ExpressionScaler(*source, *(source if scope == "joint" else shift_and_scale(kind, parts[1])))


def shift_and_scale(kind: ScalerKind, parts: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Shift and scale of each gene over the rows of all parts, without joining them into one matrix.

    Args:
        kind: As for ``fit_scaler``.
        parts: Matrices of shape (n_lines, n_genes); at least one has a row.

    Returns:
        Two float32 arrays of shape (n_genes,).
    """
    parts = [part for part in parts if len(part)]
    if kind == "minmax":
        shift = np.min([part.min(axis=0) for part in parts], axis=0).astype(np.float64)
        scale = np.max([part.max(axis=0) for part in parts], axis=0) - shift
    else:
        n = sum(map(len, parts))
        shift = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / n
        scale = np.sqrt(np.sum([((part - shift) ** 2).sum(axis=0) for part in parts], axis=0) / n)
    # The double sum of equal floats is exact, so the spread of a constant gene is exactly 0.
    scale = scale.astype(np.float32)
    return shift.astype(np.float32), np.where(scale == 0, np.float32(1), scale)


@dataclass(frozen=True)
class LabelScaler:
    """Labels to [0, 1] and back, for a regressor with a sigmoid output.

    Attributes:
        low: Smallest training label, −log10 µM.
        high: Largest training label, −log10 µM.
    """

    low: float
    high: float

    @classmethod
    def fit(cls, labels: FloatArray) -> Self:
        """The scaler that takes these labels to [0, 1].

        Raises:
            SchemaError: There are none, or they are all equal.
        """
        if not len(labels) or labels.min() == labels.max():
            what = f"all {len(labels)} are {labels[0]:g}" if len(labels) else "there are none"
            raise SchemaError(f"The training labels cannot be scaled: {what}. Train on pairs that differ.")
        return cls(float(labels.min()), float(labels.max()))

    def transform(self, labels: FloatArray) -> FloatArray:
        """Scaled labels, float32; those beyond the fitted range leave [0, 1]."""
        return ((labels - self.low) / (self.high - self.low)).astype(np.float32)

    def inverse(self, scaled: FloatArray) -> FloatArray:
        """Labels in −log10 µM, float32."""
        return (scaled * (self.high - self.low) + self.low).astype(np.float32)

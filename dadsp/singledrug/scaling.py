"""Min-max scaling of expression, fitted on the lines that train a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.errors import LoadError
from dadsp.schema import FloatArray


@dataclass(frozen=True, eq=False)
class MinMax:
    """Gene-wise ``(x − low) / span``.

    Attributes:
        low: float32, shape (n_genes,), smallest expression among the fitted lines.
        span: float32, shape (n_genes,), their largest minus smallest; 1 for a constant gene.
    """

    low: FloatArray
    span: FloatArray

    @classmethod
    def fit(cls, expression: FloatArray) -> Self:
        """The scale of these lines, float32, shape (n_lines, n_genes)."""
        low = expression.min(axis=0)
        span = expression.max(axis=0) - low
        return cls(low, np.where(span == 0, np.float32(1), span))

    def transform(self, expression: FloatArray) -> FloatArray:
        """In [0, 1] for the fitted lines, float32, same shape; other lines may leave it, since how far is information."""
        scaled: FloatArray = (expression - self.low) / self.span
        return scaled

    def to_arrays(self) -> dict[str, FloatArray]:
        """Both arrays by name, ready for safetensors."""
        return {"low": self.low, "span": self.span}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The scale whose ``to_arrays`` gave ``arrays``.

        Raises:
            LoadError: An array is absent or they differ in length.
        """
        if not {"low", "span"} <= set(arrays) or arrays["low"].shape != arrays["span"].shape:
            raise LoadError("A saved expression scale is incomplete. Train the model again.")
        return cls(*(np.asarray(arrays[name], dtype=np.float32) for name in ("low", "span")))

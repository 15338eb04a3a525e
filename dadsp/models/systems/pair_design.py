"""The pairs that a classical system learns from: one row [line ⊕ drug] each, without the table that repeats them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dadsp.errors import ConfigError
from dadsp.schema import FloatArray, IntArray

Values = NDArray[np.float64]
MAX_TABLE_BYTES = 2**30  # of the one table that repeats rows per pair, where a system needs it


@dataclass(frozen=True, eq=False)
class PairDesign:
    """The matrix X with one row [line ⊕ drug] per pair, kept as its distinct lines and drugs.

    Attributes:
        lines: Features of lines, shape (n_lines, k).
        drugs: Features of drugs, shape (n_drugs, d).
        line: Rows of ``lines``, shape (n_pairs,).
        drug: Rows of ``drugs``, shape (n_pairs,).
    """

    lines: NDArray[Any]
    drugs: NDArray[Any]
    line: IntArray
    drug: IntArray

    def __len__(self) -> int:
        return len(self.line)

    def rows(self, pairs: slice = slice(None)) -> FloatArray:
        """X itself, float32, shape (n, k + d), for the chosen pairs."""
        return np.concatenate([self.lines[self.line[pairs]], self.drugs[self.drug[pairs]]], axis=1, dtype=np.float32)

    def times(self, weights: Values) -> Values:
        """X·w, shape (n_pairs,)."""
        k = self.lines.shape[1]
        product: Values = (self.lines @ weights[:k])[self.line] + (self.drugs @ weights[k:])[self.drug]
        return product

    def transposed_times(self, values: Values) -> Values:
        """Xᵀ·v for one value per pair, shape (k + d,)."""
        grid = self._grid(values)
        return np.concatenate([self.lines.T @ grid.sum(axis=1), self.drugs.T @ grid.sum(axis=0)])

    def gram(self, values: Values) -> Values:
        """Xᵀ·diag(v)·X for one value per pair, shape (k + d, k + d)."""
        grid = self._grid(values)
        lines, drugs = self.lines, self.drugs
        mixed = lines.T @ (grid @ drugs)
        of_lines = lines.T @ (grid.sum(axis=1)[:, None] * lines)
        of_drugs = drugs.T @ (grid.sum(axis=0)[:, None] * drugs)
        return np.block([[of_lines, mixed], [mixed.T, of_drugs]])

    def _grid(self, values: Values) -> Values:
        """Sums of the pairs' values by line and drug, shape (n_lines, n_drugs)."""
        shape = len(self.lines), len(self.drugs)
        sums = np.bincount(self.line * shape[1] + self.drug, values, shape[0] * shape[1])
        return sums.reshape(shape).astype(np.float64, copy=False)


class Labelled(NamedTuple):
    """Pairs and their scaled labels, shape (n_pairs,)."""

    pairs: PairDesign
    label: Values


def check_size(n_pairs: int, n_columns: int, remedy: str) -> None:
    """Refuses a float32 table of pairs that would not fit.

    Raises:
        ConfigError: It would take more than 1 GiB.
    """
    if n_pairs * n_columns * 4 > MAX_TABLE_BYTES:
        gib = n_pairs * n_columns * 4 / 2**30
        raise ConfigError(f"{n_pairs:,} pairs × {n_columns:,} columns would take {gib:.1f} GiB; 1 GiB is allowed. {remedy}")


def features_of(layers: nn.Sequential, expression: Tensor) -> FloatArray:
    """What the layers make of lines, shape (n_lines, k)."""
    with torch.no_grad():
        features: FloatArray = layers(expression).numpy()
    return features


def scale_of(name: str, rows: FloatArray) -> dict[str, FloatArray]:
    """Centre of a block's rows, and the root of its mean variance (1 where nothing varies)."""
    shift = rows.mean(axis=0)
    scale = np.sqrt(np.mean((rows - shift) ** 2))
    return {f"{name}_shift": shift, f"{name}_scale": np.array([scale or 1], dtype=np.float32)}

"""What a model keeps of the raw expression that it was fitted on, so that new tables can be held against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.data.scaling import shift_and_scale
from dadsp.schema import FloatArray

LINES_OF_A_PROFILE = 256  # lines that tell how values are distributed within a line; more would change nothing
NARROW = 0.1  # a gene's sd is taken for no less than this share of the median gene's: else rounding would be many sd


@dataclass(frozen=True, eq=False)
class Reference:
    """Raw expression of the fitted lines of one screen, gene by gene and line by line.

    Attributes:
        mean: Of each gene, float32, shape (n_genes,).
        sd: Population standard deviation of each gene, 1 where it is constant, shape (n_genes,).
        profile: Mean over lines of each line's values in rising order, shape (n_genes,).
    """

    mean: FloatArray
    sd: FloatArray
    profile: FloatArray

    @classmethod
    def of(cls, expression: FloatArray) -> Self:
        """The reference of these lines, shape (n_lines, n_genes); at least one."""
        every = max(1, -(-len(expression) // LINES_OF_A_PROFILE))
        profile = np.sort(expression[::every], axis=1).mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(*shift_and_scale("zscore", [expression]), profile)

    @property
    def width(self) -> FloatArray:
        """``sd``, at least ``NARROW`` of the median gene's."""
        return np.maximum(self.sd, np.float32(NARROW) * np.median(self.sd))

    @property
    def levels_differ(self) -> bool:
        """Whether genes have levels of their own, as logarithms do and gene-wise z-scores do not."""
        return bool(self.mean.std() > np.median(self.sd))

    def z(self, values: FloatArray, columns: NDArray[np.int64] | slice = slice(None)) -> FloatArray:
        """(x − mean) / ``width`` of the genes in ``columns``, float32."""
        return ((values - self.mean[columns]) / self.width[columns]).astype(np.float32)


def references_of(source: FloatArray, target: FloatArray) -> tuple[Reference, Reference] | None:
    """References of both screens; a screen without any line takes the other's, and None is of none at all."""
    parts = [part for part in (source, target) if part.size]
    return (Reference.of(parts[0]), Reference.of(parts[-1])) if parts else None


def to_array(references: tuple[Reference, Reference]) -> FloatArray:
    """Both in one array, float32, shape (2, 3, n_genes)."""
    return np.array([[part.mean, part.sd, part.profile] for part in references], dtype=np.float32)


def from_arrays(arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[Reference, Reference] | None:
    """What ``to_array`` gave; None where a model was saved before it was kept."""
    if name not in arrays:
        return None
    source, target = np.asarray(arrays[name], dtype=np.float32)
    return Reference(*source), Reference(*target)

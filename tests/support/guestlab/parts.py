"""A reader of expression, a split, an alignment."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dadsp.data.alignment.base import Alignment, AlignmentLines, Arrays, FittedAlignment, array
from dadsp.data.sources.tidy_files import ExpressionFile
from dadsp.data.tables import Matrix
from dadsp.schema import Domain, FloatArray, Note, Split, Study
from dadsp.splits.cross_screen import cross_screen
from dadsp.splits.integrity import Promise, completed, promises


class RoundedExpression(ExpressionFile):
    """Expression rounded to some digits."""

    digits: int = 1

    def read(self, root: Path) -> tuple[Matrix, tuple[Note, ...]]:
        matrix, notes = super().read(root)
        return replace(matrix, numbers=matrix.numbers.round(self.digits)), (*notes, Note("values rounded", 1, "all"))


@promises(every_second_pair=Promise(within=False, outer=(), inner=("line",), adapts_to_test=True))
def every_second_pair(study: Study, *, seed: int, val_fraction: float = 0.1) -> Split:
    """The split across screens, of which every second target pair tests."""
    split = cross_screen(study, seed=seed, val_fraction=val_fraction)
    return completed(study, replace(split, kind="every_second_pair", test_idx=split.test_idx[::2]))


@dataclass(frozen=True, eq=False)
class Shifted(FittedAlignment):
    """Each screen without its medians."""

    source: FloatArray
    target: FloatArray

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        return expression - (self.source if domain == "source" else self.target)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"source": self.source, "target": self.target}

    @classmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        return cls(stated, array(arrays, "source"), array(arrays, "target"))


@dataclass(frozen=True)
class Median(Alignment):
    """Takes each gene's median from each screen."""

    kind: ClassVar[str] = "median"
    fitted: ClassVar[type[FittedAlignment]] = Shifted

    def fit(self, lines: AlignmentLines) -> Shifted:
        medians = (np.median(part, axis=0).astype(np.float32) for part in (lines.source, lines.target))
        return Shifted({"kind": self.kind, **lines.counts()}, *medians)

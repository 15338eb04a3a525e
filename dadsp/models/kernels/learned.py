"""What one fit of a kernel system leaves, as arrays and back."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from dadsp.models.base import Arrays, under
from dadsp.models.kernels.drug_level import DrugLevel
from dadsp.models.kernels.similarity import Values
from dadsp.schema import BoolArray


@dataclass(frozen=True, eq=False)
class Learned:
    """What one fit left.

    Attributes:
        level: Of the drugs.
        weights: Of the training pairs, float64, shape (n_lines, n_drugs), 0 where there is no label.
        spread: Standard deviation of each drug's labels about its level, shape (n_drugs,); 0 without labels.
        measured: Which pairs had a label.
    """

    level: DrugLevel
    weights: Values
    spread: Values
    measured: BoolArray

    def arrays(self) -> Arrays:
        """What ``from_arrays`` reads."""
        own: Arrays = {"weights": self.weights, "spread": self.spread, "measured": self.measured.astype(np.uint8)}
        return own | {f"level.{name}": value for name, value in self.level.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The fit whose ``arrays`` these are."""
        level = DrugLevel.from_arrays(under("level.", arrays))
        return cls(level, arrays["weights"], arrays["spread"], arrays["measured"].astype(bool))

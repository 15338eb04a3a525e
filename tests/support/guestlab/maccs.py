"""MACCS keys."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass
from rdkit.Chem import MACCSkeys

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.structures import parse
from dadsp.options import STRICT
from dadsp.schema import FloatArray


@dataclass(frozen=True, config=STRICT)
class MaccsKeys(DrugFeatures):
    """166 questions about a structure, answered 0 or 1; bit 0 is never set."""

    kind: ClassVar[str] = "maccs"

    @property
    def width(self) -> int:
        return 167

    def __call__(self, smiles: Sequence[str], names: Sequence[str]) -> FloatArray:
        rows = [list(MACCSkeys.GenMACCSKeys(molecule)) for molecule in parse(smiles, names)]  # type: ignore[attr-defined]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.width)

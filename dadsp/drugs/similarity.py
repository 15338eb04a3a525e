"""Structure similarity profiles (SSP): how alike a drug is to each drug of a reference set."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Self

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.drugs.features import DrugFeatures, fitted
from dadsp.drugs.morgan import Morgan
from dadsp.errors import SchemaError
from dadsp.options import STRICT
from dadsp.schema import FloatArray


@dataclass(frozen=True, config=STRICT)
class SimilarityProfile(DrugFeatures):
    """Tanimoto (Jaccard) similarity of Morgan fingerprints to each reference drug.

    Attributes:
        bits: Length of the fingerprints; 256 as in the paper's main representation.
        radius: Neighbourhood in bonds.
        reference: SMILES of the reference drugs, or a CSV file with a column ``smiles``; None takes the training drugs.
    """

    kind: ClassVar[str] = "ssp"

    bits: int = Field(default=256, ge=8)
    radius: int = Field(default=2, ge=0)
    reference: Annotated[tuple[str, ...], Field(min_length=1)] | str | None = None

    @property
    def width(self) -> int:
        """Number of distinct reference structures."""
        return len(self._reference)

    @property
    def _reference(self) -> tuple[str, ...]:
        return tuple(fitted(None if isinstance(self.reference, str) else self.reference))

    def fit(self, smiles: Sequence[str], names: Sequence[str]) -> Self:
        """The same with the reference set at hand, each structure once.

        Raises:
            SchemaError: The file of the reference set cannot be read, or is empty.
        """
        reference = self.reference
        if isinstance(reference, str):
            reference = _read_smiles(Path(reference))
        return replace(self, reference=tuple(dict.fromkeys(smiles if reference is None else reference)))

    def __call__(self, smiles: Sequence[str], names: Sequence[str]) -> FloatArray:
        """Similarities in [0, 1], float32, shape (n_drugs, n_reference); 0 between two fingerprints without a bit.

        Raises:
            SchemaError: Some SMILES, of drugs or of the reference set, are not valid.
        """
        fingerprints = Morgan(self.bits, self.radius)
        drugs, reference = fingerprints(smiles, names), fingerprints(self._reference, self._reference)
        shared = drugs @ reference.T
        either = drugs.sum(axis=1)[:, None] + reference.sum(axis=1) - shared
        return np.asarray(shared / np.maximum(either, 1), dtype=np.float32)


def _read_smiles(path: Path) -> tuple[str, ...]:
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise SchemaError(f"drug_features.reference={path} cannot be read ({error}). Give a CSV file.") from error
    if "smiles" not in table or table["smiles"].isna().all():
        raise SchemaError(f"drug_features.reference={path} names no structure. Give a CSV file with a column smiles.")
    return tuple(table["smiles"].dropna())
